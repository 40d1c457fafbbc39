"""The effective horizon as a predictor of the steps that deep agents need (Laidlaw et al. 2024).

In random mazes with pits and slippery floors, the effective horizon is the number of optimal
backups of the random policy's action values after which acting greedily is optimal, computed
exactly from the table. DQN and PPO learn the same mazes in one vmapped program, and their greedy
policies are evaluated exactly. The claim is a rank correlation between the two.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import spearmanr

import envs
from agents import dqn, ppo
from envs.mdps import move
from experiments import options
from experiments.reproductions.report import save
from jaxrl import advance, assemble, dp, values
from jaxrl.environments import time_limit
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Effective horizon of random mazes, and the steps that agents need to solve them"
SIDE, HORIZON, SOLVED = 5, 20, 0.9
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
DEPTH = 12  # larger effective horizons are counted as 13
AGENTS: dict[str, tuple[Callable[..., Any], Any]] = {
    "dqn": (
        dqn.dqn,
        dqn.Hyperparameters(
            num_envs=4, rollout_length=4, updates=4, buffer_size=20_000, epsilon_updates=5_000.0,
            learning_rate=5e-4, target_period=1, target_rate=0.01, warmup=512,
        ),
    ),
    "ppo": (ppo.ppo, ppo.Hyperparameters(num_envs=16, rollout_length=32)),
}  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Compare the effective horizon of mazes with the steps that DQN and PPO need."""

    mazes: int = 32
    """Number of random mazes, of 5 x 5 cells and with episodes of 20 steps."""
    seeds: int = 3
    """Number of training runs in each maze."""
    steps: int = 100_000
    """Number of environment steps of each run."""
    checks: int = 40
    """Number of times at which the greedy policy is evaluated during training."""
    out: Path = Path(".reproductions/horizon")
    """Folder in which the table, the numbers and the picture are written."""


def maze(seed: int) -> dp.TabularMDP:
    """A maze with a goal of reward 1, a decoy of 0.2 and pits of 0, all of which terminate.

    Episodes begin in a corner. Moves slip sideways with probability 0, 0.1 or 0.3.
    """
    rng = np.random.default_rng(seed)
    cells = SIDE * SIDE
    slip = rng.choice([0.0, 0.1, 0.3])
    others = 1 + rng.permutation(cells - 1)
    pits = set(others[2 : 2 + rng.integers(0, 8)].tolist())
    goal, decoy = (int(x) for x in others[:2])
    p, r, d = np.zeros((cells, 4, cells)), np.zeros((cells, 4, cells)), np.ones((cells, 4, cells))
    for cell in range(cells):
        for action in range(4):
            for turn, chance in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
                down, right = MOVES[(action + turn) % 4]
                p[cell, action, move(cell, down, right, SIDE, SIDE)] += chance
    r[..., goal], r[..., decoy] = 1.0, 0.2
    d[..., [goal, decoy, *pits]] = 0.0
    return dp.from_arrays(p, r, d, np.eye(cells)[0])


def exact_return(mdp: dp.TabularMDP, action: Array) -> Array:
    """The exact return [] of an episode with actions [S]."""
    policy = jax.nn.one_hot(action, mdp.transition.shape[1])
    select = partial(values.expected, probabilities=policy)
    q = dp.finite_horizon(mdp, HORIZON, select=select)
    return mdp.initial @ (policy * q[0]).sum(-1)


def learnt(
    make: Callable[..., Any], hp: Any, chosen: Options, mdp: dp.TabularMDP, key: Key
) -> Array:
    """The returns [checks] of the greedy policy during training."""
    env = time_limit(envs.from_mdp(mdp), HORIZON)
    setup = assemble(make, env, hp)
    states = mdp.transition.shape[0]
    every = chosen.steps // (chosen.checks * hp.collection.num_envs * hp.collection.rollout_length)

    def check(run: Any, _: None) -> tuple[Any, Array]:
        run, _ = advance(setup.experiment, run, every)
        view, memory = setup.agent.update.read(run.learner), setup.agent.exploit.init(states)
        action, _, _ = setup.agent.exploit.step(view, memory, jnp.eye(states), key)
        return run, exact_return(mdp, action)

    return jax.lax.scan(check, setup.experiment.init(key), None, chosen.checks)[1]


def needed(returns: np.ndarray, random: np.ndarray, best: np.ndarray, steps: int) -> np.ndarray:
    """Steps [mazes] until the mean over seeds of returns [mazes, seeds, checks] stays solved."""
    enough = random + SOLVED * (best - random)
    solved = returns.mean(1) >= enough[:, None]
    stays = np.flip(np.logical_and.accumulate(np.flip(solved, 1), 1), 1)
    first = np.where(stays.any(1), stays.argmax(1) + 1, np.inf)
    return first * steps / returns.shape[-1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce horizon", Options, arguments)
    require_positive(mazes=chosen.mazes, seeds=chosen.seeds, checks=chosen.checks)
    require_positive(steps=chosen.steps // chosen.checks)
    mdps = dp.stacked(maze(seed) for seed in range(chosen.mazes))
    effective = jax.jit(jax.vmap(partial(dp.effective_horizon, horizon=HORIZON, depth=DEPTH)))(mdps)
    k, best, random = (np.asarray(x) for x in (effective.k, effective.optimal, effective.random))
    rows = [
        {"maze": i, "effective horizon": int(k[i]), "optimal": float(best[i]),
         "random": float(random[i])} for i in range(chosen.mazes)
    ]  # fmt: skip
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    jitter = np.random.default_rng(0).uniform(-0.15, 0.15, chosen.mazes)
    summary = []
    for name, (make, hp) in AGENTS.items():
        print(f"{name} learns {chosen.mazes} mazes with {chosen.seeds} seeds ...")
        keys = jax.random.split(jax.random.key(0), (chosen.mazes, chosen.seeds))
        train = jax.vmap(partial(learnt, make, hp, chosen), (None, 0))
        returns = np.asarray(jax.jit(jax.vmap(train))(mdps, keys))
        steps = needed(returns, random, best, chosen.steps)
        shown = np.where(np.isfinite(steps), steps, 2 * chosen.steps)
        correlation, chance = (float(x) for x in spearmanr(k, shown))
        summary.append(f"{name}: {correlation:.2f} (p = {chance:.1g})")
        axes.scatter(
            k + jitter, shown, alpha=0.6, label=f"{name}, rank correlation {correlation:.2f}"
        )
        for row, value in zip(rows, steps):
            row[f"{name} steps"] = float(value)
    axes.set(xlabel="effective horizon", ylabel="steps to solve (top: never)", yscale="log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, f"{TITLE}. Rank correlations: {', '.join(summary)}.", rows, figure)
