"""Stitching at the level of histories, with and without a bisimulation loss (Hong et al. 2024).

Two families of episodes meet in one state, where one of two actions pays more often, 0.7 against
0.3. The first family takes it in one of ten episodes and the second one in nine. Who sees the
state alone learns from both; who sees the history, which tells the family and some observations of
noise, has few episodes in which that action was taken in the first family. A bisimulation loss
makes histories alike that go on alike. Scored is the share of new histories of the first family
in which the greedy action is the better one. The weight of CQL's penalty, and that of the loss with
it, were chosen from four points each, on other data. CQL of the state alone is the reference.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from agents import AGENTS
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import LANES, learnt, settings
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.types import Array, Discrete, Key, Spec, Transition

TITLE = "Share of new histories in which the greedy action is the better one"
EPISODES, NOISE = (48, 192), (0, 8)  # the largest numbers are those of the arrays
PENALTIES = (0.0, 0.003, 0.03, 0.3)
GRIDS = {  # weights of CQL's penalty, and of the bisimulation loss
    "history": [(penalty, 0.0) for penalty in PENALTIES],
    "history, bisimulation": [(0.1, 1.0), (0.1, 100.0), (1.0, 1.0), (1.0, 100.0)],
    "state alone": [(penalty, 0.0) for penalty in PENALTIES],
}


class Point(NamedTuple):
    """What is learnt from, and with which weights."""

    episodes: Any
    noise: Any  # observations of it in a history
    told: Any  # whether the family and the noise are seen
    penalty: Any
    bisimulation: Any


@dataclass(frozen=True)
class Options:
    """Learn from histories that hardly ever repeat."""

    seeds: int = 6
    """Number of data sets and networks; as many others choose the weights."""
    steps: int = 600
    """Number of gradient steps."""
    out: Path = Path(".reproductions/histories")
    """Folder in which the table, the numbers and the picture are written."""


def history(family: Array, point: Point, key: Key) -> Array:
    """Histories [*, 2 + 3 L] of families [*], with observations of noise of three values."""
    noise = jax.random.randint(key, (*family.shape, NOISE[-1]), 0, 3)
    there = (jnp.arange(NOISE[-1]) < point.noise)[:, None]
    seen = (jax.nn.one_hot(noise, 3) * there).reshape(*family.shape, 3 * NOISE[-1])
    return jnp.concatenate([jax.nn.one_hot(family, 2), seen], -1) * point.told


def stitched(chosen: Options, point: Point, key: Key) -> Array:
    """The share [] of new histories of the first family in which the better action is taken."""
    k_act, k_noise, k_pay, k_learn, k_new, k_exploit = jax.random.split(key, 6)
    shape = (EPISODES[-1] // LANES, LANES)
    family = jnp.broadcast_to(jnp.arange(LANES) % 2, shape)
    better = jax.random.uniform(k_act, shape) < jnp.where(family == 0, 0.1, 0.9)
    pays = jax.random.uniform(k_pay, shape) < jnp.where(better, 0.7, 0.3)
    obs, one = history(family, point, k_noise), jnp.ones(shape)
    data = Transition(
        obs, better.astype(jnp.int32), pays.astype(float), 0 * one, one > 0, obs, (), one
    )
    # The first episodes again and again, so that all data sets have one shape.
    again = jnp.arange(shape[0]) % (point.episodes // LANES)
    data = jax.tree.map(lambda x: x[again], data)
    spec = Spec(jax.ShapeDtypeStruct(obs.shape[2:], jnp.float32), Discrete(2))
    hp = settings(
        "bisimulation-cql", data, hidden=(32, 32), batch_size=32, learning_rate=2e-3,
        conservatism=point.penalty, bisimulation=point.bisimulation, target_rate=0.05,
    )  # fmt: skip
    agent = AGENTS["bisimulation-cql"].make(spec, hp)
    view = learnt(agent, data, k_learn, chosen.steps)
    new = history(jnp.zeros(500, int), point, k_new)
    return agent.exploit.step(view, (), new, k_exploit)[0].mean()


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce histories", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    cases = [(episodes, noise, name) for episodes in EPISODES for noise in NOISE for name in GRIDS]
    points = [
        Point(episodes, noise, float(name != "state alone"), *weights)
        for episodes, noise, name in cases
        for weights in GRIDS[name]
    ]
    every = scored(partial(stitched, chosen), points, chosen.seeds)
    rows, curves = [], {}
    for (episodes, noise, name), scores in zip(cases, np.split(every, len(cases))):
        point, shares = tuned(scores)
        penalty, loss = GRIDS[name][point]
        mean, low, high = interval(shares)
        row = {"episodes": episodes, "noise": noise, "seen": name, "penalty": penalty}
        rows.append(row | {"bisimulation": loss, "share": mean, "low": low, "high": high})
        curves.setdefault((episodes, name), []).append(shares)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    for axes, episodes in zip(panels, EPISODES):
        for name in GRIDS:
            band(axes, NOISE, np.stack(curves[episodes, name], -1), name, marker="o")
        axes.set(xlabel="observations of noise in the history", title=f"{episodes} episodes")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of new histories")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
