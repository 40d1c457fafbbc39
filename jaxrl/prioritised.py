"""Sampling in proportion to priorities, by a binary tree of sums.

A heap in one array: node 1 is the root, nodes 2 i and 2 i + 1 are the children of i, and the
leaves are the last half. A sum is computed afresh from its children whenever one of them changes,
so that sums never drift. Wider trees and flat cumulative sums measured slower (see
`experiments/benchmarks/buffers.py`).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

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


def sample(tree: SumTree, key: Key, batch_size: int) -> tuple[Array, Array]:
    """Draw leaves [batch_size] in proportion to their priorities, and their probabilities.

    The draw is stratified: one from each of `batch_size` equal parts of the total (Schaul et al.
    2016, appendix B.2.1). A leaf of priority zero is never drawn while another is above zero.
    """
    part = jnp.arange(batch_size) + jax.random.uniform(key, (batch_size,))

    def down(_: int, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        node, goal = carry
        left, right = tree.nodes[2 * node], tree.nodes[2 * node + 1]
        # Rounding must not lead into a child without weight.
        go_right = ((goal >= left) & (right > 0)) | (left <= 0)
        return 2 * node + go_right, jnp.where(go_right, goal - left, goal)

    start = (jnp.ones(batch_size, jnp.int32), part / batch_size * total(tree))
    node, _ = jax.lax.fori_loop(0, depth(tree), down, start)
    return node - tree.nodes.shape[0] // 2, tree.nodes[node] / total(tree)


def importance(probability: Array, count: Array, exponent: float | Array) -> Array:
    """Weights (count * probability)^-exponent, divided by the largest of the batch [N].

    Source: Schaul et al. (2016), section 3.4.
    """
    weight = (count * probability) ** -exponent
    return weight / weight.max()
