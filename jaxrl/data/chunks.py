"""Parts of episodes: sub-trajectories in place, chunks of one length, and chunks as actions."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.data.episodes import in_lanes_of, places
from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Transition
from jaxrl.updates.offpolicy import folded


def cut(data: Transition, length: int | Array) -> Transition:
    """The same steps in episodes of at most `length` steps.

    A longer episode is truncated after each `length` steps: `discount` and `final` stay what they
    are, so that values are still bootstrapped from the true successor. Raises an InputError unless
    the length is positive.

    Examples:
      >>> cut(data, 1).last[:, 0], cut(data, 1).discount[:, 0]
      (Array([ True,  True,  True,  True], dtype=bool), Array([1., 0., 1., 1.], dtype=float32))
    """
    data = in_lanes_of(data)
    require_positive(length=length)
    return data._replace(last=data.last | ((places(data.last) + 1) % length == 0))


def chunks_at(data: Transition, start: Array, length: int) -> Transition:
    """Chunks [length, M, ...] of consecutive steps of one episode each.

    A chunk begins at the step `start` [M], which is t B + b for the time t and the lane b, and ends
    with its episode. What is missing is filled with its last step again, with reward 0 and weight
    0. That step is a boundary, whose `discount` still says whether the episode terminated; a chunk
    that the data end before its episode ends in a boundary too, which is a truncation.
    Raises an InputError unless the length is positive.

    Examples:
      >>> chunks_at(data, jnp.array([1]), 3).weight[:, 0]
      Array([1., 0., 0.], dtype=float32)
    """
    data = in_lanes_of(data)
    require_positive(length=length)
    steps, lanes = data.reward.shape
    start = jnp.asarray(start)
    time, lane = start // lanes, start % lanes
    ends = data.last.at[-1].set(True)
    clock = jnp.arange(steps)[:, None]
    until = jax.lax.cummin(jnp.where(ends, clock, steps), reverse=True)  # the end of each episode
    offset = time + jnp.arange(length)[:, None]
    final = until[time, lane]
    row = jnp.minimum(offset, final)
    found = jax.tree.map(lambda x: x[row, lane], data._replace(last=ends))
    real = offset <= final
    return found._replace(
        reward=jnp.where(real, found.reward, 0), weight=jnp.where(real, found.weight, 0)
    )


def chunked(data: Transition, length: int, number: int | None = None) -> Transition:
    """All steps of a data set as chunks [length, M, ...], each step in exactly one of them.

    Each episode is cut from its start on, and its last chunk is padded: see `chunks_at`. M is the
    number of chunks there are, which a compiled function cannot know: there `number` gives M, and
    chunks that are not there have the weight 0 throughout. Steps of weight 0 keep it.

    Raises:
      InputError: unless the length is positive, if `number` is missing in a compiled function, and
        if there are more chunks than `number`.

    Examples:
      >>> chunked(data, 2).reward.T
      Array([[1., 2.],
             [3., 0.],
             [0., 0.]], dtype=float32)
    """
    data = in_lanes_of(data)
    require_positive(length=length)
    begins = (places(data.last) % length == 0).reshape(-1)
    if isinstance(begins, Tracer):
        require(
            number is not None,
            "chunked needs the number of chunks, because a compiled function cannot count them.",
        )
        start = jnp.nonzero(begins, size=number, fill_value=0)[0]
        there = jnp.arange(number) < begins.sum()
    else:
        found = np.flatnonzero(np.asarray(begins))
        size = len(found) if number is None else number
        require(
            len(found) <= size,
            f"The data set has {len(found)} chunks of length {length}, and number is {number}.",
        )
        start = jnp.asarray(np.append(found, np.zeros(size - len(found), found.dtype)))
        there = jnp.arange(size) < len(found)
    chunks = chunks_at(data, start, length)
    return chunks._replace(weight=chunks.weight * there)


def joined(chunks: Transition, discount: float | Array = 1.0) -> Transition:
    """Chunks [L, M, ...] as transitions [M, ...] whose actions are all L actions [L, *action].

    Rewards are added up with powers of `discount` and successors are those of the last step, as in
    an environment whose actions are chunks, see `envs.chunked`. Learn from overlapping chunks, by
    `chunks_at` of every step, to act again before a chunk has ended.

    Examples:
      >>> print(joined(chunks_at(data, jnp.array([0]), 2)).reward)
      [3.]
    """
    action = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), chunks.action)
    return folded(chunks, discount)._replace(action=action)
