"""Transforms for learning from the trajectory just collected."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.types import Key, Tree, Update


def prepared(update: Update, prepare: Callable[[Tree, Tree], Tree]) -> Update:
    """Learn from `prepare(view, batch)`: advantages, targets, relabelled rewards."""

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, prepare(update.read(state), batch), key)

    return update._replace(apply=apply)


def epochs(update: Update, passes: int, minibatches: int, length: int = 1) -> Update:
    """Learn from a trajectory [T, B] in `passes` shuffled passes of `minibatches` parts each.

    A part holds sequences [length, T * B / length / minibatches] of consecutive steps, shuffled
    afresh in every pass; each sequence is in exactly one part. Raises a ValueError if the
    trajectory cannot be cut so.
    """
    require_positive(epochs=passes, minibatches=minibatches, sequence_length=length)

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        steps, lanes = jax.tree.leaves(batch)[0].shape[:2]
        check_divisible(steps, lanes, minibatches, length)
        items = steps // length * lanes
        # [T, B, *] -> [items, length, *]
        cut = lambda x: x.reshape(steps // length, length, lanes, *x.shape[2:])
        lined = jax.tree.map(
            lambda x: jnp.swapaxes(cut(x), 1, 2).reshape(items, length, *x.shape[2:]), batch
        )

        def part(state: Tree, inputs: tuple) -> tuple[Tree, dict]:
            index, key = inputs
            # Clipped indices cost nothing; the default masks every element of what is gathered.
            picked = lambda x: x.at[index].get(mode="clip")
            chosen = jax.tree.map(lambda x: jnp.swapaxes(picked(x), 0, 1), lined)
            return update.apply(state, chosen, key)

        def one(state: Tree, key: Key) -> tuple[Tree, dict]:
            k_order, k_learn = jax.random.split(key)
            # One sort of 32-bit keys: ties are too rare to matter, another round costs as much.
            order = jnp.argsort(jax.random.bits(k_order, (items,)))
            keys = jax.random.split(k_learn, minibatches)
            return jax.lax.scan(part, state, (order.reshape(minibatches, -1), keys))

        return jax.lax.scan(one, state, jax.random.split(key, passes))

    return update._replace(apply=apply)


def check_divisible(steps: int, lanes: int, minibatches: int, length: int = 1) -> None:
    """Raise a ValueError unless [steps, lanes] can be cut into equal parts of sequences."""
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
