"""DQN on bits to be flipped, by what transitions are learnt from as: their goals, or hindsight.

Andrychowicz et al. (2017) report that learning from what was reached instead solves many more bits
than learning from the goals that were pursued. Each way has the same steps, network, batches and
learning rate, and none is tuned.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import dqn
from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, evaluate
from jaxrl.errors import require_positive
from jaxrl.goals import Hindsight, hindsighted
from jaxrl.types import Array, Key

TITLE = "Share of goals that are reached by the greedy policy, by the number of bits"
BITS = (4, 8, 12)
RATE = 2e-3
WAYS = {
    "the goal that was pursued": Hindsight(future=0.0),
    "the end of the episode": Hindsight(future=0.0, final=0.8),
    "a later step of the episode": Hindsight(future=0.8),
}


@dataclass(frozen=True)
class Options:
    """Learn to flip bits with and without hindsight."""

    seeds: int = 5
    """Number of seeds of each way."""
    rounds: int = 50
    """Rounds of 64 environment steps and 8 gradient steps."""
    out: Path = Path(".reproductions/hindsight")
    """Folder in which the table, the numbers and the picture are written."""


def success(bits: int, rounds: int, shares: tuple[Array, ...], key: Key) -> Array:
    """The share of goals that are reached, for the shares of hindsight."""
    env = envs.make("bit-flips", bits=bits, max_steps_in_episode=bits)
    hp = dqn.Hyperparameters(
        hidden=(64,), learning_rate=RATE, discount=0.98, epsilon=0.1, epsilon_updates=300.0,
        target_rate=0.05, target_period=1, num_envs=16, rollout_length=4, updates=8,
        batch_size=64, buffer_size=8_192, warmup=1_024,
    )  # fmt: skip
    how = Hindsight(*shares, horizon=bits)
    setup = assemble(hindsighted(dqn.dqn, how), env, hp)
    k_run, k_play = jax.random.split(key)
    run, _ = advance(setup.experiment, setup.experiment.init(k_run), rounds)
    view = setup.agent.update.read(run.learner)
    return evaluate(setup.env, setup.agent.exploit, view, k_play, 64).success.mean()


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce hindsight", Options, arguments)
    require_positive(seeds=chosen.seeds, rounds=chosen.rounds)
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    rows, found = [], {}
    for bits in tqdm(BITS, unit=" bits"):
        shares = [(how.future, how.final, how.random, how.current) for how in WAYS.values()]
        every = jnp.array(shares).T
        keys = jax.random.split(jax.random.key(0), chosen.seeds)
        run = jax.vmap(partial(success, bits, chosen.rounds), (None, 0))
        scores = jax.jit(jax.vmap(run, (0, None)))(tuple(every), keys)
        for way, of_seeds in zip(WAYS, np.asarray(scores)):
            found[bits, way] = mean, low, high = interval(of_seeds)
            rows.append({"bits": bits, "learnt from": way, "reached": mean, "low": low,
                         "high": high})  # fmt: skip
    for way in WAYS:
        mean, low, high = np.array([found[bits, way] for bits in BITS]).T
        axes.errorbar(BITS, mean, (mean - low, high - mean), marker="o", capsize=3, label=way)
    axes.set(
        xlabel="bits", ylabel="share of goals that are reached", xticks=BITS, ylim=(-0.05, 1.05)
    )
    axes.grid(alpha=0.3)
    axes.legend(title="learnt from as if the goal were")
    save(chosen.out, TITLE, rows, figure)
