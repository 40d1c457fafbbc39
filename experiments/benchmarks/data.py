"""How long a data set takes to load, what it costs in memory, and learning from disk.

`jaxrl benchmark data` makes a data set of random transitions of Pendulum's shape. It measures the
seconds to read it as transitions, the arguments of the compiled program of 1 and of 32 seeds, and
the rate of learning from blocks that are read from disk beside that from memory. Both take turns,
and the files are dropped from the system's cache before each turn.
"""

import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import jax
import numpy as np

import envs
from agents import sac
from experiments import datasets, invocation, options, plain, results, run_data, streamed, streaming
from experiments.learning import compiled
from experiments.population import buffers, gather
from jaxrl.buffers import Buffer
from jaxrl.errors import InputError, require, require_positive
from jaxrl.loop import fitted
from jaxrl.packing import unpack
from jaxrl.types import Agent, Spec, Transition

LENGTH, EPISODE = 256, 200
ABOUT = """## Data sets

`jaxrl benchmark data`: a data set of random transitions of Pendulum's shape is read and checked,
and SAC with networks of 2 x 32 units learns from it, with one sample of 256 transitions in each
gradient step and each transition drawn once on average while its block is on the device. From disk
means that the files are dropped from the system's cache before each turn, and that the first block
is waited for. Both take turns; single turns scatter where other programs use the same cores, so
that the median counts. The last rows are of what `jaxrl train sac --dataset FOLDER` calls, with the
blocks that it chooses by itself, of six times the data.
"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure loading, memory and streaming of a data set."""

    steps: int = 1_000_000
    """Number of transitions."""
    block: int = 131_072
    """Transitions in a block that is on the device."""
    passes: float = 1.0
    """Transitions sampled from a block, as a multiple of those in it."""
    batch: int = 256
    """Transitions in a sample."""
    repeats: int = 15
    """Turns, of which the median is reported."""
    blocks: int = 7
    """Blocks in a turn."""
    out: Path = Path("experiments/benchmarks/kept/data.md")
    """File for the table."""


def arrays(steps: int) -> dict[str, np.ndarray]:
    """Random arrays of Pendulum's shape, in episodes of `EPISODE` steps."""
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.standard_normal(shape, np.float32)
    return {
        "observations": normal(steps, 3),
        "next_observations": normal(steps, 3),
        "actions": rng.uniform(-2, 2, (steps, 1)).astype(np.float32),
        "rewards": normal(steps),
        "terminations": np.zeros(steps, bool),
        "truncations": np.arange(steps) % EPISODE == EPISODE - 1,
    }


def cold(folder: Path) -> None:
    """Drop the files of a folder from the system's cache, where it can be told to."""
    for file in folder.iterdir():
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def of_minari(data: Transition, folder: Path) -> str:
    """The seconds to read the same steps as a data set of Minari."""
    env, place = envs.make("Pendulum-v1"), folder / "minari-v0"
    datasets.require_writable(env, place)
    ends = np.arange(1, len(data.reward) + 1) % EPISODE == 0
    last = np.broadcast_to(ends[:, None], data.reward.shape)
    steps = jax.tree.map(np.asarray, data)._replace(last=last)
    datasets.save(datasets.split_lanes(steps), env, place, "random numbers")
    cold(place / "data")
    begin = time.perf_counter()
    jax.block_until_ready(datasets.load(str(place), env, 16, 1))
    return f"{time.perf_counter() - begin:.2f} s"


def learner(spec: Spec, block: Buffer, batch: int) -> Agent:
    """SAC with small networks, whose replay has room for a block: learning is quick, and reading it
    therefore hard to hide."""
    lanes, size = block.words.shape[1], block.words.shape[0] * block.words.shape[1]
    hp = sac.Hyperparameters(num_envs=lanes, rollout_length=1, buffer_size=size, warmup=size,
                             batch_size=batch, hidden=(32, 32), updates=1)  # fmt: skip
    return sac.sac(spec, hp)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark data", Options, arguments)
    require_positive(steps=chosen.steps, batch=chosen.batch, repeats=chosen.repeats)
    require_positive(blocks=chosen.blocks, passes=chosen.passes)
    require(
        LENGTH * 2 <= chosen.block <= chosen.steps // 2,
        f"block must be from {LENGTH * 2} to half of the steps, but it is {chosen.block}.",
    )
    results.make_folder(chosen.out.parent)
    env = fitted(envs.make("Pendulum-v1"))
    with tempfile.TemporaryDirectory() as made:
        head = [ABOUT, "| measure | value |", "|---|---|"]
        lines = [*head, *measured(env.spec, Path(made), chosen)]
    results.write_whole(chosen.out, "\n".join(lines) + "\n")


def measured(spec: Spec, folder: Path, chosen: Options) -> Iterator[str]:
    """The rows of the table, each printed when it is known."""

    def row(name: str, value: str) -> str:
        print(f"{name}: {value}", flush=True)
        return f"| {name} | {value} |"

    path = folder / "data.npz"
    np.savez(path, **arrays(chosen.steps))
    cold(folder)
    begin = time.perf_counter()
    data = plain.load(str(path), envs.make("Pendulum-v1"), 16, 1)
    jax.block_until_ready(data)
    took = time.perf_counter() - begin
    yield row(f"{chosen.steps:,} transitions from .npz, checked", f"{took:.2f} s")
    path.unlink()
    try:
        yield row(f"the same from Minari, {EPISODE} steps an episode", of_minari(data, folder))
    except InputError as error:
        print(error)
    begin = time.perf_counter()
    streaming.write([data], folder / "blocks", LENGTH)
    yield row("the same into blocks on disk", f"{time.perf_counter() - begin:.2f} s")
    store = streaming.opened(folder / "blocks", spec)
    chunks = chosen.block // LENGTH
    block = next(streaming.blocks(store, chunks))
    agent = learner(spec, block, chosen.batch)
    rounds = max(1, round(chosen.passes * chosen.block / chosen.batch))
    init, step = streaming.programs(agent, spec, block, rounds)
    steps = unpack(block.words, block.layout)
    sizes = []
    for seeds in (1, 32):
        shape = jax.eval_shape(init, jax.random.split(jax.random.key(0), seeds), steps)
        found = step.lower(shape, block).compile().memory_analysis()
        sizes.append(found.argument_size_in_bytes / 2**20)
    yield row(
        f"arguments of the program, of which the block is {block.words.nbytes / 2**20:.1f} MiB",
        f"{sizes[0]:.1f} MiB for 1 seed, {sizes[1]:.1f} MiB for 32",
    )
    run = init(jax.random.split(jax.random.key(0), 1), steps)
    run, _ = jax.block_until_ready(step(run, block))
    times: dict[str, list[float]] = {"memory": [], "disk": []}
    for turn in range(chosen.repeats):
        for kind in times:
            cold(folder / "blocks")
            begin = time.perf_counter()
            items: Iterator[Buffer] = itertools.repeat(block)
            if kind == "disk":
                items = streaming.ahead(streaming.blocks(store, chunks, seed=turn))
            for item in itertools.islice(items, chosen.blocks):
                run, _ = jax.block_until_ready(step(run, item))
            times[kind].append(time.perf_counter() - begin)
            if hasattr(items, "close"):
                items.close()  # type: ignore
    updates = rounds * chosen.blocks
    rate = {kind: updates / median(x) for kind, x in times.items()}
    yield row("gradient steps per second from memory", f"{rate['memory']:,.0f}")
    yield row("gradient steps per second from disk", f"{rate['disk']:,.0f}")
    yield row("the rate from disk relative to memory", ratio(times))
    times, updates = of_command(folder, data, chosen)
    for kind, x in times.items():
        yield row(
            f"jaxrl train, gradient steps per second from {kind}", f"{updates / median(x):,.0f}"
        )
    yield row("jaxrl train, the rate from disk relative to memory", ratio(times))


def ratio(times: dict[str, list[float]]) -> str:
    """The median and the range of the ratios of two times, turn by turn."""
    found = sorted(a / b for a, b in zip(times["memory"], times["disk"]))
    return f"{median(found):.2f}, from {found[0]:.2f} to {found[-1]:.2f} in {len(found)} turns"


def of_command(
    folder: Path, data: Transition, chosen: Options
) -> tuple[dict[str, list[float]], int]:
    """The seconds of each turn of the compiled program of `jaxrl train`, and its gradient steps.

    From memory the block is always the first one; from disk each turn begins with another one.
    """
    place = folder / "many"
    streaming.write([data] * 6, place, LENGTH)
    words = f"--env Pendulum-v1 --dataset {place} --seeds 1 --hidden 32 32 --num-envs 1".split()
    words += ["--batch-size", str(chosen.batch)]
    kind = options.schema(options.Resumable, "sac", {}, lists=False)
    config = invocation.configuration("sac", options.parse("train sac", kind, words), {})
    config, whole = run_data.loaded(config)
    p = gather(config)
    memory = buffers(p, whole)
    inner = compiled(p, memory)
    programs = {"memory": inner, "disk": streamed.programmed(p, memory, inner)}
    runs = {kind: (inner.start(p, None), inner.zeros) for kind in programs}
    times: dict[str, list[float]] = {kind: [] for kind in programs}
    updates = streamed.rounds_of(config)
    for _ in range(chosen.repeats + 1):  # the first turn is not counted
        for kind, program in programs.items():
            cold(place)
            begin = time.perf_counter()
            found = program.advance(*runs[kind], p.hp, memory, np.int32(updates))
            runs[kind] = jax.block_until_ready(found)
            times[kind].append(time.perf_counter() - begin)
    return {kind: x[1:] for kind, x in times.items()}, updates * config.hyperparameters["updates"]
