"""Classifying returns instead of regressing them, in DQN (Farebrother et al. 2024).

DQN is trained with squared errors of means, and with cross-entropies of two-hot, HL-Gauss and C51
targets, on MinAtar's Breakout: unchanged, with noise on the rewards, with faster target networks,
and with narrower and wider networks. Each loss uses the better of two learning rates, chosen in the
unchanged game.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.reproductions.curves import final, learn, tune
from experiments.reproductions.minatar import RATES, trial
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Return of DQN on MinAtar's Breakout, by the loss of its critic"
GAME = "Breakout-MinAtar"
LOSSES = {"dqn": "squared", "two-hot-dqn": "two-hot", "hl-gauss-dqn": "HL-Gauss", "c51": "C51"}
BASE = "as it is"
CONDITIONS: dict[str, dict[str, Any]] = {
    "noise 0.5": {"noise": 0.5},
    "noise 1": {"noise": 1.0},
    "targets x10": {"target_rate": 0.05},
    "no target network": {"target_rate": 1.0},
    "32 units": {"hidden": (32,)},
    "512 units": {"hidden": (512,)},
}


@dataclass(frozen=True)
class Options:
    """Train DQN with squared errors and with three cross-entropies, in seven conditions."""

    seeds: int = 3
    """Number of seeds of each run."""
    steps: float = 1e5
    """Number of environment steps of each run."""
    out: Path = Path(".reproductions/classification")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce classification", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    tuned = tune({name: trial(name, GAME, chosen.steps) for name in LOSSES}, RATES, chosen.seeds)
    curves = {(name, BASE): curve for name, (_, curve) in tuned.items()}
    others = {
        (name, condition): trial(name, GAME, chosen.steps, learning_rate=tuned[name][0], **changes)
        for condition, changes in CONDITIONS.items()
        for name in LOSSES
    }
    curves |= learn(others, chosen.seeds, 16)
    rows = []
    figure, axes = plt.subplots(figsize=(9, 4.2), layout="constrained")
    conditions = (BASE, *CONDITIONS)
    for i, (name, label) in enumerate(LOSSES.items()):
        scores = np.array([final(curves[name, condition]) for condition in conditions])
        mean, low, high = scores.T
        place = np.arange(len(conditions)) + 0.2 * (i - 1.5)
        axes.bar(place, mean, 0.2, yerr=(mean - low, high - mean), label=label, ecolor="grey")
        for condition, score in zip(conditions, scores):
            rows.append(
                {"condition": condition, "loss": label, "learning rate": tuned[name][0],
                 **dict(zip(("final return", "low", "high"), map(float, score)))}
            )  # fmt: skip
    axes.set_xticks(range(len(conditions)), conditions)
    axes.set_ylabel("final return")
    axes.legend(frameon=False)
    save(
        chosen.out, TITLE, sorted(rows, key=lambda row: conditions.index(row["condition"])), figure
    )
