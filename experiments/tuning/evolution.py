"""Population-based training from the command line, with files and exact resumption."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from experiments import checkpoints, configuration, results
from experiments.configuration import Configuration
from experiments.frozen import entry_of
from experiments.population import hasty, placed
from experiments.signals import caught_signals
from experiments.training import Interrupted
from jaxrl.evolution import Evolving, Range, evolved

TABLE = "population.csv"


def made(like: Configuration, ranges: dict[str, Range], members: int, generations: int) -> Evolving:
    """The population that a configuration and ranges describe."""
    entry = entry_of(like)
    env, hp = configuration.make_env(like), configuration.hyperparameters(like)
    world = lambda hp: entry.world(env, hp)
    return evolved(
        entry.maker(world(hp)), world, hp, ranges, members, like.steps, generations, like.episodes
    )


def run(
    like: Configuration,
    ranges: dict[str, Range],
    folder: Path,
    members: int,
    generations: int,
    say: Callable[[str], None],
) -> list[dict[str, float]]:
    """Train a population to its end, or on from its last checkpoint; returns all rows.

    `population.csv` has one row for each member and generation. Raises `Interrupted`, with
    everything saved, after a signal.
    """
    pbt = made(like, ranges, members, generations)
    begin = jax.jit(pbt.init, compiler_options=hasty())
    key, spent = jax.random.key(like.seed), like.budget
    step, done = jax.jit(pbt.step, donate_argnums=0), 0
    if checkpoints.complete(folder):
        like_now = placed(jax.eval_shape(pbt.init, key), None, jax.local_devices()[:1])
        done, now, _ = checkpoints.restore(folder, like_now)
    else:
        now = begin(key)
    rows = [row for row in stored(folder) if row["generation"] < done]
    write(folder, rows, list(ranges))
    with caught_signals() as stop, checkpoints.manager(folder) as manager:
        for generation in range(done, generations):
            now, told = step(now)
            told = jax.device_get(told)
            taken = spent.warmup + int(now.runs.step.value) * spent.per_update
            for i in range(members):
                numbers = {name: float(told.numbers[name][i]) for name in ranges}
                rows.append(
                    {"generation": generation, "env_steps": taken, "member": i,
                     "score": float(told.scores[i]), "parent": int(told.parents[i]), **numbers}
                )  # fmt: skip
            write(folder, rows, list(ranges))
            checkpoints.save(manager, generation + 1, now, {})
            best = int(np.nanargmax(told.scores))
            numbers = ", ".join(f"{name} {told.numbers[name][best]:.3g}" for name in ranges)
            say(
                f"generation {generation + 1} of {generations}: best score "
                f"{told.scores[best]:.4g} with {numbers}, median {np.nanmedian(told.scores):.4g}"
            )
            if stop and generation + 1 < generations:
                raise Interrupted(
                    f"{stop[0]}: stopped after generation {generation + 1}; continue with "
                    f"jaxrl tune --resume {folder}."
                )
    return rows


def stored(folder: Path) -> list[dict[str, float]]:
    """The rows of an earlier session."""
    path = folder / TABLE
    if not path.exists():
        return []
    kinds = {"generation": int, "env_steps": int, "member": int, "parent": int}
    with path.open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{name: kinds.get(name, float)(x) for name, x in row.items()} for row in found]


def write(folder: Path, rows: list[dict[str, float]], names: list[str]) -> None:
    """Write `population.csv`."""
    columns = ["generation", "env_steps", "member", "score", "parent", *names]
    results.write_table(folder / TABLE, columns, rows)


def summary(rows: list[dict[str, float]], names: list[str]) -> str:
    """A sentence on the last generation, and the best member's numbers in it."""
    last = max(row["generation"] for row in rows)
    final = [row for row in rows if row["generation"] == last]
    best = max(final, key=lambda row: row["score"])
    told = json.dumps({name: float(f"{best[name]:.3g}") for name in names})
    return (
        f"Best final score {best['score']:.4g}, median "
        f"{np.nanmedian([row['score'] for row in final]):.4g}; the best member ended with {told}."
    )
