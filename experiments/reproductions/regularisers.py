"""What the actor of TD3 imitates: the data's action, the nearest one, or a better generated one.

PRDC (Ran et al. 2023) stays near any action that the data have in a similar state, and A2PR (Liu et
al. 2024) near what a generator of better actions makes. A point on a plane is to reach a goal. In
one kind of data four of five episodes go astray and the fifth goes well; in the other all are of a
noisy and mediocre policy; in the third there are gaps, since the policy visits only two bands of
the plane. The weight of the value beside the imitation was chosen for each agent and each kind of
data from the same three, on other data sets.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from tqdm import tqdm

from agents import AGENTS
from experiments import options
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import (
    LANES,
    Act,
    actor,
    learnt,
    logged,
    plane,
    score,
    settings,
    straight,
)
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key, Transition

TITLE = "Share of the way from the data's return to the best one, by data and what is imitated"
GOAL, ASTRAY = (0.3, -0.4), (-0.8, 0.8)
DATA = ("mixed", "mediocre", "with gaps")
TRIED = ("td3-bc", "prdc", "a2pr")
GRID = (0.5, 2.5, 10.0)
SMALL = dict(batch_size=64, hidden=(32, 32), learning_rate=1e-3, discount=0.9, target_rate=0.02)


@dataclass(frozen=True)
class Options:
    """Learn from suboptimal data by imitating different actions."""

    seeds: int = 5
    """Number of data sets; as many others choose the weight of the value."""
    transitions: int = 1_280
    """Number of steps in a data set."""
    steps: int = 800
    """Number of gradient steps."""
    out: Path = Path(".reproductions/regularisers")
    """Folder in which the table, the numbers and the picture are written."""


def behaviour(kind: str) -> Act:
    """The rule for acting [LANES, 2] that a kind of data is of."""
    if kind == "mediocre":
        return straight(GOAL, 0.3, 0.5)
    if kind == "mixed":
        well = (jnp.arange(LANES) % 5 == 0)[:, None]
        return straight(jnp.where(well, jnp.array(GOAL), jnp.array(ASTRAY)), 0.9, 0.1)
    # Half of the lanes keep to a band above the goal and half to one below, and drift to its side.
    level = jnp.where(jnp.arange(LANES) % 2 == 0, 0.3, -0.8)

    def act(obs: Array, key: Key) -> Array:
        place = jnp.stack([jnp.full(LANES, GOAL[0]), level], -1)
        return straight(place, 0.5, 0.3)(obs, key)

    return act


def shares(name: str, chosen: Options, weight: Array, key: Key) -> Array:
    """The shares [kinds] of the way from the data's return to the best one."""
    k_data, k_learn, k_play = jax.random.split(key, 3)
    env = plane(GOAL)
    sets = [logged(env, behaviour(kind), k_data, chosen.transitions) for kind in DATA]
    agent = AGENTS[name].make(env.spec, settings(name, sets[0], **SMALL, value_weight=weight))
    best = score(env, actor(straight(GOAL)), (), k_play)

    def share(data: Transition) -> Array:
        found = score(env, agent.exploit, learnt(agent, data, k_learn, chosen.steps), k_play)
        start = data.reward.sum() / data.last.sum()
        return (found - start) / (best - start)

    return jax.vmap(share)(jax.tree.map(lambda *x: jnp.stack(x), *sets))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce regularisers", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    rows, width = [], 0.8 / len(TRIED)
    every = {name: scored(partial(shares, name, chosen), GRID, chosen.seeds)
             for name in tqdm(TRIED, unit=" agents")}  # fmt: skip
    for j, kind in enumerate(DATA):
        for i, name in enumerate(TRIED):
            point, found = tuned(every[name][..., j])
            mean, low, high = interval(found)
            row = {"data": kind, "agent": name, "value weight": GRID[point], "share": mean}
            rows.append(row | {"low": low, "high": high})
            away, label = [[mean - low], [high - mean]], None if j else name
            axes.bar(j + width * (i - 1), mean, width, yerr=away, color=f"C{i}", label=label)
    axes.set_xticks(range(len(DATA)), DATA)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_ylabel("share of the way to the best")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3, axis="y")
    save(chosen.out, TITLE, rows, figure)
