"""One learner on more and more devices: what was measured beside what a model predicts.

`jaxrl benchmark scaling` times updates of PPO on 1, 2, 4 and 8 devices, with as many lanes in all
(strong scaling) and with as many on each device (weak scaling). Devices that one processor pretends
to have share its cores, so that what n of them compute takes as long as on one: there the model is

    T(n) = T(1) n F(n) / F(1) + K(n) L(n)

for F(n) operations of each device and K(n) collective operations, counted in the compiled program,
of which each takes L(n) seconds, measured alone. What it leaves out is what devices cost that is
not communication. Set XLA_FLAGS=--xla_force_host_platform_device_count=8.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from experiments import options, results
from experiments.benchmarks.communication import Count, counted, divided
from jaxrl.errors import require, require_positive
from jaxrl.population import mesh_of
from jaxrl.sharding import DATA
from jaxrl.types import Array

CASE = "PPO, 256 x 256 units, 2048 lanes"


@dataclass(frozen=True)
class Options:
    """Measure one learner on several devices, and what a model predicts."""

    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of devices, which begin with 1 and divide the lanes."""
    lanes: int = 512
    """Lanes in all of strong scaling; a device of weak scaling has as many as that of the most."""
    repeats: int = 5
    """Timed updates of each, in turns."""
    out: Path = Path(".benchmarks/scaling.md")
    """File of the table."""


def main(arguments: list[str]) -> None:
    """Write and print a table."""
    chosen = options.parse("benchmark scaling", Options, arguments)
    require_positive(lanes=chosen.lanes, repeats=chosen.repeats)
    there, most = len(jax.devices()), max(chosen.devices, default=1)
    require(
        1 < most <= there and chosen.devices[0] == 1,
        f"devices must begin with 1 and go up to at most {there}, which there are: set XLA_FLAGS="
        "--xla_force_host_platform_device_count=8 to pretend to have more.",
    )
    require(
        all(chosen.lanes % number == 0 for number in chosen.devices),
        f"The devices must divide the lanes, but lanes is {chosen.lanes}.",
    )
    lines = [
        "| scaling | devices | lanes | measured, ms | predicted, ms | measured / predicted | "
        "communication of the prediction |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in ("strong", "weak"):
        each = chosen.lanes // most
        lanes = {n: chosen.lanes if kind == "strong" else each * n for n in chosen.devices}
        counts = {n: counted(CASE, n, num_envs=lanes[n]) for n in chosen.devices}
        seconds = timed(lanes, chosen.repeats)
        for number in chosen.devices:
            sent = waiting(number, counts[number], chosen.repeats)
            work = number * counts[number].flops / counts[1].flops
            expected = seconds[1] * work + sent
            lines.append(
                f"| {kind} | {number} | {lanes[number]} | {1e3 * seconds[number]:.0f} | "
                f"{1e3 * expected:.0f} | {seconds[number] / expected:.2f} | "
                f"{sent / expected:.3f} |"
            )
            print(lines[-1], flush=True)
    results.make_folder(chosen.out.parent)
    chosen.out.write_text("\n".join(lines) + "\n")
    print(f"The table is in {chosen.out}.")


def timed(lanes: dict[int, int], repeats: int) -> dict[int, float]:
    """Median seconds of an update on each number of devices, with so many lanes in all."""
    key = jax.random.split(jax.random.key(0), 1)
    cases = {number: divided(CASE, number, num_envs=many) for number, many in lanes.items()}
    # The second call compiles again, for arrays that lie where the first one has put them.
    runs = {n: case.step(case.step(case.begin(key))[0])[0] for n, case in cases.items()}
    jax.block_until_ready(runs)
    times: dict[int, list[float]] = {number: [] for number in cases}
    for _ in range(repeats):
        for number, case in cases.items():
            start = time.perf_counter()
            runs[number] = jax.block_until_ready(case.step(runs[number])[0])
            times[number].append(time.perf_counter() - start)
    return {number: median(own) for number, own in times.items()}


def waiting(number: int, count: Count, repeats: int) -> float:
    """Median seconds that the collective operations of an update take when nothing else is done."""
    if number == 1 or count.operations == 0:
        return 0.0
    size = max(1, count.sent // count.operations // 4)
    mesh, own = mesh_of(jax.devices()[:number], data=number), PartitionSpec(DATA)

    @jax.jit
    @partial(jax.shard_map, mesh=mesh, in_specs=own, out_specs=own, check_vma=False)
    def send(x: Array) -> Array:
        again = lambda x, _: (jax.lax.pmean(x, DATA), None)
        return jax.lax.scan(again, x, None, count.operations)[0]

    x = jnp.ones((number, size))
    jax.block_until_ready(send(x))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(send(x))
        times.append(time.perf_counter() - start)
    return median(times)
