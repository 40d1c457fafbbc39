"""Sampling in proportion to priorities, by a binary tree of sums.

A heap in one array: node 1 is the root, nodes 2 i and 2 i + 1 are the children of i, and the
leaves are the last half. A sum is computed afresh from its children whenever one of them changes,
so that sums never drift. On a CPU, a fan-out of 4 or 8 is as fast; a fan-out of 16 to 128, loops
unrolled over levels, and flat sums are slower (`experiments/benchmarks/buffers.py`).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import sharding
from jaxrl.types import Array, Key


class SumTree(NamedTuple):
    """Priorities and their sums."""

    nodes: Array  # [2 * capacity]; leaf i is node capacity + i, and node 0 is not used


def init(leaves: int) -> SumTree:
    """A tree of at least `leaves` priorities, all zero."""
    return SumTree(jnp.zeros(2 ** (1 + math.ceil(math.log2(max(leaves, 2))))))


def priorities(tree: SumTree) -> Array:
    """All leaves [capacity], of which those past the buffer's end are zero."""
    return tree.nodes[tree.nodes.shape[0] // 2 :]


def total(tree: SumTree) -> Array:
    """The sum of all priorities []."""
    return tree.nodes[1]


def depth(tree: SumTree) -> int:
    """Levels below the root."""
    return int(math.log2(tree.nodes.shape[0])) - 1


@jax.named_scope("prioritise")
def assign(tree: SumTree, index: Array, priority: Array) -> SumTree:
    """Give leaves `index` [N] the priorities [N]; where an index repeats, one of its values."""
    node = index + tree.nodes.shape[0] // 2

    def up(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, nodes = carry
        node = node // 2
        # Repeated parents write the same sum, so that duplicates do no harm.
        return node, nodes.at[node].set(nodes[2 * node] + nodes[2 * node + 1])

    nodes = tree.nodes.at[node].set(priority)
    return SumTree(jax.lax.fori_loop(0, depth(tree), up, (node, nodes))[1])


def insert(tree: SumTree, position: Array, priority: Array) -> SumTree:
    """Give N consecutive leaves from `position` [] the priorities [N], by slices not by indices.

    They must not reach past the last leaf. A `position` that comes from a `Counter` stays one
    slice under vmap over seeds.
    """
    capacity = tree.nodes.shape[0] // 2
    width = min(priority.shape[0] // 2 + 1, capacity - 1)

    def up(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, nodes = carry
        node = node // 2
        # Near the root the slice is wider than the level. Summing other nodes again is harmless,
        # but node 0 must not be among them, since it would be its own child.
        first = jnp.clip(node, 1, capacity - width)
        children = jax.lax.dynamic_slice(nodes, (2 * first,), (2 * width,)).reshape(width, 2)
        # Fused with the write, the read would make XLA copy the whole tree at each level.
        sums = jax.lax.optimization_barrier(children[:, 0] + children[:, 1])
        return node, jax.lax.dynamic_update_slice(nodes, sums, (first,))

    node = position + capacity
    nodes = jax.lax.dynamic_update_slice(tree.nodes, priority, (node,))
    return SumTree(jax.lax.fori_loop(0, depth(tree), up, (node, nodes))[1])


def advance(
    tree: SumTree,
    added: Array,
    steps: int,
    rows: int,
    lanes: int,
    length: int,
    priority: float | Array,
) -> SumTree:
    """Follow a ring [rows, lanes] into which `steps` rows are written after `added` earlier ones.

    Leaf `row * lanes + lane` belongs to the sequence of `length` steps that starts there. Starts
    whose sequence becomes complete get the `priority`; starts that are overwritten, or whose
    sequence is not complete yet, get zero; the others keep theirs. `added` may have been reduced
    by `buffers.advance`.
    """
    width = min(steps + length - 1, rows)
    end = added + steps

    def window(tree: SumTree, first: Array) -> SumTree:
        row = first + jnp.arange(width)
        start = end - 1 - (end - 1 - row) % rows  # the step that is in this row at the end
        fresh = jnp.where((start >= 0) & (start + length <= end), priority, 0.0)
        leaf = first * lanes
        place = (leaf + tree.nodes.shape[0] // 2,)
        old = jax.lax.dynamic_slice(tree.nodes, place, (width * lanes,))
        new = jnp.where((start + length > added)[:, None], fresh[:, None], old.reshape(-1, lanes))
        return insert(tree, leaf, jax.lax.optimization_barrier(new.reshape(-1)))

    if not width:
        return tree
    tree = window(tree, jnp.minimum((added - (length - 1)) % rows, rows - width))
    # The rows that changed may continue at the beginning of the ring.
    return window(tree, jnp.zeros((), jnp.int32)) if length > 1 and width < rows else tree


@jax.named_scope("sample")
def sample(tree: SumTree, key: Key, batch_size: int) -> tuple[Array, Array]:
    """Draw leaves [batch_size] in proportion to their priorities, and their probabilities.

    The draw is stratified: one from each of `batch_size` equal parts of the total (Schaul et al.
    2016, appendix B.2.1). A leaf of priority zero is never drawn while another is above zero.
    """
    draw = jax.random.uniform(key, (2, batch_size))

    def down(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, rest = carry
        left, right = tree.nodes[2 * node], tree.nodes[2 * node + 1]
        # Rounding must not lead to a child of weight zero.
        go_right = ((rest >= left) & (right > 0)) | (left <= 0)
        return 2 * node + go_right, jnp.where(go_right, rest - left, rest)

    half = depth(tree) // 2
    rest = (jnp.arange(batch_size) + draw[0]) / batch_size * total(tree)
    node = jnp.ones(batch_size, jnp.int32)
    if half:  # a loop of no steps does not run without compilation
        node, _ = jax.lax.fori_loop(0, half, down, (node, rest))
    # A second draw within the subtree: one has too few bits for small leaves of a large tree.
    rest = draw[1] * tree.nodes[node]
    node, _ = jax.lax.fori_loop(half, depth(tree), down, (node, rest))
    return node - tree.nodes.shape[0] // 2, tree.nodes[node] / total(tree)


def importance(
    probability: Array, count: Array, exponent: float | Array, mass: float | Array = 1.0
) -> Array:
    """Weights (count * probability)^-exponent, divided by the largest of the batch [N].

    Shards, each with a tree, draw equally many samples. With m the total priority of a shard's
    tree relative to the mean over shards, `mass`, a leaf of probability p in its shard has the
    probability p m / S among all S shards; the weight of that, times m, makes the mean over shards
    what it would be in expectation if all leaves were in one tree. Source: Schaul et al. (2016),
    section 3.4.
    """
    weight = (count * probability * mass) ** -exponent
    return mass * weight / sharding.highest(weight.max())
