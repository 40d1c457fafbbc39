"""Rewards from the embedding of a goal, projected on the way from a baseline (VLM-RM).

Rocamonde et al. (2024) use the similarity of what is seen and a sentence in the embeddings of a
model of images and words as a reward, and hold that a partial projection on the direction from a
baseline to the goal improves it, and that better models are better rewards. In place of such a
model stand random embeddings of the cells of a room: the right direction of progress, and noise of
each cell in all of 16 directions. Policies are optimal for the reward and are judged by the true
distance to the goal.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.progress import ranks
from jaxrl.rewards import goal_baseline_reward
from jaxrl.types import Array, Key

TITLE = "Share of the way to the best policy, by the strength of the projection and the noise"
SIDE, ACTIONS, SIZE, GAMMA = 9, 5, 16, 0.9
CELLS = SIDE * SIDE
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
NOISES = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Options:
    """Plan for rewards from embeddings of cells, a goal and a baseline."""

    seeds: int = 40
    """Number of random embeddings and goals."""
    out: Path = Path(".reproductions/goal-embeddings")
    """Folder in which the table, the numbers and the picture are written."""


def successors() -> Array:
    """The successors [CELLS, ACTIONS] of the four moves and of staying; walls stop."""
    place = np.stack(np.divmod(np.arange(CELLS), SIDE), -1)
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1), (0, 0)])
    return jnp.asarray(np.clip(place[:, None] + moves, 0, SIDE - 1) @ np.array([SIDE, 1]))


def world(paid: Array) -> dp.TabularMDP:
    """The room with a reward [CELLS] of the cell that a step leads to."""
    to = successors()
    ones = jnp.ones((CELLS, ACTIONS, 1))
    start = jnp.full(CELLS, 1 / CELLS)
    return dp.TabularMDP(ones, paid[to][..., None], ones, start, to[..., None].astype(jnp.int32))


def judged(noise: Array, strength: Array, key: Key) -> Array:
    """The share [2] of the way to the best policy, and the rank correlation with progress."""
    k_goal, k_ends, k_noise = jax.random.split(key, 3)
    goal = jax.random.randint(k_goal, (), 0, CELLS)
    cells = jnp.stack(jnp.divmod(jnp.arange(CELLS), SIDE), -1)
    distance = jnp.abs(cells - cells[goal]).sum(-1)
    progress = 1 - distance / distance.max()
    base, wanted = jax.random.normal(k_ends, (2, SIZE)) / jnp.sqrt(SIZE)
    seen = base + progress[:, None] * (wanted - base)
    seen = seen + noise * jax.random.normal(k_noise, (CELLS, SIZE)) / jnp.sqrt(SIZE)
    reward = goal_baseline_reward(wanted, base, strength)(seen)
    true = world(progress)
    worth = lambda policy: (
        true.initial @ (policy * dp.policy_evaluation(true, policy, GAMMA).theta).sum(-1)
    )
    best = lambda paid: jax.nn.one_hot(
        dp.value_iteration(world(paid), GAMMA).theta.argmax(-1), ACTIONS
    )
    even = worth(jnp.full((CELLS, ACTIONS), 1 / ACTIONS))
    share = (worth(best(reward)) - even) / (worth(best(progress)) - even)
    order = jnp.corrcoef(ranks(reward), ranks(progress))[0, 1]
    return jnp.stack([share, order])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce goal-embeddings", Options, arguments)
    require_positive(seeds=chosen.seeds)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    over = jax.vmap(jax.vmap(judged, (None, None, 0)), (None, 0, None))
    run = jax.jit(partial(jax.lax.map, lambda noise: over(noise, jnp.array(STRENGTHS), keys)))
    found = np.asarray(run(jnp.array(NOISES)))  # [noises, strengths, seeds, 2]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rows = []
    for i, noise in enumerate(NOISES):
        for k, axes in enumerate(panels):
            band(axes, STRENGTHS, found[i, ..., k].T, f"noise {noise}", marker="o")
        for j, strength in enumerate(STRENGTHS):
            share, low, high = interval(found[i, j, :, 0])
            gain = interval(found[i, j, :, 0] - found[i, 0, :, 0])
            rows.append({"noise": noise, "strength": strength, "share": share, "low": low,
                         "high": high, "beyond the cosine": gain[0], "gain, low": gain[1],
                         "gain, high": gain[2],
                         "rank correlation": float(found[i, j, :, 1].mean())})  # fmt: skip
    titles = "share of the way to the best", "rank correlation with progress"
    for axes, title in zip(panels, titles):
        axes.set(xlabel="strength of the projection", title=title)
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
