"""Pictures of learning curves and of sweeps."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import ArrayLike

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments import configuration
from experiments.results import curves, interval, mean_and_interval, read_metrics
from jaxrl.errors import InputError

Rows = list[dict[str, float]]


def band(axes: plt.Axes, x: ArrayLike, values: np.ndarray, label: str, **style: Any) -> np.ndarray:
    """Draw and return the mean of values [members, E] and its 95 % bootstrap interval, [3, E]."""
    mean, low, high = statistics = mean_and_interval(values)
    (line,) = axes.plot(x, mean, label=label, **style)
    axes.fill_between(x, low, high, alpha=0.25, color=line.get_color(), linewidth=0)
    return statistics


def write(figure: plt.Figure, path: Path) -> None:
    """Write a picture to a file and release its memory."""
    figure.savefig(path, dpi=120)
    plt.close(figure)


def require_picture(path: Path) -> None:
    """Raise an InputError unless the ending of a file is that of a kind of picture."""
    kinds = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if path.suffix[1:].lower() not in kinds:
        raise InputError(
            f"{path} does not end like a picture: choose one of {', '.join(sorted(kinds))}."
        )


def draw_curves(axes: plt.Axes, groups: dict[str, Rows]) -> None:
    """Draw evaluation return against environment steps, with one line per group."""
    for label, rows in groups.items():
        steps, values = curves(rows)
        band(axes, steps, values, f"{label} ({len(values)} seeds)")
    axes.set(xlabel="environment steps", ylabel="evaluation return")
    axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
    axes.grid(alpha=0.3)


def learning_curves(groups: dict[str, Rows], title: str, path: Path) -> None:
    """Write a picture of the mean over seeds and its 95 % bootstrap interval, per group."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    draw_curves(axes, groups)
    axes.set_title(title)
    axes.legend(frameon=False)
    write(figure, path)


def of_folders(folders: list[Path], path: Path) -> None:
    """Write a picture of the curves in results folders; each point of a sweep has its own."""
    groups = {}
    for folder in folders:
        names = list(configuration.load(folder).sweep)
        for label, rows in by_point(read_metrics(folder), names).items():
            groups[f"{folder}: {label}" if names else str(folder)] = rows
    learning_curves(groups, "mean and 95 % bootstrap interval over seeds", path)


def by_point(rows: Rows, names: list[str]) -> dict[str, Rows]:
    """Group rows by the values of the swept hyperparameters `names`."""
    groups: dict[str, Rows] = {}
    for row in rows:
        label = ", ".join(f"{name} {row[name]:g}" for name in names)
        groups.setdefault(label, []).append(row)
    return groups


def sweep(rows: Rows, names: list[str], title: str, path: Path) -> None:
    """Write the picture of a sweep: learning curves, and final return against `names[0]`."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    draw_curves(left, by_point(rows, names))
    end = max(row["env_steps"] for row in rows)
    final = [row for row in rows if row["env_steps"] == end]
    for label, line in by_point(final, names[1:]).items():
        at = sorted({row[names[0]] for row in line})
        columns = [[row["return_mean"] for row in line if row[names[0]] == x] for x in at]
        mean, low, high = np.array([interval(np.array(c)) for c in columns]).T
        error = np.array([mean - low, high - mean])
        right.errorbar(at, mean, error, marker="o", capsize=3, label=label)
    values = np.array([row[names[0]] for row in final])
    if (values > 0).all() and values.max() >= 5 * values.min():
        right.set_xscale("log")
    right.set(xlabel=names[0], ylabel="final evaluation return")
    right.grid(alpha=0.3)
    if len(names) > 1:
        right.legend(frameon=False, fontsize="small")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  frameon=False, fontsize="small")  # fmt: skip
    figure.suptitle(title)
    write(figure, path)
