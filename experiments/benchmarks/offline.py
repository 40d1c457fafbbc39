"""Gradient steps per second of learning from a data set, beside other libraries.

Data have the sizes of HalfCheetah in D4RL, and random contents, on which the speed does not depend.
A gradient step is one of the critics, or of the policy where there are none; TD3+BC and ReBRAC take
one of the actor for every two of them in all libraries. The peers are files that their authors
publish to be run, which are fetched and left as they are.
"""

import dataclasses
from typing import Any

from experiments.benchmarks import turns
from experiments.benchmarks.peers.processes import Peer
from experiments.benchmarks.turns import OURS, Setting
from experiments.options import parse

DATA = {
    "observation": 17,  # numbers
    "action": 6,  # numbers
    "transitions": 1_000_000,
    "batch_size": 256,
    "num_envs": 1,
    "rollout_length": 1,
}
SMALL = DATA | {"hidden": (256, 256)}
LARGE = DATA | {"hidden": (256, 256, 256)}
FAST, SLOW = {"unifloral": 1.5, "jax-corl": 1.5, "corl": 10.0}, {"jax-corl": 1.5, "corl": 10.0}


def setting(agent: str, task: dict, seeds: int, targets: dict[str, float], steps: int) -> Setting:
    """One agent beside its peers, in chunks of as many gradient steps in all seeds together."""
    each = dict.fromkeys((OURS, *targets), max(8, steps // seeds // 8 * 8))
    each |= {"corl": max(8, steps // 8)} if "corl" in targets else {}
    return Setting(task | {"agent": agent}, each, targets, seeds)


SETTINGS: dict[str, Setting] = {
    "bc": setting("bc", SMALL | {"loss": "squared-error"}, 1, {"unifloral": 1.5}, 4096),
    "td3-bc": setting("td3-bc", SMALL, 1, FAST, 1024),
    "iql": setting("iql", SMALL, 1, FAST, 1024),
    "cql": setting("cql", LARGE, 1, SLOW, 64),
    "rebrac": setting("rebrac", LARGE, 1, {"unifloral": 1.5}, 512),
    "diffusion-bc": setting("diffusion-bc", SMALL, 1, {}, 1024),
    "td3-bc-8-seeds": setting("td3-bc", SMALL, 8, {"unifloral": 1.5, "jax-corl": 1.5}, 1024),
    "iql-8-seeds": setting("iql", SMALL, 8, {"unifloral": 1.5, "jax-corl": 1.5}, 1024),
    "cql-8-seeds": setting("cql", LARGE, 8, {"jax-corl": 1.5}, 64),
    "rebrac-8-seeds": setting("rebrac", LARGE, 8, {"unifloral": 1.5}, 512),
    "diffusion-bc-8-seeds": setting("diffusion-bc", SMALL, 8, {}, 1024),
}
POPULATIONS = {name: name[: -len("-8-seeds")] for name in SETTINGS if name.endswith("-8-seeds")}


@dataclasses.dataclass(frozen=True)
class Options(turns.Options):
    """Measure gradient steps per second on a data set beside other libraries."""


def table(report: dict[str, Any]) -> str:
    """The tables in markdown of an `offline.json`."""
    return turns.table(turns.stored(report, SETTINGS), SETTINGS, POPULATIONS)


def main(arguments: list[str]) -> None:
    """`jaxrl benchmark offline`."""
    chosen = parse("benchmark offline", Options, arguments)
    turns.run("offline", chosen, SETTINGS, POPULATIONS, Peer("jaxrl_offline_worker.py"))
