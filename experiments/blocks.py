"""Data sets of blocks as runs learn from them: their size, their fingerprint, and their blocks."""

import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import streaming
from experiments.streaming import Store
from jaxrl.errors import require
from jaxrl.packing import unpack
from jaxrl.types import Spec, Transition

BLOCK = 64 * 2**20  # bytes of a block, at most


def stored(folder: str) -> bool:
    """Whether a folder is a data set of blocks."""
    return bool(folder) and (Path(folder) / "part-00000.npy").is_file()


def chunks_of(store: Store, lanes: int) -> int:
    """The number of chunks in a block, a multiple of the lanes into which they are put."""
    _, length, width = store.parts[0].shape
    total = sum(map(len, store.parts))
    fit = min(max(BLOCK // (4 * length * width), lanes), total) // lanes * lanes
    require(
        fit > 0, f"The data set has {total} chunks, too few for {lanes} lanes: lower --num-envs."
    )
    return fit


def summary(folder: str, spec: Spec, lanes: int) -> dict[str, Any]:
    """The numbers of transitions in a data set and in a block of it, and a fingerprint.

    The fingerprint is of the names and sizes of its files, and of the first and the last chunk of
    each: to read all of it would take as long as learning from it.
    """
    store = streaming.opened(Path(folder), spec)
    value, length = 0, store.parts[0].shape[1]
    for words in store.parts:
        ends = (str(words.shape).encode(), words[0].tobytes(), words[-1].tobytes())
        for part in ends:
            value = zlib.crc32(part, value)
    total = sum(map(len, store.parts)) * length
    block = chunks_of(store, lanes) * length
    return {"transitions": total, "block": block, "fingerprint": value}


def words_at(store: Store, lanes: int, seed: int, index: int) -> np.ndarray:
    """The words [T, lanes, width] of a block, in each lane several chunks one after another."""
    words = streaming.block_at(store, chunks_of(store, lanes), seed, index)
    number, length, width = words.shape
    rows = words.reshape(lanes, number // lanes * length, width)
    return np.ascontiguousarray(rows.swapaxes(0, 1))


def first(folder: str, spec: Spec, lanes: int, seed: int) -> Transition:
    """The transitions [T, lanes, ...] of the block with which a run begins, on the host."""
    store = streaming.opened(Path(folder), spec)
    return jax.device_get(unpack(words_at(store, lanes, seed, 0), store.layout))
