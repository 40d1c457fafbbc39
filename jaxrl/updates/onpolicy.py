"""Transforms for learning from the trajectory just collected."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.packing import layout, pack, unpack
from jaxrl.sharding import total
from jaxrl.types import Array, Key, Tree, Update


def prepared(
    update: Update,
    prepare: Callable[[Tree, Tree], Tree],
    measure: Callable[[Tree, Tree], dict] | None = None,
) -> Update:
    """Learn from `prepare(view, batch)`: advantages, targets, relabelled rewards.

    The metrics include those of `measure(batch, prepared batch)`.

    Examples:
        >>> doubled = lambda view, batch: batch._replace(reward=2 * batch.reward)
        >>> print(updates.prepared(total, doubled).apply(zero, batch, key)[0])
        8.0
    """

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        ready = prepare(update.read(state), batch)
        state, metrics = update.apply(state, ready, key)
        return state, metrics if measure is None else metrics | measure(batch, ready)

    return update._replace(apply=apply)


def moments(x: Array, weight: Array) -> tuple[Array, Array]:
    """The mean [] and variance [] of x [...] under weights [...]; both are 0 if no weight is.

    They are those of all shards together, where there are several.
    """
    share = weight / jnp.maximum(total(weight.sum()), jnp.finfo(x.dtype).tiny)
    mean = total((share * x).sum())
    return mean, total((share * jnp.square(x - mean)).sum())


def standardised(x: Array, weight: Array) -> Array:
    """Numbers [...] shifted and scaled to mean 0 and variance 1 under weights [...].

    Examples:
        >>> print(updates.standardised(jnp.array([1.0, 3.0]), jnp.ones(2)))
        [-1.  1.]
    """
    mean, variance = moments(x, weight)
    return (x - mean) / (jnp.sqrt(variance) + 1e-8)


def explained_variance(prediction: Array, target: Array, weight: Array) -> Array:
    """The share 1 - Var(target - prediction) / Var(target) [], of arrays [...] with weights [...].

    It is 1 for perfect predictions, 0 for constant ones or constant targets, and below 0 for worse.

    Examples:
        >>> prediction, target = jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0])
        >>> print(updates.explained_variance(prediction, target, jnp.ones(2)))
        0.75
    """
    _, whole = moments(target, weight)
    _, rest = moments(target - prediction, weight)
    return jnp.where(whole > 0, 1 - rest / jnp.where(whole > 0, whole, 1.0), 0.0)


def epochs(update: Update, passes: int, minibatches: int, length: int = 1) -> Update:
    """Learn from a trajectory [T, B] in `passes` shuffled passes of `minibatches` parts each.

    A part holds sequences [length, T * B / length / minibatches] of consecutive steps. Every pass
    shuffles them anew, and has each sequence in exactly one part. Raises an InputError if the
    trajectory does not divide into such parts.

    Examples:
        >>> print(updates.epochs(total, passes=3, minibatches=2).apply(zero, batch, key)[0])
        12.0
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


@jax.named_scope("shuffle")
def shuffled(key: Key, size: int) -> Array:
    """A random order [size] of 0, ..., size - 1.

    The numbers fill a table that is about as wide as it is high. Each row is rotated by a random
    amount, then each column; both are repeated four times. Every number is equally likely at every
    place, and pairs are nearly independent, but not every order is possible. A table that would be
    narrow is replaced by sorting random numbers, which is ten times slower for 8192 items.
    """
    rows = max(r for r in range(1, math.isqrt(size) + 1) if size % r == 0)
    columns = size // rows
    if rows < 8:
        # Ties are too rare to justify the cost of another round of bits.
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
    """Raise an InputError unless a rollout [steps, lanes] divides into minibatches of sequences."""
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


def check_sequences(steps: int, lanes: int, minibatches: int, length: int) -> None:
    """Raise an InputError if a memory would learn from sequences of a single step.

    No gradient then flows from one step to another, and the memory learns nothing.
    """
    fits = lambda n: steps % n == 0 and (steps // n * lanes) % minibatches == 0
    lengths = [n for n in range(2, steps + 1) if fits(n)]
    remedy = (
        f"set sequence_length (--sequence-length) to more than 1, such as "
        f"{min(lengths, key=lambda n: abs(n - 16))}."
        if lengths
        else "raise rollout_length (--rollout-length) and sequence_length (--sequence-length)."
    )
    require(length > 1, f"A memory learns nothing from sequences of one step: {remedy}")
