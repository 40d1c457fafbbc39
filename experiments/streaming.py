"""Learning from a data set that is larger than the device, from files of which blocks are read.

`write` packs transitions into memory-mapped .npy files of chunks, which are consecutive steps of a
lane. `blocks` draws chunks without replacement and makes replay buffers of them, with one lane for
each chunk, so that sequences of up to a chunk's length never cross two of them. `ahead` reads the
next block on a thread while `learnt` learns from this one.
"""

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from experiments import results
from jaxrl.buffers import Buffer
from jaxrl.errors import InputError, require, require_positive
from jaxrl.logged import empty
from jaxrl.loop import advance
from jaxrl.offline import offline, shared, without_data
from jaxrl.packing import Layout, layout, pack, unpack
from jaxrl.types import Agent, Key, Run, Spec, Transition, count, population_axes

CHUNK = 256  # steps, by default
Item = TypeVar("Item")


class Store(NamedTuple):
    """A data set on disk."""

    parts: tuple[np.ndarray, ...]  # memory-mapped chunks [n, length, width], uint32
    layout: Layout


def write(parts: Iterable[Transition], folder: Path, length: int = CHUNK) -> int:
    """Write data sets [T, B, ...] into a new folder, and return the number of chunks.

    Each becomes a file of chunks of `length` steps, the last of which is truncated there, so that
    chunks may stand one after another in a lane; what is left over of a lane is left out. Raises an
    InputError if the folder is not new, or if a part has fewer steps than a chunk.
    """
    require_positive(length=length)
    results.require_new(folder)
    results.make_folder(folder)
    total = 0
    for number, data in enumerate(parts):
        steps, lanes = data.reward.shape
        require(
            steps >= length,
            f"A part of the data set has {steps} steps in each lane, which is too short for a "
            f"chunk of {length}.",
        )
        data = jax.tree.map(lambda x, n=steps // length * length: np.array(x[:n]), data)
        data.last[length - 1 :: length] = True
        words = np.asarray(pack(jax.tree.map(jnp.asarray, data), layout(data, 2)))
        chunks = words.reshape(-1, length, lanes, words.shape[-1]).swapaxes(1, 2)
        np.save(folder / f"part-{number:05d}.npy", chunks.reshape(-1, length, words.shape[-1]))
        total += len(words) // length * lanes
    return total


def opened(folder: Path, spec: Spec) -> Store:
    """The data set in a folder that `write` made of transitions of an environment.

    Raises an InputError if there is none, or if its steps are of another size than those of the
    spec.
    """
    files = sorted(folder.glob("part-*.npy"))
    require(bool(files), f"{folder} is not a data set of blocks: it has no file part-00000.npy.")
    form = layout(empty(spec, 1), 2)
    width = jax.eval_shape(lambda: pack(empty(spec, 1), form)).shape[-1]
    parts = []
    for file in files:
        try:
            words = np.load(file, mmap_mode="r")
        except (ValueError, EOFError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(f"{file} cannot be read as a data set: {reason}.") from None
        right = words.ndim == 3 and words.dtype == np.uint32
        require(right, f"{file} holds no steps that were packed.")
        require(
            words.shape[-1] == width,
            f"A step in {file} takes {words.shape[-1]} words, but one of the environment {width}: "
            "it is of another environment.",
        )
        parts.append(words)
    lengths = sorted({x.shape[1] for x in parts})
    require(len(lengths) == 1, f"The chunks of {folder} have several lengths: {lengths}.")
    return Store(tuple(parts), form)


def blocks(store: Store, chunks: int, seed: int = 0) -> Iterator[Buffer]:
    """Buffers [length, chunks, ...] of random chunks, without end.

    In an epoch each chunk is drawn once, but for those that do not fill another block, which differ
    from epoch to epoch. Raises an InputError if there are fewer chunks than a block has.
    """
    total = sum(map(len, store.parts))
    require(
        0 < chunks <= total, f"A block must have 1 to {total} chunks, which all are, not {chunks}."
    )

    def buffer(index: int) -> Buffer:
        words = np.ascontiguousarray(block_at(store, chunks, seed, index).swapaxes(0, 1))
        length = words.shape[0]
        return Buffer(jax.device_put(words), count(length), length, store.layout)

    return map(buffer, itertools.count())


def block_at(store: Store, chunks: int, seed: int, index: int) -> np.ndarray:
    """The words [chunks, length, width] of the block with this index, from 0 on: see `blocks`."""
    sizes = [len(part) for part in store.parts]
    begins, total = np.cumsum([0, *sizes]), sum(sizes)
    epoch, place = divmod(index, total // chunks)
    order = np.random.default_rng([seed, epoch]).permutation(total)
    chosen = np.sort(order[place * chunks : (place + 1) * chunks])
    of = np.searchsorted(begins, chosen, "right") - 1
    return np.concatenate([store.parts[i][chosen[of == i] - begins[i]] for i in np.unique(of)])


def ahead(items: Iterator[Item], number: int = 1) -> Iterator[Item]:
    """The same items, of which a thread makes the next `number` while one is in use.

    What the thread raises is raised here.
    """
    require_positive(number=number)
    made: queue.Queue[tuple[str, Any]] = queue.Queue(number)
    over = threading.Event()

    def put(kind: str, value: Any) -> None:
        while not over.is_set():
            try:
                return made.put((kind, value), timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put("item", item)
                if over.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        over.set()
        thread.join()


def learnt(
    agent: Agent, spec: Spec, items: Iterator[Buffer], keys: Key, rounds: int
) -> Iterator[tuple[Run, dict]]:
    """Learn `rounds` rounds from each block, with all seeds at once.

    Yields the runs and the mean metrics after each block. Runs have no buffer in them: a block is
    an argument of the compiled program, one copy for all seeds. The agent's replay is uniform, and
    has room for the steps of a block.

    Args:
      agent: such as of `jaxrl.assemble`.
      spec: of the environment, as the agent sees it.
      items: blocks of one shape.
      keys: [N] of the seeds.
      rounds: steps of `jaxrl.offline.offline` from each block.
    """
    first = next(items)
    init, step = programs(agent, spec, first, rounds)
    run = init(keys, unpack(first.words, first.layout))
    for block in itertools.chain([first], items):
        run, metrics = step(run, block)
        yield run, metrics


def programs(
    agent: Agent, spec: Spec, block: Buffer, rounds: int
) -> tuple[Callable[[Key, Transition], Run], Callable[[Run, Buffer], tuple[Run, dict]]]:
    """The compiled beginning, (keys, data) -> runs, and learning, (runs, block) -> (runs, metrics).

    The beginning may look at the steps of the first block, as normalisation does.
    """
    begin = lambda key, data: without_data(offline(agent, data).init(key))
    data = jax.eval_shape(lambda words: unpack(words, block.layout), block.words)
    axes = population_axes(jax.eval_shape(begin, jax.random.key(0), data))
    exp = offline(agent, empty(spec, block.words.shape[1]))

    def learn(run: Run, block: Buffer) -> tuple[Run, dict]:
        return advance(shared(exp, [block]), run, rounds)

    init = jax.jit(jax.vmap(begin, (0, None), axes))
    return init, jax.jit(jax.vmap(learn, (axes, None), (axes, 0)), donate_argnums=0)
