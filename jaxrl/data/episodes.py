"""The episodes of a data set: what they returned, and which of them are learnt from."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require, require_fraction, require_positive, typed_key
from jaxrl.logged import in_lanes
from jaxrl.types import Array, Key, Transition


class Episodes(NamedTuple):
    """What the episodes of N = T B steps were, lane after lane.

    There are at most N of them. An entry with length 0 is of no episode.
    """

    returns: Array  # [N] sums of rewards, discounted if that was asked for
    lengths: Array  # [N] int32
    terminated: Array  # [N] bool: ended with a successor that is worth nothing
    truncated: Array  # [N] bool: ended with a successor that has a value
    unfinished: Array  # [N] bool: the data ended first


def in_lanes_of(data: Transition, who: str = "A data set") -> Transition:
    """A data set as arrays of jax.

    Raises an InputError unless its rewards are [T, B], with T and B above 0.
    """
    shape = data.reward.shape
    require(
        len(shape) == 2 and min(shape) > 0,
        f"{who} must have rewards [T, B] of at least one step in at least one lane, but their "
        f"shape is {shape}.",
    )
    return jax.tree.map(jnp.asarray, data)


def starts(last: Array) -> Array:
    """Whether each step [T, B] is the first of its episode, or of its lane."""
    return jnp.concatenate([jnp.ones_like(last[:1]), last[:-1]])


def places(last: Array) -> Array:
    """The number of steps [T, B], int32, before each step of an episode, in that episode.

    Examples:
      >>> places(jnp.array([[False], [True], [False]]))[:, 0]
      Array([0, 1, 0], dtype=int32)
    """
    time = jnp.arange(len(last), dtype=jnp.int32)[:, None]
    return time - jax.lax.cummax(jnp.where(starts(last), time, 0))


def episode_index(last: Array) -> Array:
    """The number of the episode of each step [T, B], int32, counted lane after lane.

    Examples:
      >>> last = jnp.array([[False, True], [True, False], [False, False]])
      >>> episode_index(last).T
      Array([[0, 0, 1],
             [2, 3, 3]], dtype=int32)
    """
    first = starts(last).T.reshape(-1)
    return (jnp.cumsum(first) - 1).astype(jnp.int32).reshape(last.T.shape).T


def episodes(data: Transition, discount: float | Array = 1.0) -> Episodes:
    """The returns, lengths and ends of all episodes of a data set [T, B, ...].

    The return of an episode of n steps is the sum of gamma^t R_{t+1} over t = 0, ..., n - 1. Steps
    of weight 0 are passed over. Raises an InputError unless the rewards are [T, B].

    Examples:
      >>> episodes(data).returns[:2], episodes(data).lengths[:2]
      (Array([3., 3.], dtype=float32), Array([2, 1], dtype=int32))
    """
    data = in_lanes_of(data)
    number = data.reward.size
    index = episode_index(data.last).reshape(-1)
    used = data.weight.reshape(-1) != 0
    add = lambda x: jax.ops.segment_sum(x, index, number)
    some = lambda x: add(x.astype(jnp.int32)) > 0
    reward = data.reward * jnp.asarray(discount) ** places(data.last)
    ended = data.last.reshape(-1) & used
    final = (data.discount == 0).reshape(-1)
    lengths = add(used.astype(jnp.int32))
    terminated, truncated = some(ended & final), some(ended & ~final)
    unfinished = (lengths > 0) & ~terminated & ~truncated
    returns = add(jnp.where(used, reward.reshape(-1), 0.0))
    return Episodes(returns, lengths, terminated, truncated, unfinished)


def subsampled(data: Transition, share: float | Array, key: Key | None = None) -> Transition:
    """The same data set with the weight 0 for all but the best, or some, episodes.

    The share counts episodes, and the number of those that are kept is rounded to the nearest whole
    number, but is at least 1. Without a key they are those of the highest returns, the earlier ones
    of equals; with a key, a uniformly random subset. Raises an InputError unless the share lies
    between 0 and 1.

    Examples:
      >>> subsampled(data, 0.34).weight[:, 0]
      Array([1., 1., 0., 0.], dtype=float32)

    Source: filtered behaviour cloning, as the baseline %BC of Chen et al. (2021),
    https://arxiv.org/abs/2106.01345.
    """
    require_fraction(share=share)
    found = episodes(data)
    there = found.lengths > 0
    scores = found.returns if key is None else jax.random.uniform(typed_key(key), there.shape)
    order = jnp.argsort(jnp.where(there, -scores, jnp.inf))
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    kept = jnp.maximum(jnp.round(share * there.sum()), 1)
    chosen = (rank < kept) & there
    return data._replace(weight=data.weight * chosen[episode_index(data.last)])


def compacted(data: Transition, lanes: int | None = None, rows: int = 1) -> Transition:
    """A data set [T', lanes, ...] without the steps of weight 0, made on the host.

    Where steps were left out there is a boundary. `lanes` is the number of lanes as before by
    default, T' is a multiple of `rows`, and what is left over is left out. The number of steps
    depends on the weights, so that this cannot be compiled. Raises an InputError if the weights are
    traced, or if there are too few steps.

    Examples:
      >>> compacted(subsampled(data, 0.34)).reward[:, 0]
      Array([1., 2.], dtype=float32)
    """
    require(
        not isinstance(data.weight, Tracer),
        "compacted removes as many steps as have the weight 0, which no compiled function can: "
        "call it outside of jax.jit.",
    )
    lanes = in_lanes_of(data).reward.shape[1] if lanes is None else lanes
    require_positive(lanes=lanes, rows=rows)
    flat = jax.tree.map(lambda x: np.swapaxes(np.asarray(x), 0, 1).reshape(-1, *x.shape[2:]), data)
    used = flat.weight != 0
    ends = np.zeros(data.reward.shape[::-1], bool)
    ends[:, -1] = True
    before_gap = np.append(~used[1:], True)
    flat = flat._replace(last=flat.last | ends.reshape(-1) | before_gap)
    return in_lanes(jax.tree.map(lambda x: x[used], flat), lanes, rows, "The data set")
