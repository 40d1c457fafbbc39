"""Control from few steps: PPO in a sparse surrogate (SINDy-Dyna) beside PPO in the environment.

Zolman et al. (2024) report control of comparable quality with about a tenth of the steps. PPO is
run with the preset that is tuned for its final return, and with one that updates as often per step
as SINDy-Dyna collects data.
"""

from dataclasses import dataclass
from pathlib import Path

import envs
from agents import AGENTS
from experiments import options
from experiments.presets import preset
from experiments.reproductions.curves import Trial, draw, final, learn, reached
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Environment steps until the mean return on Pendulum is -300 or better"
LEVEL = -300.0


@dataclass(frozen=True)
class Options:
    """Train SINDy-Dyna and PPO on Pendulum, and count environment steps."""

    seeds: int = 8
    """Number of seeds of each run."""
    steps: float = 1e4
    """Number of environment steps of SINDy-Dyna; PPO takes a hundred times as many."""
    out: Path = Path(".reproductions/surrogates")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce surrogates", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    env, ppo, sindy = envs.make("Pendulum-v1"), AGENTS["ppo"], AGENTS["sindy"]
    many = 100 * chosen.steps
    tuned = {k: v for k, v in preset("ppo", "Pendulum-v1").items() if k not in ("steps", "decay")}
    tuned = ppo.defaults.replace(**tuned, decay_steps=many)
    often = tuned.replace(num_envs=4, rollout_length=125, minibatches=5, epochs=10)
    inside = sindy.defaults.replace(discount=0.9, entropy_coefficient=0.0, circles=(0,))
    trials = {
        "SINDy-Dyna": Trial(sindy.make, env, inside, chosen.steps, 20),
        "PPO, tuned for the end": Trial(ppo.make, env, tuned, many, 100),
        "PPO, updated as often": Trial(ppo.make, env, often, many, 100),
    }
    curves = learn(trials, chosen.seeds, episodes=16)
    rows = []
    for name, curve in curves.items():
        mean, low, high = final(curve)
        rows.append({"run": name, "steps to -300": reached(curve, LEVEL),
                     "final return": mean, "low": low, "high": high})  # fmt: skip
    figure = draw(curves, f"Pendulum, {chosen.seeds} seeds")
    figure.axes[0].set(xscale="log")
    save(chosen.out, TITLE, rows, figure)
