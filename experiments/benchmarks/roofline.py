"""Floating-point operations and bytes of agents' networks, beside what this machine attains.

`jaxrl benchmark roofline` compiles each pass through a network of the agents of `jaxrl benchmark
shares` by itself. The compiler counts its operations and the bytes that it reads and writes, and
its time is measured. Two numbers say what the machine attains: a large product of matrices, and a
copy of an array that fits into no cache. A pass attains at most

    min(product's rate, operations / bytes * copy's rate),

but bytes that stay in a cache cost less than the copy's, so that small passes may exceed it. The
compiler counts a loop as one of its steps: agents that read sequences step by step are left out.
"""

import dataclasses
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import options
from experiments.benchmarks import bare, kept_rows
from experiments.benchmarks.passes import PASSES
from experiments.benchmarks.shares import SETTINGS, assembled
from experiments.benchmarks.timed import calls, in_turns
from experiments.benchmarks.turns import chosen
from jaxrl.errors import require_positive

MACHINE = "machine"
WITHOUT_LOOPS = {name: it for name, it in SETTINGS.items() if it.agent not in ("r2d2", "dreamer")}


class Attained(NamedTuple):
    """What a machine attains, in units of a second."""

    flops: float  # of a large product
    bytes: float  # read and written by a copy


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the passes through agents' networks beside what this machine attains."""

    only: tuple[str, ...] = ("ppo", "pqn", "dqn", "iqn", "sac", "mbpo")
    """Settings to measure, by their names or the beginnings of these."""
    repeats: int = 5
    """Number of timed calls of each pass, in turns."""
    seconds: float = 0.2
    """Time in seconds of a call of a pass, or of the product and the copy."""
    product: int = 2048
    """Rows and columns of the product of matrices that is measured."""
    copied: int = 256
    """Size in MiB of the array whose copy is measured."""
    out: str = ".benchmarks/roofline.json"
    """File of the rows. What it has is not measured again."""


def measure_machine(size: int, mebibytes: int, repeats: int, seconds: float) -> dict[str, Any]:
    """The rates of a product of `size` rows and of a copy of an array of some `mebibytes`."""
    x, y = jnp.ones((size, size)), jnp.full((size, size), 1e-3)
    again = bare.Part(lambda x: x @ y, x)
    moved = bare.Part(lambda z: -z, jnp.ones(mebibytes * 2**18))  # read, and written elsewhere
    runs = {"product": bare.repeated(again), "copy": bare.repeated(moved)}
    often = {name: calls(run, seconds) for name, run in runs.items()}
    found = in_turns({name: lambda name=name: runs[name](often[name]) for name in runs}, repeats)
    each = {name: min(x.wall for x in turns) / often[name] for name, turns in found.items()}
    moved_bytes = 2 * mebibytes * 2**20
    return {"flops": 2.0 * size**3 / each["product"], "bytes": moved_bytes / each["copy"]}


def measure(name: str, repeats: int, seconds: float) -> dict[str, Any]:
    """The operations, bytes and seconds of one of each of the passes of a setting."""
    setup, hp = assembled(SETTINGS[name])
    items = [item._replace(times=1) for item in PASSES[SETTINGS[name].agent](setup.env.spec, hp)]
    parts = {item.name: bare.passed(item) for item in items}
    runs = {name: bare.repeated(part) for name, part in parts.items()}
    often = {name: calls(run, seconds) for name, run in runs.items()}
    turns = {name: lambda name=name: runs[name](often[name]) for name in runs}
    found = in_turns(turns, repeats)
    return {
        name: counted(part) | {"seconds": median(x.wall for x in found[name]) / often[name]}
        for name, part in parts.items()
    }


def counted(part: bare.Part) -> dict[str, float]:
    """The operations and bytes of a part, as the compiler counts them; loops within count once."""
    cost = jax.jit(part.step).lower(part.start).compile().cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost or {}
    return {"flops": cost.get("flops", 0.0), "bytes": cost.get("bytes accessed", 0.0)}


def attainable(flops: float, moved: float, machine: Attained) -> float:
    """The operations per second [] that a machine attains at a ratio of operations to bytes."""
    return min(machine.flops, flops / max(moved, 1.0) * machine.bytes)


def table(report: dict[str, Any]) -> str:
    """The table in markdown of a file of rows."""
    rows = report["rows"]
    machine = Attained(**rows[MACHINE])
    lines = [
        f"The product attains {machine.flops / 1e9:.0f} GFLOP/s, and the copy "
        f"{machine.bytes / 1e9:.1f} GB/s.",
        "",
        "| setting | pass | MFLOP | MB | FLOP / byte | GFLOP/s | attainable | share of it |",
        "|---" * 8 + "|",
    ]
    for name, passes in rows.items():
        for which, it in passes.items() if name != MACHINE else ():
            rate = it["flops"] / it["seconds"]
            most = attainable(it["flops"], it["bytes"], machine)
            lines.append(
                f"| {name} | {which} | {it['flops'] / 1e6:.3g} | {it['bytes'] / 1e6:.3g} | "
                f"{it['flops'] / max(it['bytes'], 1):.1f} | {rate / 1e9:.3g} | {most / 1e9:.3g} | "
                f"{rate / most if most else 0:.2f} |"
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure what `arguments` choose of the settings, and print the table."""
    own = options.parse("benchmark roofline", Options, arguments)
    require_positive(
        repeats=own.repeats, seconds=own.seconds, product=own.product, copied=own.copied
    )
    names, path = list(chosen(own.only, WITHOUT_LOOPS, "roofline")), Path(own.out)

    def measured(name: str) -> dict[str, Any]:
        if name == MACHINE:
            return measure_machine(own.product, own.copied, own.repeats, own.seconds)
        return measure(name, own.repeats, own.seconds)

    kept_rows.tabulated(path, [MACHINE, *names], measured, lambda row: "measured", table)
