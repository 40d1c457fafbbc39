"""How many environment steps imagination saves: MBPO beside SAC.

Janner et al. (2019) claim the return of SAC for a tenth of its steps. SAC is also run with as many
gradient steps for each step as MBPO takes, so that what the model brings is told apart from what
more gradient steps bring. On Pendulum these bring SAC near as soon as MBPO; as far as SAC goes in
the end, MBPO goes sooner. Another environment is tried by `--env`.
"""

from dataclasses import dataclass
from pathlib import Path

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.curves import Trial, draw, final, learn, reached
from experiments.reproductions.report import save
from jaxrl.errors import require_positive

TITLE = "Environment steps until the mean evaluation return is nearly that of SAC in the end"


@dataclass(frozen=True)
class Options:
    """Train SAC and MBPO, and count environment steps."""

    seeds: int = 6
    """Of each run."""
    steps: float = 2e4
    """Environment steps of SAC with one gradient step each; the others take a third."""
    updates: int = 20
    """Gradient steps in one environment step, of MBPO and of the busier SAC."""
    env: str = "Pendulum-v1"
    """Where to learn; brax's environments with springs."""
    near: float = 20.0
    """How far below the last return of SAC is near enough."""
    out: Path = Path(".reproductions/dreams")
    """Folder for the table, the numbers and the picture."""


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
            {"run": name, "steps to get there": reached(curve, level) + short["warmup"],
             "final return": mean, "low": low, "high": high}
        )  # fmt: skip
    save(chosen.out, TITLE, rows, draw(curves, f"{chosen.env}, {chosen.seeds} seeds"))
