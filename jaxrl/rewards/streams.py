"""Several rewards at once, told as signals: mixtures of them, and prices that keep costs low."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.types import Agent, Array, Key, Transition, Tree, Update
from jaxrl.updates import standardised

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


def constrained(agent: Agent, costs: Streams, limits: Array, rate: float | Array = 0.05) -> Agent:
    """An agent that maximises the reward while the mean costs of a step stay below limits [K].

    It learns from (reward - sum of prices times costs) / (1 + sum of prices), and each rollout
    moves the prices by rate (mean cost - limit), but not below 0: a Lagrangian. It is for agents
    that learn from fresh rollouts; the costs are what the environment tells as signals, or a
    function of the step. Raises an InputError unless limits are not negative and the rate is
    positive. Source: Ray, Achiam and Amodei (2019), "Benchmarking safe exploration in deep
    reinforcement learning".
    """
    require_positive(rate=rate)
    require_non_negative(limits=limits)
    update = agent.update

    def init(key: Key, example: Transition) -> Priced:
        return Priced(update.init(key, example), jnp.zeros(len(limits)))

    def apply(state: Priced, batch: Transition, key: Key) -> tuple[Priced, dict]:
        each = costs(batch)
        paid = (batch.reward - each @ state.prices) / (1 + state.prices.sum())
        inner, metrics = update.apply(state.inner, batch._replace(reward=paid), key)
        share = batch.weight / jnp.maximum(batch.weight.sum(), 1e-8)
        mean = (share[..., None] * each).sum(tuple(range(share.ndim)))
        prices = jnp.maximum(state.prices + rate * (mean - limits), 0.0)
        told = {f"cost_{k}": x for k, x in enumerate(mean)}
        return Priced(inner, prices), metrics | told | {"price": prices.sum()}

    read = lambda state: update.read(state.inner)
    return agent._replace(update=Update(init, apply, read))
