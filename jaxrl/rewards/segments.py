"""Segments of behaviour, comparisons of them, and what a segment is worth.

A segment is a `Transition` with leaves [L, N, ...]: N segments of up to L steps, of which those of
weight 0 do not count, so that segments may be of unequal lengths.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array, Transition, Tree


class Comparisons(NamedTuple):
    """Pairs of segments, and which one is preferred."""

    first: Transition  # [L, N, ...]
    second: Transition  # [L, N, ...]
    label: Array  # [N] chance that the first is preferred: 1, 0, or 1/2 where neither is
    weight: Array  # [N] 0 where there is no answer


Score = Callable[[Transition], Array]
"""What segments [L, N, ...] are worth: [N], or [N, K] where there are several factors."""


def require_segments(segments: Transition) -> None:
    """Raise an InputError unless segments have a time and a batch axis, and at least one step."""
    shape = segments.reward.shape
    require(
        len(shape) == 2 and shape[0] > 0,
        f"Segments must be [L, N, ...] with at least one step, but their rewards are {shape}.",
    )


def within_episode(segments: Transition) -> Transition:
    """The segments [L, N, ...] whose steps after the first end of an episode have weight 0."""
    ended = jnp.cumsum(segments.last.astype(jnp.int32), 0) - segments.last
    return segments._replace(weight=segments.weight * (ended == 0))


def total(segments: Transition, each: Array, gamma: float | Array = 1.0) -> Array:
    """The sums of gamma^t w_t x_t [N, ...] over the steps of segments, for numbers x [L, N, ...].

    w_t is 1 where a step counts and 0 elsewhere. Raises an InputError unless segments are [L, N].
    """
    require_segments(segments)
    time = jnp.arange(segments.reward.shape[0], dtype=each.dtype)
    counts = jnp.where(segments.weight > 0, 1.0, 0.0) * (jnp.asarray(gamma) ** time)[:, None]
    return (each * counts.reshape(*counts.shape, *(1,) * (each.ndim - 2))).sum(0)


def partial_return(gamma: float | Array = 1.0) -> Score:
    """The discounted sum of the rewards that the segment itself holds."""
    return lambda segments: total(segments, segments.reward, gamma)


def summed(reward: Callable[[Tree, Tree, Tree], Array], gamma: float | Array = 1.0) -> Score:
    """The discounted sum of `reward(obs, action, final)` [L, N], or [L, N, K], over a segment."""

    def score(segments: Transition) -> Array:
        return total(segments, reward(segments.obs, segments.action, segments.final), gamma)

    return score


def regret(advantage: Callable[[Tree, Tree], Array], gamma: float | Array = 1.0) -> Score:
    """Minus the regret of a segment: the discounted sum of optimal advantages Q*(s, a) - V*(s).

    `advantage(obs, action)` are these [L, N]. Unlike the partial return it counts what a segment
    leads to, and not only what it earns. Source: Knox et al. (2024), "Models of human preference
    for learning reward functions", https://arxiv.org/abs/2206.02231.
    """
    return lambda segments: total(segments, advantage(segments.obs, segments.action), gamma)


def deterministic_regret(value: Callable[[Tree], Array], gamma: float | Array = 1.0) -> Score:
    """Minus the regret of a segment where transitions are deterministic, by optimal values [L, N].

    It is sum gamma^t (r + gamma d V*(s') - V*(s)), which telescopes to the rewards of the segment
    and the value of its end, less that of its start. Source: as `regret`.
    """

    def score(segments: Transition) -> Array:
        future = gamma * segments.discount * value(segments.final)
        return total(segments, segments.reward + future - value(segments.obs), gamma)

    return score


def log_likelihood(
    log_prob: Callable[[Tree, Tree], Array],
    temperature: float | Array = 1.0,
    gamma: float | Array = 1.0,
) -> Score:
    """The discounted sum of temperature log pi(a | s) over a segment, by `log_prob(obs, action)`.

    Of the best policy with an entropy bonus of that temperature it is minus the regret. The
    discount must be that of the judge: the sum without one has another optimum. Source: Hejna et
    al. (2024), "Contrastive preference learning", https://arxiv.org/abs/2310.13639.
    """
    return regret(lambda obs, action: temperature * log_prob(obs, action), gamma)


def halves(segments: Transition) -> tuple[Transition, Transition]:
    """Segments [L, 2 N, ...] as N pairs of segments [L, N, ...]."""
    half = segments.reward.shape[1] // 2
    one = jax.tree.map(lambda x: x[:, :half], segments)
    other = jax.tree.map(lambda x: x[:, half : 2 * half], segments)
    return one, other
