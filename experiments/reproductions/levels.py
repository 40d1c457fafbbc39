"""Offline learning in mazes that are new at test time: more levels, or more steps.

Steps of a good but noisy policy in a number of mazes are learnt from by cloning and by offline
Q-learning, which then act in mazes that were not seen. The claims of Mediratta et al. (2024), "The
generalization gap in offline reinforcement learning", https://arxiv.org/abs/2312.05742, are that
the number of levels helps and the number of steps in the same levels does not, and that cloning is
the best.
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

import envs
from agents import AGENTS
from experiments import options
from experiments.reproductions.plane import LANES, learnt, settings
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import evaluate, rollout
from jaxrl.errors import require_positive
from jaxrl.types import Array, Env, Key, Transition, memoryless

TITLE = "Share of mazes that are solved, in the levels of the data and in new ones"
SIZE, LIMIT, NOISE = 4, 24, 0.1
MOST = 8_000  # steps
SETTINGS = ((1, MOST), (10, MOST), (100, MOST), (1_000, MOST), (100, 500), (100, 2_000))
TRIED = ("bc", "discrete-cql", "discrete-bcq")
SMALL: dict[str, Any] = dict(batch_size=64, hidden=(64, 64), learning_rate=1e-3)
OWN = dict(discount=0.95, target_rate=0.02, target_period=1)


@dataclass(frozen=True)
class Options:
    """Learn from steps in a number of mazes, and act in others."""

    seeds: int = 3
    """Number of data sets."""
    steps: int = 1_500
    """Number of gradient steps."""
    episodes: int = 128
    """Number of mazes that are tried, known and new ones each."""
    out: Path = Path(".reproductions/levels")
    """Folder in which the table, the numbers and the picture are written."""


def towards(obs: Array) -> Array:
    """The action [] that goes the shortest way to the goal, by dynamic programming over cells."""
    cells = SIZE * SIZE
    north, west, place, goal = (x.reshape(SIZE, SIZE) for x in jnp.split(obs, 4))
    far = jnp.full((SIZE, SIZE), 1e3)

    def around(away: Array) -> Array:
        """The distances [4, N, N] of the cells that can be entered by each action."""
        up = jnp.where(north, jnp.roll(away, 1, 0), far)
        left = jnp.where(west, jnp.roll(away, 1, 1), far)
        down = jnp.where(jnp.roll(north, -1, 0), jnp.roll(away, -1, 0), far)
        right = jnp.where(jnp.roll(west, -1, 1), jnp.roll(away, -1, 1), far)
        return jnp.stack([up, right, down, left])

    step = lambda _, away: jnp.where(goal, 0.0, jnp.minimum(away, 1 + around(away).min(0)))
    away = jax.lax.fori_loop(0, cells, step, jnp.where(goal, 0.0, far))
    return jnp.where(place, around(away), 0.0).sum((1, 2)).argmin().astype(jnp.int32)


def within(env: Env, levels: Key, number: Array) -> Env:
    """The environment in the first `number` of the levels, the keys [N] of initial states."""

    def init(key: Key) -> tuple:
        return env.init(levels[jax.random.randint(key, (), 0, number)])

    return env._replace(init=init)


def solved(name: str, chosen: Options, setting: Array, key: Key) -> Array:
    """The shares [2] of known and of new mazes that are solved in time, for (levels, steps)."""
    k_levels, k_start, k_run, k_learn, k_known, k_new = jax.random.split(key, 6)
    maze = envs.time_limit(envs.make("ProcMaze", size=SIZE), LIMIT)
    known = within(maze, jax.random.split(k_levels, 1_000), setting[0])

    def act(view: tuple, obs: Array, key: Key) -> tuple[Array, tuple]:
        k_which, k_random = jax.random.split(key)
        best = jax.vmap(towards)(obs)
        drawn = jax.random.randint(k_random, best.shape, 0, 4)
        noisy = jax.random.uniform(k_which, best.shape) < NOISE
        return jnp.where(noisy, drawn, best), ()

    lanes = envs.auto_reset(envs.vectorize(known, LANES))
    start = (*lanes.init(k_start), ())
    every: Transition = rollout(lanes, memoryless(act), (), start, k_run, MOST // LANES)[1]
    # The first of them, again and again, so that all data sets have one shape.
    again = jnp.arange(MOST // LANES) % (setting[1] // LANES)
    data = jax.tree.map(lambda x: x[again], every)
    own = SMALL | (OWN if name != "bc" else {})
    agent = AGENTS[name].make(maze.spec, settings(name, data, **own))
    view = learnt(agent, data, k_learn, chosen.steps)

    def share(env: Env, key: Key) -> Array:
        played = evaluate(env, agent.exploit, view, key, chosen.episodes)
        return (played.lengths < LIMIT).mean()

    return jnp.stack([share(known, k_known), share(maze, k_new)])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce levels", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, episodes=chosen.episodes)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    rows, new, tried = [], {}, jnp.array(SETTINGS)
    for name in tqdm(TRIED, unit=" agents"):
        run = jax.jit(jax.vmap(jax.vmap(partial(solved, name, chosen), (None, 0)), (0, None)))
        found = np.asarray(run(tried, keys))  # [settings, seeds, 2]
        for (levels, number), shares in zip(SETTINGS, found):
            mean, low, high = interval(shares[:, 1])
            new[name, levels, number] = mean, low, high
            rows.append(
                {"agent": name, "levels": levels, "steps": number,
                 "known": float(shares[:, 0].mean()), "new": mean, "low": low, "high": high}
            )  # fmt: skip
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    for which, axes in enumerate(panels):
        by = [s for s in SETTINGS if (s[1] == MOST if which == 0 else s[0] == 100)]
        by = sorted(by, key=lambda s: s[which])
        x = [s[which] for s in by]
        for name in TRIED:
            mean, low, high = np.array([new[name, *s] for s in by]).T
            (line,) = axes.plot(x, mean, marker="o", label=name)
            axes.fill_between(x, low, high, alpha=0.2, color=line.get_color(), linewidth=0)
        axes.set(xscale="log", xlabel=(f"levels, of {MOST} steps", "steps, of 100 levels")[which])
        axes.set_xticks(x, [str(number) for number in x])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of new mazes that are solved")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
