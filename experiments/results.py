"""A results folder: configuration, metrics as CSV, pictures, checkpoints."""

import csv
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxrl.errors import require


def new_folder(folder: Path) -> None:
    """Make an empty results folder; a ValueError if something is there already."""
    require(
        not folder.exists() or (folder.is_dir() and not any(folder.iterdir())),
        f"The results folder {folder} exists: choose another with --out, or go on with --resume.",
    )
    folder.mkdir(parents=True, exist_ok=True)


class MetricsFile:
    """`metrics.csv`, one row per evaluation and member, flushed after each evaluation."""

    def __init__(self, folder: Path, keep_until: int | None = None):
        """Open the file to append, without rows past `keep_until` environment steps."""
        self.path = folder / "metrics.csv"
        rows = read_metrics(folder) if keep_until is not None and self.path.exists() else []
        rows = [row for row in rows if row["env_steps"] <= (keep_until or 0)]
        self.file = self.path.open("w", newline="")
        self.writer: csv.DictWriter | None = None
        if rows:
            self.append(rows)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows; the first one names the columns."""
        rows = list(rows)
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(rows[0]))
            self.writer.writeheader()
        self.writer.writerows(rows)
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.csv` as numbers; a ValueError if there are none to read."""
    path = folder / "metrics.csv"
    require(path.is_file(), f"{folder} is not a results folder: it has no metrics.csv.")
    with path.open(newline="") as file:
        return [{k: float(v) if v else math.nan for k, v in row.items()} for row in csv.DictReader(file)]


def curves(rows: list[dict[str, float]], column: str = "return_mean") -> tuple[np.ndarray, np.ndarray]:
    """Environment steps [E] and a column by seed [seeds, E], for the evaluations all seeds have."""
    by_seed: dict[float, dict[float, float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["env_steps"]] = row[column]
    steps = sorted(set.intersection(*(set(curve) for curve in by_seed.values())))
    return np.array(steps), np.array([[curve[s] for s in steps] for curve in by_seed.values()])


def interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """The bootstrap interval [E], [E] of the mean over members of values [members, E]."""
    from scipy.stats import bootstrap

    if values.shape[0] < 2:
        return values[0], values[0]
    found = bootstrap(
        (values,), np.mean, axis=0, n_resamples=2000, method="percentile",
        confidence_level=confidence, rng=np.random.default_rng(0),
    )  # fmt: skip
    return found.confidence_interval.low, found.confidence_interval.high


def tensorboard_writer(folder: Path) -> Any:
    """A TensorBoard writer; a ValueError if the optional package is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ValueError(
            "--tensorboard needs the package tensorboardX: pip install 'jaxrl[tensorboard]'."
        ) from None
    return SummaryWriter(str(folder / "tensorboard"))
