"""IQL and the parts of RIQL on data sets that are partly corrupted (Yang et al. 2024).

A point on a plane is to reach a goal, and the data are of a mediocre policy. In a share of the
steps the reward, the successor or the observation is replaced by noise, as in the
authors' experiments with random corruption. RIQL is IQL with standardised observations, a Huber
loss of the critics, and a quantile over five critics in place of the minimum of two; each is also
tried alone. Hyperparameters are the same for all and were not tuned.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from agents import AGENTS
from experiments import options
from experiments.reproductions.plane import actor, learnt, logged, plane, score, settings, straight
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.data import corrupted
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key, Transition
from jaxrl.values import Ensemble

TITLE = "Share of the way from the data's return to the best one, by what is corrupted"
GOAL = (0.3, -0.4)
PARTS = ("nothing", "rewards", "dynamics", "observations")
AGENTS_TRIED: dict[str, dict[str, Any]] = {
    "IQL": {},
    "normalised": dict(normalise_observations=True),
    "Huber": dict(huber_width=1.0),
    "quantile of five": dict(ensemble=Ensemble(5, "quantile", level=0.25)),
}
SMALL = dict(batch_size=64, hidden=(32, 32), learning_rate=1e-3, discount=0.9, target_rate=0.02)


@dataclass(frozen=True)
class Options:
    """Learn from corrupted data."""

    seeds: int = 4
    """Number of data sets."""
    transitions: int = 3_000
    """Number of steps in a data set."""
    steps: int = 1_000
    """Number of gradient steps."""
    rate: float = 0.3
    """Share of the steps that are corrupted."""
    out: Path = Path(".reproductions/corruption")
    """Folder in which the table, the numbers and the picture are written."""


def improvement(name: str, own: dict[str, Any], chosen: Options, key: Key) -> Array:
    """The shares [parts] of the way from the data's return to the best one that an agent comes."""
    env, behaviour = plane(GOAL), straight(GOAL, share=0.3, noise=0.5)
    k_data, k_noise, k_learn, k_play = jax.random.split(key, 4)
    clean = logged(env, behaviour, k_data, chosen.transitions)
    noisy = [corrupted(clean, k_noise, part, chosen.rate) for part in PARTS[1:]]
    data = jax.tree.map(lambda *x: jnp.stack(x), clean, *noisy)
    agent = AGENTS[name].make(env.spec, settings(name, clean, **SMALL | own))

    def found(data: Transition) -> Array:
        view = learnt(agent, data, k_learn, chosen.steps)
        return score(env, agent.exploit, view, k_play)

    # The same initial states, since the key is the same.
    start, best = (score(env, actor(act), (), k_play) for act in (behaviour, straight(GOAL)))
    return (jax.vmap(found)(data) - start) / (best - start)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce corruption", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    tried = {name: ("iql", own) for name, own in AGENTS_TRIED.items()} | {"RIQL": ("riql", {})}
    rows = []
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    width = 0.8 / len(tried)
    for i, name in enumerate(tqdm(tried, unit=" agents")):
        run = jax.jit(jax.vmap(partial(improvement, *tried[name], chosen)))
        for at, (part, shares) in enumerate(zip(PARTS, np.asarray(run(keys)).T)):
            mean, low, high = interval(shares)
            rows.append({"corrupted": part, "agent": name, "share": mean, "low": low, "high": high})
            away = [[mean - low], [high - mean]]
            label = None if at else name
            place = at + width * (i - (len(tried) - 1) / 2)
            axes.bar(place, mean, width, yerr=away, color=f"C{i}", label=label)
    axes.set_xticks(range(len(PARTS)), PARTS)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set(ylabel="share of the way to the best", xlabel="what is corrupted")
    axes.legend(frameon=False, ncols=2, loc="lower right")
    axes.grid(alpha=0.3, axis="y")
    save(chosen.out, TITLE, rows, figure)
