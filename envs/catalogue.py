"""Environments by name: gymnax's by their own, those of suites after a prefix, and our own."""

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from envs import gymnax_adapter, mdps, suites
from envs.errors import unknown_parameters
from envs.goals import bit_flips, grid_maze, point_hazards, point_maze
from envs.maze import proc_maze
from envs.oscillators import lotka_volterra, van_der_pol
from envs.pan_flute import pan_flute
from envs.tabular import TabularMDP, from_mdp
from envs.transforms import mask_observation
from jaxrl.environments import require_box, time_limit
from jaxrl.errors import InputError, unknown
from jaxrl.rewards import costly
from jaxrl.types import Array, Env

# Each with the number of steps after which its environment truncates.
TABULAR = {
    "Cliff": (mdps.cliff, 200),
    "FrozenLake": (mdps.frozen_lake, 200),
    "RiverSwim": (mdps.river_swim, 100),
    "chain": (mdps.chain, 100),
    "garnet": (mdps.garnet, 100),
    "gridworld": (mdps.gridworld, 200),
    "hazard-grid": (mdps.hazard_grid, 500),
}

# What tabular ones tell that their steps cost, by the state that follows.
COSTS = {
    "hazard-grid": {"hazard": lambda obs, action, final: final @ mdps.hazards().astype("float32")}
}


def masked_cart_pole(**params: Any) -> Env:
    """CartPole without its velocities: what cannot be solved without a memory."""
    return mask_observation(make("CartPole-v1", **params), (1, 3))


def pendulum_effort(**params: Any) -> Env:
    """Pendulum that tells the cost `effort` of a step: the size of the torque, of the largest."""
    env = make("Pendulum-v1", **params)
    largest = jnp.max(require_box(env, "Pendulum-effort").high)

    def effort(obs: Array, action: Array, final: Array) -> Array:
        return jnp.clip(jnp.abs(action[0]) / largest, 0.0, 1.0)

    return costly(env, {"effort": effort})


# Environments that are another one, transformed, with the number of steps after which it truncates.
VARIANTS = {"CartPole-masked": (masked_cart_pole, 500), "Pendulum-effort": (pendulum_effort, 200)}

OUTSIDE = ("gymnasium/", "envpool/")  # prefixes of what `experiments.lanes` steps on the host

# Our own, each with the number of steps after which its environment truncates.
OWN = {
    "PanFlute": (pan_flute, 100),
    "ProcMaze": (proc_maze, 50),
    "bit-flips": (bit_flips, 10),
    "grid-maze": (grid_maze, 100),
    "lotka-volterra": (lotka_volterra, 200),
    "point-hazards": (point_hazards, 100),
    "point-maze": (point_maze, 100),
    "van-der-pol": (van_der_pol, 200),
}


def names() -> list[str]:
    """The names that `make` knows."""
    return sorted([*gymnax_adapter.names(), *suites.names(), *TABULAR, *VARIANTS, *OWN])


def make(name: str, **params: Any) -> Env:
    """The environment `name`, of one lane and without auto-reset, with its parameters changed.

    Numbers may be traced: `jax.vmap` over `make("CartPole-v1", length=x)` randomises a domain.
    Every environment has `max_steps_in_episode`, save that brax's and the tabular ones count in
    a time limit of ours; brax's have `backend` too, and for the tabular ones the other parameters
    are those of `tabular_mdp`, concrete. Raises `InputError`, with the nearest valid ones, for a
    name or a parameter that does not exist.
    """
    if name in VARIANTS:
        return VARIANTS[name][0](**params)
    if name in OWN or name in TABULAR:
        construct, default = (OWN | TABULAR)[name]
        made = _construct(name, construct, params)
        env = made if name in OWN else from_mdp(made)
        env = costly(env, COSTS[name]) if name in COSTS else env
        return time_limit(env, params.get("max_steps_in_episode", default))
    if suites.has(name):
        return suites.make(name, **params)
    if name in gymnax_adapter.names():
        return gymnax_adapter.make(name, **params)
    if name.startswith(OUTSIDE):
        raise InputError(
            f"{name} runs outside of compiled functions: train and evaluate in it by the command, "
            f"as in jaxrl train ppo --env {name}."
        )
    raise _unknown(name, names())


def tabular_mdp(name: str, **params: Any) -> TabularMDP:
    """The exact process behind `make(name, **params)`, without its time limit.

    Raises `InputError` if `name` is not of a tabular environment, or for a wrong parameter.
    """
    if name not in TABULAR:
        raise _unknown(name, list(TABULAR))
    return _construct(name, TABULAR[name][0], params)


def _construct(name: str, construct: Callable[..., Any], params: dict[str, Any]) -> Any:
    """What `construct` makes of valid parameters; the time limit is of the environment alone."""
    valid = [*inspect.signature(construct).parameters]
    unknown_parameters(name, params, [*valid, "max_steps_in_episode"])
    return construct(**{k: v for k, v in params.items() if k != "max_steps_in_episode"})


def _unknown(name: str, valid: list[str]) -> InputError:
    for other in valid:
        if other.lower() == name.lower():
            return InputError(f"There is no environment called {name!r}: did you mean {other}?")
    return unknown("environment", name, valid)
