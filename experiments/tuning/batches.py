"""A batch of points of a search space as one vmapped training run."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from agents import AGENTS
from experiments import building, configuration, records, results
from experiments.chunks import members_that_fit
from experiments.configuration import Configuration
from experiments.statistics import interquartile_mean
from experiments.training import Diverged, Options, train_parts

Told = Callable[[int, list[float]], bool]
"""(environment steps, score of each point) at an evaluation -> whether the batch may stop."""


def train(
    like: Configuration,
    points: Sequence[dict[str, Any]],
    folder: Path,
    told: Told = lambda step, scores: False,
) -> list[float]:
    """The final score of each point, which is the interquartile mean over its seeds.

    The points must agree in what is static. `like` says everything else. A batch that an earlier
    session had begun in the folder is continued. NaN for a point of which no seed has finished.
    """
    numeric = records.numeric(AGENTS[like.agent].defaults)
    columns = {name: [float(p[name]) for p in points] for name in points[0] if name in numeric}
    fixed = {name: value for name, value in points[0].items() if name not in columns}
    first = {name: column[0] for name, column in columns.items()}
    # Points that are alike are one, for rows are told apart by their numbers.
    unique = list(dict.fromkeys(zip(*columns.values()))) if columns else [()]
    sweep = {name: [point[i] for point in unique] for i, name in enumerate(columns)}
    config = dataclasses.replace(
        like, hyperparameters=like.hyperparameters | fixed | first, sweep=sweep
    )
    config = dataclasses.replace(config, members_at_once=members_that_fit(config))
    building.validate(config)
    mine = (
        [unique.index(point) for point in zip(*columns.values())] if columns else [0] * len(points)
    )

    def callback(step: int, rows: list[dict[str, Any]]) -> bool:
        scores = of_points(rows, columns, unique)
        return told(step, [scores[i] for i in mine])

    resume = (folder / "config.json").exists()
    with contextlib.suppress(Diverged):  # the points that did have no score
        train_parts(config, folder, resume, Options(callbacks=[callback], quiet=True))
    rows = [
        row for part, _ in configuration.parts(config, folder) for row in results.read_metrics(part)
    ]
    end = max(row["env_steps"] for row in rows)
    scores = of_points([row for row in rows if row["env_steps"] == end], columns, unique)
    return [scores[i] for i in mine]


def of_points(
    rows: list[dict[str, Any]], names: Sequence[str], points: Sequence[tuple]
) -> list[float]:
    """The interquartile mean of the returns in rows, for each point; NaN without a return."""
    found: dict[tuple, list[float]] = {point: [] for point in points}
    for row in rows:
        value = row["return_mean"]
        if value is not None and np.isfinite(value):
            found[tuple(row[name] for name in names)].append(value)
    middle = lambda values: float(interquartile_mean(jnp.asarray(values)[:, None]))
    return [middle(values) if values else float("nan") for values in found.values()]
