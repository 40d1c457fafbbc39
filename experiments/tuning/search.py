"""Search in batches: points are proposed, train as one program, and their scores are told."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from experiments import results
from experiments.configuration import Configuration
from experiments.tuning import batches, study
from experiments.tuning.space import Space, static

SHARE = 3  # of the points that successive halving keeps one


def run(
    like: Configuration,
    space: Space,
    folder: Path,
    trials: int,
    batch: int,
    search: str,
    prune: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Search until `trials` points are over; returns the scored points, best first.

    Each batch has a folder of its own, in which an interrupted one is continued: the points that it
    had been given are in its `batch.json`. With `prune` a point whose score at an evaluation is
    below the median of those before it is given up; a batch ends when all of its points are.
    """
    found = study.opened(folder, search, like.seed)
    while len(study.finished(found)) < trials:
        place = unfinished(folder)
        if place is None:
            left = trials - len(study.finished(found))
            asked = study.asked(found, space, min(batch, left))
            place = folder / "batches" / f"{len(list((folder / 'batches').glob('*'))):04}"
            results.make_folder(place)
            numbers = [trial.number for trial in asked]
            results.write_whole(place / "batch.json", json.dumps({"trials": numbers}) + "\n")
        else:
            asked = study.trials(found, json.loads((place / "batch.json").read_text())["trials"])
        begun = [trial for trial in asked if not is_over(found, trial)]
        train_batch(like, space, place, found, begun, search, prune)
        results.write_whole(place / "over", "")
        table = scored(found, space)
        results.write_table(folder / "trials.csv", ["trial", "score", *space], table)
        best = f"best score {table[0]['score']:.4g}" if table else "no score yet"
        say(f"{len(study.finished(found))} of {trials} points: {best}")
    return scored(found, space)


def unfinished(folder: Path) -> Path | None:
    """The folder of a batch that was begun and is not over, if there is one."""
    for place in sorted((folder / "batches").glob("*")):
        if (place / "batch.json").exists() and not (place / "over").exists():
            return place
    return None


def is_over(found: Any, trial: Any) -> bool:
    """Whether the score of a trial was told."""
    return trial.number in {done.number for done in study.finished(found)}


def train_batch(
    like: Configuration,
    space: Space,
    place: Path,
    found: Any,
    asked: Sequence[Any],
    search: str,
    prune: bool,
) -> None:
    """Train the points of a batch, with one program for all that agree in what is static."""
    groups: dict[tuple, list[Any]] = {}
    for trial in asked:
        key = static(space, study.point(trial, space), like.agent)
        groups.setdefault(key, []).append(trial)
    for i, trials in enumerate(groups.values()):
        if search == "halving":
            halved(like, space, place / f"{i}", found, trials)
        else:
            together(like, space, place / f"{i}", found, trials, prune)


def together(
    like: Configuration, space: Space, place: Path, found: Any, trials: Sequence[Any], prune: bool
) -> None:
    """Train trials to the end, but for those that are pruned on the way."""
    pruned: dict[int, float] = {}

    def told(step: int, scores: list[float]) -> bool:
        for trial, score in zip(trials, scores):
            if trial.number not in pruned:
                study.reported(trial, score, step)
                if prune and step and trial.should_prune():
                    pruned[trial.number] = score
        return len(pruned) == len(trials)

    scores = batches.train(like, [study.point(trial, space) for trial in trials], place, told)
    for trial, score in zip(trials, scores):
        over = trial.number in pruned
        study.told(found, trial, pruned.get(trial.number, score), pruned=over)


def halved(
    like: Configuration, space: Space, place: Path, found: Any, trials: Sequence[Any]
) -> None:
    """Successive halving: in each round the best third goes on to three times as many steps.

    Each round trains from the beginning, because a schedule is a share of the run. Source: Jamieson
    and Talwalkar (2016), https://arxiv.org/abs/1502.07943.
    """
    rounds, left = 0, len(trials)
    while left > 1:
        rounds, left = rounds + 1, -(-left // SHARE)
    alive = list(trials)
    for i in range(rounds, -1, -1):
        steps = max(1, like.steps // SHARE**i)
        points = [study.point(trial, space) for trial in alive]
        scores = batches.train(
            dataclasses.replace(like, steps=steps), points, place / f"round-{rounds - i}"
        )
        order = sorted(
            range(len(alive)), key=lambda j: -scores[j] if scores[j] == scores[j] else 1e38
        )
        keep = order[: -(-len(alive) // SHARE)] if i else order
        for j, trial in enumerate(alive):
            if not i or j not in keep:
                study.told(found, trial, scores[j], pruned=bool(i))
        alive = [alive[j] for j in sorted(keep)]


def scored(found: Any, space: Space) -> list[dict[str, Any]]:
    """The points that have a score, best first."""
    return [
        {"trial": trial.number, "score": trial.value, **study.point(trial, space)}
        for trial in study.completed(found)
    ]
