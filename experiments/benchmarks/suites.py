"""Learning curves in environments of other packages: training runs by the command line.

`jaxrl benchmark suites` runs all of them and prints the table of final returns; `--only craftax`
runs those whose names contain a word. Their results and curves are in `kept/suites`.
"""

import dataclasses
from pathlib import Path

from experiments import options, plots
from experiments.benchmarks import learning
from experiments.benchmarks.learning import Claim

# An object seen at the start says at which end of a corridor the goal is. The agent begins in the
# corridor, so that it has to go back and look; seven cells ahead are seen, as in MiniGrid itself.
MEMORY = (
    "ppo --env xland/MiniGrid-MemoryS8 --env-params view_size=7 --seeds 2 --steps 3e6"
    " --num-envs 64 --rollout-length 64 --minibatches 4 --learning-rate 5e-4"
    " --hidden 128 128 --evaluations 10 --episodes 128 --no-animation"
)

CURVES: dict[str, Claim] = {
    "playground-cartpole-balance": Claim(
        "ppo --env playground/CartpoleBalance --seeds 1 --steps 4e5 --num-envs 64"
        " --rollout-length 64 --minibatches 8 --learning-rate 5e-4 --episodes 4 --evaluations 8",
        900,
    ),
    "craftax-classic-symbolic": Claim(
        "ppo --env craftax/Craftax-Classic-Symbolic-v1 --seeds 1 --steps 5e5 --num-envs 64"
        " --rollout-length 64 --minibatches 8 --learning-rate 5e-4 --hidden 256 256 --episodes 16"
        " --max-episode-steps 1000 --evaluations 10",
        1.5,  # of 22: half a million steps are the beginning of what can be learnt
    ),
    "navix-empty": Claim(
        "ppo --env navix/Navix-Empty-8x8-v0 --seeds 2 --steps 2e5 --evaluations 10", 0.95
    ),
    "xland-memory-gru": Claim(f"{MEMORY} --memory gru --sequence-length 64", 0.9),
    "xland-memory-feedforward": Claim(
        f"{MEMORY} --memory none --sequence-length 1", 0.65, below=True
    ),
    "jumanji-game2048": Claim(
        "ppo --env jumanji/Game2048-v1 --seeds 2 --steps 5e5 --num-envs 64 --rollout-length 64"
        " --minibatches 8 --learning-rate 1e-3 --hidden 256 256 --evaluations 10 --no-animation",
        1500,
    ),
    # The same agent, budget and seeds: `jaxrl compare` finds no difference between the two.
    "gymnax-cartpole": Claim(
        "ppo --env CartPole-v1 --seeds 8 --steps 3e5 --evaluations 15 --no-animation", 490
    ),
    "gymnasium-cartpole": Claim(
        "ppo --env gymnasium/CartPole-v1 --seeds 8 --steps 3e5 --evaluations 15 --no-animation", 490
    ),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train in environments of other packages, and print the table of final returns."""

    only: tuple[str, ...] = ()
    """Words of which one must occur in the name of a run; all run by default."""
    out: Path = Path(".benchmarks/suites")
    """Results folder; runs that are finished there are not repeated."""


def main(arguments: list[str]) -> None:
    """Run the benchmark; raises an InputError for a word that names no run."""
    chosen = options.parse("benchmark suites", Options, arguments)
    rows = learning.measured(CURVES, chosen.only, chosen.out, "suites")
    print(learning.table(rows))
    for row in rows:
        name = row["claim"]
        plots.of_folders([chosen.out / name], chosen.out / f"{name}.png", plots.Look(), ())
