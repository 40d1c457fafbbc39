"""Rewards that are searched for among programmes, by their fitness or by comparing behaviours.

Ma et al. (2024) let a language model write rewards, train by each, and go on from the best
(Eureka); Yu et al. (2024) let a person compare what policies do instead (ICPL). Here the proposer
is random mutation in a small language, so that the language and the loop are tried, and not a
language model. In worlds of 4 x 4 cells a key must be fetched before the goal pays, and the learner
looks only five steps ahead, so that it needs a reward that leads it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.rewards import programmes, searched
from jaxrl.types import Array, Key

TITLE = "Return of a short-sighted learner as a share of the best, by the reward that it is given"
SIDE, ACTIONS, GAMMA, HORIZON, LINES = 4, 4, 0.95, 5, 4
CELLS = SIDE * SIDE
STATES = 2 * CELLS
NAMES = ("near_key", "near_goal", "has_key", "at_goal")
POPULATION, GENERATIONS = 16, 6


@dataclass(frozen=True)
class Options:
    """Search for rewards by which a short-sighted learner does its task."""

    seeds: int = 16
    """Number of worlds, with key and goal at random places."""
    noise: float = 0.05
    """Temperature of the judge of behaviours, in shares of the best return."""
    out: Path = Path(".reproductions/programmes")
    """Folder in which the table, the numbers and the picture are written."""


def world(seed: int) -> tuple[dp.TabularMDP, np.ndarray]:
    """A world with a key, and the features [S, F] of its states."""
    rng = np.random.default_rng(seed)
    key, goal = rng.choice(CELLS, 2, replace=False)
    cell = np.arange(CELLS)
    place = np.stack([cell // SIDE, cell % SIDE], -1)
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    to = np.clip(place[:, None] + moves, 0, SIDE - 1) @ [SIDE, 1]
    p = np.zeros((STATES, ACTIONS, STATES))
    for state in range(STATES):
        has, at = divmod(state, CELLS)
        for action in range(ACTIONS):
            new = to[at, action]
            p[state, action, (1 if new == key else has) * CELLS + new] += 0.9
            p[state, action, (1 if at == key else has) * CELLS + at] += 0.1
    done = np.arange(STATES) == CELLS + goal
    reward = np.broadcast_to(done.astype(float), p.shape)
    start = np.concatenate([(cell != key) / (CELLS - 1), np.zeros(CELLS)])
    distance = np.abs(place[:, None] - place).sum(-1)
    near = 1 - distance[[key, goal]] / (2 * SIDE - 2)
    has = np.repeat([0.0, 1.0], CELLS)
    features = np.stack([np.tile(near[0], 2), np.tile(near[1], 2), has, done * 1.0], -1)
    return dp.from_arrays(p, reward, 1 - reward, start), features


def found(mdp: dp.TabularMDP, features: Array, noise: float, key: Key) -> dict[str, Array]:
    """The share of the best return [] or [generations] by each way to a reward."""
    best = (mdp.initial * dp.value_iteration(mdp, GAMMA).theta.max(-1)).sum()

    def share(reward: Array) -> Array:
        """What the learner gets that looks ahead for a reward [S] of successors."""
        paying = mdp._replace(reward=jnp.broadcast_to(reward, mdp.transition.shape))
        q = dp.finite_horizon(paying, HORIZON, GAMMA)[0]
        policy = jax.nn.one_hot(q.argmax(-1), ACTIONS)
        value = (
            policy
            * dp.policy_evaluation(mdp, policy, GAMMA, tolerance=1e-4, max_iterations=400).theta
        ).sum(-1)
        return (mdp.initial * value).sum() / best

    def fitness(programme: programmes.Programme, key: Key) -> Array:
        return share(programmes.reward_of(programme, features))

    k_best, k_judged, k_random, k_unused, k_linear = jax.random.split(key, 5)
    size, count = len(NAMES), POPULATION * GENERATIONS

    def search(key: Key, choose: programmes.Choose) -> Array:
        return searched(key, fitness, size, LINES, POPULATION, GENERATIONS, choose=choose).fitness

    drawn = jax.vmap(lambda key: programmes.random_programme(key, size, LINES))(
        jax.random.split(k_random, count)
    )
    apart = jax.vmap(fitness)(drawn, jax.random.split(k_unused, count))
    weights = jax.random.normal(k_linear, (count, size))
    linear = jax.vmap(lambda w: share(features @ w))(weights)
    so_far = lambda x: jax.lax.cummax(x)[POPULATION - 1 :: POPULATION]
    has, at_goal = features[:, 2], features[:, 3]
    # Costs, because a learner that is paid for being near postpones to arrive.
    by_hand = (features[:, 0] - 2) * (1 - has) + (features[:, 1] - 1) * has + at_goal
    return {
        "mutations of the fittest": search(k_best, programmes.highest),
        "mutations, judged in pairs": search(k_judged, programmes.tournament(noise)),
        "random programmes": so_far(apart),
        "random weights": so_far(linear),
        "the task's own": share(at_goal),
        "written by hand": share(by_hand),
    }


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce programmes", Options, arguments)
    require_positive(seeds=chosen.seeds, noise=chosen.noise)
    mdps, features = zip(*map(world, range(chosen.seeds)))
    worlds = dp.stacked(mdps), jnp.asarray(np.stack(features), jnp.float32)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    one: Callable = lambda mdp, features, key: found(mdp, features, chosen.noise, key)
    with tqdm(total=1, unit=" program") as progress:
        shares = jax.device_get(jax.jit(jax.vmap(one))(*worlds, keys))
        progress.update()
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    tried = POPULATION * np.arange(1, GENERATIONS + 1)
    rows = []
    for name, share in shares.items():
        last = share if share.ndim == 1 else share[:, -1]
        mean, low, high = interval(last)
        judged = (POPULATION - 1) * GENERATIONS if "judged" in name else 0
        rows.append({"reward": name, "share": mean, "low": low, "high": high,
                     "policies trained": 1 if share.ndim == 1 else int(tried[-1]),
                     "comparisons": judged})  # fmt: skip
        if share.ndim == 1:
            axes.axhline(mean, linestyle=":", color="gray")
            axes.annotate(name, (tried[-1], mean), ha="right", va="bottom")
        else:
            band(axes, tried, share, name)
    axes.set(xlabel="policies that were trained", ylabel="share of the best return")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
