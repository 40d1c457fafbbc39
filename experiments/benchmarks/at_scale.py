"""Published agents on the tasks that they were published on, for as long as two cores allow.

`jaxrl benchmark at-scale` trains every agent of the list by the command line, with equal settings
in a task, and prints a table of interquartile means of the final evaluation return; `--only`
chooses by words. Finished runs are not repeated, so that the table can grow night by night.
"""

import dataclasses
from pathlib import Path
from typing import Any

from experiments import options, results
from experiments.benchmarks import kept_rows, learning
from experiments.statistics import interquartile_mean, interval

MINATAR = (
    " --seeds 4 --steps 5e5 --max-episode-steps 1000 --evaluations 10 --episodes 32 --num-envs 8"
    " --rollout-length 4 --encoder mlp --hidden 128 --no-animation"
)
REPLAYED = (
    " --updates 8 --batch-size 64 --buffer-size 100000 --warmup 5000 --target-period 1"
    " --target-rate 0.005 --epsilon 0.02 --epsilon-updates 25000 --learning-rate 2.5e-4"
)
ATOMS = " --critic.low -5 --critic.high 20"
CHEETAH = (
    " --env gymnasium/HalfCheetah-v5 --seeds 3 --evaluations 6 --episodes 4 --num-envs 1"
    " --buffer-size 30000 --no-animation"
)
SOFT = f"{CHEETAH} --rollout-length 1 --batch-size 128 --learning-rate 3e-4"
FEW_STEPS = " --steps 1e4 --warmup 2000"
WIDE = " --hidden 128 128"
ONE_UPDATE = f"{SOFT} --steps 3e4 --warmup 5000 --updates 1"
FIVE_UPDATES = f"{SOFT}{FEW_STEPS}{WIDE}"


def minatar(game: str) -> dict[str, str]:
    """The runs in one of the games, by their names; the words after `jaxrl train`."""
    agents = {
        "dqn": "", "munchausen-dqn": "", "c51": ATOMS, "hl-gauss-dqn": ATOMS, "qr-dqn": "",
        "iqn": "", "rainbow": ATOMS,
    }  # fmt: skip
    task = f" --env {game}-MinAtar"
    found = {agent: f"{agent}{task}{MINATAR}{REPLAYED}{own}" for agent, own in agents.items()}
    return {f"{game.lower()}-{agent}": words for agent, words in found.items()}


RUNS: dict[str, str] = {
    **minatar("Breakout"),
    **minatar("Asterix"),
    "halfcheetah-sac": f"sac{ONE_UPDATE}{WIDE}",
    "halfcheetah-td3": f"td3{ONE_UPDATE}{WIDE}",
    "halfcheetah-tqc": f"tqc{ONE_UPDATE}{WIDE}",
    "halfcheetah-sac-residual": f"sac{ONE_UPDATE} --encoder residual --hidden 64 64"
    " --normalise-observations",
    "halfcheetah-sac-5": f"sac{FIVE_UPDATES} --updates 5",
    "halfcheetah-redq-5": f"redq{FIVE_UPDATES} --updates 5 --actor-period 5",
    "halfcheetah-droq-5": f"droq{FIVE_UPDATES} --updates 5 --actor-period 5",
    "halfcheetah-mbpo-5": f"mbpo{FIVE_UPDATES} --dreams 5",
    "halfcheetah-td-mpc": f"td-mpc{CHEETAH}{FEW_STEPS} --rollout-length 1 --updates 1",
    "halfcheetah-dreamer": f"dreamer{CHEETAH}{FEW_STEPS} --rollout-length 4 --updates 1",
}
"""The words of each run after `jaxrl train`."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Train published agents on the tasks that they were published on, and print the table."""

    only: tuple[str, ...] = ()
    """Words of which one must occur in the name of a run; all run by default."""
    out: Path = Path(".benchmarks/at-scale")
    """Results folder; runs that are finished there are not repeated."""


def main(arguments: list[str]) -> None:
    """Run the benchmark; raises an InputError for a word that occurs in no name."""
    chosen = options.parse("benchmark at-scale", Options, arguments)
    wanted = learning.matching("run", chosen.only, RUNS)
    run = lambda name: outcome(name, chosen.out / name)
    kept_rows.tabulated(chosen.out / "at_scale.json", wanted, run, told, table)


def outcome(name: str, folder: Path) -> dict[str, Any]:
    """Train, unless the folder holds the finished run, and keep its final returns."""
    seconds = learning.trained(name, RUNS[name], folder)
    steps, values = results.curves(results.read_metrics(folder))
    return {"steps": int(steps[-1]), "returns": values[:, -1].tolist(), "seconds": seconds}


def told(row: dict[str, Any]) -> str:
    """The returns of a row, in words."""
    mean, low, high = interval(row["returns"], interquartile_mean)
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def table(report: dict[str, Any]) -> str:
    """The outcomes as a Markdown table."""
    lines = [
        "| run | steps | seeds | final return, interquartile mean (95 % interval) | minutes |",
        "|---" * 5 + "|",
    ]
    for name, row in report["rows"].items():
        lines.append(
            f"| {name} | {row['steps']:.1e} | {len(row['returns'])} | {told(row)} | "
            f"{row['seconds'] / 60:.0f} |"
        )
    return "\n".join(lines)
