"""A ring of experience, as pure functions.

Time is the leading axis of the ring and lanes the second, so that a rollout is written as one
contiguous slice; the position is a `Counter`, which stays unbatched under vmap over seeds.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxrl.errors import require
from jaxrl.types import Array, Counter, Key, Tree, count


class Buffer(NamedTuple):
    """The latest steps of each lane."""

    data: Tree  # [rows, B, ...]
    added: Counter  # rows ever written


def init(example: Tree, rows: int) -> Buffer:
    """A buffer of `rows` steps of each lane that holds the example [W, B, ...]; W may be 0.

    Raises a ValueError if the example has more steps than there are rows.
    """
    steps = jax.tree.leaves(example)[0].shape[0]
    require(steps <= rows, f"A buffer of {rows} rows cannot hold an example of {steps} steps.")
    empty = jax.tree.map(lambda x: jnp.zeros((rows, *x.shape[1:]), x.dtype), example)
    buffer = Buffer(empty, count())
    return store(buffer, example) if steps else buffer


def shape(buffer: Buffer) -> tuple[int, int]:
    """Its rows and lanes."""
    return jax.tree.leaves(buffer.data)[0].shape[:2]


def add(buffer: Buffer, batch: Tree) -> Buffer:
    """Write a rollout [T, B, ...] over the oldest rows.

    The example and every rollout before must have had a multiple of T steps, so that a slice
    never wraps. Raises a ValueError if T does not divide the rows, or, where that can be seen
    (outside a trace), the steps before.
    """
    rows, _ = shape(buffer)
    steps = jax.tree.leaves(batch)[0].shape[0]
    if not steps:
        return buffer
    require(rows % steps == 0, f"A buffer of {rows} rows cannot be filled {steps} rows at a time.")
    before = buffer.added.value
    if not isinstance(before, Tracer):
        require(
            int(before) % steps == 0,
            f"A buffer that holds {before} rows cannot be filled {steps} rows at a time.",
        )
    return store(buffer, batch)


def store(buffer: Buffer, batch: Tree) -> Buffer:
    """Write steps [T, B, ...] from the position on, as one slice per leaf."""
    rows, _ = shape(buffer)
    steps = jax.tree.leaves(batch)[0].shape[0]
    start = buffer.added.value % rows
    write = lambda old, new: jax.lax.dynamic_update_slice_in_dim(old, new, start, 0)
    return Buffer(jax.tree.map(write, buffer.data, batch), Counter(buffer.added.value + steps))


def sample_sequences(buffer: Buffer, key: Key, batch_size: int, length: int) -> Tree:
    """Uniform sequences [length, batch_size, ...] of consecutive steps of one lane.

    They never straddle the newest and the oldest row, but may cross episodes: cut by `last`.
    At least `length` rows must have been written.
    """
    rows, lanes = shape(buffer)
    size = jnp.minimum(buffer.added.value, rows)
    starts = size - length + 1
    draw = jax.random.randint(key, (batch_size,), 0, starts * lanes)
    oldest = buffer.added.value - size
    row = (oldest + draw // lanes + jnp.arange(length)[:, None]) % rows
    return fetch(buffer, row, draw % lanes)


def fetch(buffer: Buffer, row: Array, lane: Array) -> Tree:
    """The steps at `row` [...] and `lane` [...], which must lie within the buffer."""
    # Clipped indices cost nothing; the default masks every element of what is gathered.
    return jax.tree.map(lambda x: x.at[row, lane].get(mode="clip"), buffer.data)


def sample(buffer: Buffer, key: Key, batch_size: int) -> Tree:
    """Uniform steps [batch_size, ...]."""
    return jax.tree.map(lambda x: x[0], sample_sequences(buffer, key, batch_size, 1))
