"""A network that obtains the return it is asked for, in a game of MinAtar (Pires et al. 2025).

A DQN with quantiles observes a stock beside Breakout's screen and minimises E|stock + return|: with
an initial stock of -3 it is asked for a return of exactly 3. One network learns this for all
stocks. The DQN beside it maximises its return. Returns are discounted, because stocks accumulate
discounted rewards.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import dqn, stocked
from experiments import options
from experiments.plots import band
from experiments.reproductions.minatar import SETTINGS
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, evaluate, stock, values
from jaxrl.errors import require_positive
from jaxrl.types import Array, Env, Key, TimeStep, Tree

TITLE = "Discounted return in MinAtar's Breakout, by the return that was asked for"
WANTED = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True)
class Options:
    """Train a stock-conditioned network on Breakout and ask it for different returns."""

    seeds: int = 3
    """Number of networks, each asked for every return."""
    steps: float = 4e5
    """Number of environment steps of each network."""
    episodes: int = 64
    """Number of episodes for each return that is asked for."""
    out: Path = Path(".reproductions/wanted")
    """Folder in which the table, the numbers and the picture are written."""


def game() -> Env:
    """Breakout with observations of bits and at most 300 steps."""
    return envs.cast_observation(envs.make("Breakout-MinAtar", max_steps_in_episode=300), jnp.bool_)


def discounted(env: Env, gamma: float) -> Env:
    """Multiply the reward after t steps by gamma**t, so that returns are discounted."""

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, now = env.init(key)
        return (state, jnp.ones(())), now

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, share = state
        state, now = env.step(state, action, key)
        return (state, share * gamma), now._replace(reward=share * now.reward)

    return env._replace(init=init, step=step)


def commanded(hp: stocked.Hyperparameters, rounds: int, episodes: int, key: Key) -> Array:
    """The returns [WANTED, episodes] of one network, for each return that is asked for."""
    limits = stocked.bounds(hp)
    begin = lambda key: jax.random.uniform(key, minval=-max(WANTED) - 1, maxval=0.0)
    setup = assemble(stocked.stocked_dqn, stock.stocked(game(), hp.discount, begin, limits), hp)
    k_train, k_play = jax.random.split(key)
    run, _ = advance(setup.experiment, setup.experiment.init(k_train), rounds)
    view = setup.agent.update.read(run.learner)

    def play(wanted: Array) -> Array:
        world = discounted(stock.stocked(game(), hp.discount, -wanted, limits), hp.discount)
        return evaluate(world, setup.agent.exploit, view, k_play, episodes).returns

    return jax.lax.map(play, jnp.array(WANTED))


def greedy(hp: dqn.Hyperparameters, rounds: int, episodes: int, key: Key) -> Array:
    """The returns [episodes] of a network that maximises its return."""
    setup = assemble(dqn.dqn, game(), hp)
    k_train, k_play = jax.random.split(key)
    run, _ = advance(setup.experiment, setup.experiment.init(k_train), rounds)
    view, world = setup.agent.update.read(run.learner), discounted(setup.env, hp.discount)
    return evaluate(world, setup.agent.exploit, view, k_play, episodes).returns


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce wanted", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, episodes=chosen.episodes)
    both: dict[str, Any] = SETTINGS | {
        "learning_rate": 5e-4,
        "critic": values.Critic("quantile", atoms=32),
    }
    hp = stocked.Hyperparameters(
        objective=values.Objective("homeostatic", 0.0), lowest_stock=-12.0, highest_stock=6.0,
        **both,
    )  # fmt: skip
    rounds = int(chosen.steps) // (hp.collection.num_envs * hp.collection.rollout_length)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    run = partial(commanded, hp, rounds, chosen.episodes)
    print(f"{chosen.seeds} networks learn to obtain the return that they are asked for ...")
    found = np.asarray(jax.jit(jax.vmap(run))(keys))  # [seeds, WANTED, episodes]
    print("and as many learn to maximise their return ...")
    run = partial(greedy, dqn.Hyperparameters(**both), rounds, chosen.episodes)
    most = np.asarray(jax.jit(jax.vmap(run))(keys))
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    axes.plot(WANTED, WANTED, color="black", linewidth=0.8, linestyle=":", label="as asked for")
    band(axes, WANTED, found.mean(-1), "one network, commanded", marker="o")
    axes.axhline(most.mean(), color="C1", label="DQN, which maximises its return")
    axes.set(xlabel="return asked for", ylabel="return")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    rows = []
    for wanted, returns in zip(WANTED, np.moveaxis(found, 1, 0)):
        mean, low, high = interval(returns.mean(-1))
        rows.append(
            {"asked for": wanted, "return": mean, "low": low, "high": high,
             "deviation in an episode": float(np.abs(returns - wanted).mean()),
             "of DQN": float(np.abs(most - wanted).mean())}
        )  # fmt: skip
    save(chosen.out, TITLE, rows, figure)
