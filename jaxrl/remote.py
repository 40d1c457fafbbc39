"""Replay from the memory of the host, for a buffer that is too large for the device.

A `Remote` stands in a learner where a `jaxrl.buffers.Buffer` stands otherwise. Its ring of steps is
a numpy array on the host. Compiled code sees two small parts of it: it takes the samples of one
round of learning from the `inbox`, and leaves the steps of the newest rollout in the `outbox`. It
also draws the places of samples, the `slots`, two rounds before they are learnt from. While one
round is computed, the host can therefore store the rollout of the round before and gather the
samples of the round after: see `jaxrl.prefetch`, which calls compiled rounds one after another.

The samples of a round are uniform among the steps that had been collected two rounds before: they
never contain the newest two rollouts, the one that was just collected and its predecessor.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxrl import buffers
from jaxrl.errors import require, require_known
from jaxrl.packing import Layout, pack, unpack
from jaxrl.types import Array, Counter, Key, Tree, count

MEMORIES = ("device", "host")
"""Where a replay buffer can be."""
DRIVEN = (
    "A replay buffer in host memory is read between rounds of learning, and cannot be part of one "
    "compiled program: use the command jaxrl train, or jaxrl.prefetch.driver."
)


@struct.dataclass
class Remote:
    """The latest steps of each lane, on the host, and what compiled code sees of them.

    Between rounds, `outbox` and `place` are () because their steps are in the ring; a compiled
    round has no ring, takes the inbox and returns the rest.
    """

    inbox: Any  # [updates, length, N, width] uint32, the samples of the next round
    slots: Any  # [updates, length, N] int32, of the samples of the round after that
    outbox: Any  # [T, B, width] uint32, the newest steps
    place: Any  # Counter, the row of the ring where they belong
    added: Counter  # rows ever written, those of the outbox included: see `buffers.advance`
    rows: int = struct.field(pytree_node=False)
    lanes: int = struct.field(pytree_node=False)
    warmup: int = struct.field(pytree_node=False)  # rows of the example
    layout: Layout = struct.field(pytree_node=False)
    ring: Any = ()  # numpy [rows, B, width] uint32


def require_memory(memory: str) -> None:
    """Raise an InputError unless a name is one of `MEMORIES`."""
    require_known("memory of a replay buffer", memory, MEMORIES)


def init(key: Key, example: Tree, rows: int, shape: tuple[int, int, int]) -> Remote:
    """A remote buffer of `rows` steps of each lane that holds the example [W, B, ...].

    `shape` is that of the samples of a round: updates, length and batch size. Those of the first
    two rounds are drawn from the example, and are blank if it has no steps. Raises an InputError if
    the example has more steps than there are rows.
    """
    steps, lanes = jax.tree.leaves(example)[0].shape[:2]
    buffers.require_room(steps, rows)
    first = buffers.init(example, max(steps, 1))
    none, added = jnp.zeros((), jnp.int32), count(steps)
    keys, (_, length, size) = jax.random.split(key, (2, shape[0])), shape
    now = drawn(keys[0], added.value, max(steps, 1), lanes, size, length)
    later = drawn(keys[1], added.value, rows, lanes, size, length)
    inbox = first.words.reshape(-1, first.words.shape[-1]).at[now].get(mode="clip")
    place, words = Counter(none), first.words[:steps]
    return Remote(inbox, later, words, place, added, rows, lanes, steps, first.layout)


def drawn(keys: Key, added: Array, rows: int, lanes: int, size: int, length: int) -> Array:
    """The slots [updates, length, size] of samples, uniform in what was `added`, for as many keys.

    They are those of `jaxrl.buffers.slots`.
    """
    return jax.vmap(lambda key: buffers.slots(key, added, rows, lanes, size, length))(keys)


def exchanged(
    stored: buffers.Buffer | Remote, new: Tree, keys: Key, size: int, length: int
) -> tuple[buffers.Buffer | Remote, Tree, Callable[[Any], Tree]]:
    """Store a rollout [T, B, ...], and say where the samples of a round come from.

    Returns what is stored afterwards, the feed of a scan over the updates of the round, and a
    function from an entry of the feed to a sample [length, size, ...]. Of a buffer on the device
    the feed are the `keys` [updates], from which samples are drawn when they are needed; of a
    remote one it is the inbox, and the keys draw the slots of the round after next. Raises an
    InputError for a rollout as `buffers.add` does, and if the inbox is empty.
    """
    if isinstance(stored, buffers.Buffer):
        buffer = buffers.add(stored, new)
        draw = lambda key: buffers.sample_sequences(buffer, key, size, length)
        return buffer, keys, draw
    require(not isinstance(stored.inbox, tuple), DRIVEN)
    steps = buffers.require_rollout(stored, new, stored.rows)
    place = Counter(stored.added.value % stored.rows)
    added = Counter(buffers.advance(stored.added.value, steps, stored.rows))
    slots = drawn(keys, added.value, stored.rows, stored.lanes, size, length)
    with jax.named_scope("store"):
        words = pack(new, stored.layout)
    after = replace(stored, inbox=(), slots=slots, outbox=words, place=place, added=added)
    return after, stored.inbox, lambda words: unpack(words, stored.layout)


def _is(node: Any) -> bool:
    return isinstance(node, Remote)


def remotes(tree: Tree) -> list[Remote]:
    """The remote buffers of a tree, such as a run or the axes of one, in order."""
    return [node for node in jax.tree.leaves(tree, is_leaf=_is) if _is(node)]


def replaced(tree: Tree, nodes: Iterable[Remote]) -> Tree:
    """A tree with other remote buffers, in the order of `remotes`."""
    rest = iter(nodes)
    return jax.tree.map(lambda node: next(rest) if _is(node) else node, tree, is_leaf=_is)


def stripped(tree: Tree) -> Tree:
    """A tree whose remote buffers only know how many rows were written: what a round is given."""
    return replaced(tree, map(bare, remotes(tree)))


def bare(node: Remote) -> Remote:
    """A remote buffer that only knows how many rows were written."""
    return replace(node, inbox=(), slots=(), outbox=(), place=(), ring=())


def supplied(tree: Tree, inboxes: Sequence[Array]) -> Tree:
    """A tree that was `stripped`, with the samples of a round."""
    nodes = [replace(node, inbox=inbox) for node, inbox in zip(remotes(tree), inboxes, strict=True)]
    return replaced(tree, nodes)


def resting(shapes: Tree) -> Tree:
    """The shapes of runs between rounds, from those of runs that compiled code begins.

    Rings are numpy arrays of the right shape without memory of their own.
    """

    def one(node: Remote) -> Remote:
        ring = np.broadcast_to(np.uint32(0), ring_shape(node))
        return replace(node, outbox=(), place=(), ring=ring)

    return replaced(shapes, [one(node) for node in remotes(shapes)])


def ring_shape(node: Remote) -> tuple[int, ...]:
    """The shape [*, rows, B, width] of the ring of a remote buffer, of members or of one run."""
    *lead, _, _, _, width = node.inbox.shape
    return (*lead, node.rows, node.lanes, width)


def require_on_device(tree: Tree) -> None:
    """Raise an InputError if a tree has remote buffers, where all is one compiled program."""
    require(not remotes(tree), DRIVEN)
