"""Distances that are learnt from random walks in four rooms, beside the shortest paths.

Wang et al. (2023) hold that a quasimetric which is as large as it can be while no step is longer
than 1 (QRL) becomes the optimal distance. The scores of contrastive learning (Eysenbach et al.
2022) are of the behaviour in the data, and the values of GCIVL come from temporal differences. All
see the same walks of one-hot cells, with hidden layers and batches of the same size, and each has
the best of three learning rates. The exact contrastive scores of a random walk stand beside them.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import AGENTS
from envs.goals import distances, transitions
from experiments import options
from experiments.reproductions.choosing import tried
from experiments.reproductions.plane import learnt, settings
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import goals, rollout
from jaxrl.conditioned import Conditioned
from jaxrl.errors import require_positive
from jaxrl.rollouts import random_actions
from jaxrl.types import Array, Env, Key, Transition, Tree, lanes, memoryless

TITLE = "Rank correlation of learnt distances with shortest paths, and actions that come nearer"
LAYOUT, LANES, EPISODE, GAMMA = "four-rooms", 32, 50, 0.95
RATES = (1e-3, 3e-3, 1e-2)
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "QRL, intervals": ("qrl", dict(farthest=100.0)),
    "QRL, residual": ("qrl", dict(farthest=100.0, metric="mrn")),
    "GCIVL": ("gcivl", dict(discount=GAMMA, target_rate=0.02)),
    "contrastive": ("crl", dict(discount=GAMMA)),
}
EXACT = "contrastive, exact"


@dataclass(frozen=True)
class Options:
    """Learn distances from random walks in four rooms."""

    seeds: int = 6
    """Number of data sets; two others choose the learning rate."""
    steps: int = 2_000
    """Number of gradient steps of each learner."""
    walks: int = 16_000
    """Number of environment steps in a data set."""
    out: Path = Path(".reproductions/distances")
    """Folder in which the table, the numbers and the picture are written."""


def walked(env: Env, key: Key, steps: int) -> Transition:
    """Transitions [T, LANES, ...] of uniformly random actions, without what paid."""
    k_start, k_walk = jax.random.split(key)
    many = envs.auto_reset(envs.vectorize(env, LANES))
    act = lambda view, obs, key: (random_actions(env.spec, lanes(obs), key), ())
    start = (*many.init(k_start), ())
    data = rollout(many, memoryless(act), (), start, k_walk, steps // LANES)[1]
    return data._replace(signals=(), extras=())


def ranks(x: Array) -> Array:
    """The ranks [N] of numbers [N], those of equal ones averaged."""
    order = jnp.sort(x)
    return (jnp.searchsorted(order, x) + jnp.searchsorted(order, x, side="right")) / 2


def correlation(x: Array, y: Array) -> Array:
    """Spearman's rank correlation [] of numbers [N]."""
    return jnp.corrcoef(ranks(x), ranks(y))[0, 1]


def compared(found: Array, action: Array) -> Array:
    """Distances [S, G] of cells to goals, and actions [S, G], beside the shortest paths [3].

    These are the rank correlation of the cells' distances to a goal, averaged over goals, the
    share of actions that come nearer, and the mean absolute error of distances.
    """
    far, graph = jnp.asarray(distances(LAYOUT)), jnp.asarray(transitions(LAYOUT))
    rank = jax.vmap(correlation, 1)(found, far.astype(float)).mean()
    cells = jnp.arange(len(far))
    nearer = far[graph[cells[:, None], action], cells] < far
    return jnp.stack([rank, nearer.sum() / (far > 0).sum(), jnp.abs(found - far).mean()])


def lengths(name: str, env: Env, hp: Any, params: Tree, here: Tree, there: Tree) -> Array:
    """Distances [N] as a learner has them, in steps; those of crl are minus its scores."""
    if name == "qrl":
        d = goals.quasimetric(env.spec, hp.metric, hp.network, hp.latent_size)
        return d.distance(params["distance"], here, there)
    if name == "gcivl":
        v = goals.goal_values(env.spec, hp.network, size=hp.representation_size)
        value = v.value(params["value"], here, there).mean(-1)
        return jnp.log(jnp.clip(1 + (1 - GAMMA) * value, 1e-6)) / math.log(GAMMA)
    f = goals.pair_scores(env.spec, hp.network, size=hp.latent_size)
    of = lambda action: f.score(params["critic"], here, action, there).mean(-1)
    return -jax.vmap(lambda a: of(jnp.broadcast_to(a, (lanes(here),))))(jnp.arange(4)).mean(0)


def judged(name: str, own: dict, chosen: Options, rate: Array, key: Key) -> Array:
    """What a learner's distances and greedy actions are beside the shortest paths [3]."""
    k_walk, k_learn, k_act = jax.random.split(key, 3)
    env = envs.make("grid-maze", layout=LAYOUT, max_steps_in_episode=EPISODE)
    data = walked(env, k_walk, chosen.walks)
    layers = dict(hidden=(64, 64), batch_size=128, learning_rate=rate)
    hp = settings(name, data, **layers | own)
    agent = AGENTS[name].make(env.spec, hp)
    view = learnt(agent, data, k_learn, chosen.steps)
    count = env.spec.observation.obs.shape[0]
    hot = jnp.eye(count, dtype=bool)
    here, there = jnp.repeat(hot, count, 0), jnp.tile(hot, (count, 1))
    found = lengths(name, env, hp, view.params, here, there)
    action = agent.exploit.step(view, (), Conditioned(here, there), k_act)[0]
    return compared(found.reshape(count, count), action.reshape(count, count))


def exact() -> np.ndarray:
    """The same [3] of the best contrastive scores, log p(g | s, a), of an endless random walk."""
    graph = transitions(LAYOUT)
    step = np.eye(len(graph))[graph]  # [S, 4, S]
    later = np.linalg.inv(np.eye(len(graph)) - GAMMA * step.mean(1))
    scores = np.log(step @ later)  # [S, 4, G], but for a constant
    return np.asarray(compared(jnp.asarray(-scores.mean(1)), jnp.asarray(scores.argmax(1))))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce distances", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, walks=chosen.walks)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rows, reference = [], exact()
    for i, (title, (name, own)) in enumerate(tqdm(LEARNERS.items(), unit=" learners")):
        run = partial(judged, name, own, chosen)
        best, found = tried(run, RATES, chosen.seeds, score=lambda x: x[:, :2])  # [seeds, 3]
        row = {"learner": title}
        for axes, k, what in zip(panels, range(2), ("correlation", "nearer")):
            mean, low, high = interval(found[:, k])
            row |= {what: mean, f"{what}, low": low, f"{what}, high": high}
            axes.errorbar(i, mean, [[mean - low], [high - mean]], marker="o", capsize=4, color="C0")
        scale = "-" if name == "crl" else f"{found[:, 2].mean():.2f}"
        rows.append(row | {"error in steps": scale, "rate": f"{RATES[best]:g}"})
    row = {"learner": EXACT}
    for k, what in enumerate(("correlation", "nearer")):
        value = float(reference[k])
        row |= {what: value, f"{what}, low": value, f"{what}, high": value}
        panels[k].axhline(value, linestyle=":", color="0.3", label=EXACT)
    rows.append(row | {"error in steps": "-", "rate": "-"})
    labels = "rank correlation with the shortest paths", "share of actions that come nearer"
    for axes, label in zip(panels, labels):
        axes.set(xticks=range(len(LEARNERS)), xticklabels=[*LEARNERS], title=label)
        axes.margins(x=0.15)
        axes.grid(alpha=0.3, axis="y")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
