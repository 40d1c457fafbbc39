"""Gradient steps per second of learning to reach goals, beside OGBench's agents.

Data have the sizes of its AntMaze, and random contents, on which the speed does not depend. Both
have the same batches, layers and latents; they clone actions by their advantages, but for
contrastive RL, and OGBench's GCIQL judges actions for goals of their own. OGBench's loop draws each
batch on the host and takes one compiled step; its seeds are runs one after another.
"""

import dataclasses
from typing import Any

from experiments.benchmarks import turns
from experiments.benchmarks.peers.processes import Peer
from experiments.benchmarks.turns import OURS, Setting
from experiments.options import parse

DATA = {
    "observation": 29,  # numbers, and as many of a goal
    "action": 8,  # numbers
    "transitions": 100_000,
    "goals": True,
    "batch_size": 256,
    "num_envs": 1,
    "rollout_length": 1,
    "hidden": (256, 256, 256),
    "activation": "gelu",
    "layer_norm": False,  # theirs has it in some of the networks, ours in all or none
}
LARGE = DATA | {"batch_size": 1024, "hidden": (512, 512, 512)}  # OGBench's defaults
FUTURE, VALUES = {"future": 1.0}, {"future": 0.5, "random": 0.3, "current": 0.2}
AGENTS: dict[str, dict[str, Any]] = {
    "gcbc": {"agent": "bc", "hindsight": FUTURE},
    "gcivl": {"agent": "gcivl"},
    "gciql": {"agent": "iql", "hindsight": VALUES | {"offsets": "geometric"}},
    "qrl": {"agent": "qrl", "latent_size": 512},
    "crl": {"agent": "crl", "latent_size": 512},
    "hiql": {"agent": "hiql"},
}
TARGET = 1.5


def setting(task: dict[str, Any], steps: int, seeds: int = 1) -> Setting:
    """One agent beside its peer, in chunks of as many gradient steps in all seeds together."""
    each = dict.fromkeys((OURS, "ogbench"), max(4, steps // seeds))
    return Setting(task, each, {"ogbench": TARGET}, seeds)


SETTINGS: dict[str, Setting] = {
    **{name: setting(DATA | task, 256) for name, task in AGENTS.items()},
    **{f"{name}-8-seeds": setting(DATA | task, 256, 8) for name, task in AGENTS.items()},
    "hiql-large": setting(LARGE | AGENTS["hiql"], 16),
}
POPULATIONS = {f"{name}-8-seeds": name for name in AGENTS}


@dataclasses.dataclass(frozen=True)
class Options(turns.Options):
    """Measure gradient steps per second of reaching goals beside OGBench's agents."""


def table(report: dict[str, Any]) -> str:
    """The tables in markdown of a `goals.json`."""
    return turns.table(turns.stored(report, SETTINGS), SETTINGS, POPULATIONS)


def main(arguments: list[str]) -> None:
    """`jaxrl benchmark goals`."""
    chosen = parse("benchmark goals", Options, arguments)
    turns.run("goals", chosen, SETTINGS, POPULATIONS, Peer("jaxrl_offline_worker.py"))
