"""Rounds of learning from a replay buffer in host memory, called one after another.

    train = prefetch.driver(setup.experiment)
    runs = train.init(keys)  # [N], vmapped
    runs, metrics = train.advance(runs, 1000)

Each round is one compiled program. It is called as soon as the one before it has been called, with
samples that have been gathered already. While it is computed, the host waits for the results of the
round before, stores its rollout, and gathers the samples of the round after; so the device waits
for the host only where the host takes longer for that than the device for a round.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require, require_positive
from jaxrl.loop import episode_means
from jaxrl.remote import (
    Remote,
    bare,
    remotes,
    replaced,
    ring_shape,
    stripped,
    supplied,
)
from jaxrl.types import Array, Experiment, Key, Run, Tree, population_axes

Round = Callable[[Run, list[Array], Any], tuple[Run, Any]]
"""(stripped run, samples, carry) -> (run, carry), compiled; see `driven`."""


def begun(run: Run) -> Run:
    """A run that compiled code has begun, with rings that hold its warm-up.

    Raises an InputError if it has no replay buffer in host memory.
    """
    require_remote(run)
    empty = lambda node: replace(node, ring=np.zeros(ring_shape(node), np.uint32))
    return replaced(run, [written(empty(node)) for node in remotes(run)])


def require_remote(tree: Tree) -> None:
    """Raise an InputError if a run has no replay buffer in host memory."""
    require(
        bool(remotes(tree)),
        "This agent keeps no replay buffer in host memory: choose one that replays uniformly, such "
        "as dqn without priorities, sac or td3, and the buffer_memory host.",
    )


def written(node: Remote) -> Remote:
    """A remote buffer whose newest rollout [*, T, B, width] is in its ring, which is overwritten.

    It waits for the round that made the rollout.
    """
    if isinstance(node.outbox, tuple):
        return node
    words, row = np.asarray(node.outbox), int(node.place.value)
    node.ring[..., row : row + words.shape[-3], :, :] = words
    return replace(node, outbox=(), place=())


def gathered(node: Remote) -> np.ndarray:
    """The samples [*, updates, length, N, width] at the slots of a remote buffer."""
    slots, width = np.asarray(node.slots), node.ring.shape[-1]
    steps = node.ring.reshape(-1, node.rows * node.lanes, width)
    found = np.empty((len(steps), slots.size // len(steps), width), np.uint32)
    for flat, index, out in zip(steps, slots.reshape(len(steps), -1), found):
        flat.take(index, 0, out, "clip")  # any other mode copies once more
    return found.reshape(*slots.shape, width)


def driven(step: Round, run: Run, carry: Any, rounds: int) -> tuple[Run, Any]:
    """Call `step` for some rounds of a run, or of members [N], and meanwhile serve their buffers.

    The run that `step` is given is `jaxrl.remote.stripped`, and may be donated; the one that goes
    in here is used up: its rings are overwritten. Between calls a run has everything that was
    collected in its rings, so that to save it is to be able to go on exactly.
    """
    require_positive(rounds=rounds)
    nodes, given = remotes(run), stripped(run)
    for _ in range(rounds):
        run, carry = step(given, [node.inbox for node in nodes], carry)
        new = remotes(run)
        for node in new:
            for x in (node.outbox, node.slots, node.place.value):
                x.copy_to_host_async()
        given = replaced(run, map(bare, new))
        # The device computes this round from here on; what follows belongs to the one before.
        nodes = [served(written(node), after) for node, after in zip(nodes, new)]
    return replaced(run, map(written, nodes)), carry


def served(node: Remote, after: Remote) -> Remote:
    """A remote buffer `after` a round, with the ring of the one before and its samples."""
    inbox = jax.device_put(gathered(node), node.inbox.sharding)
    return replace(after, ring=node.ring, inbox=inbox)


class Driver(NamedTuple):
    """How members [N] are trained from replay buffers in host memory."""

    init: Callable[[Key], Run]  # keys [N] -> runs
    advance: Callable[[Run, int], tuple[Run, dict]]
    # advance: (runs, rounds) -> (runs, mean metrics [N]); the runs that it is given are used up


def driver(exp: Experiment) -> Driver:
    """The functions that train members of an experiment with replay buffers in host memory.

    They are not part of compiled programs, as those of `jaxrl.loop` may be, but call one for each
    round. Raises an InputError if the agent has no such buffer.

    Examples:
        >>> import envs, jax, jaxrl
        >>> from agents import dqn
        >>> from jaxrl.prefetch import driver
        >>> hp = dqn.Hyperparameters(buffer_size=64, warmup=32, buffer_memory="host")
        >>> train = driver(jaxrl.assemble(dqn.dqn, envs.make("CartPole-v1"), hp).experiment)
        >>> runs, metrics = train.advance(train.init(jax.random.split(jax.random.key(0), 2)), 3)
        >>> print(runs.step.value, metrics["loss"].shape)
        3 (2,)
    """
    one = jax.eval_shape(exp.init, jax.random.key(0))
    require_remote(one)
    after, metrics = jax.eval_shape(exp.step, one)
    before, axes = population_axes(one), population_axes(after)

    def learn(run: Run, inboxes: list[Array], sums: dict) -> tuple[Run, dict]:
        run, metrics = exp.step(supplied(run, inboxes))
        return run, jax.tree.map(jnp.add, sums, metrics)

    begin = jax.jit(jax.vmap(exp.init, out_axes=before))
    step = jax.jit(jax.vmap(learn, (stripped(before), 0, 0), (axes, 0)), donate_argnums=0)

    def advance(runs: Run, rounds: int) -> tuple[Run, dict]:
        zeros = {name: jnp.zeros((len(runs.key), *x.shape)) for name, x in metrics.items()}
        runs, sums = driven(step, runs, zeros, rounds)
        return runs, episode_means({name: x / rounds for name, x in sums.items()})

    return Driver(lambda keys: begun(begin(keys)), advance)
