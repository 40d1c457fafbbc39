"""Trials per hour of a search for hyperparameters, beside Optuna over rejax.

`jaxrl tune` asks Optuna for a batch of points, which train as one program. The peer asks it for
one point after another, which train in one compiled function: rejax has no search of its own, and
the floats of its algorithms may be arguments of what is compiled. Both train PPO on CartPole with
the same networks, batches, steps and episodes of evaluation, and a trial is one point. Processes
take turns, each from its start to the last score, with compilation and without any cache.
"""

import csv
import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from experiments import options, results
from experiments.benchmarks.peers.processes import Failed, Worker, command, prepare
from experiments.benchmarks.speed import PPO_SMALL
from experiments.benchmarks.turns import machine, span
from jaxrl.errors import InputError, require_positive

PEER = "rejax-optuna"
SPACE: dict[str, tuple[float, float, bool]] = {
    "learning_rate": (1e-4, 1e-2, True),
    "entropy_coefficient": (1e-4, 1e-1, True),
    "gae_lambda": (0.8, 1.0, False),
}
"""The lowest and highest value of each number, and whether its logarithm is searched."""
NAMES = {"entropy_coefficient": "ent_coef", "trace_decay": "gae_lambda"}
"""What rejax calls them, where it differs."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Count the trials of a search for PPO's hyperparameters in an hour, ours and a peer's."""

    trials: int = 64
    """Trials of a search."""
    batch: int = 32
    """Trials that we train in one program."""
    steps: int = 51_200
    """Environment steps of a trial."""
    seeds: int = 1
    """Seeds of a trial."""
    repeats: int = 3
    """Searches of each library, in turns."""
    timeout: float = 1800.0
    """Time limit in seconds of a search."""
    out: Path = Path(".benchmarks/trials")
    """Folder of the table and the numbers."""
    peers: str = "~/.cache/jaxrl/peers"
    """Folder of the peers' virtual environments."""


def ours(chosen: Options) -> dict[str, float]:
    """The seconds and the best score of `jaxrl tune`, as a command of its own."""
    words = [f"{n}={a:g}:{b:g}{':log' if log else ''}" for n, (a, b, log) in SPACE.items()]
    task = {k: v for k, v in PPO_SMALL.items() if k not in ("agent", "env")}
    fixed = [f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in task.items()]
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "search"
        begin = time.perf_counter()
        command(
            [sys.executable, "-m", "experiments", "tune", "ppo", "--env", PPO_SMALL["env"],
             "--space", *words, "--fixed", *fixed, "--trials", str(chosen.trials),
             "--batch", str(chosen.batch), "--steps", str(chosen.steps),
             "--seeds", str(chosen.seeds), "--evaluations", "1", "--episodes", "16", "--no-prune",
             "--no-cache", "--out", str(folder)]
        )  # fmt: skip
        seconds = time.perf_counter() - begin
        with open(folder / "trials.csv") as file:
            best = max(float(row["score"]) for row in csv.DictReader(file))
    return {"seconds": seconds, "best": best}


def theirs(chosen: Options, folder: Path) -> dict[str, float]:
    """The seconds and the best score of Optuna over rejax, as a process of its own."""
    task = PPO_SMALL | {
        "trials": chosen.trials, "steps": chosen.steps, "seeds": chosen.seeds, "episodes": 16,
        "space": SPACE, "names": NAMES,
    }  # fmt: skip
    begin = time.perf_counter()
    worker = Worker(prepare(PEER, folder), task)
    try:
        answer = worker.answer(chosen.timeout)
    finally:
        worker.kill()
    return {"seconds": time.perf_counter() - begin, "best": answer["best"]}


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark trials", Options, arguments)
    require_positive(trials=chosen.trials, repeats=chosen.repeats, timeout=chosen.timeout)
    folder = Path(chosen.peers).expanduser()
    try:
        prepare(PEER, folder)  # installed before anything is timed
    except Failed as failure:
        raise InputError(f"{PEER} could not be installed: {failure}") from None
    results.make_folder(chosen.out)
    found: dict[str, list[dict[str, float]]] = {"jaxrl tune": [], "optuna over rejax": []}
    for _ in range(chosen.repeats):
        for name, run in zip(found, (ours, lambda chosen: theirs(chosen, folder))):
            found[name].append(run(chosen))
            print(f"{name}: {found[name][-1]}", file=sys.stderr)
    plain = dataclasses.asdict(chosen) | {"out": str(chosen.out)}
    report = {"machine": machine(), "options": plain, "searches": found}
    results.write_whole(chosen.out / "trials.json", json.dumps(report, indent=2) + "\n")
    results.write_whole(chosen.out / "trials.md", table(found, chosen))
    print(table(found, chosen))


def table(found: dict[str, list[dict[str, float]]], chosen: Options) -> str:
    """Trials per hour as a Markdown table; the ratio is that of each turn, and its median."""
    lines = [
        f"{chosen.trials} trials of {chosen.steps:,} steps and {chosen.seeds} seed(s) of PPO on "
        f"CartPole, {chosen.repeats} searches of each in turns.",
        "",
        "| search | seconds | trials per hour | best return |",
        "|---|---|---|---|",
    ]
    for name, rows in found.items():
        seconds = [row["seconds"] for row in rows]
        rate = 3600 * chosen.trials / median(seconds)
        best = median(row["best"] for row in rows)
        lines.append(f"| {name} | {span(seconds)} | {rate:.0f} | {best:.0f} |")
    own, peer = found.values()
    ratio = [b["seconds"] / a["seconds"] for a, b in zip(own, peer)]
    return "\n".join([*lines, "", f"Ratio of speeds: {span(ratio)}."]) + "\n"
