"""Values as progress that is told from frames without their order, and what they are good for.

Ma et al. (2025) hold that values which are predicted from shuffled frames grow with time in good
demonstrations and not in bad ones, so that their rank correlation with time (VOC) tells data apart,
and that they serve as advantages for imitation (GVL). In a room with walls the good episodes go to
a goal with a third of their steps at random, and the others walk at random. In place of a large
model a network of sets is fitted to a quarter of the good episodes; the rest is told apart,
filtered, and imitated with weights exp(b (V(s') - V(s))).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from experiments import options
from experiments.reproductions.choosing import tuned
from experiments.reproductions.features import CELLS, HERE, successors
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.progress import progress_learner, progress_model, value_order_correlation
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec

TITLE = "Rank correlation of values with time, and share of the way to the best by imitation"
LENGTH, EPISODES, GAMMA, ACTIONS = 16, 64, 0.95, 4
WEIGHTS = (3.0, 10.0, 30.0)
SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(4))
WAYS = ("all data", "filtered by VOC", "weighted by values", "good data only")


@dataclass(frozen=True)
class Options:
    """Fit progress to frames without order, and judge and imitate data by it."""

    seeds: int = 8
    """Number of goals and data sets; as many others choose the weight of the values."""
    steps: int = 600
    """Number of gradient steps of the values."""
    out: Path = Path(".reproductions/shuffled-frames")
    """Folder in which the table, the numbers and the picture are written."""


def rooms(goal: Array) -> dp.TabularMDP:
    """Four rooms with a cost of 1 a step until the goal."""
    to = jnp.asarray(successors())[..., None]
    kept, even = 1.0 * (to != goal), jnp.full(CELLS, 1 / CELLS)
    return dp.TabularMDP(jnp.ones(to.shape), -jnp.ones(to.shape), kept, even, to.astype(jnp.int32))


def episodes(policy: Array, key: Key, number: int) -> tuple[Array, Array]:
    """The cells [LENGTH + 1, N] and the actions [LENGTH, N] of a policy [S, A]."""
    to = jnp.asarray(successors())
    k_start, k_walk = jax.random.split(key)

    def step(cell: Array, key: Key) -> tuple[Array, tuple[Array, Array]]:
        action = jax.random.categorical(key, jnp.log(policy[cell]))
        return to[cell, action], (to[cell, action], action)

    start = jax.random.randint(k_start, (number,), 0, CELLS)
    _, (after, actions) = jax.lax.scan(step, start, jax.random.split(k_walk, LENGTH))
    return jnp.concatenate([start[None], after]), actions


def judged(steps: int, strength: Array, key: Key) -> Array:
    """The correlation of held-out good and of bad episodes, and the shares of four ways [6]."""
    k_goal, k_good, k_bad, k_fit = jax.random.split(key, 4)
    mdp = rooms(jax.random.randint(k_goal, (), 0, CELLS))
    best = jax.nn.one_hot(dp.value_iteration(mdp, GAMMA).theta.argmax(-1), ACTIONS)
    even = jnp.full((CELLS, ACTIONS), 1 / ACTIONS)
    good = episodes(best * 2 / 3 + even / 3, k_good, EPISODES)
    bad = episodes(even, k_bad, EPISODES)
    see = jnp.asarray(2 * HERE / HERE.max() - 1, jnp.float32)
    model = progress_model(SPEC, 32, Layers((64,)))
    learner = progress_learner(model, optax.adam(3e-3))
    shown = see[good[0][:, : EPISODES // 4]]
    step = lambda state, key: (learner.apply(state, shown, key)[0], None)
    k_init, k_steps = jax.random.split(k_fit)
    start = learner.init(k_init, shown)
    params = jax.lax.scan(step, start, jax.random.split(k_steps, steps))[0].params
    rest = good[0][:, EPISODES // 4 :], good[1][:, EPISODES // 4 :]
    told = [model.at(params, see[x[0]]) for x in (rest, bad)]  # [LENGTH + 1, N]
    order = [value_order_correlation(x.T) for x in told]
    cells, actions = (jnp.concatenate(x, 1) for x in zip(rest, bad))
    values, orders = jnp.concatenate(told, 1), jnp.concatenate(order)
    fine = jnp.arange(cells.shape[1]) < rest[0].shape[1]
    kept = orders >= jnp.median(orders)
    every = jnp.ones(actions.shape)
    grown = jnp.exp(jnp.minimum(strength * (values[1:] - values[:-1]), 10.0))
    worth = lambda policy: (
        mdp.initial @ (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)
    )

    def imitated(weight: Array) -> Array:
        counts = jnp.full((CELLS, ACTIONS), 1e-2).at[cells[:-1], actions].add(weight)
        policy = counts / counts.sum(-1, keepdims=True)
        return (worth(policy) - worth(even)) / (worth(best) - worth(even))

    shares = [imitated(x) for x in (every, every * kept, grown, every * fine)]
    return jnp.stack([order[0].mean(), order[1].mean(), *shares])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce shuffled-frames", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), 2 * chosen.seeds)
    one = jax.vmap(partial(judged, chosen.steps), (None, 0))
    found = np.asarray(jax.jit(partial(jax.lax.map, lambda w: one(w, keys)))(jnp.array(WEIGHTS)))
    best, _ = tuned(found[..., 4])
    held = found[best, chosen.seeds :]
    names = ("VOC, good episodes", "VOC, other episodes", *WAYS)
    rows = []
    for i, name in enumerate(names):
        mean, low, high = interval(held[:, i])
        rows.append({"of": name, "mean": mean, "low": low, "high": high,
                     "weight": WEIGHTS[best] if name == WAYS[2] else "-"})  # fmt: skip
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    titles = "rank correlation of values with time", "share of the way to the best by imitation"
    for axes, part, title in zip(panels, (slice(0, 2), slice(2, 6)), titles):
        for i in range(len(names[part])):
            axes.plot(np.full(chosen.seeds, i), held[:, part][:, i], "o", alpha=0.4)
            axes.plot([i - 0.2, i + 0.2], [held[:, part][:, i].mean()] * 2, color="black")
        axes.set_xticks(range(len(names[part])), names[part], fontsize=8)
        axes.set(title=title)
        axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
