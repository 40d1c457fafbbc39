"""Learning from data most of whose actions are unknown (SS-ORL of Zheng et al. 2023).

The data of a point on a plane are of policies from bad to good, and only the actions of the worst
tenth of the episodes are known. An inverse model labels the others. Where noise moves the point
much further than actions do, no model can tell the actions: this is the negative control. All
actions, and the known tenth alone, are the references.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from agents import AGENTS
from experiments import options
from experiments.plots import band
from experiments.reproductions.plane import (
    LANES,
    actor,
    learnt,
    logged,
    plane,
    score,
    settings,
    straight,
)
from experiments.reproductions.report import save
from jaxrl.data import labelled, subsampled
from jaxrl.errors import require_positive
from jaxrl.inverse import inverse_model
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Transition

TITLE = "Share of the way from the data's return to the best one, by how actions are known"
GOAL = (0.3, -0.4)
NOISES = (0.0, 0.2, 0.5)
LABELS = ("all actions", "inverse model", "a tenth of the actions")
SMALL = dict(batch_size=64, hidden=(32, 32), learning_rate=1e-3, discount=0.9, target_rate=0.02)


@dataclass(frozen=True)
class Options:
    """Learn from data whose actions are mostly unknown."""

    seeds: int = 6
    """Number of data sets."""
    transitions: int = 3_000
    """Number of steps in a data set."""
    steps: int = 2_000
    """Number of gradient steps of the agent; the inverse model takes twice as many."""
    known: float = 0.1
    """Share of the episodes, those of the lowest returns, whose actions are known."""
    out: Path = Path(".reproductions/labels")
    """Folder in which the table, the numbers and the picture are written."""


def resampled(data: Transition, known: Array, key: Key) -> Transition:
    """As many steps, drawn with replacement from those that are known."""
    total = jnp.cumsum(known.reshape(-1))
    drawn = jax.random.randint(key, total.shape, 0, total[-1])
    index = jnp.searchsorted(total, drawn, side="right")
    pick = lambda x: x.reshape(-1, *x.shape[2:])[index].reshape(x.shape)
    return jax.tree.map(pick, data)


def shares(name: str, chosen: Options, noise: Array, key: Key) -> Array:
    """The shares [labels] of the way from the data's return to the best one."""
    skill = jnp.linspace(-0.2, 0.6, LANES)[:, None]
    env, k = plane(GOAL, noise=noise, wall=4.0), jax.random.split(key, 5)
    data = logged(env, straight(GOAL, skill, 0.5), k[0], chosen.transitions)
    worst = subsampled(data._replace(reward=-data.reward), chosen.known)
    known = worst.weight > 0
    inverse = inverse_model(
        env.spec, data, k[1], known, layers=Layers((64, 64)), steps=2 * chosen.steps,
        batch_size=64, learning_rate=3e-3,
    )  # fmt: skip
    sets = [data, labelled(data, inverse, known), resampled(data, known, k[2])]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *sets)
    agent = AGENTS[name].make(env.spec, settings(name, data, **SMALL))

    def found(data: Transition) -> Array:
        return score(env, agent.exploit, learnt(agent, data, k[3], chosen.steps), k[4])

    behaviour = straight(GOAL, 0.2, 0.5)  # of the mean skill
    start, best = (score(env, actor(act), (), k[4]) for act in (behaviour, straight(GOAL)))
    return (jax.vmap(found)(stacked) - start) / (best - start)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce labels", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    keys, noises = jax.random.split(jax.random.key(0), chosen.seeds), jnp.array(NOISES)
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    rows = []
    for axes, name in zip(panels, tqdm(("td3-bc", "iql"), unit=" agents")):
        one = partial(shares, name, chosen)
        run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
        found = np.asarray(run(noises, keys))  # [noises, seeds, labels]
        for i, label in enumerate(LABELS):
            estimate = band(axes, NOISES, found[..., i].T, label, marker="o")
            for j, noise in enumerate(NOISES):
                share = dict(zip(("share", "low", "high"), (float(x[j]) for x in estimate)))
                rows.append({"agent": name, "noise": noise, "labels": label} | share)
        axes.set(xlabel="standard deviation of the noise in a step", title=name)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of the way to the best")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
