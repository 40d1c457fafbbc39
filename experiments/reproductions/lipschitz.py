"""Smooth values in place of an ensemble of models, in MBPO (Zheng et al. 2023).

The paper claims that an ensemble helps because it makes values smooth, and that one model does as
well if values are made smooth by bounded spectral norms, or by robustness to the worst observations
nearby. MBPO learns Pendulum with five networks, with one, and with one and either of the two.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.curves import Trial, draw, final, learn, reached
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Return of MBPO on Pendulum, with an ensemble of models or with smooth values"
LEVEL = -250.0
RUNS: dict[str, dict[str, Any]] = {
    "five models": dict(members=5, elites=3),
    "one model": dict(members=1, elites=1),
    "one model, spectral norms": dict(members=1, elites=1, spectral=True),
    "one model, robust values": dict(members=1, elites=1, ascent_steps=3, robustness=0.1),
}


@dataclass(frozen=True)
class Options:
    """Train MBPO with an ensemble of models, and with one model and smooth values."""

    seeds: int = 6
    """Number of seeds of each run."""
    steps: float = 5e3
    """Number of environment steps of each run."""
    updates: int = 10
    """Gradient steps per environment step."""
    out: Path = Path(".reproductions/lipschitz")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce lipschitz", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, updates=chosen.updates)
    entry, env = AGENTS["mbpo"], envs.make("Pendulum-v1")
    hp = entry.defaults.replace(
        warmup=500, buffer_size=20_000, dreams=chosen.updates, model_hidden=(64, 64)
    )
    trials = {
        name: Trial(entry.make, env, hp.replace(**changes), chosen.steps, 20)
        for name, changes in RUNS.items()
    }
    curves, rows = learn(trials, chosen.seeds), []
    for name, curve in curves.items():
        mean, low, high = final(curve)
        rows.append(
            {"run": name, f"steps to {LEVEL:g}": reached(curve, LEVEL),
             "final return": mean, "low": low, "high": high,
             "mean of the curve": float(curve.returns.mean())}
        )  # fmt: skip
    save(chosen.out, TITLE, rows, draw(curves, f"Pendulum, {chosen.seeds} seeds"))
