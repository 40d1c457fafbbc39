"""Replay in which marked steps have a share of each batch to themselves."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import buffers
from jaxrl import prioritised as trees
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key, Transition, Tree, Update, select


class Marked(NamedTuple):
    """The state of a learner that replays marked steps as often as all of them."""

    inner: Tree
    buffer: buffers.Buffer
    tree: trees.SumTree  # 1 at marked steps


def symmetric(
    update: Update,
    rows: int,
    batch_size: int,
    updates: int,
    marked: Callable[[Transition], Array],
    share: float = 0.5,
) -> Update:
    """Replay batches of which a share is drawn from marked steps, and the rest from all of them.

    `marked(steps [T, B, ...])` is bool [T, B], such as where a corrector acted. The first
    round(`share` batch_size) steps of a batch are marked ones; where there are none they are drawn
    from all steps too. Source: the two buffers of Luo et al. (2024),
    https://arxiv.org/abs/2410.21845, of which the smaller one is within the other.

    Examples:
        >>> paid = lambda steps: steps.reward > 0
        >>> update = updates.symmetric(total, rows=2, batch_size=4, updates=2, marked=paid)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        8.0
    """
    require_positive(buffer_size=rows, batch_size=batch_size, updates=updates)
    few = round(share * batch_size)

    def insert(tree: trees.SumTree, at: Array, steps: Transition) -> trees.SumTree:
        flags = marked(steps).astype(jnp.float32).reshape(-1)
        return trees.insert(tree, at, flags) if flags.size else tree

    def init(key: Key, example: Transition) -> Marked:
        lanes = example.reward.shape[1]
        tree = insert(trees.init(rows * lanes), jnp.int32(0), example)
        return Marked(update.init(key, example), buffers.init(example, rows), tree)

    def apply(state: Marked, new: Transition, key: Key) -> tuple[Marked, dict]:
        lanes = new.reward.shape[1]
        at = state.buffer.added.value % rows * lanes
        buffer = buffers.add(state.buffer, new)
        tree = insert(state.tree, at, new)

        def one(inner: Tree, keys: Key) -> tuple[Tree, dict]:
            k_marked, k_any, k_all, k_learn = keys
            parts = []
            if few:
                index, _ = trees.sample(tree, k_marked, few)
                there = jnp.broadcast_to(trees.total(tree) > 0, (few,))
                usual = buffers.sample(buffer, k_any, few)
                parts.append(select(there, buffers.fetch(buffer, index), usual))
            if few < batch_size:
                parts.append(buffers.sample(buffer, k_all, batch_size - few))
            batch = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
            return update.apply(inner, batch, k_learn)

        inner, metrics = jax.lax.scan(one, state.inner, jax.random.split(key, (updates, 4)))
        return Marked(inner, buffer, tree), metrics

    return Update(init, apply, lambda state: update.read(state.inner))
