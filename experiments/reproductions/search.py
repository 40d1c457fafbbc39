"""Tree search in a learnt model and in the simulator, on two small games.

Gumbel MuZero (Danihelka et al. 2022) searches in a model that it learnt, and AlphaZero (Silver et
al. 2018) in the game itself. With one simulation, AlphaZero's search is the first choice of its
network; the benefit of more simulations is measured after little training.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import AGENTS
from experiments import options
from experiments.plots import band
from experiments.reproductions.curves import Trial, final, learn
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, make_train
from jaxrl.errors import require_positive
from jaxrl.evaluation import evaluate
from jaxrl.loop import assemble
from jaxrl.types import Array, Key

TITLE = "Final returns of Gumbel MuZero, and returns of AlphaZero's search after little training"
GAMES = ("Catch-bsuite", "gridworld")
SIMULATIONS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Options:
    """Train Gumbel MuZero and AlphaZero on small games."""

    seeds: int = 5
    """Number of seeds of each run."""
    steps: float = 2.5e5
    """Number of environment steps of Gumbel MuZero."""
    little: float = 4096
    """Number of environment steps of AlphaZero."""
    out: Path = Path(".reproductions/search")
    """Folder in which the table, the numbers and the picture are written."""


def best(name: str) -> float:
    """The optimal return: every ball is caught, or the shortest path on slippery ground."""
    if name == "Catch-bsuite":
        return 1.0
    mdp = envs.tabular_mdp(name)
    return float(mdp.initial @ dp.value_iteration(mdp, 1.0).theta.max(-1))


def searched(name: str, steps: float, seeds: int) -> np.ndarray:
    """The returns [seeds, simulations] of one AlphaZero network with more and more search."""
    entry = AGENTS["alphazero"]
    env = entry.world(envs.make(name), entry.defaults)
    train = make_train(entry.maker(env), env, entry.defaults, steps, evaluations=1)

    def scores(key: Key) -> list[Array]:
        learner = train(key).run.learner
        found = []
        for number in SIMULATIONS:
            hp = entry.defaults.replace(simulations=number)
            agent = assemble(entry.maker(env), env, hp).agent
            view = agent.update.read(learner)
            found.append(evaluate(env, agent.exploit, view, key, 32, 200).returns.mean())
        return found

    keys = jax.random.split(jax.random.key(0), seeds)
    return np.stack([np.asarray(x) for x in jax.jit(jax.vmap(scores))(keys)], 1)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce search", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, little=chosen.little)
    entry = AGENTS["gumbel-muzero"]
    trials = {
        name: Trial(entry.make, envs.make(name), entry.defaults, chosen.steps, 25) for name in GAMES
    }
    curves, rows = learn(trials, chosen.seeds, episodes=32), []
    figure, parts = plt.subplots(2, 2, figsize=(10, 7), layout="constrained")
    for name, (left, right) in zip(GAMES, parts):
        optimum = best(name)
        band(left, curves[name].steps, curves[name].returns, "Gumbel MuZero")
        mean, low, high = final(curves[name])
        rows.append({"game": name, "agent": "gumbel-muzero", "simulations": 16, "return": mean,
                     "low": low, "high": high, "best": optimum})  # fmt: skip
        returns = searched(name, chosen.little, chosen.seeds)
        for i, number in enumerate(SIMULATIONS):
            mean, low, high = interval(returns[:, i])
            rows.append({"game": name, "agent": "alphazero", "simulations": number, "return": mean,
                         "low": low, "high": high, "best": optimum})  # fmt: skip
        band(right, np.array(SIMULATIONS), returns, "AlphaZero", marker="o")
        right.set(xscale="log", xlabel="simulations for a move", title=f"{name}, little training")
        left.set(xlabel="environment steps", ylabel="return", title=f"{name}, learnt model")
        for axes in (left, right):
            axes.axhline(optimum, color="black", linewidth=0.8, linestyle=":")
            axes.legend(frameon=False)
            axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
