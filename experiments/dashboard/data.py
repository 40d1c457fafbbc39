"""What the page of all runs shows, as pure functions of results folders; nothing is written."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import configuration, locks, plots, results, stored
from experiments.configuration import Configuration
from experiments.dashboard.settings import settings
from experiments.plots import Line, Look, Rows
from experiments.statistics import Estimate, bands, interquartile_mean, statistic
from jaxrl.errors import InputError, require

MARKS = ("config.json", "metrics.csv")
"""The files by which a results folder is told."""
PICTURES = (".png", ".jpg", ".svg", ".gif", ".mp4", ".webm")
"""The endings of pictures and videos that are shown."""
MOST = 300
"""Evaluations of a curve that are drawn at most; of more, so many evenly spaced ones."""


class Entry(NamedTuple):
    """What could be read of one folder."""

    name: str  # its path below the folder that was asked for
    folder: Path
    config: Configuration | None = None  # None if it cannot be read
    rows: Sequence[dict[str, float]] = ()  # of metrics.csv
    points: Sequence[dict[str, Any]] = ()  # see `points`
    date: str = ""  # when its last session was started
    commit: str = ""  # of the code in that session
    reason: str = ""  # a sentence on what cannot be read, "" if everything can


class Curve(NamedTuple):
    """A line with the interval of its statistic."""

    run: str
    env: str
    line: Line
    estimate: Estimate


def places(root: Path) -> list[Path]:
    """The results folders below a folder, or itself, and the outermost folders that hold none.

    Nothing is looked for within a results folder, and hidden folders are passed over.
    """

    def below(folder: Path, above: frozenset[Path]) -> tuple[list[Path], bool]:
        """What is to be listed, and whether there are results among it."""
        if any((folder / name).exists() for name in MARKS):
            return [folder], True
        own = folder.resolve()
        if own in above:  # a link to a folder that it lies in
            return [], False
        try:
            inner = sorted(x for x in folder.iterdir() if x.is_dir() and x.name[0] != ".")
        except OSError:
            inner = []
        found = [below(path, above | {own}) for path in inner]
        held = any(some for _, some in found)
        listed = [path for paths, _ in found for path in paths]
        return (listed, held) if held or folder == root else ([folder], False)

    return below(root, frozenset())[0]


def changed(path: Path) -> tuple[int, int]:
    """The time of the last change of a file and its size; zeros if it is not there."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size


def stamp(folder: Path) -> tuple:
    """A value that changes when the configuration or the metrics of a results folder do."""
    files = [folder / name for name in MARKS] + sorted(folder.glob("part-*/metrics.csv"))
    return tuple((str(path), changed(path)) for path in files)


class Reader(NamedTuple):
    """Ways to read the runs below a folder."""

    entries: Callable[[], list[Entry]]  # all of them as they are now, by name
    curves: Callable[[Entry, Look], list[Curve]]  # see `curves`


def reader(root: Path) -> Reader:
    """Read the runs below a folder, each again only when its files have changed."""
    read = remembered(lambda folder: entry(folder, root))
    drawn = remembered(lambda folder, look: curves(read(folder), look))
    return Reader(
        entries=lambda: [read(folder) for folder in places(root)],
        curves=lambda run, look: drawn(run.folder, look),
    )


def remembered(read: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a results folder and more, called again only when the folder has changed."""
    kept: dict[tuple, tuple[tuple, Any]] = {}

    def again(folder: Path, *more: Any) -> Any:
        # The stamp is taken first, so that what changes while it is read is read again.
        now = stamp(folder)
        if (folder, *more) not in kept or kept[folder, *more][0] != now:
            kept[folder, *more] = now, read(folder, *more)
        return kept[folder, *more][1]

    return again


def entry(folder: Path, root: Path) -> Entry:
    """What can be read of a folder below `root`; never an exception, whatever is in it."""
    name = folder.relative_to(root).as_posix() if folder != root else folder.resolve().name
    found = Entry(name, folder)
    try:
        config = configuration.load(folder)
        about = stored.recorded(folder).get("provenance", {})
        found = found._replace(date=str(about.get("date", "")), commit=str(about.get("commit", "")))
        _ = config.budget, settings(config)  # what is impossible is told here
        found = found._replace(config=config)
        rows = rows_of(config, folder)
        return found._replace(rows=rows, points=points(config, rows))
    except InputError as error:
        return found._replace(reason=str(error))
    except Exception as error:  # a folder that is not ours may hold anything
        reason = " ".join(str(error).split()).rstrip(".") or "no reason is given"
        return found._replace(reason=f"{folder} cannot be read: {type(error).__name__}, {reason}.")


def rows_of(config: Configuration, folder: Path) -> Rows:
    """The rows of a results folder; of a sweep in parts, those of the parts, which come first.

    There are none before the first evaluation. Raises an InputError for a file without rows.
    """
    inner = [part for part, _ in configuration.parts(config, folder)]
    begun = [part for part in inner if results.columns_of(part / "metrics.csv")]
    if not begun and not (folder / "metrics.csv").exists():
        return []
    rows = [row for part in begun or [folder] for row in results.read_metrics(part)]
    needed = ["wall_time", *config.sweep]
    missing = [name for name in needed if any(name not in row for row in rows)]
    place, names = folder / "metrics.csv", " and ".join(missing)
    require(not missing, f"{place} cannot be read as metrics: it has no column {names}.")
    columns = dict.fromkeys((name for row in rows for name in row), math.nan)
    return [columns | row for row in rows]


def steps_of(run: Entry) -> tuple[int, int]:
    """Environment steps of a member that are done, as a mean over members, and that were asked."""
    assert run.config is not None
    last = {member(run, row): row["env_steps"] for row in run.rows}
    return round(sum(last.values()) / run.config.members), run.config.budget.steps


def member(run: Entry, row: dict[str, float]) -> tuple[float, ...]:
    """What tells a member from the others: its point of the sweep, and its seed."""
    assert run.config is not None
    return tuple(row[name] for name in (*run.config.sweep, "seed"))


def diverged(run: Entry) -> int:
    """The number of members that diverged: they have no evaluation in their last row."""
    last = {member(run, row): row["return_mean"] for row in run.rows}
    return sum(math.isnan(value) for value in last.values())


def state_of(run: Entry) -> str:
    """How a run stands: running, finished, stopped, diverged or unreadable.

    It is running while a process that lives holds its lock, and diverged if it is not running and
    one of its members has diverged.
    """
    if locks.alive(locks.read(run.folder / locks.NAME)):
        return "running"
    if run.reason or run.config is None:
        return "unreadable"
    if diverged(run):
        return "diverged"
    done, asked = steps_of(run)
    return "finished" if done >= asked else "stopped"


def points(config: Configuration, rows: Rows) -> list[dict[str, Any]]:
    """One row for each point of a sweep, best first; one row if the run is no sweep.

    Each has the swept values, the interquartile mean of the last returns of its seeds with a 95 %
    interval, and the number of seeds that have one.
    """
    if not rows:
        return []
    names = list(config.sweep)
    groups = list(plots.by_point(rows, names).values())
    last = [list({row["seed"]: row["return_mean"] for row in own}.values()) for own in groups]
    table = np.full((max(map(len, last)), len(last)), np.nan)
    for i, values in enumerate(last):
        table[: len(values), i] = values
    table = np.where(np.isfinite(table), table, np.nan)
    found = bands(interquartile_mean, table)
    order = np.argsort(-np.nan_to_num(found.value, nan=-np.inf), kind="stable")
    return [
        {name: groups[i][0][name] for name in names}
        | {"return": float(found.value[i]), "low": float(found.low[i]),
           "high": float(found.high[i]), "seeds": int(np.isfinite(table[:, i]).sum())}
        for i in order
    ]  # fmt: skip


def summary(run: Entry) -> dict[str, Any]:
    """The row of a run in the table: None where something is unknown.

    Of a sweep, the return is that of its best point.
    """
    row: dict[str, Any] = {"run": run.name, "state": state_of(run), "note": run.reason}
    row |= {"date": run.date[:16].replace("T", " "), "commit": run.commit[:8]}
    if run.commit.endswith("-dirty"):
        row["commit"] += "-dirty"
    if run.config is None:
        return row
    done, asked = steps_of(run)
    row |= {"agent": run.config.agent, "env": run.config.env, "seeds": run.config.seeds,
            "points": run.config.points, "steps": done, "asked": asked}  # fmt: skip
    if best := run.points[:1]:
        row |= {"return": number(best[0]["return"]), "interval": interval(best[0])}
    notes = [run.reason] if run.reason else []
    if not run.rows and not run.reason:
        notes.append("Its first evaluation is not done yet.")
    if run.config.sweep and best:
        at = ", ".join(f"{name} {best[0][name]:g}" for name in run.config.sweep)
        notes.append(f"The return is that of the best of {run.config.points} points, {at}.")
    if lost := diverged(run):
        notes.append(f"{lost} of {run.config.members} members diverged.")
    return row | {"note": " ".join(notes)}


def number(value: float) -> float | None:
    """A number as JSON has it: None for one that is not finite."""
    return value if math.isfinite(value) else None


def interval(point: dict[str, Any]) -> str:
    """The interval of a point as a text, "" if it has none."""
    known = math.isfinite(point["low"])
    return f"[{point['low']:.4g}, {point['high']:.4g}]" if known else ""


def columns(runs: Sequence[Entry]) -> list[str]:
    """The columns of metrics.csv that can be drawn, return_mean first."""
    names = dict.fromkeys(name for run in runs for name in (run.rows[0] if run.rows else ()))
    swept = {name for run in runs if run.config for name in run.config.sweep}
    left = [n for n in names if n not in {*plots.AXES, "seed", "return_mean", *swept}]
    return ["return_mean", *left]


def curves(run: Entry, look: Look) -> list[Curve]:
    """The curves of a run, one for each point of a sweep; none if it has no rows.

    Raises an InputError for a column that the run does not have.
    """
    if run.config is None or not run.rows:
        return []
    found = []
    for line in plots.lines_of(list(run.rows), run.config, run.name, look):
        length = len(line.x)
        kept = np.unique(np.linspace(0, length - 1, min(MOST, length)).round().astype(int))
        values = np.where(np.isfinite(line.values), line.values, np.nan)[:, kept]
        drawn = line._replace(x=line.x[kept], values=values)
        estimate = bands(statistic(look.statistic), values)
        found.append(Curve(run.name, run.config.env, drawn, estimate))
    return found


def pictures(run: Entry) -> list[Path]:
    """The pictures and videos in a results folder: curves first, then the others by name."""
    try:
        found = [x for x in run.folder.iterdir() if x.suffix.lower() in PICTURES and x.is_file()]
    except OSError:
        return []
    first = ("learning_curve.png", "sweep.png")
    return sorted(found, key=lambda path: (path.name not in first, path.name))
