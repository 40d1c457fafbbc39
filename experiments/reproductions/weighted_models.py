"""Small models weighted by the gradient of the value (VaGraM) beside maximum likelihood.

Voelcker et al. (2022) weight the errors of a model by the gradient of the value. With irrelevant
features and a model too small for all of them, likelihood spends its capacity on the irrelevant
ones. Here MBPO's model has one layer of a few units, and Pendulum shows autoregressive distractors
beside its state.
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
    """Train MBPO with tiny models and several losses, with distractors."""

    seeds: int = 4
    """Number of seeds of each run."""
    steps: float = 6e3
    """Number of environment steps of each run."""
    units: int = 32
    """Number of hidden units of the model, in one layer."""
    distractors: tuple[int, ...] = (0, 5, 10)
    """Numbers of irrelevant features."""
    out: Path = Path(".reproductions/weighted-models")
    """Folder in which the table, the numbers and the picture are written."""


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
