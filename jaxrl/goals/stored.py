"""Data sets whose steps know their places: what came later is read from the replay itself."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.buffers import Buffer, fetch
from jaxrl.types import Array, Transition, Update
from jaxrl.updates import enriched, replayed


def placed(data: Transition) -> Transition:
    """The data set [T, B, ...] with its steps' numbers and those of their episodes' ends as extras.

    Step t of lane b has the number t B + b, as in a buffer that holds the data from its start.
    """
    steps, lanes = data.reward.shape
    time = jnp.arange(steps, dtype=jnp.int32)[:, None]
    last = jnp.asarray(data.last).at[-1].set(True)
    end = jax.lax.cummin(jnp.where(last, time, steps), reverse=True)
    lane = jnp.arange(lanes, dtype=jnp.int32)
    return data._replace(extras=(time * lanes + lane, end * lanes + lane))


def displaced(steps: Transition) -> Transition:
    """Steps that are not of the data set, without a place in it and without weight."""
    none = jnp.full(steps.reward.shape, -1, jnp.int32)
    return steps._replace(extras=(none, none), weight=jnp.zeros_like(steps.weight))


class Stored(NamedTuple):
    """Transitions [N, ...] of a `placed` data set, and the buffer that began with it."""

    steps: Transition  # without extras
    now: Array  # [N] int32, their numbers
    end: Array  # [N] int32, the numbers of the last steps of their episodes
    buffer: Buffer

    @property
    def lanes(self) -> int:
        """The number of lanes, by which the numbers of a step and the next one differ."""
        return self.buffer.words.shape[1]

    @property
    def remaining(self) -> Array:
        """The number of steps [N] from each to the end of its episode, both included."""
        return (self.end - self.now) // self.lanes + 1

    def later(self, steps: Array | int) -> Transition:
        """The steps of the data that are `steps` [N] later, or the last ones of the episodes."""
        return at(self, jnp.minimum(self.now + self.lanes * steps, self.end))


def stored(batch: Transition) -> Stored:
    """What a batch [N, ...] of a data set that `remembered` replays is, and where."""
    (now, end), buffer = batch.extras
    return Stored(batch._replace(extras=()), jnp.maximum(now, 0), jnp.maximum(end, 0), buffer)


def at(found: Stored, index: Array) -> Transition:
    """The stored steps of numbers [...], without extras."""
    return fetch(found.buffer, index)._replace(extras=())


def remembered(update: Update, hp: Any) -> Update:
    """Replay a data set whose steps know their places; steps that are taken later teach nothing.

    The update sees batches whose extras are the places and the buffer: see `stored`.
    """
    beside = lambda buffer: lambda batch: batch._replace(extras=(batch.extras, buffer))
    return enriched(replayed(update, hp, beside=beside), placed, displaced)
