"""How far a population has come: its state, in a checkpoint and out of it."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import checkpoints, processes, results
from experiments.costing import COLUMN
from experiments.evaluation import outcome
from experiments.population import Population
from jaxrl.errors import require
from jaxrl.evaluation import Evaluation
from jaxrl.loop import EPISODE_METRICS
from jaxrl.offline import without_data
from jaxrl.types import Array, Run, Tree, is_key

RENAMED = {
    "episode_return": "train_return",
    "episode_length": "train_length",
    "episode_repeats": "train_repeats",
    "episode_success": "train_success",
}
NONE: Mapping[str, Any] = MappingProxyType({})


class Best(NamedTuple):
    """The evaluation with the highest return so far, as a mean over members."""

    mean: float = -math.inf
    updates: int = 0
    runs: Run | None = None  # on the host, without replay buffers; None once it is saved


class State(NamedTuple):
    """How far a population has come."""

    updates: int = 0
    runs: Run | None = None  # None at the start
    seconds: float = 0.0  # spent training
    diverged: Mapping[str, list] = MappingProxyType(
        {}
    )  # member: name of the loss, its value, environment step
    since: tuple[int, float] = (0, 0.0)  # updates and seconds at the last evaluation
    sums: Mapping[str, Array] = MappingProxyType(
        {}
    )  # of the metrics since then; empty before compilation
    best: Best = Best()


def where_it_stopped(population: Population, folder: Path) -> State:
    """The state in the last checkpoint of a folder, or the beginning if nothing was done.

    Raises an InputError for a checkpoint that cannot be resumed, and for rows of metrics without a
    checkpoint; compiles nothing.
    """
    spent = population.config.budget
    if not checkpoints.complete(folder):
        require(
            not results.repaired_metrics(folder)[1],
            f"{folder} has rows in metrics.csv, but no complete checkpoint to continue from: "
            f"restore {folder / checkpoints.LAST} from a copy, or begin anew with another --out.",
        )
        return State()
    _, runs, progress = checkpoints.restore(folder, population.like)
    updates, seconds = int(runs.step.value), progress.get("seconds", 0.0)
    require(
        updates <= spent.updates,
        f"{folder} is at {spent.warmup + updates * spent.per_update} environment steps already: "
        f"--steps {population.config.steps} would go back.",
    )
    return State(
        updates,
        runs,
        seconds,
        progress.get("diverged", {}),
        tuple(progress.get("since", (updates, seconds))),
        {name: np.asarray(x, np.float32) for name, x in progress.get("sums", {}).items()},
        Best(*progress.get("best", ())),
    )


def held(tree: Tree) -> Tree:
    """A copy of a tree on the host, with keys as the numbers in them."""
    return jax.tree.map(np.array, checkpoints.plain(tree))


def save(managers: Sequence[Any], state: State) -> State:
    """Save the last state, and before it the best one if that is new.

    Without managers nothing is written.
    """
    runs, sums = processes.fetched((state.runs, state.sums))
    mean, at, kept = state.best
    if not managers:  # of a process that writes nothing
        return state._replace(best=Best(mean, at))
    last, best = managers
    if kept is not None:
        like = without_data(runs)
        typed = lambda x, y: jax.random.wrap_key_data(jnp.asarray(y)) if is_key(x) else y
        progress = {"return_mean": mean, "diverged": dict(state.diverged)}
        checkpoints.save(best, at, jax.tree.map(typed, like, kept), progress)
    sums = {name: np.asarray(x).tolist() for name, x in sums.items()}
    progress = {"seconds": state.seconds, "diverged": dict(state.diverged), "since": state.since,
                "sums": sums, "best": (mean, at)}  # fmt: skip
    checkpoints.save(last, state.updates, runs, progress)
    return state._replace(best=Best(mean, at))


def rows_of(
    population: Population, state: State, score: Evaluation
) -> tuple[list[dict[str, Any]], dict[str, list]]:
    """One row of `metrics.csv` for each member that is going, and the members that diverged.

    The metrics are means over the updates since the last evaluation; those that are undefined,
    such as the return if no episode finished, are None. A member whose loss is not a finite number
    has no evaluation in its last row.
    """
    config, spent = population.config, population.config.budget
    before, took = state.since[0], state.seconds - state.since[1]
    updates, count = state.updates - before, len(population.seeds)
    speed = updates * spent.per_update * count / took if updates else 0
    sums = {name: np.asarray(x, float) for name, x in state.sums.items()}
    rows, diverged = [], {}
    for i, (seed, point) in enumerate(zip(population.seeds, population.points)):
        if str(i) in state.diverged:
            continue
        losses = means({name: x[i] for name, x in sums.items()}, updates)
        played = outcome(score, i)
        good = round(sums["finite"][i])
        if good < updates:
            # One bad update makes all that follow bad, so the good ones were the first.
            bad = {k: v for k, v in losses.items() if v is not None and not np.isfinite(v)}
            name = next((k for k in bad if k[:6] != "train_"), "a loss")
            step = spent.warmup + (before + good + 1) * spent.per_update
            diverged[str(i)] = [name, bad.get(name, math.nan), step]
            played = dict.fromkeys(played, math.nan)
        row = {
            "env_steps": spent.warmup + state.updates * spent.per_update,
            "wall_time": round(state.seconds, 3),
            "steps_per_second": round(speed) if updates else None,
            "seed": int(seed),
            **{name: column[point] for name, column in config.sweep.items()},
        }
        rows.append(row | played | losses)
    return rows, diverged


def means(sums: dict[str, float], updates: int) -> dict[str, float | None]:
    """The means of metrics over updates, and over finished episodes; None where undefined."""
    episodes, found = sums["episodes"], {}
    for name, total in sums.items():
        if name not in ("episodes", "finite"):
            number = episodes if name in EPISODE_METRICS else updates
            found[renamed(name)] = float(total / number) if number else None
    return found


def renamed(name: str) -> str:
    """The column of a metric of training, which evaluations may have too."""
    return f"train_{name}" if name.startswith(COLUMN) else RENAMED.get(name, name)


def sentence(population: Population, diverged: dict[str, list]) -> str:
    """What became of members that diverged, without the full stop."""
    config, found = population.config, []
    for member, (name, value, steps) in diverged.items():
        i = int(member)
        point = ", ".join(f"{k} {v[population.points[i]]:g}" for k, v in config.sweep.items())
        where = f"seed {population.seeds[i]}" + (f" of {point}" if point else "")
        found.append(f"{name} is {value} at environment step {steps} in {where}")
    return "; ".join(found)
