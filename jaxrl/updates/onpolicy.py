"""Transforms for learning from the trajectory just collected."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.packing import layout, pack, unpack
from jaxrl.types import Array, Key, Tree, Update


def prepared(update: Update, prepare: Callable[[Tree, Tree], Tree]) -> Update:
    """Learn from `prepare(view, batch)`: advantages, targets, relabelled rewards."""

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, prepare(update.read(state), batch), key)

    return update._replace(apply=apply)


def epochs(update: Update, passes: int, minibatches: int, length: int = 1) -> Update:
    """Learn from a trajectory [T, B] in `passes` shuffled passes of `minibatches` parts each.

    A part holds sequences [length, T * B / length / minibatches] of consecutive steps, shuffled
    afresh in every pass; each sequence is in exactly one part. Raises an InputError if the
    trajectory cannot be cut so.
    """
    require_positive(epochs=passes, minibatches=minibatches, sequence_length=length)

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        steps, lanes = jax.tree.leaves(batch)[0].shape[:2]
        check_divisible(steps, lanes, minibatches, length)
        sequences = steps // length * lanes
        form = layout(batch, 2)
        # [T, B, width] -> [sequences, length, width]
        words = pack(batch, form).reshape(steps // length, length, lanes, -1)
        words = jnp.swapaxes(words, 1, 2).reshape(sequences, length, -1)

        def part(state: Tree, inputs: tuple) -> tuple[Tree, dict]:
            index, key = inputs
            rows = jax.lax.optimization_barrier(words.at[index].get(mode="clip"))
            return update.apply(state, unpack(jnp.swapaxes(rows, 0, 1), form), key)

        def one(state: Tree, key: Key) -> tuple[Tree, dict]:
            k_order, k_learn = jax.random.split(key)
            order = shuffled(k_order, sequences)
            keys = jax.random.split(k_learn, minibatches)
            return jax.lax.scan(part, state, (order.reshape(minibatches, -1), keys))

        return jax.lax.scan(one, state, jax.random.split(key, passes))

    return update._replace(apply=apply)


def shuffled(key: Key, size: int) -> Array:
    """A random order [size] of 0, ..., size - 1.

    The numbers fill a table, about as wide as it is high; each row is rotated by a random amount,
    then each column, and that four times. Every number is equally likely at every place, and
    pairs are as good as independent, but not all orders can come up. Where the table would be
    narrow, the order is that of random numbers, which takes over ten times as long to find for
    8192 items.
    """
    rows = max(r for r in range(1, math.isqrt(size) + 1) if size % r == 0)
    columns = size // rows
    if rows < 8:
        # Ties are too rare to matter, another round of bits would cost as much.
        return jnp.argsort(jax.random.bits(key, (size,)))
    place = jnp.arange(size, dtype=jnp.uint32)
    row, column = place // columns, place % columns
    turns = jax.random.bits(key, (4, rows + columns))

    def rotate(at: tuple[Array, Array], turn: Array) -> tuple[tuple[Array, Array], None]:
        row, column = at
        column = column + (turn[:rows] % columns)[row]
        column = jnp.where(column >= columns, column - columns, column)
        row = row + (turn[rows:] % rows)[column]
        return (jnp.where(row >= rows, row - rows, row), column), None

    (row, column), _ = jax.lax.scan(rotate, (row, column), turns)
    return (row * columns + column).astype(jnp.int32)


def check_divisible(steps: int, lanes: int, minibatches: int, length: int = 1) -> None:
    """Raise an InputError unless [steps, lanes] can be cut into equal parts of sequences."""
    require(
        steps % length == 0,
        f"rollout_length {steps} is not divisible by sequence_length {length}.",
    )
    items = steps // length * lanes
    require(
        items % minibatches == 0,
        f"A rollout of {steps} steps x {lanes} environments holds {items} sequences of length "
        f"{length}, which do not divide into {minibatches} minibatches.",
    )
