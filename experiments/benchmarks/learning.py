"""Final returns of the agents: each claim is a training run by the command line, and a threshold.

`jaxrl benchmark learning` runs all claims and prints their table; `--only ppo-cartpole` runs those
whose names contain a word. The presets are those of `experiments/presets`.
"""

import dataclasses
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from experiments import options, results
from experiments.statistics import interval
from jaxrl.errors import InputError, unknown


class Claim(NamedTuple):
    """A command that trains, and the mean final evaluation return that it must reach."""

    command: str  # after `jaxrl train`
    least: float
    below: bool = False  # the claim is that the return stays below


CLAIMS: dict[str, Claim] = {
    "ppo-cartpole": Claim("ppo --env CartPole-v1 --seeds 16", 490),
    "ppo-acrobot": Claim("ppo --env Acrobot-v1 --seeds 16", -85),
    "ppo-pendulum": Claim("ppo --env Pendulum-v1 --seeds 8", -200),
    "ppo-breakout": Claim(
        "ppo --env Breakout-MinAtar --seeds 2 --steps 2e6 --max-episode-steps 1000",
        20,
    ),
    "ppo-memory-chain-gru": Claim("ppo --env MemoryChain-bsuite --memory gru", 0.9),
    "ppo-memory-chain-feedforward": Claim(
        "ppo --env MemoryChain-bsuite --memory none --sequence-length 1", 0.6, below=True
    ),
    "ppo-masked-cartpole-gru": Claim("ppo --env CartPole-masked --memory gru", 450),
    "ppo-masked-cartpole-feedforward": Claim(
        "ppo --env CartPole-masked --memory none --sequence-length 1", 200, below=True
    ),
    "dqn-cartpole": Claim("dqn --env CartPole-v1 --seeds 16", 475),
    "dqn-cartpole-single": Claim("dqn --env CartPole-v1 --seeds 16 --no-double", 475),
    "dqn-cartpole-dueling": Claim("dqn --env CartPole-v1 --seeds 16 --dueling", 475),
    "dqn-cartpole-one-step": Claim(
        "dqn --env CartPole-v1 --seeds 16 --n-step 1 --target-period 250 --target-rate 1"
        " --batch-size 128 --hidden 128 128",
        475,
    ),
    "dqn-cartpole-prioritised": Claim("dqn --env CartPole-v1 --seeds 16 --prioritised", 475),
    "dqn-acrobot": Claim("dqn --env Acrobot-v1 --seeds 16", -90),
    "sac-pendulum": Claim("sac --env Pendulum-v1 --seeds 16", -170),
    "sac-inverted-pendulum": Claim("sac --env brax/inverted_pendulum --seeds 4 --steps 1e5", 950),
    "ppo-halfcheetah": Claim(
        "ppo --env brax/halfcheetah --env-params backend='spring' --seeds 1 --episodes 4", 500
    ),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Train every agent for which a final return is claimed, and print the table."""

    only: tuple[str, ...] = ()
    """Words of which one must occur in the name of a claim; all claims run by default."""
    out: Path = Path(".benchmarks/learning")
    """Results folder; runs that are finished there are not repeated."""


def main(arguments: list[str]) -> None:
    """Run the benchmark; raises an InputError for a word that names no claim."""
    chosen = options.parse("benchmark learning", Options, arguments)
    print(table(measured(CLAIMS, chosen.only, chosen.out, "learning")))


def measured(
    claims: dict[str, Claim], words: tuple[str, ...], out: Path, name: str
) -> list[dict[str, Any]]:
    """The outcomes of the claims whose names have one of `words`, written to `out`/`name`.json."""
    chosen = matching("claim", words, claims)
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for claim in chosen:  # written after each, so that an interruption loses little
        rows.append(outcome(claim, claims[claim], out / claim))
        (out / f"{name}.md").write_text(table(rows) + "\n")
        (out / f"{name}.json").write_text(json.dumps(rows, indent=2) + "\n")
    return rows


def matching(kind: str, words: tuple[str, ...], names: Iterable[str]) -> list[str]:
    """The names that have one of `words`, all without words; an InputError if there are none."""
    found = [name for name in names if any(word in name for word in words or ("",))]
    if not found:
        raise unknown(kind, words[0], names)
    return found


def outcome(name: str, claim: Claim, folder: Path) -> dict:
    """Train, unless the folder holds the finished run, and summarise its last evaluation."""
    seconds = trained(name, claim.command, folder)
    steps, values = results.curves(results.read_metrics(folder))
    final = values[:, -1]
    mean, low, high = interval(final)
    return {
        "claim": name,
        "steps": int(steps[-1]),
        "seeds": len(final),
        "mean": mean,
        "low": low,
        "high": high,
        "worst": float(final.min()),
        "least": claim.least,
        "below": claim.below,
        "holds": (mean < claim.least) if claim.below else (mean >= claim.least),
        "seconds": seconds,
    }


def trained(name: str, command: str, folder: Path) -> float:
    """Train, or go on with an interrupted run, unless it is finished; the seconds of the last."""
    from experiments.cli import main as jaxrl

    start, finished = time.perf_counter(), folder / "finished"
    if not finished.exists():
        begun = ["--resume", str(folder)] if (folder / "config.json").is_file() else None
        code = jaxrl(["train", *(begun or [*command.split(), "--out", str(folder)])])
        if code:
            raise InputError(f"The run of {name} ended with exit code {code}.")
        finished.write_text(f"{time.perf_counter() - start:.0f}")
    return float(finished.read_text())


def table(rows: list[dict]) -> str:
    """The outcomes as a Markdown table."""
    lines = [
        "| run | steps | seeds | final return (95 % interval) | worst seed | claim | holds | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        sign = "<" if row["below"] else "≥"
        lines.append(
            f"| {row['claim']} | {row['steps']:.1e} | {row['seeds']} | {row['mean']:.1f} "
            f"[{row['low']:.1f}, {row['high']:.1f}] | {row['worst']:.1f} | {sign} {row['least']:g} "
            f"| {'yes' if row['holds'] else 'no'} | {row['seconds']:.0f} |"
        )
    return "\n".join(lines)
