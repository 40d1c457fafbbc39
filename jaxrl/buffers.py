"""A ring buffer of experience, as pure functions.

Time is the leading axis of the ring and lanes the second, so that a rollout is written as one
contiguous slice; the position is a `Counter`, which stays unbatched under vmap over seeds. A step
is one packed row, so that a sample is one gather however many arrays it has: 1.6 to 4 times as
fast as one array per leaf (`experiments/benchmarks/buffers.py`).
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl.errors import require
from jaxrl.packing import Layout, layout, pack, unpack
from jaxrl.types import Array, Counter, Key, Transition, Tree, count


@struct.dataclass
class Buffer:
    """The latest steps of each lane."""

    words: Array  # [rows, B, width] uint32
    added: Counter  # rows ever written, in [rows, 2 rows) once the ring is full: see `advance`
    warmup: int = struct.field(pytree_node=False)  # rows of the example
    layout: Layout = struct.field(pytree_node=False)


@struct.dataclass
class Retained:
    """A data set that is replayed beside what is collected, and to which nothing is added."""

    buffer: Buffer | tuple  # () where no data set was given


def init(example: Tree, rows: int) -> Buffer:
    """A buffer of `rows` steps of each lane that holds the example [W, B, ...]; W may be 0.

    Raises an InputError if the example has more steps than there are rows.
    """
    form = layout(example, 2)
    steps, lanes = jax.tree.leaves(example)[0].shape[:2]
    require_room(steps, rows)
    width = pack(jax.tree.map(lambda x: jnp.zeros((1, 1, *x.shape[2:]), x.dtype), example), form)
    buffer = Buffer(jnp.zeros((rows, lanes, width.shape[-1]), jnp.uint32), count(), steps, form)
    return store(buffer, example) if steps else buffer


def add(buffer: Buffer, batch: Tree) -> Buffer:
    """Write a rollout [T, B, ...] over the oldest rows.

    Raises an InputError if a slice could wrap, because T does not divide the rows or the example's
    steps, or if the batch is of another kind than the example.
    """
    steps = require_rollout(buffer, batch, buffer.words.shape[0])
    return store(buffer, batch) if steps else buffer


def require_room(steps: int, rows: int) -> None:
    """Raise an InputError if an example of `steps` steps is longer than a ring of `rows`."""
    require(steps <= rows, f"A buffer of {rows} rows cannot hold an example of {steps} steps.")


def require_rollout(buffer: Any, batch: Tree, rows: int) -> int:
    """The steps T of a rollout [T, B, ...] for a ring of `rows`, see `add` for what is refused."""
    require(layout(batch, 2) == buffer.layout, f"This buffer stores {buffer.layout}.")
    steps = jax.tree.leaves(batch)[0].shape[0]
    for number, words in ((rows, "of"), (buffer.warmup, "that begins with")):
        require(
            not steps or number % steps == 0,
            f"A buffer {words} {number} rows cannot be filled {steps} rows at a time.",
        )
    return steps


@jax.named_scope("store")
def store(buffer: Buffer, batch: Tree) -> Buffer:
    """Write steps [T, B, ...] from the position on, as one slice."""
    words = pack(batch, buffer.layout)
    start = buffer.added.value % buffer.words.shape[0]
    written = jax.lax.dynamic_update_slice_in_dim(buffer.words, words, start, 0)
    added = advance(buffer.added.value, words.shape[0], buffer.words.shape[0])
    return Buffer(written, Counter(added), buffer.warmup, buffer.layout)


def advance(added: Array, steps: int, rows: int) -> Array:
    """The number of rows written [] after `steps` more of them, reduced so that it never overflows.

    Once a ring of `rows` is full, only the number modulo `rows` matters, and that it is full:
    whole rings are taken off until less than two are left.
    """
    added = added + steps
    return jnp.where(added >= 2 * rows, rows + added % rows, added)


def sample_sequences(buffer: Buffer, key: Key, batch_size: int, length: int) -> Tree:
    """Uniform sequences [length, batch_size, ...] of consecutive steps of one lane.

    They never contain both the newest and the oldest row, but may cross episodes: cut by `last`.
    At least `length` rows must have been written.
    """
    rows, lanes, _ = buffer.words.shape
    return fetch(buffer, slots(key, buffer.added.value, rows, lanes, batch_size, length))


def slots(key: Key, added: Array, rows: int, lanes: int, batch_size: int, length: int) -> Array:
    """The slots [length, batch_size] of `sample_sequences`, when `added` [] rows were written."""
    size = jnp.minimum(added, rows)
    # At least one, so that an underfilled buffer gives blank rows instead of invalid indices.
    starts = jnp.maximum(size - length + 1, 1) * lanes
    draw = below(starts.astype(jnp.uint32), key, (batch_size,)).astype(jnp.int32)
    oldest = (added - size) % rows
    slot = oldest * lanes + draw + lanes * jnp.arange(length, dtype=jnp.int32)[:, None]
    return jnp.where(slot >= rows * lanes, slot - rows * lanes, slot)


@jax.named_scope("sample")
def fetch(buffer: Buffer, slot: Array) -> Tree:
    """The steps at `slot` [...], the row times the number of lanes, plus the lane.

    Slots must lie within the buffer.
    """
    flat = buffer.words.reshape(-1, buffer.words.shape[-1])
    # Without the barriers XLA fuses the draw and the gather into the consumers of each leaf and
    # computes them once per leaf. Clipping indices is free; the default also masks the result.
    slot = jax.lax.optimization_barrier(slot)
    words = jax.lax.optimization_barrier(flat.at[slot].get(mode="clip"))
    return unpack(words, buffer.layout)


def everything(buffer: Buffer) -> Transition:
    """All steps [rows * B, ...] of a buffer of transitions, those not yet written with weight 0.

    One lane stands beside another. It takes the time and the memory of the whole buffer.
    """
    rows, lanes, width = buffer.words.shape
    steps = unpack(buffer.words.reshape(-1, width), buffer.layout)
    row = jnp.arange(rows * lanes, dtype=jnp.int32) // lanes
    written = row < jnp.minimum(buffer.added.value, rows)
    return steps._replace(weight=jnp.where(written, steps.weight, 0.0))


def sample(buffer: Buffer, key: Key, batch_size: int) -> Tree:
    """Uniform steps [batch_size, ...]."""
    return jax.tree.map(lambda x: x[0], sample_sequences(buffer, key, batch_size, 1))


def below(bound: Array, key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform integers [*shape], uint32, below `bound` [], uint32.

    They are the integer part of `bound` U for a U of 64 random bits, so that their probabilities
    differ by at most 2**-64. `jax.random.randint` is as exact and three times as slow.
    """
    high, low = jax.random.bits(key, (2, *shape), jnp.uint32)
    upper, middle = product(high, bound)
    carry, _ = product(low, bound)
    return upper + (middle + carry < middle)


def product(a: Array, b: Array) -> tuple[Array, Array]:
    """The high and the low word of the product of two uint32."""
    a1, a0, b1, b0 = a >> 16, a & 0xFFFF, b >> 16, b & 0xFFFF
    first = a1 * b0 + (a0 * b0 >> 16)
    second = a0 * b1 + (first & 0xFFFF)
    return a1 * b1 + (first >> 16) + (second >> 16), a * b
