"""Runs that learn from a data set of blocks on disk: `jaxrl train AGENT --dataset FOLDER`.

One block is on the device at a time, and the next one is read meanwhile. Which block a run learns
from depends on its seed and on the number of its updates alone, so that it resumes exactly.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import blocks, run_data, streaming
from experiments.population import Population, Program, Sums, placed
from jaxrl.buffers import Buffer
from jaxrl.errors import require
from jaxrl.types import Run


def ahead(make: Callable[[int], Buffer]) -> Callable[[int], Buffer]:
    """`make(index)`, of which the next one is made on a thread while one is in use."""
    pool, made = ThreadPoolExecutor(1), dict[int, Future]()

    def get(index: int) -> Buffer:
        for wanted in (index, index + 1):
            if wanted not in made:
                made[wanted] = pool.submit(make, wanted)
        for other in [*made]:
            if other not in (index, index + 1):
                del made[other]
        return made[index].result()

    return get


def rounds_of(config: Any) -> int:
    """The updates in which as many transitions are drawn as a block has."""
    own = config.hyperparameters
    return max(1, round(config.data["block"] / (own["batch_size"] * own["updates"])))


def programmed(p: Population, data: list[Buffer], inner: Program) -> Program:
    """The program `inner` of learning from one block, `data`, as one of learning from all of them.

    Raises an InputError for agents that store other things than the steps of their data.
    """
    config = p.config
    spec = run_data.seen(config)
    lanes, rounds = config.hyperparameters["num_envs"], rounds_of(config)
    store = streaming.opened(Path(config.dataset), spec)
    several = config.data["transitions"] > config.data["block"]
    require(
        len(data) == 1 and data[0].layout == store.layout,
        f"{config.agent} stores more of its data than their steps, and cannot learn from blocks: "
        "write the data set as a folder of Minari or an .npz file.",
    )
    like = placed(data[0], jax.tree.map(lambda _: None, data[0]), p.mesh)

    def read(index: int) -> Buffer:
        words = blocks.words_at(store, lanes, config.seed, index)
        return data[0].replace(words=jax.device_put(words, like.words.sharding))

    get = ahead(read)

    def advance(
        runs: Run, sums: Sums, hp: Any, data: list[Buffer], updates: Any
    ) -> tuple[Run, Sums]:
        left, at = int(updates), int(runs.step.value)
        while left:
            taken = min(left, rounds - at % rounds)
            # A single block has everything, and is not read again.
            block = get(at // rounds) if several else data[0]
            runs, sums = inner.advance(runs, sums, hp, [block], np.int32(taken))
            left, at = left - taken, at + taken
        return runs, sums

    return inner._replace(advance=advance)
