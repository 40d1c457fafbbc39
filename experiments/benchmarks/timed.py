"""Functions that are compiled apart from their runs, and candidates that take turns in a table."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import jax
import numpy as np


def compiled(fn: Callable, *args: Any) -> tuple[Callable[[], Any], float]:
    """Return a function that runs `fn` on the device, and the seconds of its compilation."""
    begin = time.perf_counter()
    run = jax.jit(fn).lower(*args).compile()
    return lambda: jax.block_until_ready(run(*args)), time.perf_counter() - begin


def table(title: str, sweeps: int, candidates: dict[str, tuple], repeats: int) -> None:
    """Run the candidates in turns; print their median times and the ratios to the first."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    answers = {
        name: run() for name, (run, _) in candidates.items()
    }  # a warm-up whose results are compared
    for _ in range(repeats):
        for name, (run, _) in candidates.items():
            begin = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - begin) / sweeps * 1e3)
    first, *_ = times
    base = median(times[first])
    print(title if sweeps == 1 else f"{title}, {sweeps} sweeps")
    print(f"  {'':28}{'median ms':>10}{'least':>9}{'ratio':>8}{'compile':>9}")
    for name, (_, seconds) in candidates.items():
        gap = np.abs(np.asarray(answers[name]) - np.asarray(answers[first])).max()
        middle = median(times[name])
        print(
            f"  {name:28}{middle:10.3f}{min(times[name]):9.3f}{middle / base:8.2f}{seconds:8.1f}s"
            f"   differs by {gap:.0e}",
            flush=True,
        )


class Took(NamedTuple):
    """The seconds of a call."""

    wall: float
    processor: float  # of all threads together


def timed(run: Callable[[], Any]) -> Took:
    """The seconds that a call takes, whose results must be on the device when it returns."""
    wall, processor = time.perf_counter(), time.process_time()
    run()
    return Took(time.perf_counter() - wall, time.process_time() - processor)


def calls(run: Callable[[int], Any], seconds: float) -> int:
    """How often to repeat what takes a number of repetitions, to take about some seconds."""
    run(1)
    number = max(1, round(seconds / timed(lambda: run(1)).wall))
    return max(1, round(number * seconds / timed(lambda: run(number)).wall))


def in_turns(candidates: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[Took]]:
    """The seconds of each call of the candidates, which take turns after one call of each.

    What else the machine does then affects all of them alike, so that the ratio of two candidates
    in one turn is steadier than their times.
    """
    found: dict[str, list[Took]] = {name: [] for name in candidates}
    for lap in range(repeats + 1):
        for name, run in candidates.items():
            took = timed(run)
            if lap:
                found[name].append(took)
    return found
