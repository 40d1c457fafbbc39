"""Policies and values on anchors near the data and differences from them (Song et al. 2024).

A point on a plane is to reach a goal, and the data are of starts on the left. How it moves is the
same everywhere, so that a policy of differences may be right where the data have no states. COCOA
and CQL, which it is made of, are compared from starts on the left and on the right. For both the
weight of CQL's penalty was chosen from the same three by the mean of both scores on other data.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from tqdm import tqdm

from agents import AGENTS
from experiments import options
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import actor, learnt, logged, plane, score, settings, straight
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Share of the way from the data's return to the best one, from both sides"
GOAL = (-0.3, 0.4)
STARTS = {"with data": (-1.0, 0.0), "without": (0.3, 1.0)}
GRID = (0.1, 1.0, 5.0)
SMALL = dict(
    batch_size=32, hidden=(32, 32), learning_rate=1e-3, actor_learning_rate=1e-3, discount=0.9,
    target_rate=0.02, samples=2, initial_temperature=0.1,
)  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "cql": {},
    "cocoa": dict(
        horizon=4, members=2, elites=2, model_hidden=(32,), seeker_hidden=(32,), pair_hidden=(32,)
    ),
}


@dataclass(frozen=True)
class Options:
    """Learn from one side of a plane, and act on both."""

    seeds: int = 5
    """Number of data sets; as many others choose the weight of the penalty."""
    transitions: int = 2_000
    """Number of steps in a data set."""
    steps: int = 700
    """Number of gradient steps."""
    out: Path = Path(".reproductions/anchors")
    """Folder in which the table, the numbers and the picture are written."""


def shares(name: str, chosen: Options, conservatism: Array, key: Key) -> Array:
    """The shares [sides] of the way from the data's return to the best one."""
    k_data, k_learn, k_play = jax.random.split(key, 3)
    left = plane(GOAL, sides=STARTS["with data"])
    behaviour = straight(GOAL, 0.3, 0.5)
    data = logged(left, behaviour, k_data, chosen.transitions)
    data = data._replace(weight=(data.obs[..., 0] < 0.1).astype(float))
    hp = settings(name, data, **SMALL | OWN[name] | dict(conservatism=conservatism))
    agent = AGENTS[name].make(left.spec, hp)
    view = learnt(agent, data, k_learn, chosen.steps)

    def share(sides: Array) -> Array:
        env = plane(GOAL, sides=(sides[0], sides[1]))
        found = score(env, agent.exploit, view, k_play)
        start, best = (score(env, actor(x), (), k_play) for x in (behaviour, straight(GOAL)))
        return (found - start) / (best - start)

    return jax.vmap(share)(jnp.array(list(STARTS.values())))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce anchors", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    rows = []
    for i, name in enumerate(tqdm(OWN, unit=" agents")):
        best, found = tuned(scored(partial(shares, name, chosen), GRID, chosen.seeds))
        for j, where in enumerate(STARTS):
            mean, low, high = interval(found[:, j])
            row = {"agent": name, "conservatism": GRID[best], "starts": where, "share": mean}
            rows.append(row | {"low": low, "high": high})
            away, label = [[mean - low], [high - mean]], None if j else name
            axes.bar(j + 0.4 * i - 0.2, mean, 0.4, yerr=away, color=f"C{i}", label=label)
    axes.set_xticks(range(len(STARTS)), [f"starts {where}" for where in STARTS])
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("share of the way to the best")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3, axis="y")
    save(chosen.out, TITLE, rows, figure)
