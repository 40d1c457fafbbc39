"""Transforms for learning from stored experience."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import buffers, remote, sharding
from jaxrl import prioritised as trees
from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Key, Transition, Tree, Update, select


class Replay(NamedTuple):
    """The state of a learner that replays."""

    inner: Tree
    buffer: buffers.Buffer | remote.Remote
    data: buffers.Retained | tuple = ()  # () if batches have no share of a data set


Beside = Callable[[buffers.Buffer], Callable[[Transition], Transition]]
"""What is stored -> (a sample -> the batch that is learnt from)."""


def replay(
    update: Update,
    rows: int,
    batch_size: int,
    updates: int = 1,
    length: int | None = None,
    share: float = 0.0,
    beside: Beside | None = None,
    memory: str = "device",
) -> Update:
    """Store experience [T, B, ...], then learn from `updates` uniform samples of the buffer.

    The buffer keeps the latest `rows` steps of each lane. Samples are transitions
    [batch_size, ...], or sequences [length, batch_size, ...] of consecutive steps if a `length` is
    given. Of each sample, the first round(`share` batch_size) come from a data set, if
    `jaxrl.continuing.retaining` has given one to the experiment. Source of such batches, with a
    share of one half: Ball et al. (2023), https://arxiv.org/abs/2302.02948.

    What compares a sample with the whole buffer is made by `beside(buffer)`, such as neighbours or
    the buffer itself as the sample's `extras`. It is called once for all samples of a round.

    With the memory "host", the buffer is a `jaxrl.remote.Remote`, and `jaxrl.prefetch` has to call
    the rounds. Raises an InputError for another memory than those of `jaxrl.remote.MEMORIES`, and
    if samples from the host are to be mixed with a data set or compared with the whole buffer.

    Examples:
        >>> update = updates.replay(total, rows=2, batch_size=3, updates=2)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        6.0
    """
    require_positive(buffer_size=rows, batch_size=batch_size, updates=updates)
    remote.require_memory(memory)
    require(
        memory == "device" or (share == 0 and beside is None),
        "A replay buffer in host memory is sampled by itself: batches with a share of a data set, "
        "and updates that compare samples with the whole buffer, need buffer_memory device.",
    )
    steps, size = length or 1, batch_size

    def init(key: Key, example: Transition) -> Replay:
        data = buffers.Retained(()) if share else ()
        if memory == "device":
            return Replay(update.init(key, example), buffers.init(example, rows), data)
        k_learn, k_draw = jax.random.split(key)
        stored = remote.init(k_draw, example, rows, (updates, steps, size))
        return Replay(update.init(k_learn, example), stored, data)

    def blended(kept: buffers.Buffer, buffer: buffers.Buffer, key: Key) -> Tree:
        old = round(share * size)
        k_old, k_new = jax.random.split(key)
        parts = [buffers.sample_sequences(kept, k_old, old, steps)] if old else []
        parts += [buffers.sample_sequences(buffer, k_new, size - old, steps)] if old < size else []
        return jax.tree.map(lambda *x: jnp.concatenate(x, 1), *parts)

    def apply(state: Replay, new: Transition, key: Key) -> tuple[Replay, dict]:
        keys = jax.random.split(key, (updates, 2))
        stored, feed, draw = remote.exchanged(state.buffer, new, keys[:, 0], size, steps)
        kept = state.data.buffer if isinstance(state.data, buffers.Retained) else ()
        enlarged = lambda batch: batch
        if isinstance(stored, buffers.Buffer):
            draw = partial(blended, kept, stored) if isinstance(kept, buffers.Buffer) else draw
            enlarged = enlarged if beside is None else beside(stored)

        def one(inner: Tree, given: tuple) -> tuple[Tree, dict]:
            fed, k_learn = given
            found = draw(fed)
            batch = found if length is not None else jax.tree.map(lambda x: x[0], found)
            return update.apply(inner, enlarged(batch), k_learn)

        inner, metrics = jax.lax.scan(one, state.inner, (feed, keys[:, 1]))
        return Replay(inner, stored, state.data), metrics

    return Update(init, apply, lambda state: update.read(state.inner))


class Prioritised(NamedTuple):
    """The state of a learner that replays by priority."""

    inner: Tree
    buffer: buffers.Buffer
    tree: trees.SumTree  # of the sequences that start at each step and lane
    highest: Array  # [] the largest priority so far, which new experience gets


def prioritised(
    update: Update,
    rows: int,
    batch_size: int,
    updates: int = 1,
    length: int = 1,
    exponent: float | Array = 0.6,
    correction: float | Array = 0.4,
) -> Update:
    """Replay sequences [length, batch_size, ...] in proportion to their error^`exponent`.

    `update` reports the absolute error of each sample as the metric `priority` [batch_size], and
    multiplies its loss by the `weight` of the samples, the importance weights (N p)^-`correction`
    of a probability p among N sequences. With several shards both are those of all their buffers.
    Source: Schaul et al. (2016).

    Examples:
        >>> update = updates.prioritised(judged, rows=2, batch_size=3, updates=2)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        6.0
    """
    require_positive(buffer_size=rows, batch_size=batch_size, updates=updates)

    def init(key: Key, example: Transition) -> Prioritised:
        buffer = buffers.init(example, rows)
        steps, lanes = example.reward.shape
        tree = trees.init(rows * lanes)
        tree = trees.advance(tree, jnp.int32(0), steps, rows, lanes, length, 1.0)
        return Prioritised(update.init(key, example), buffer, tree, jnp.ones(()))

    def apply(state: Prioritised, new: Transition, key: Key) -> tuple[Prioritised, dict]:
        steps, lanes = new.reward.shape
        before = state.buffer.added.value
        buffer = buffers.add(state.buffer, new)
        tree = trees.advance(state.tree, before, steps, rows, lanes, length, state.highest)

        def one(carry: tuple, keys: Key) -> tuple[tuple, dict]:
            inner, tree, highest = carry
            k_draw, k_learn = keys
            index, probability = trees.sample(tree, k_draw, batch_size)
            slot = (index + lanes * jnp.arange(length)[:, None]) % (rows * lanes)
            batch = buffers.fetch(buffer, slot)
            count = jnp.minimum(buffer.added.value, rows) * lanes
            # Shards draw equally many samples, whatever their masses: see `trees.importance`.
            mass = sharding.relative(trees.total(tree))
            weight = trees.importance(probability, count, correction, mass)
            batch = batch._replace(weight=batch.weight * weight)
            inner, metrics = update.apply(inner, batch, k_learn)
            priority: Array = (metrics["priority"] + 1e-6) ** exponent
            # Weights are never negative. That the tree is read for them before it is written must
            # be a dependence of the data, or XLA keeps two copies of the whole tree.
            priority = jnp.where(weight >= 0, priority, 0.0)
            tree = trees.assign(tree, index, priority)
            highest = jnp.maximum(highest, sharding.highest(priority.max()))
            return (inner, tree, highest), metrics

        start = (state.inner, tree, state.highest)
        (inner, tree, highest), metrics = jax.lax.scan(
            one, start, jax.random.split(key, (updates, 2))
        )
        return Prioritised(inner, buffer, tree, highest), metrics

    return Update(init, apply, lambda state: update.read(state.inner))


def folded(sequence: Transition, discount: float | Array) -> Transition:
    """Sequences [n, B, ...] as transitions [B, ...] over n steps or to a boundary: see `n_step`.

    Examples:
        >>> print(updates.folded(batch, discount=0.5).discount)
        [0.5 0.5]
    """
    first = jax.tree.map(lambda x: x[0], sequence)
    if sequence.reward.shape[0] == 1:  # a scan of no steps does not run without compilation
        return first

    def back(future: Transition, now: Transition) -> tuple[Transition, None]:
        longer = future._replace(
            reward=now.reward + discount * now.discount * future.reward,
            discount=discount * now.discount * future.discount,
        )
        return select(now.last, now, longer), None

    tail = jax.tree.map(lambda x: x[-1], sequence)
    rest = jax.tree.map(lambda x: x[:-1], sequence)
    whole, _ = jax.lax.scan(back, tail, rest, reverse=True)
    return whole._replace(
        obs=first.obs, action=first.action, extras=first.extras, weight=first.weight,
        signals=first.signals,
    )  # fmt: skip


def n_step(update: Update, discount: float | Array) -> Update:
    """Fold sequences [n, B, ...] into transitions over n steps, cut at episode boundaries.

    The folded reward is the sum of discount**k * R_{k+1} up to the boundary or n, and the folded
    successor is the state reached there, after k steps. The folded `discount` has the factor
    discount**(k - 1), since the agent multiplies by its own discount once: the n-step target has
    exactly discount**k. Signals are those of the first step. Source: Sutton and Barto (2018),
    equation 7.1.

    Examples:
        >>> print(updates.n_step(total, discount=0.5).apply(zero, batch, key)[0])  # 1 + 0.5, twice
        3.0
    """

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, folded(batch, discount), key)

    return update._replace(apply=apply)


def enriched(
    update: Update,
    of_data: Callable[[Transition], Transition],
    of_later: Callable[[Transition], Transition] = lambda steps: steps,
) -> Update:
    """Store a data set [T, B, ...] as `of_data` makes it, and later steps as `of_later` does.

    The data set is the example that the learner begins with, so that what depends on whole episodes
    can be stored with their steps, in `extras` or as a `weight`. An example of no steps is left to
    `of_later`.

    Examples:
        >>> double = lambda steps: steps._replace(reward=2 * steps.reward)
        >>> update = updates.enriched(total, lambda steps: steps, double)
        >>> print(update.apply(zero, batch, key)[0])
        8.0
    """

    def init(key: Key, example: Transition) -> Tree:
        return update.init(key, (of_data if example.reward.size else of_later)(example))

    def apply(state: Tree, new: Transition, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, of_later(new), key)

    return update._replace(init=init, apply=apply)


def with_next_actions(update: Update) -> Update:
    """Learn from the first of two steps [2, B, ...] in a row, whose `extras` are the next action.

    After the last step of an episode no action follows. Where the episode was truncated, so that a
    target would need one, the step has weight 0.

    Examples:
        >>> after = lambda state, batch, key: (batch.extras.sum(), {})
        >>> pair = batch._replace(action=jnp.array([[1.0, 1.0], [2.0, 3.0]]))
        >>> update = updates.with_next_actions(Update(start, after, read))
        >>> print(update.apply(zero, pair, key)[0])
        5.0
    """

    def apply(state: Tree, pair: Transition, key: Key) -> tuple[Tree, dict]:
        now = jax.tree.map(lambda x: x[0], pair)
        lacking = now.last & (now.discount != 0)
        weight = jnp.where(lacking, 0.0, now.weight)
        return update.apply(state, now._replace(extras=pair.action[1], weight=weight), key)

    return update._replace(apply=apply)


def check_buffer(size: int, lanes: int, steps: int, length: int, warmup: int) -> None:
    """Raise an InputError unless a buffer of `size` transitions suits what is put into it.

    `lanes` and `steps` are the shape of a rollout, and `length` is that of a sampled sequence.
    """
    part = lanes * steps
    least = -(-(length + 1) // steps) * part
    require(
        size % part == 0,
        f"buffer_size {size} is not divisible by num_envs {lanes} x rollout_length {steps}: try "
        f"{max(size // part * part, least)}.",
    )
    require(
        size // lanes > length,
        f"buffer_size {size} holds {size // lanes} steps of each of {lanes} environments, too few "
        f"for sequences of {length}: it must be at least {least}.",
    )
    require(
        length * lanes <= warmup <= size,
        f"warmup {warmup} must be at least {length * lanes}, so that each of {lanes} environments "
        f"has a sequence of {length} to sample, and at most buffer_size {size}.",
    )
