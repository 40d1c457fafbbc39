"""Functions that are compiled apart from their runs, and candidates that take turns in a table."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

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
    print(f"{title}, {sweeps} sweeps")
    print(f"  {'':28}{'median ms':>10}{'least':>9}{'ratio':>8}{'compile':>9}")
    for name, (_, seconds) in candidates.items():
        gap = np.abs(np.asarray(answers[name]) - np.asarray(answers[first])).max()
        middle = median(times[name])
        print(
            f"  {name:28}{middle:10.3f}{min(times[name]):9.3f}{middle / base:8.2f}{seconds:8.1f}s"
            f"   differs by {gap:.0e}",
            flush=True,
        )
