"""Pictures of results."""

from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from experiments.results import curves, interval, read_metrics


def shade(axes: plt.Axes, steps: np.ndarray, values: np.ndarray, label: str) -> None:
    """Draw the mean over members of values [members, E] and its 95 % bootstrap interval."""
    low, high = interval(values)
    (line,) = axes.plot(steps, values.mean(0), label=f"{label} ({values.shape[0]} seeds)")
    axes.fill_between(steps, low, high, alpha=0.25, color=line.get_color(), linewidth=0)


def learning_curves(groups: dict[str, list[dict[str, float]]], title: str, path: Path) -> None:
    """Write a picture of evaluation return against environment steps, a line for each group."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for label, rows in groups.items():
        shade(axes, *curves(rows), label)
    axes.set(xlabel="environment steps", ylabel="evaluation return", title=title)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def of_folders(folders: list[Path], path: Path) -> None:
    """Write a picture of the learning curves in results folders."""
    learning_curves({str(folder): read_metrics(folder) for folder in folders}, "", path)


def by_point(rows: list[dict[str, float]], names: list[str]) -> dict[str, list[dict[str, float]]]:
    """Split rows by the values of the swept hyperparameters `names`."""
    groups: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        label = ", ".join(f"{name} {row[name]:g}" for name in names)
        groups.setdefault(label, []).append(row)
    return groups
