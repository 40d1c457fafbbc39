"""Small models that spend themselves on what values depend on: VaGraM beside likelihood.

Voelcker et al. (2022) weigh the errors of a model by the gradient of the value: with features that
mean nothing and a model too small for all, likelihood wastes it on them. Here MBPO's model is one
layer of a few units, and Pendulum shows autoregressive distractors beside its state.
"""

from dataclasses import dataclass
from pathlib import Path

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.curves import Trial, learn, panels
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Return of MBPO on Pendulum with distractors and a tiny model, by the loss of the model"
LOSSES = ("squared-error", "likelihood", "value-gradient")


@dataclass(frozen=True)
class Options:
    """Train MBPO with tiny models of several losses, among distractors."""

    seeds: int = 4
    """Of each run."""
    steps: float = 6e3
    """Environment steps of each run."""
    units: int = 32
    """Hidden units of the model, in one layer."""
    distractors: tuple[int, ...] = (0, 5, 10)
    """Numbers of features that mean nothing."""
    out: Path = Path(".reproductions/weighted-models")
    """Folder for the table, the numbers and the picture."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce weighted-models", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, units=chosen.units)
    entry, trials = AGENTS["mbpo"], {}
    for size in chosen.distractors:
        env = envs.distracted(envs.make("Pendulum-v1"), size)
        for loss in LOSSES:
            hp = entry.defaults.replace(
                model_loss=loss, model_hidden=(chosen.units,), dreams=10, warmup=500,
                buffer_size=20_000, members=3, elites=3,
            )  # fmt: skip
            trials[f"{size} distractors", loss] = Trial(entry.make, env, hp, chosen.steps, 12)
    rows, figure = panels(learn(trials, chosen.seeds), ("features", "loss"), same_scale=True)
    save(chosen.out, TITLE, rows, figure)
