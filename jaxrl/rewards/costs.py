"""Costs beside the reward: what tells them to learners, and agents that keep them below limits."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxrl.conformance import blank_of
from jaxrl.errors import require, require_fraction, require_known, require_positive
from jaxrl.rewards.shaping import observing
from jaxrl.rewards.streams import constrained, constrained_replay
from jaxrl.types import Agent, Array, Costs, Env, Key, Spec, TimeStep, Transition, Tree, costs_of

Cost = Callable[[Tree, Tree, Tree], Array]
"""(observation, action, successor) -> the cost [] of a step, between 0 and 1."""


def costly(env: Env, costs: Mapping[str, Cost]) -> Env:
    """One lane that tells learners named costs of each step, beside its rewards.

    `costs[name](obs, action, final)` [] is between 0 and 1, with the action as the environment
    takes it; what costs most should cost 1. They are told as the signals `jaxrl.types.Costs`,
    beneath signals that the environment has already, and `jaxrl.evaluate` adds them up. Apply it
    below time limits and auto-reset. Raises an InputError unless each cost is one number, and if
    two players take turns.
    """
    require(env.spec.players == 1, "Costs are of one player, but here two take turns.")
    seen, action = env.spec.observation, blank_of(env.spec.action)
    for name, cost in costs.items():
        shape = jax.eval_shape(cost, seen, action, seen).shape
        require(shape == (), f"The cost {name} of a step must be one number, not of shape {shape}.")

    def telling(own: Env) -> Env:
        shown = observing(own)

        def told(ts: TimeStep, found: dict[str, Any]) -> TimeStep:
            return ts._replace(signals=beneath(ts.signals, found))

        def init(key: Key) -> tuple[Tree, TimeStep]:
            state, ts = shown.init(key)
            return state, told(ts, {name: jnp.zeros(()) for name in costs})

        def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
            new, ts = shown.step(state, action, key)
            paid = {name: cost(state[1], action, ts.final) for name, cost in costs.items()}
            return new, told(ts, {k: jnp.asarray(x, jnp.float32) for k, x in paid.items()})

        shapes = dict.fromkeys(costs, jax.ShapeDtypeStruct((), jnp.float32))
        spec = own.spec._replace(signals=beneath(own.spec.signals, shapes))
        return own._replace(init=init, step=step, spec=spec)

    made = telling(env)
    if env.trial is None:
        return made
    within = env.trial.within
    trial = env.trial._replace(
        env=telling(env.trial.env), within=lambda state: (within(state[0]), state[1])
    )
    return made._replace(trial=trial)


def beneath(signals: Tree, costs: dict[str, Any]) -> Tree:
    """Signals with costs beneath those that transforms tell, beside costs that are there."""
    if isinstance(signals, Costs):
        return signals._replace(costs=signals.costs | costs)
    if hasattr(signals, "signals"):
        return signals._replace(signals=beneath(signals.signals, costs))
    return Costs(costs, signals)


def cost_limited(
    make: Callable[..., Agent],
    limits: float | Mapping[str, float],
    rate: float | Array = 0.05,
) -> Callable[[Spec, Any], Agent]:
    """The constructor of the same agent, which keeps mean costs of a step below their limits.

    A number is the limit of each cost that the environment tells, and a mapping has those of some
    by name. It is `constrained_replay` of agents that replay, such as sac, and `constrained` of
    those that learn from fresh rollouts, such as ppo; metrics have `cost_NAME` and `price_NAME`.
    Raises an InputError if the environment tells no costs, or not one that is named, for limits
    outside of [0, 1], a rate that is not positive, and agents that replay in a way of their own.
    """
    check_limits(limits, rate)

    def made(spec: Spec, hp: Any) -> Agent:
        known = costs_of(spec.signals)
        require(
            bool(known),
            "Cost limits need an environment that tells costs: try hazard-grid, point-hazards or "
            "Pendulum-effort, or make one with jaxrl.rewards.costly.",
        )
        bounds = dict(limits) if isinstance(limits, Mapping) else dict.fromkeys(known, limits)
        for name in bounds:
            require_known("cost of this environment", name, known)
        names = tuple(sorted(bounds))

        def costs(batch: Transition) -> Array:
            told = costs_of(batch.signals)
            return jnp.stack([told[name] for name in names], -1)

        limit = jnp.stack([jnp.asarray(bounds[name], jnp.float32) for name in names])
        if "schedule" in inspect.signature(make).parameters:
            return constrained_replay(make, costs, limit, rate, names)(spec, hp)
        require(
            not hasattr(hp, "replay"),
            "Cost limits are for agents that learn from fresh rollouts, such as ppo, and for those "
            "that replay as sac, td3, dqn and discrete-sac do.",
        )
        return constrained(make(spec, hp), costs, limit, rate, names)

    return made


def check_limits(limits: float | Mapping[str, float], rate: float | Array) -> None:
    """Raise an InputError for limits that costs between 0 and 1 cannot have, and wrong rates."""
    require_positive(rate=rate)
    bounds = limits if isinstance(limits, Mapping) else {"each cost": limits}
    require(bool(bounds), "Cost limits need one limit at least.")
    require_fraction(**{f"The limit of {name}": x for name, x in bounds.items()})
