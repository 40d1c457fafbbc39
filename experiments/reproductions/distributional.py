"""Distributional critics beside critics of means, in DQN on two games of MinAtar.

DQN, C51 (Bellemare et al. 2017), QR-DQN (Dabney et al. 2018) and IQN (Dabney et al. 2018) differ in
their representation of the return only. Each uses the better of two learning rates.
"""

from dataclasses import dataclass
from pathlib import Path

from experiments import options
from experiments.reproductions.curves import panels, tune
from experiments.reproductions.minatar import RATES, trial
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Return of DQN on games of MinAtar, by what its critic predicts"
AGENTS = ("dqn", "c51", "qr-dqn", "iqn")
GAMES = ("Breakout-MinAtar", "Asterix-MinAtar")


@dataclass(frozen=True)
class Options:
    """Train DQN with four representations of the return on Breakout and Asterix."""

    seeds: int = 3
    """Number of seeds of each run."""
    steps: float = 3e5
    """Number of environment steps of each run."""
    out: Path = Path(".reproductions/distributional")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce distributional", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    trials = {(game, agent): trial(agent, game, chosen.steps) for game in GAMES for agent in AGENTS}
    tuned = tune(trials, RATES, chosen.seeds)
    rows, figure = panels({name: curve for name, (_, curve) in tuned.items()}, ("game", "agent"))
    rows = [row | {"learning rate": rate} for row, (rate, _) in zip(rows, tuned.values())]
    save(chosen.out, TITLE, rows, figure)
