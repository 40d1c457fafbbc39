"""Pictures of a search: what matters most, and which points were good."""

import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments import plots
from experiments.tuning import study


def of_study(found: Any, folder: Path) -> list[Path]:
    """Write `importance.png` and `parallel_coordinates.png`, if there are points enough."""
    optuna = study.require_optuna()
    done = study.completed(found)
    if len(done) < 4 or len({trial.value for trial in done}) < 2:
        return []
    importance = optuna.importance.PedAnovaImportanceEvaluator()
    draw = optuna.visualization.matplotlib
    paths = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what Optuna calls experimental
        for name, make in (
            ("importance", lambda: draw.plot_param_importances(found, evaluator=importance)),
            ("parallel_coordinates", lambda: draw.plot_parallel_coordinate(found)),
        ):
            axes = make()
            axes.figure.set_size_inches(4.0 + 2.0 * len(done[0].params), 4.6)
            paths.append(folder / f"{name}.png")
            axes.figure.savefig(paths[-1], dpi=150, bbox_inches="tight")
            plt.close(axes.figure)
    return paths


def of_schedule(rows: list[dict[str, float]], names: list[str], title: str, path: Path) -> None:
    """Write a picture of population-based training: scores and numbers of members in time."""
    steps = np.array(sorted({row["env_steps"] for row in rows}))
    figure, axes = plt.subplots(
        1, 1 + len(names), figsize=(4.6 * (1 + len(names)), 3.8), layout="constrained"
    )
    scores = [[row["score"] for row in rows if row["env_steps"] == step] for step in steps]
    plots.band(axes[0], steps, np.array(scores).T, "members", "median", color=plots.COLOURS[0])
    axes[0].plot(steps, np.max(scores, 1), color=plots.COLOURS[1], label="best")
    axes[0].set(xlabel="environment steps", ylabel="score")
    axes[0].legend(frameon=False)
    for panel, name in zip(axes[1:], names):
        values = np.array([row[name] for row in rows])
        at = np.array([row["env_steps"] for row in rows])
        best = [max((r for r in rows if r["env_steps"] == s), key=lambda r: r["score"])[name]
                for s in steps]  # fmt: skip
        panel.scatter(at, values, c=[row["score"] for row in rows], s=12, cmap="viridis")
        panel.plot(steps, best, color=plots.COLOURS[1], label="best member")
        if values.min() > 0 and values.max() > 5 * values.min():
            panel.set_yscale("log")
        panel.set(xlabel="environment steps", ylabel=name)
        panel.legend(frameon=False)
    figure.suptitle(title, fontsize="medium")
    plots.write(figure, path)
