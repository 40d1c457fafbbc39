"""Replay buffers in a compiled loop of one write and one sample, beside flashbax and others.

`jaxrl benchmark buffers` prints microseconds per step and seed. All candidates of a table run in
one process and in turns, so that other load on the machine affects all of them alike; buffers are
full from the start. flashbax takes part where it is installed.
"""

import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import buffers, prioritised
from jaxrl.errors import require
from jaxrl.types import Array, Key, Transition, Tree, population_axes

ROWS, BATCH, REPEATS = 131_072, 256, 7


class Candidate(NamedTuple):
    """A buffer: how it is made, and one write followed by one sample."""

    init: Callable[[], Tree]  # a full buffer of one lane
    step: Callable[[Tree, Array, Key], tuple[Tree, Tree]]  # (state, time, key) -> (state, sample)


def transitions(observation: tuple[int, ...], number: int, value: Any = 0.0) -> Transition:
    """Make `number` transitions of one lane [number, 1, ...]."""
    obs = jnp.full((number, 1, *observation), value, jnp.float32)
    one = jnp.ones((number, 1))
    last, action = jnp.zeros((number, 1), bool), jnp.zeros((number, 1), jnp.int32)
    return Transition(obs, action, one, one, last, obs, (), one)


def ours(observation: tuple[int, ...], module: Any = buffers) -> Candidate:
    """The buffer of `jaxrl.buffers`."""

    def step(state: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        state = module.add(state, transitions(observation, 1, time))
        return state, module.sample(state, key, BATCH)

    return Candidate(lambda: module.init(transitions(observation, ROWS), ROWS), step)


def scattered(observation: tuple[int, ...]) -> Candidate:
    """A buffer of one array per leaf, written by scattered indices."""

    def step(data: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        row = (time + jnp.arange(1)) % ROWS
        data = jax.tree.map(lambda d, x: d.at[row].set(x), data, transitions(observation, 1, time))
        drawn = jax.random.randint(key, (BATCH,), 0, ROWS)
        return data, jax.tree.map(lambda d: d[drawn, 0], data)

    return Candidate(lambda: transitions(observation, ROWS), step)


def flashbax_uniform(observation: tuple[int, ...], kind: str) -> Candidate:
    """An item or a trajectory buffer of flashbax."""
    import flashbax

    if kind == "item":
        buffer = flashbax.make_item_buffer(ROWS, BATCH, BATCH)
    else:
        buffer = flashbax.make_trajectory_buffer(1, BATCH, 1, 1, 1, max_length_time_axis=ROWS)
    example = jax.tree.map(lambda x: x[0, 0], transitions(observation, 1))

    def init() -> Tree:
        return buffer.init(example).replace(is_full=jnp.array(True))

    def step(state: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        new = transitions(observation, 1, time)
        state = buffer.add(state, jax.tree.map(lambda x: x[0, 0], new) if kind == "item" else new)
        return state, buffer.sample(state, key).experience

    return Candidate(init, step)


def new_priority(index: Array, time: Array) -> Array:
    """Cheap priorities that differ between samples."""
    return 0.5 + ((index + time) % 7).astype(jnp.float32)


def our_tree(module: Any = prioritised) -> Candidate:
    """The tree of `jaxrl.prioritised`: add a step, sample, and reassign the priorities sampled."""

    def init() -> Tree:
        return module.assign(module.init(ROWS), jnp.arange(ROWS), jnp.ones(ROWS))

    def step(tree: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        tree = module.assign(tree, (time % ROWS)[None], jnp.ones(1))
        index, probability = module.sample(tree, key, BATCH)
        return module.assign(tree, index, new_priority(index, time)), (index, probability)

    return Candidate(init, step)


def flat_sums() -> Candidate:
    """Sampling without a tree, by the cumulative sum of all priorities."""

    def step(leaves: Array, time: Array, key: Key) -> tuple[Tree, Tree]:
        leaves = leaves.at[time % ROWS].set(1.0)
        sums = jnp.cumsum(leaves)
        part = (jnp.arange(BATCH) + jax.random.uniform(key, (BATCH,))) / BATCH
        index = jnp.minimum(jnp.searchsorted(sums, part * sums[-1], side="right"), ROWS - 1)
        drawn = leaves[index] / sums[-1]
        return leaves.at[index].set(new_priority(index, time)), (index, drawn)

    return Candidate(lambda: jnp.ones(ROWS), step)


def flashbax_tree(kind: str) -> Candidate:
    """The binary sum tree of flashbax, with one of its two batched setters."""
    from flashbax.buffers import sum_tree

    assign = getattr(sum_tree, f"set_batch_{kind}")

    def init() -> Tree:
        depth = ROWS.bit_length() - 1
        nodes = jnp.concatenate([jnp.full(2**d, 2.0 ** (depth - d)) for d in range(depth + 1)])
        return sum_tree.init(ROWS).replace(nodes=nodes)

    def step(tree: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        tree = assign(tree, (time % ROWS)[None], jnp.ones(1))
        index = sum_tree.stratified_sample(tree, BATCH, key)
        drawn = sum_tree.get_probability(tree, index)
        return assign(tree, index, new_priority(index, time)), (index, drawn)

    return Candidate(init, step)


def prepare(candidate: Candidate, seeds: int, steps: int) -> tuple[Callable, Tree, Tree]:
    """Compile a loop of `steps`; return it with a state to overwrite and its last sample."""
    one = jax.eval_shape(candidate.init)
    axes = population_axes(one)
    key = jax.random.key(0)
    keys = key if seeds == 1 else jax.random.split(key, seeds)

    def act(state: Tree, time: Array, key: Key) -> tuple[Tree, Tree]:
        return candidate.step(state, time, jax.random.fold_in(key, time))

    if seeds > 1:
        act = jax.vmap(act, in_axes=(axes, None, 0), out_axes=(axes, 0))

    def loop(state: Tree, drawn: Tree, start: Array) -> tuple[Tree, Tree]:
        def body(carry: tuple[Tree, Tree], time: Array) -> tuple[tuple[Tree, Tree], None]:
            return act(carry[0], time, keys), None

        return jax.lax.scan(body, (state, drawn), start + jnp.arange(steps))[0]

    def init(_: Array) -> Tree:
        return candidate.init()

    if seeds > 1:
        state = jax.jit(jax.vmap(init, out_axes=axes))(jnp.arange(seeds))
    else:
        state = jax.jit(candidate.init)()
    shapes = jax.eval_shape(lambda state: act(state, jnp.int32(0), keys)[1], state)
    drawn = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    compiled = jax.jit(loop, donate_argnums=(0, 1)).lower(state, drawn, jnp.int32(0)).compile()
    return compiled, *jax.block_until_ready(compiled(state, drawn, jnp.int32(0)))


def table(title: str, candidates: dict[str, Callable[[], Candidate]], seeds: int, steps: int):
    """Print the median and the smallest time of a step, over the same repeats for all."""
    alive: dict[str, list] = {}
    for name, make in candidates.items():
        try:
            alive[name] = [*prepare(make(), seeds, steps), []]
        except ImportError:
            print(f"  {name}: not installed")
    for repeat in range(REPEATS):
        for entry in alive.values():
            loop, state, drawn, times = entry
            begin = time.perf_counter()
            entry[1:3] = jax.block_until_ready(loop(state, drawn, jnp.int32(repeat * steps)))
            times.append((time.perf_counter() - begin) / steps / seeds * 1e6)
    print(f"{title}, {seeds} seed(s)\n  {'':24}{'median':>9}{'least':>9}   us per step and seed")
    for name, (*_, times) in alive.items():
        print(f"  {name:24}{median(times):9.1f}{min(times):9.1f}", flush=True)


def main(arguments: list[str]) -> None:
    """Print all tables."""
    require(not arguments, "The benchmark of buffers takes no options.")
    settings = (
        ("CartPole", (4,), 1, 1000),
        ("CartPole", (4,), 8, 200),
        ("MinAtar", (10, 10, 4), 1, 100),
    )
    for name, shape, seeds, steps in settings:
        uniform = {
            "jaxrl": partial(ours, shape),
            "arrays with scatter": partial(scattered, shape),
            "flashbax item": partial(flashbax_uniform, shape, "item"),
            "flashbax trajectory": partial(flashbax_uniform, shape, "trajectory"),
        }
        table(f"Uniform, {name} {shape}, {ROWS} rows, batch {BATCH}", uniform, seeds, steps)
    trees = {
        "jaxrl": our_tree,
        "flat cumulative sum": flat_sums,
        "flashbax bincount": partial(flashbax_tree, "bincount"),
        "flashbax scan": partial(flashbax_tree, "scan"),
    }
    for seeds, steps in ((1, 200), (8, 40)):
        table(f"Prioritised, {ROWS} leaves, batch {BATCH}", trees, seeds, steps)


if __name__ == "__main__":
    main(sys.argv[1:])
