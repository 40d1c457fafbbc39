"""Exploration before there is a reward: to be far from what is seen elsewhere."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import normalise
from jaxrl.data.neighbours import nearest
from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Counter, Key, Transition, Tree, Update, count


def neighbour_distance(points: Array, neighbours: int = 5) -> Array:
    """The distance [N] of each of N points [N, D] to its k-th nearest other one.

    The mean of its logarithm estimates the entropy of the points up to a constant and the factor D.
    Source: Singh et al. (2003), "Nearest neighbor estimates of entropy"; as a reward, Lee et al.
    (2021), "PEBBLE", https://arxiv.org/abs/2106.05091. Raises an InputError unless there are so
    many others.

    Examples:
        >>> print(neighbour_distance(jnp.array([[0.0], [1.0], [3.0]]), 1))
        [1. 1. 2.]
    """
    require_positive(neighbours=neighbours)
    number = len(points)
    require(
        number > neighbours,
        f"{number} points have no {neighbours} others each: take larger batches or fewer "
        "neighbours.",
    )
    # The nearest of all is the point itself.
    return jnp.sqrt(nearest(points, points, neighbours + 1)[1][:, -1])


class Exploring(NamedTuple):
    """The state of a learner that first explores."""

    inner: Tree
    calls: Counter
    scale: normalise.Moments  # of the distances


def exploring(
    update: Update,
    calls: int,
    neighbours: int = 5,
    points: Callable[[Tree], Array] = lambda obs: obs,
) -> Update:
    """Pay distances to neighbours in the batch for the first `calls` batches, then what is paid.

    The reward of a step is the distance of its observation to the `neighbours`-th nearest other one
    of the batch [..., *], divided by the running standard deviation of these. `points` makes
    vectors [..., D] of observations. Inside of `jaxrl.rewards.rewarded`, this is the exploration of
    PEBBLE, which compares with the whole replay; a batch is a sample of it. Raises an InputError
    for numbers that are not positive, or too small batches.
    """
    require_positive(calls=calls, neighbours=neighbours)
    shape = jax.ShapeDtypeStruct((), jnp.float32)

    def init(key: Key, example: Transition) -> Exploring:
        return Exploring(update.init(key, example), count(), normalise.init(shape))

    def apply(state: Exploring, batch: Transition, key: Key) -> tuple[Exploring, dict]:
        seen = points(batch.obs)
        away = neighbour_distance(seen.reshape(-1, seen.shape[-1]), neighbours)
        scale = normalise.update(state.scale, away)
        paid = away.reshape(batch.reward.shape) / jnp.sqrt(scale.variance + 1e-8)
        early = state.calls.value < calls
        reward = jnp.where(early, paid, batch.reward)
        inner, metrics = update.apply(state.inner, batch._replace(reward=reward), key)
        metrics = metrics | {"neighbour_distance": away.mean()}
        later = jnp.minimum(state.calls.value + 1, calls)
        return Exploring(inner, Counter(later), scale), metrics

    def read(state: Any) -> Tree:
        return update.read(state.inner)

    return Update(init, apply, read)
