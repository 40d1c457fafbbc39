"""Rewards from factors that are ranked by importance, beside weighted sums of them.

Bukharin et al. (2023) hold that a reward which is fitted to lexicographic comparisons of ranked
factors (HERON) performs like a hand-tuned weighted sum, and is robust where the scales of factors
change. In worlds of 5 x 5 cells the factors are, in this order, whether a cell is dangerous, the
distance to a goal, and the effort of moving; they are truly worth 3, 1 and 0.1. One factor is told
in units that are too large or too small by a factor, of which neither way knows. Policies are
optimal for each reward, and are judged by the true one.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, values
from jaxrl.errors import require_positive
from jaxrl.rewards import bradley_terry, hierarchical, preference_fitted, reward_model
from jaxrl.rewards.segments import Comparisons
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Transition

TITLE = "Share of the way from random actions to the best, by the units of one factor"
SIDE, ACTIONS, GAMMA, PAIRS = 5, 5, 0.9, 1_000
STATES = SIDE * SIDE
WORTH = (3.0, 1.0, 0.1)
FACTORS = ("danger", "distance", "effort")
SCALES = (0.1, 0.3, 1.0, 3.0, 10.0)
SUMS = ((1.0, 1.0, 1.0), WORTH, (10.0, 1.0, 0.1))  # weights that are tried where units are right
MARGINS = (0.0, 0.5, 1.0)  # standard deviations of a factor
SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(1))


@dataclass(frozen=True)
class Options:
    """Learn rewards from ranked factors, in units that are right or wrong."""

    seeds: int = 12
    """Number of random worlds; as many others choose weights and margins."""
    steps: int = 300
    """Number of gradient steps of a reward."""
    out: Path = Path(".reproductions/ranked-factors")
    """Folder in which the table, the numbers and the picture are written."""


def world(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The successors [S, A] of cells, by the four moves and staying, and the factors [S, A, 3]."""
    rng = np.random.default_rng(seed)
    place = np.stack(np.divmod(np.arange(STATES), SIDE), -1)
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)])
    to = np.clip(place[:, None] + moves, 0, SIDE - 1) @ np.array([SIDE, 1])
    goal = rng.integers(STATES)
    danger = (rng.random(STATES) < 0.3) & (np.arange(STATES) != goal)
    distance = np.abs(place - place[goal]).sum(-1) / (2 * SIDE - 2)
    effort = np.broadcast_to(np.arange(ACTIONS) < 4, to.shape)
    return to, -np.stack([danger[to], distance[to], effort], -1).astype(np.float32)


def process(to: Array, reward: Array) -> dp.TabularMDP:
    """The world with a reward [S, A]."""
    shape = (STATES, ACTIONS, 1)
    return dp.TabularMDP(
        jnp.ones(shape), reward[..., None], jnp.ones(shape), jnp.full(STATES, 1 / STATES),
        to[..., None].astype(jnp.int32),
    )  # fmt: skip


def share(to: Array, factors: Array, reward: Array) -> Array:
    """How near [] a policy that is optimal for a reward [S, A] comes to the truly best one."""
    true = process(to, factors @ jnp.array(WORTH))
    worth = lambda policy: (
        true.initial @ (policy * dp.policy_evaluation(true, policy, GAMMA).theta).sum(-1)
    )
    even = worth(jnp.full((STATES, ACTIONS), 1 / ACTIONS))
    best = true.initial @ dp.value_iteration(true, GAMMA).theta.max(-1)
    chosen = dp.value_iteration(process(to, reward), GAMMA).theta.argmax(-1)
    return (worth(jax.nn.one_hot(chosen, ACTIONS)) - even) / (best - even)


def ranked(told: Array, margin: Array, steps: int, key: Key) -> Array:
    """The reward [S, A] that is fitted to comparisons of steps by their factors [S, A, 3]."""
    k_init, k_pair, k_judge, k_learn = jax.random.split(key, 4)
    points = told.reshape(-1, 3)
    mean, deviation = points.mean(0), points.std(0) + 1e-8
    ones = jnp.ones((1, PAIRS))

    def segment(index: Array) -> Transition:
        obs = points[index][None]
        return Transition(obs, jnp.zeros((1, PAIRS), int), ones, ones, ones < 0, obs, (), ones)

    first, second = (segment(x) for x in jax.random.randint(k_pair, (2, PAIRS), 0, len(points)))
    # The order of factors is known to the judge and their scale is not: margins are relative.
    margins = margin * jnp.array([0.0, 1.0, 1.0])
    judge = hierarchical(lambda x: x.obs[0], margins, relative=True)
    verdict = judge(k_judge, first, second)
    scaled = lambda x: x._replace(obs=(x.obs - mean) / deviation)
    model = reward_model(SPEC, values.Ensemble(1, "average"), Layers((32,)), bound=10.0)
    batch = Comparisons(scaled(first), scaled(second), verdict.label, verdict.weight)
    fit = preference_fitted(model, bradley_terry(), optax.adam(1e-2))
    step = lambda state, key: (fit.apply(state, batch, key)[0], None)
    state, _ = jax.lax.scan(step, fit.init(k_init, first), jax.random.split(k_learn, steps))
    seen = (told - mean) / deviation
    return model.reward(state.params, seen, jnp.zeros((STATES, ACTIONS), int))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce ranked-factors", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    number = 2 * chosen.seeds
    to, factors = (jnp.asarray(np.stack(x)) for x in zip(*map(world, range(number))))
    keys = jax.random.split(jax.random.key(0), number)
    units = jnp.stack(
        [jnp.where(jnp.arange(3) == k, scale, 1.0) for k in range(3) for scale in SCALES]
    )  # [3 * scales, 3]

    def by_sum(weights: Array, units: Array, to: Array, factors: Array, key: Key) -> Array:
        return share(to, factors, (factors * units) @ weights)

    def by_rank(margin: Array, units: Array, to: Array, factors: Array, key: Key) -> Array:
        return share(to, factors, ranked(factors * units, margin, chosen.steps, key))

    figure, panels = plt.subplots(1, 3, figsize=(12, 4), layout="constrained", sharey=True)
    rows = []
    for name, way, points in (("weighted sum", by_sum, SUMS), ("ranked factors", by_rank, MARGINS)):
        over = jax.vmap(jax.vmap(way, (None, None, 0, 0, 0)), (None, 0, None, None, None))
        run = jax.jit(over)
        found = np.stack([np.asarray(run(jnp.array(p), units, to, factors, keys))
                          for p in tqdm(points, desc=name)])  # fmt: skip
        right = found[:, SCALES.index(1.0)]  # weights and margins are chosen where units are right
        best, _ = tuned(right)
        held = found[best, :, chosen.seeds :].reshape(3, len(SCALES), chosen.seeds)
        for k, axes in enumerate(panels):
            band(axes, SCALES, held[k].T, name, marker="o")
            axes.set(xlabel=f"units of {FACTORS[k]}", xscale="log")
            axes.grid(alpha=0.3)
            for i, scale in enumerate(SCALES):
                mean, low, high = interval(held[k, i])
                rows.append({"reward": name, "factor": FACTORS[k], "units": scale, "share": mean,
                             "low": low, "high": high, "setting": str(points[best])})  # fmt: skip
    panels[0].set_ylabel("share of the way to the best")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
