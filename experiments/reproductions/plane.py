"""A point on a plane, logs of it, and what agents make of these: for reproductions.

The point is pushed to a goal, and every step costs its distance to it. The best is to go straight,
so that scores between random actions and the best policy are known.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import envs
from agents import AGENTS
from jaxrl import advance, evaluate, rollout
from jaxrl.offline import offline
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Box,
    Env,
    Key,
    Spec,
    TimeStep,
    Transition,
    Tree,
    memoryless,
)

STRIDE, STEPS, LANES = 0.25, 16, 16
Act = Callable[[Array, Key], Array]
"""(positions [B, 2], key) -> actions [B, *]."""


def plane(
    goal: tuple[float, float] | Array = (0.0, 0.0),
    noise: float | Array = 0.0,
    wall: float = 1.0,
    sides: tuple[float | Array, float | Array] = (-1.0, 1.0),
) -> Env:
    """A point that moves by an action and by noise, for 16 steps.

    It begins in [-1, 1]^2, with a first coordinate between the two of `sides`, and walls keep it in
    [-wall, wall]^2. The reward is minus the distance to the goal after the step.
    """
    place = jnp.array(goal)

    def emit(x: Array) -> TimeStep:
        one = jnp.ones(())
        return TimeStep(x, -jnp.linalg.norm(x - place), one, one < 0, x, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        low, high = jnp.array([sides[0], -1.0]), jnp.array([sides[1], 1.0])
        x = jax.random.uniform(key, (2,), minval=low, maxval=high)
        return x, emit(x)._replace(reward=jnp.zeros(()))

    def step(x: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        drift = noise * jax.random.normal(key, (2,))
        x = jnp.clip(x + STRIDE * action + drift, -wall, wall)
        return x, emit(x)

    one = jnp.ones(2)
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-one, one))
    return envs.time_limit(Env(init, step, spec), STEPS)


def straight(
    goal: Array | tuple[float, float], share: float | Array = 1.0, noise: float | Array = 0.0
) -> Act:
    """Go towards a goal by a share of what the best action would do, with noise."""

    def act(obs: Array, key: Key) -> Array:
        best = jnp.clip((jnp.asarray(goal) - obs) / STRIDE, -1.0, 1.0)
        return jnp.clip(share * best + noise * jax.random.normal(key, obs.shape), -1.0, 1.0)

    return act


def actor(act: Act) -> Actor:
    """An actor that has not learnt anything."""
    return memoryless(lambda view, obs, key: (act(obs, key), ()))


def logged(env: Env, act: Act, key: Key, steps: int) -> Transition:
    """About `steps` transitions [T, LANES, ...] of a rule for acting."""
    lanes = envs.auto_reset(envs.vectorize(env, LANES))
    k_start, k_run = jax.random.split(key)
    start = (*lanes.init(k_start), ())
    return rollout(lanes, actor(act), (), start, k_run, -(-steps // LANES))[1]


def settings(name: str, data: Transition, **options: Any) -> Any:
    """The hyperparameters of an agent whose buffer holds all of the data."""
    size, lanes = data.reward.size, data.reward.shape[1]
    whole = dict(buffer_size=size, warmup=size, num_envs=lanes)
    return AGENTS[name].defaults.replace(**whole | options)


def learnt(agent: Agent, data: Transition, key: Key, steps: int) -> Tree:
    """What actors see of an agent after some gradient steps on the data alone."""
    exp = offline(agent, data)
    run, _ = advance(exp, exp.init(key), steps)
    return agent.update.read(run.learner)


def score(env: Env, chosen: Actor, view: Tree, key: Key, episodes: int = 64) -> Array:
    """The mean return [] of complete episodes."""
    return evaluate(env, chosen, view, key, episodes).returns.mean()
