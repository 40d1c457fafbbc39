"""Presets: searched hyperparameters, judged on seeds that the search has not seen.

Each pair of an agent and an environment of the list below has a search by `jaxrl tune` over the
floats of the agent, one compiled program a search. The best point is compared with the agent's
defaults at equal steps and seeds, which are others than those of the search. Where the difference
of the interquartile means is above zero with 95 % confidence, the point becomes the preset, and
else the defaults stay; both are written to the environment's file in `experiments/presets`, with
the budget of the search and the two scores.
"""

import dataclasses
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from agents import AGENTS
from envs import suites
from experiments import building, options, presets, records, results, training
from experiments.configuration import Configuration
from experiments.statistics import bootstrap, interquartile_mean, interval, paired_difference
from experiments.tuning import search
from experiments.tuning.command import TuneOptions, checked
from jaxrl.errors import require, require_positive

SPACES: dict[str, tuple[str, ...]] = {
    "ppo": ("learning_rate=1e-4:1e-2:log", "entropy_coefficient=1e-4:1e-1:log",
            "discount=0.9:0.999", "gae_lambda=0.8:1"),
    "pqn": ("learning_rate=1e-4:1e-2:log", "discount=0.9:0.999", "trace_decay=0.3:1"),
    "dqn": ("learning_rate=1e-4:3e-3:log", "discount=0.9:0.999", "target_rate=3e-3:0.3:log"),
    "r2d2": ("learning_rate=1e-4:3e-3:log", "discount=0.9:0.999", "target_rate=3e-3:0.3:log"),
    "sac": ("learning_rate=1e-4:3e-3:log", "discount=0.9:0.999", "target_rate=3e-3:0.1:log"),
    "td3": ("learning_rate=1e-4:3e-3:log", "discount=0.9:0.999", "target_rate=3e-3:0.1:log",
            "exploration_noise=0.05:0.5:log"),
}  # fmt: skip
"""What is searched: floats alone, so that all points are one program."""
FIXED: dict[str, dict[str, Any]] = {
    "ppo": {"decay": 1.0},
    "pqn": {"decay": 1.0},
    "dqn": {"decay": 1.0, "target_period": 1, "n_step": 3},
    "r2d2": {"decay": 1.0},
}
"""What all points set."""
DISCRETE = {"ppo": 200_000, "pqn": 200_000, "dqn": 50_000}
CONTINUOUS = {"ppo": 300_000, "sac": 20_000, "td3": 20_000}
TASKS: dict[str, dict[str, int]] = {
    "CartPole-v1": {"pqn": 200_000, "r2d2": 50_000},
    "Acrobot-v1": {"pqn": 300_000},
    "Pendulum-v1": {"td3": 20_000},
    "Catch-bsuite": DISCRETE,
    "MountainCar-v0": DISCRETE,
    "DiscountingChain-bsuite": DISCRETE,
    "UmbrellaChain-bsuite": DISCRETE,
    "FourRooms-misc": DISCRETE,
    "gridworld": DISCRETE,
    "MemoryChain-bsuite": {"r2d2": 50_000},
    "CartPole-masked": {"r2d2": 50_000},
    "MountainCarContinuous-v0": CONTINUOUS,
    "PointRobot-misc": CONTINUOUS,
    "Reacher-misc": CONTINUOUS,
    "DeepSea-bsuite": DISCRETE,
    "Asterix-MinAtar": {"ppo": 500_000, "pqn": 500_000},
    "Freeway-MinAtar": {"ppo": 500_000, "pqn": 500_000},
    "SpaceInvaders-MinAtar": {"ppo": 500_000, "pqn": 500_000},
    "Breakout-MinAtar": {"pqn": 500_000},
    "jumanji/Game2048-v1": {"ppo": 200_000},
    "jumanji/Snake-v1": {"ppo": 200_000},
    "pgx/2048": {"ppo": 200_000},
    "navix/Navix-Empty-5x5-v0": {"ppo": 100_000},
    "xland/MiniGrid-Empty-5x5": {"ppo": 100_000},
    "brax/inverted_pendulum": {"ppo": 200_000},
}
"""Environment steps of each seed, by environment and agent."""
FRESH = 1000  # the first seed of the judgement, above those of any search


@dataclasses.dataclass(frozen=True)
class Options:
    """Search for presets, and compare what is found with the defaults on other seeds."""

    only: tuple[str, ...] = ()
    """Words of which one must occur in `AGENT ENVIRONMENT`; all pairs by default."""
    points: int = 16
    """Points of a search."""
    seeds: int = 2
    """Seeds of each point."""
    judges: int = 8
    """Seeds of the comparison."""
    out: Path = presets.FOLDER
    """Folder of the files; pairs that have a search there are not searched again."""


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark presets", Options, arguments)
    require_positive(points=chosen.points, seeds=chosen.seeds, judges=chosen.judges)
    pairs = [(agent, env) for env, agents in TASKS.items() for agent in agents]
    wanted = [p for p in pairs if any(word in " ".join(p) for word in chosen.only or ("",))]
    require(bool(wanted), f"No pair of an agent and an environment has one of {chosen.only}.")
    results.make_folder(chosen.out)
    for agent, env in wanted:
        path = presets.file_of(env, chosen.out)
        tables = presets.read(path)[1] if path.exists() else {}
        if agent in tables or suites.missing(env):
            continue
        print(f"{agent} in {env}", file=sys.stderr, flush=True)
        tables[agent] = found(agent, env, chosen)
        results.write_whole(path, written(env, tables))
    print(table(chosen.out))


def found(agent: str, env: str, chosen: Options) -> dict[str, Any]:
    """The table of a pair: the steps, what the preset sets, and how it was found."""
    begin, steps = time.perf_counter(), TASKS[env][agent]
    fixed = tuple(f"{k}={v}" for k, v in FIXED.get(agent, {}).items())
    asked = TuneOptions(
        agent=agent, env=env, space=SPACES[agent], fixed=fixed, trials=chosen.points,
        batch=chosen.points, steps=steps, seeds=chosen.seeds, evaluations=1, prune=False,
        max_episode_steps=1000,
    )  # fmt: skip
    like, space = checked(asked)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        results.make_folder(folder / "search")
        say = lambda text: print(text, file=sys.stderr, flush=True)
        best = search.run(
            like, space, folder / "search", chosen.points, chosen.points, "tpe", False, say
        )
        require(bool(best), f"All points of {agent} in {env} diverged.")
        point = FIXED.get(agent, {}) | {name: rounded(best[0][name]) for name in space}
        usual = records.flat(AGENTS[agent].defaults)
        judged = dataclasses.replace(like, seed=FRESH, seeds=chosen.judges)
        scores = [
            returns(dataclasses.replace(judged, hyperparameters=usual | values), folder / name)
            for name, values in (("defaults", {}), ("preset", point))
        ]
    better = bootstrap(paired_difference, *(s[:, None] for s in scores[::-1]), paired=True)
    wins = bool(better.low > 0)
    told = {
        "points": chosen.points, "seeds": chosen.seeds, "judges": chosen.judges, "kept": wins,
        "defaults": list(map(rounded, interval(scores[0], interquartile_mean))),
        "found": list(map(rounded, interval(scores[1], interquartile_mean))),
        "seconds": round(time.perf_counter() - begin),
    }  # fmt: skip
    return {"steps": steps, **(point if wins else {}), presets.TUNING: told}


def returns(config: Configuration, folder: Path) -> np.ndarray:
    """The final return of each seed [N], in the order of seeds; a diverged one has the least."""
    building.validate(config)
    training.train_parts(config, folder, False, training.Options(quiet=True))
    _, curves = results.curves(results.read_metrics(folder))
    return np.nan_to_num(curves[:, -1], nan=float(np.nanmin(curves)))


def rounded(number: float) -> float:
    """A number with three digits."""
    number = float(number)
    return number if not number or not math.isfinite(number) else float(f"{number:.3g}")


def written(env: str, tables: dict[str, dict[str, Any]]) -> str:
    """The file of an environment, as TOML."""
    lines = [f"environment = {json.dumps(env)}"]
    for agent, own in tables.items():
        told = own.get(presets.TUNING)
        lines += ["", f"[{agent}]"]
        lines += [f"{k} = {literal(v)}" for k, v in own.items() if k != presets.TUNING]
        if told is not None:
            lines += ["", f"[{agent}.{presets.TUNING}]"]
            lines += [f"{k} = {literal(v)}" for k, v in told.items()]
    return "\n".join(lines) + "\n"


def literal(value: Any) -> str:
    """A value as it is written in TOML."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(literal, value))}]"
    return json.dumps(value)


def table(folder: Path = presets.FOLDER) -> str:
    """All presets as a Markdown table: scores, budgets, and whether defaults stay."""
    lines = [
        "| environment | agent | steps | defaults | found | search | preset |",
        "|---|---|---|---|---|---|---|",
    ]
    for env, tables in map(presets.read, sorted(folder.glob("*.toml"))):
        for agent, own in tables.items():
            told = own.get(presets.TUNING)
            steps = f"{own['steps']:.3g}" if "steps" in own else ""
            if told is None:
                lines.append(f"| {env} | {agent} | {steps} |  |  | by hand | yes |")
                continue
            spans = [span(told[name]) for name in ("defaults", "found")]
            budget = f"{told['points']} points x {told['seeds']} seeds"
            kept = "yes" if told["kept"] else "defaults"
            lines.append(f"| {env} | {agent} | {steps} | {' | '.join(spans)} | {budget} | {kept} |")
    return "\n".join(lines) + "\n"


def span(numbers: list[float]) -> str:
    """A mean and its interval."""
    middle, low, high = numbers
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"
