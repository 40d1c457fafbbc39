"""Environment steps that MBPO saves in comparison with SAC (Janner et al. 2019).

The paper claims the return of SAC for a tenth of its steps. SAC is also run with as many gradient
steps per environment step as MBPO takes, which separates the effect of the model from that of more
gradient steps. `--env` chooses another environment.
"""

from dataclasses import dataclass
from pathlib import Path

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.curves import Trial, draw, final, learn, reached
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Environment steps until the mean evaluation return is close to the final one of SAC"


@dataclass(frozen=True)
class Options:
    """Train SAC and MBPO, and count environment steps."""

    seeds: int = 6
    """Number of seeds of each run."""
    steps: float = 2e4
    """Number of environment steps of SAC with one gradient step each; the others take a third."""
    updates: int = 20
    """Gradient steps per environment step, of MBPO and of the second SAC."""
    env: str = "Pendulum-v1"
    """Name of the environment; those of brax use the spring backend."""
    near: float = 20.0
    """Difference to the final return of SAC that counts as reaching it."""
    out: Path = Path(".reproductions/dreams")
    """Folder in which the table, the numbers and the picture are written."""


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce dreams", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, updates=chosen.updates)
    backend = {"backend": "spring"} if chosen.env.startswith("brax/") else {}
    env, sac, mbpo = envs.make(chosen.env, **backend), AGENTS["sac"], AGENTS["mbpo"]
    short = dict(warmup=500, buffer_size=int(chosen.steps))
    busy = sac.defaults.replace(**short, updates=chosen.updates)
    dreamer = mbpo.defaults.replace(**short, dreams=chosen.updates)
    few = chosen.steps / 3
    trials = {
        "SAC, 1 gradient step": Trial(
            sac.make, env, sac.defaults.replace(**short), chosen.steps, 40
        ),
        f"SAC, {chosen.updates} gradient steps": Trial(sac.make, env, busy, few, 20),
        f"MBPO, {chosen.updates} gradient steps": Trial(mbpo.make, env, dreamer, few, 20),
    }
    curves = learn(trials, chosen.seeds)
    level = final(next(iter(curves.values())))[0] - chosen.near
    rows = []
    for name, curve in curves.items():
        mean, low, high = final(curve)
        rows.append(
            {"run": name, "steps to get there": reached(curve, level),
             "final return": mean, "low": low, "high": high}
        )  # fmt: skip
    save(chosen.out, TITLE, rows, draw(curves, f"{chosen.env}, {chosen.seeds} seeds"))
