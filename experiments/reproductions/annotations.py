"""Bonuses where an annotator sees a subgoal reached: each time, once an episode, or as potential.

Pignatelli et al. (2024) let language models judge which transitions reach a subgoal, and pay them a
bonus (CALM). Here an annotator errs at fixed transitions: it takes a share of all others for the
subgoal (false positives), and misses a share of the true ones (false negatives). Worlds and
learners are those of `programmes`: a key must be fetched before the goal pays. One learner is
optimal for what it is paid, and one looks only five steps ahead; both are solved exactly.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.programmes import ACTIONS, CELLS, GAMMA, HORIZON, STATES, world
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = (
    "Return by the task's own reward as a share of the best, by how an annotator's bonus is paid"
)
RATES = (0.0, 0.01, 0.05, 0.2)
WAYS = ("no bonus", "each time", "once", "potential")
BONUS = 0.5


@dataclass(frozen=True)
class Options:
    """Pay bonuses for subgoals that an annotator sees, and may see wrongly."""

    seeds: int = 24
    """Number of worlds, each with its own errors of the annotator."""
    out: Path = Path(".reproductions/annotations")
    """Folder in which the table, the numbers and the picture are written."""


def shares(positives: Array, negatives: Array, mdp: dp.TabularMDP, key: Key) -> Array:
    """The shares [learners, ways] of the best return, for rates of both kinds of errors."""
    k_see, k_miss, k_state = jax.random.split(key, 3)
    has = jnp.arange(STATES) >= CELLS
    fetched = ~has[:, None, None] & has
    errs = jax.random.uniform(k_see, mdp.transition.shape) < positives
    misses = jax.random.uniform(k_miss, mdp.transition.shape) < negatives
    ends = jnp.where(fetched, ~misses, errs)
    each = mdp._replace(reward=mdp.reward + BONUS * ends)
    once = dp.collecting(mdp, jnp.where(ends, 0, -1), jnp.array([0.0, BONUS]))
    # A potential of states that the annotator takes for being past the subgoal.
    luck = jax.random.uniform(k_state, (STATES,))
    past = jnp.where(has, luck >= negatives, luck < positives)
    led = dp.shaped(mdp, BONUS * past, GAMMA)
    best = (mdp.initial * dp.value_iteration(mdp, GAMMA).theta.max(-1)).sum()

    def share(paid: dp.TabularMDP, true: dp.TabularMDP, q: Array) -> Array:
        policy = jax.nn.one_hot(q.argmax(-1), ACTIONS)
        value = (
            policy
            * dp.policy_evaluation(true, policy, GAMMA, tolerance=1e-4, max_iterations=400).theta
        ).sum(-1)
        return (true.initial * value).sum() / best

    unpaid = dp.collecting(mdp, jnp.where(ends, 0, -1), jnp.zeros(2))
    pairs = [(mdp, mdp), (each, mdp), (once, unpaid), (led, mdp)]
    solvers = (
        lambda paid: dp.value_iteration(paid, GAMMA).theta,
        lambda paid: dp.finite_horizon(paid, HORIZON, GAMMA)[0],
    )
    return jnp.stack([jnp.stack([share(*pair, solve(pair[0])) for pair in pairs])
                      for solve in solvers])  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce annotations", Options, arguments)
    require_positive(seeds=chosen.seeds)
    mdps = dp.stacked(world(seed)[0] for seed in range(chosen.seeds))
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    run = jax.jit(jax.vmap(shares, (None, None, 0, 0)))
    figure, panels = plt.subplots(2, 2, figsize=(9, 7), layout="constrained", sharey=True)
    rows = []
    for column, kind in zip(panels.T, tqdm(("false positives", "false negatives"), unit=" kinds")):
        both = [(rate, 0.0) if kind == "false positives" else (0.0, rate) for rate in RATES]
        found = np.stack([np.asarray(run(*pair, mdps, keys)) for pair in both], -1)
        for i, (axes, learner) in enumerate(zip(column, ("optimal", "short-sighted"))):
            for j, way in enumerate(WAYS):
                band(axes, RATES, found[:, i, j], way)
                for k, rate in enumerate(RATES):
                    mean, low, high = interval(found[:, i, j, k])
                    rows.append({"errors": kind, "rate": rate, "learner": learner, "bonus": way,
                                 "share": mean, "low": low, "high": high})  # fmt: skip
            axes.set(title=f"{learner} learner", xlabel=f"rate of {kind}")
            axes.grid(alpha=0.3)
    for axes in panels[:, 0]:
        axes.set_ylabel("share of the best return")
    panels[0, 0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
