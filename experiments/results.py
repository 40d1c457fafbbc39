"""A results folder: configuration, metrics as CSV, pictures, checkpoints."""

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.errors import InputError, require


def require_new(folder: Path) -> None:
    """Raise an InputError if there is something already where a results folder shall be."""
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    remedy = "choose another with --out, or go on with it with --resume."
    require(free, f"The results folder {folder} exists: {remedy}")


def make_folder(folder: Path) -> None:
    """Make a folder; an InputError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made: {error.strerror}.") from None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds all of it, or what was there before."""
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)


def append_metrics(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows to `metrics.csv`, whose columns the very first row names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    path = folder / "metrics.csv"
    if not path.exists():
        writer.writeheader()
    writer.writerows(rows)
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def truncate_metrics(folder: Path, steps: int) -> None:
    """Drop the rows of `metrics.csv` past `steps` environment steps, the others untouched."""
    path = folder / "metrics.csv"
    if not path.exists():
        return
    header, *lines = path.read_text().splitlines()
    column = header.split(",").index("env_steps")
    whole = (line for line in lines if line.count(",") == header.count(","))
    kept = [line for line in whole if int(line.split(",")[column]) <= steps]
    write_whole(path, "\n".join([header, *kept]) + "\n")


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.csv` as numbers; an InputError if there are none to read."""
    path = folder / "metrics.csv"
    require(path.is_file(), f"{folder} is not a results folder: it has no metrics.csv.")
    number = lambda text: float(text) if text else math.nan
    try:
        with path.open(newline="") as file:
            rows = [{k: number(v) for k, v in row.items()} for row in csv.DictReader(file)]
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as metrics: {error}.") from None
    require(bool(rows), f"{path} has no rows yet: train longer.")
    return rows


def curves(
    rows: list[dict[str, float]], column: str = "return_mean"
) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps [E] and a column by seed [seeds, E], nan where a seed has stopped."""
    by_seed: dict[float, dict[float, float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["env_steps"]] = row[column]
    steps = sorted({row["env_steps"] for row in rows})
    values = [[curve.get(step, math.nan) for step in steps] for curve in by_seed.values()]
    return np.array(steps), np.array(values)


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """The mean of seeds' values [N] and its 95 % bootstrap interval."""
    mean, low, high = mean_and_interval(np.asarray(values)[:, None])[:, 0]
    return float(mean), float(low), float(high)


def mean_and_interval(values: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """The mean over members of values [members, E] and its bootstrap interval, [3, E].

    Percentile bootstrap (Efron 1979) over the members that have a value; nan where none has.
    """
    found = np.full((3, values.shape[1]), np.nan)
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    for i, column in enumerate(values.T):
        column = column[np.isfinite(column)]
        if column.size:
            draws = np.random.default_rng(0).integers(column.size, size=(2000, column.size))
            found[:, i] = column.mean(), *np.quantile(column[draws].mean(1), tails)
    return found


def tensorboard_writer(folder: Path) -> Any:
    """A TensorBoard writer; an InputError if the optional package is not installed."""
    require_tensorboard()
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def require_tensorboard() -> None:
    """Raise an InputError if the optional package is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise InputError(
            "--tensorboard needs the package tensorboardX: pip install 'jaxrl[tensorboard]'."
        ) from None
