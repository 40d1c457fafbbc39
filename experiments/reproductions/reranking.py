"""Frozen policies whose draws are ranked by one critic that was learnt offline (V-GPS).

Nakamoto et al. (2024) hold that one value function, learnt by Cal-QL from data, improves several
frozen policies of different kinds, by choosing among what each of them draws. A point on a plane is
to reach a goal; the data are of good and of misled episodes. The frozen policies are a noisy one, a
hesitant one, and one that goes to another place. Beside the conservative critic stands one that
learns from the same data without conservatism.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from tqdm import tqdm

from agents import AGENTS, sac
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tried
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
from experiments.statistics import interval
from jaxrl import values
from jaxrl.errors import require_positive
from jaxrl.rewards import reranked
from jaxrl.types import Array, Key, Tree

TITLE = "Share of the way from a frozen policy to the best one, by critic and number of draws"
GOAL, ASTRAY = (0.3, -0.4), (-0.8, 0.8)
DRAWS = (4, 16, 64)
RATES = (3e-4, 1e-3, 3e-3)
POLICIES = {
    "noisy": (GOAL, 1.0, 0.8),
    "hesitant": (GOAL, 0.1, 0.3),
    "elsewhere": ((0.9, 0.2), 1.0, 0.5),
}
"""Where each goes, by which share of the best action, and the noise of its actions."""
CRITICS = {"Cal-QL": dict(calibrated=True, return_discount=0.9, conservatism=1.0),
           "without conservatism": dict(conservatism=0.0)}  # fmt: skip
SMALL = dict(batch_size=64, hidden=(64, 64), discount=0.9, target_rate=0.02, samples=4)


@dataclass(frozen=True)
class Options:
    """Rank the draws of frozen policies by a critic that was learnt offline."""

    seeds: int = 6
    """Number of data sets and critics; two others choose the learning rate."""
    transitions: int = 1_280
    """Number of steps in a data set."""
    steps: int = 600
    """Number of gradient steps."""
    out: Path = Path(".reproductions/reranking")
    """Folder in which the table, the numbers and the picture are written."""


def shares(kind: str, chosen: Options, rate: Array, key: Key) -> Array:
    """The shares [policies, draws] of the way from each policy's own return to the best."""
    k_data, k_learn, k_best, k_score = jax.random.split(key, 4)
    env = plane(GOAL)
    well = (jnp.arange(LANES) % 2 == 0)[:, None]
    mixed = straight(jnp.where(well, jnp.array(GOAL), jnp.array(ASTRAY)), 0.8, 0.5)
    data = logged(env, mixed, k_data, chosen.transitions)
    hp = settings(
        "cql", data, **SMALL, **CRITICS[kind], learning_rate=rate, actor_learning_rate=rate
    )
    agent = AGENTS["cql"].make(env.spec, hp)
    view = learnt(agent, data, k_learn, chosen.steps)
    critics = sac.networks(env.spec, hp, values.critic(hp.critic)).each

    def judge(view: Tree, obs: Array, action: Array) -> Array:
        return critics(view.params, obs, action).min(-1)

    best = score(env, actor(straight(GOAL)), (), k_best)

    def each(policy: tuple[Array, Array, Array], key: Key) -> Array:
        """The shares [draws] of one frozen policy."""
        act, (k_own, *keys) = actor(straight(*policy)), jax.random.split(key, 1 + len(DRAWS))
        own = score(env, act, view, k_own)
        found = [score(env, reranked(act, judge, n), view, k) for n, k in zip(DRAWS, keys)]
        return (jnp.stack(found) - own) / (best - own)

    every = jax.tree.map(lambda *x: jnp.stack(x), *(
        (jnp.array(place), jnp.array(share), jnp.array(noise))
        for place, share, noise in POLICIES.values()))  # fmt: skip
    return jax.vmap(each)(every, jax.random.split(k_score, len(POLICIES)))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce reranking", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    figure, panels = plt.subplots(
        1, len(POLICIES), figsize=(12, 4), layout="constrained", sharey=True
    )
    rows = []
    for kind in tqdm(CRITICS, unit=" critics"):
        run = partial(shares, kind, chosen)  # [policies, draws]
        best, found = tried(run, RATES, chosen.seeds)
        for i, (axes, policy) in enumerate(zip(panels, POLICIES)):
            band(axes, DRAWS, found[:, i], kind, marker="o")
            axes.set(title=f"{policy} policy", xlabel="draws", xscale="log")
            axes.set_xticks(DRAWS, [str(number) for number in DRAWS])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            for j, number in enumerate(DRAWS):
                mean, low, high = interval(found[:, i, j])
                rows.append({"critic": kind, "policy": policy, "draws": number, "share": mean,
                             "low": low, "high": high, "rate": RATES[best]})  # fmt: skip
    panels[0].set_ylabel("share of the way to the best")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
