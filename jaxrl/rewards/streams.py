"""Several rewards at once, told as signals: mixtures of them, and prices that keep costs low."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_non_negative, require_positive
from jaxrl.rewards.learnt import folding
from jaxrl.sharding import average
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import replayed, standardised

Streams = Callable[[Transition], Array]
"""Transitions [...] -> their several rewards or costs [..., K]."""


def mixed_advantages(
    advantages: Array, weights: Array, weight: Array | None = None, normalise: bool = True
) -> Array:
    """The sum over streams of weights [K] times advantages [..., K], each of its own critic.

    Each stream may have a discount factor of its own. If `normalise`, each is standardised before,
    by the `weight` [...] of steps, so that the scale of a reward does not matter.
    """
    if normalise:
        share = jnp.ones(advantages.shape[:-1]) if weight is None else weight
        one = lambda x: standardised(x, share)
        advantages = jax.vmap(one, -1, -1)(advantages)
    return advantages @ weights


class Priced(NamedTuple):
    """The state of a learner that pays for costs, and their prices."""

    inner: Tree
    prices: Array  # [K] Lagrange multipliers


def priced(
    update: Update,
    costs: Streams,
    limits: Array,
    rate: float | Array = 0.05,
    remember: Callable[[Update], Update] = lambda inner: inner,
    names: Sequence[str] = (),
) -> Update:
    """An update that learns from (reward - sum of prices times costs) / (1 + sum of prices).

    Each new rollout [T, B, ...] moves the prices by rate (mean cost of a step - limit), but not
    below 0, after it was learnt from: a Lagrangian. `remember` may put a replay around the update,
    whose samples then are paid by the prices of now and not by those of when they were stored. The
    prices are the multipliers of limits [K] on the costs of a step. Metrics are `cost_NAME` and
    `price_NAME`, by their `names` or else by their numbers. Raises an InputError unless limits are
    not negative and the rate is positive. Source: Ray, Achiam and Amodei (2019),
    "Benchmarking safe exploration in deep reinforcement learning".
    """
    require_positive(rate=rate)
    require_non_negative(limits=limits)
    names = names or [str(k) for k in range(len(limits))]

    def learner(prices: Array) -> Update:
        def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
            paid = (batch.reward - costs(batch) @ prices) / (1 + prices.sum())
            return update.apply(state, batch._replace(reward=paid), key)

        return remember(update._replace(apply=apply))

    def init(key: Key, example: Transition) -> Priced:
        prices = jnp.zeros(len(limits))
        return Priced(learner(prices).init(key, example), prices)

    def apply(state: Priced, new: Transition, key: Key) -> tuple[Priced, dict]:
        inner, metrics = learner(state.prices).apply(state.inner, new, key)
        weight = new.weight
        paid = (weight[..., None] * costs(new)).sum(tuple(range(weight.ndim)))
        paid, total = average((paid, weight.sum()))  # over shards, which have the same prices
        mean = paid / jnp.maximum(total, 1e-8)
        prices = jnp.maximum(state.prices + rate * (mean - limits), 0.0)
        told = {f"cost_{name}": x for name, x in zip(names, mean)}
        told |= {f"price_{name}": x for name, x in zip(names, prices)}
        return Priced(inner, prices), metrics | told

    none = jnp.zeros(len(limits))
    return Update(init, apply, lambda state: learner(none).read(state.inner))


def constrained(
    agent: Agent,
    costs: Streams,
    limits: Array,
    rate: float | Array = 0.05,
    names: Sequence[str] = (),
) -> Agent:
    """An agent that maximises the reward while the mean costs of a step stay below limits [K].

    It is for agents that learn from fresh rollouts, such as PPO, see `priced`; the costs are what
    the environment tells as signals, or a function of the step. Raises an InputError unless limits
    are not negative and the rate is positive.
    """
    return agent._replace(update=priced(agent.update, costs, limits, rate, names=names))


def constrained_replay(
    make: Callable[..., Agent],
    costs: Streams,
    limits: Array,
    rate: float | Array = 0.05,
    names: Sequence[str] = (),
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that replays, with mean costs of a step below limits [K].

    `make(spec, hp, schedule=...)` makes an agent that replays uniformly, such as SAC or DQN; what
    it samples is paid by the prices of now, see `priced`. Raises an InputError if the agent does
    not replay, for negative limits or a rate that is not positive.
    """
    require(
        "schedule" in inspect.signature(make).parameters,
        "Prices of stored steps are for agents that replay, such as sac, td3, dqn or discrete-sac: "
        "for ppo there is constrained.",
    )

    def schedule(update: Update, hp: Any, length: int | None = None) -> Update:
        update, length = folding(update, hp, length, "Prices of stored steps")
        remember = lambda inner: replayed(inner, hp, length)
        return priced(update, costs, limits, rate, remember, names)

    return lambda spec, hp: make(spec, hp, schedule=schedule)
