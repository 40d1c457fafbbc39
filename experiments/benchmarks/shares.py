"""The share of an agent's time that its networks, environments, buffers and optimiser need anyway.

`jaxrl benchmark shares` times rounds of acting and learning, and in turns with them, in the same
process, the parts that the algorithm cannot do without: the passes through its networks in the same
batches, the steps of its environments, the writing and reading of its buffer, and the steps of its
optimiser. The rest is what the composition costs: drawing actions, targets, losses, metrics. Each
row is kept in a file as it is measured, and the command continues where it was interrupted.
"""

import dataclasses
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax

import envs
from agents import AGENTS
from experiments import options, records
from experiments.benchmarks import bare, kept_rows
from experiments.benchmarks.passes import PASSES
from experiments.benchmarks.speed import PPO_IMAGE, PPO_SMALL, PPO_WIDE, TOLD
from experiments.benchmarks.timed import calls, in_turns
from experiments.benchmarks.turns import chosen
from experiments.population import hasty
from jaxrl.errors import require_positive
from jaxrl.loop import Setup, advance, assemble

TARGET = 0.95
SIZES: tuple[str, ...] = ("small", "middle", "large")
PARTS = ("environment", "passes", "buffer", "optimiser")


class Setting(NamedTuple):
    """An agent in an environment, with what is not its default."""

    agent: str
    env: str
    own: dict[str, Any]


def told(task: dict[str, Any]) -> Setting:
    """The setting of a task of `jaxrl benchmark speed`."""
    own = {name: value for name, value in task.items() if name not in TOLD}
    return Setting(task["agent"], task["env"], own)


def sized(agent: str, env: str, widths: dict[str, int], **own: Any) -> dict[str, Setting]:
    """Settings of three sizes: `own` options are one for all, or a list with one for each."""
    found = {}
    for i, (size, units) in enumerate(widths.items()):
        mine = {name: x[i] if isinstance(x, list) else x for name, x in own.items()}
        found[f"{agent}-{size}"] = Setting(agent, env, {"hidden": (units, units)} | mine)
    return found


UNITS = dict(zip(SIZES, (64, 256, 512)))
REPLAYS: dict[str, Any] = dict(
    num_envs=[1, 4, 16], batch_size=[64, 256, 512], buffer_size=65_536, warmup=1024
)
SETTINGS: dict[str, Setting] = {
    "ppo-small": told(PPO_SMALL),
    "ppo-middle": told(PPO_IMAGE),
    "ppo-large": told(PPO_WIDE),
    **sized("pqn", "CartPole-v1", UNITS, num_envs=[32, 128, 512]),
}
for _name in ("dqn", "c51", "qr-dqn", "iqn"):
    SETTINGS |= sized(_name, "CartPole-v1", UNITS, **REPLAYS)
SETTINGS |= sized("sac", "Pendulum-v1", UNITS, **REPLAYS)
SETTINGS |= sized("td3", "Pendulum-v1", UNITS, **REPLAYS, updates=2)  # of which the actor waits one
SETTINGS |= sized(
    "r2d2", "CartPole-v1", dict(zip(SIZES, (64, 128, 256))), num_envs=[8, 16, 64],
    batch_size=[16, 32, 64], warmup=2048,
)  # fmt: skip
SETTINGS |= sized(
    "mbpo", "Pendulum-v1", UNITS, **REPLAYS | {"batch_size": [64, 256, 256], "dreams": 10}
)
SETTINGS |= {
    f"dreamer-{size}": Setting("dreamer", "CartPole-v1", {"hidden": (units,), "size": units})
    for size, units in zip(SIZES, (64, 128, 256))
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure which share of each agent's time its bare parts take by themselves."""

    only: tuple[str, ...] = ()
    """Settings to measure, by their names or the beginnings of these, such as ppo or dqn-small; all
    by default."""
    repeats: int = 7
    """Number of timed calls of each part, in turns."""
    seconds: float = 0.5
    """Time in seconds of a call of the whole agent; its parts do as many rounds."""
    out: str = ".benchmarks/shares.json"
    """File of the rows. What it has is not measured again."""


def assembled(setting: Setting) -> tuple[Setup, Any]:
    """The agent of a setting at work in its environment, and its hyperparameters."""
    entry = AGENTS[setting.agent]
    hp = records.replaced(entry.defaults, setting.own)
    return assemble(entry.make, envs.make(setting.env), hp), hp


def parts(setting: Setting) -> dict[str, bare.Part]:
    """The whole of a round, and its bare parts."""
    setup, hp = assembled(setting)
    run = jax.jit(setup.experiment.init, compiler_options=hasty())(jax.random.key(0))
    passes = PASSES[setting.agent](setup.env.spec, hp)
    moved = [(item.params, item.times) for item in passes if item.learns]
    return {
        "whole": bare.Part(lambda run: advance(setup.experiment, run, 1)[0], run),
        "environment": bare.environment(setup, hp),
        "passes": bare.together([bare.passed(item) for item in passes]),
        "buffer": bare.traffic(setting.agent, setup, hp, run),
        "optimiser": bare.optimiser(moved, hp),
    }


def measure(setting: Setting, repeats: int, seconds: float) -> dict[str, Any]:
    """The seconds of a round of each part, in each turn, by the wall clock and the processor's."""
    run = {name: bare.repeated(part) for name, part in parts(setting).items()}
    number = calls(run["whole"], seconds)
    found = in_turns({name: lambda fn=fn: fn(number) for name, fn in run.items()}, repeats)
    each = lambda clock: {
        name: [getattr(took, clock) / number for took in turns] for name, turns in found.items()
    }
    return {"rounds": number, "wall": each("wall"), "processor": each("processor")}


def shares(times: dict[str, list[float]]) -> dict[str, float]:
    """The part of the whole [parts] that each took, and `share`, that of all of them.

    Each is the median over turns of the ratio to the whole in the same turn.
    """
    turns = list(zip(*(times[name] for name in PARTS)))
    found = {
        name: median(x / whole for x, whole in zip(times[name], times["whole"])) for name in PARTS
    }
    return found | {"share": median(sum(x) / y for x, y in zip(turns, times["whole"]))}


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table in markdown."""
    wall, own = shares(row["wall"]), shares(row["processor"])
    cells = " | ".join(f"{wall[part]:.2f}" for part in PARTS)
    whole = 1e3 * median(row["wall"]["whole"])
    return f"| {name} | {whole:.3g} | {cells} | {wall['share']:.2f} | {own['share']:.2f} |"


def table(report: dict[str, Any]) -> str:
    """The table in markdown of a file of rows."""
    rows = report["rows"]
    met = sum(shares(row["wall"])["share"] >= TARGET for row in rows.values())
    head = " | ".join(PARTS)
    lines = [
        f"| setting | ms a round | {head} | share | share of processor time |",
        "|---" * (len(PARTS) + 4) + "|",
        *(line(name, rows[name]) for name in SETTINGS if name in rows),
        "",
        f"{met} of {len(rows)} shares are at least the target of {TARGET}.",
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    """Measure what `arguments` choose of the settings, and print the table."""
    own = options.parse("benchmark shares", Options, arguments)
    require_positive(repeats=own.repeats, seconds=own.seconds)
    some = chosen(own.only, SETTINGS, "shares")
    kept_rows.tabulated(
        Path(own.out), some, lambda name: measure(some[name], own.repeats, own.seconds),
        lambda row: f"share {shares(row['wall'])['share']:.2f}", table,
    )  # fmt: skip
