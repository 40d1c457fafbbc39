"""Rounds of learning from a replay buffer in host memory, beside the same from one on the device.

`jaxrl benchmark prefetch` runs the programs of `jaxrl train` with both, in turns, with buffers of a
million transitions that are full. On a processor both buffers are in the same memory, and gathering
samples on the host takes time from the cores that compute rounds: what is measured there is the
cost of calling each round by itself, and not the gain of a device with memory of its own.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import host, invocation, options, planning
from experiments.benchmarks import kept_rows
from experiments.benchmarks.timed import Took, calls, in_turns
from experiments.benchmarks.turns import chosen
from experiments.population import gather
from jaxrl import prefetch
from jaxrl.buffers import Buffer
from jaxrl.errors import require_positive
from jaxrl.remote import MEMORIES, Remote, remotes
from jaxrl.types import Run, count


class Setting(NamedTuple):
    """What is trained, with the defaults of the agent."""

    agent: str
    env: str
    seeds: int


SETTINGS: dict[str, Setting] = {
    "sac-pendulum": Setting("sac", "Pendulum-v1", 1),
    "dqn-breakout": Setting("dqn", "Breakout-MinAtar", 1),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure rounds of learning with the replay buffer on the device and in host memory."""

    only: tuple[str, ...] = ()
    """Settings, by their names or the beginnings of these; all by default."""
    transitions: int = 1_000_000
    """Transitions of the buffer, which is full."""
    repeats: int = 5
    """Number of timed calls of each, in turns."""
    seconds: float = 2.0
    """Time in seconds of a call."""
    out: str = ".benchmarks/prefetch"
    """Folder of the rows. What it has is not measured again."""


def program(setting: Setting, memory: str, own: Options) -> tuple[Callable[[int], Any], Any]:
    """A function that takes a number of updates, and the list that holds the runs between calls."""
    words = f"--env {setting.env} --seeds {setting.seeds} --buffer-memory {memory}".split()
    words += ["--buffer-size", str(own.transitions)]
    kind = options.schema(options.Resumable, setting.agent, {}, lists=False)
    config = invocation.configuration(
        setting.agent, options.parse(f"train {setting.agent}", kind, words), {}
    )
    p = gather(config)
    made = host.programmed(p, [])
    now = [(filled(made.start(p, None)), made.zeros)]

    def go(number: int) -> None:
        now[0] = jax.block_until_ready(made.advance(*now[0], p.hp, [], np.int32(number)))

    return go, (now, made.plan)


def filled(runs: Run) -> Run:
    """Runs whose buffers are full: what they begin with is in them again and again."""
    is_buffer = lambda node: isinstance(node, Buffer | Remote)

    def fill(node: Any) -> Any:
        if not is_buffer(node):
            return node
        here = isinstance(node, Buffer)
        words = np.asarray(node.words if here else node.ring)
        rows = words.shape[1]
        full = words[:, np.arange(rows) % node.warmup]
        added = count(rows)
        if here:
            return replace(node, words=jax.device_put(full, node.words.sharding), added=added)
        return replace(node, ring=full, added=added)

    return jax.tree.map(fill, runs, is_leaf=is_buffer)


def measure(setting: Setting, own: Options) -> dict[str, Any]:
    """Rounds per second by memory, the host's work for one, and the memory that replay takes."""
    programs = {memory: program(setting, memory, own) for memory in MEMORIES}
    often = {memory: calls(go, own.seconds) for memory, (go, _) in programs.items()}
    runs = {memory: lambda memory=memory: programs[memory][0](often[memory]) for memory in MEMORIES}
    times: dict[str, list[Took]] = in_turns(runs, own.repeats)
    rates = {memory: [often[memory] / x.wall for x in times[memory]] for memory in MEMORIES}
    spent = {m: median(x.processor for x in times[m]) / often[m] for m in MEMORIES}
    (node,) = remotes(programs["host"][1][0][0][0])
    work = []
    for _ in range(200):
        begin = time.perf_counter()
        jax.block_until_ready(jax.device_put(prefetch.gathered(node), node.inbox.sharding))
        work.append(time.perf_counter() - begin)
    plans = {memory: dict(plan) for memory, (_, (_, plan)) in programs.items()}
    return {
        "rates": rates,
        "processor": spent,
        "gather": median(work),
        "device": {memory: plan["replay"] for memory, plan in plans.items()},
        "host": plans["host"][planning.HOST],
        "ratios": [a / b for a, b in zip(rates["host"], rates["device"])],
    }


def told(row: dict[str, Any]) -> str:
    """A row in a line."""
    return f"{median(row['ratios']):.2f} of the rounds per second"


def table(report: dict[str, Any]) -> str:
    """The table in markdown of a file of rows."""
    lines = [
        "| setting | rounds/s, device | host | host/device | processor ms a round, device | host "
        "| of which to gather | replay on the device, device | host | in host memory |",
        "|---" * 10 + "|",
    ]
    size = lambda x: f"{x / 2**20:.3g} MiB"
    for name, row in report["rows"].items():
        low, high = min(row["ratios"]), max(row["ratios"])
        lines.append(
            f"| {name} | {median(row['rates']['device']):.3g} | {median(row['rates']['host']):.3g} "
            f"| {median(row['ratios']):.2f} ({low:.2f} to {high:.2f}) "
            f"| {1e3 * row['processor']['device']:.3g} | {1e3 * row['processor']['host']:.3g} "
            f"| {1e3 * row['gather']:.2g} | {size(row['device']['device'])} "
            f"| {size(row['device']['host'])} | {size(row['host'])} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    own = options.parse("benchmark prefetch", Options, arguments)
    require_positive(transitions=own.transitions, repeats=own.repeats, seconds=own.seconds)
    names = chosen(own.only, SETTINGS, "prefetch")
    path = Path(own.out) / "prefetch.json"
    kept_rows.tabulated(path, names, lambda name: measure(SETTINGS[name], own), told, table)
