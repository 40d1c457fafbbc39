"""Comparisons of learners by their exact regret: numbers that are chosen, curves and tables."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, optimism
from jaxrl.types import Array, Key, Tree

TUNING = 10  # seeds by which numbers are chosen
POINTS = 60  # of a curve
Measures = dict[str, Array]
SCALES = (0.1, 0.3, 1.0)  # of the widths of intervals


class Entry(NamedTuple):
    """A learner of a problem, as a function of the number that is chosen for it."""

    run: Callable[[Array, Key], Measures]
    # run: (number, key) -> regret [T] of each episode or step, and other measures [T]
    grid: tuple[float, ...] = (0.0,)  # what the number is chosen from


class Problem(NamedTuple):
    """Learners that are compared with each other."""

    name: str
    unit: str  # of time
    entries: dict[str, Entry]


def with_noise(learner: optimism.Learner, epsilon: Array) -> optimism.Learner:
    """The learner whose policies [H, S, A] take a uniform action with probability epsilon."""

    def plan(state: Tree, key: Key) -> tuple[Tree, Array]:
        state, policy = learner.plan(state, key)
        return state, (1 - epsilon) * policy + epsilon / policy.shape[-1]

    return learner._replace(plan=plan)


def even(mdp: dp.TabularMDP, horizon: int) -> Array:
    """The uniform policy [H, S, A]."""
    states, actions = mdp.transition.shape[:2]
    return jnp.full((horizon, states, actions), 1 / actions)


def learnt(
    learner: optimism.Learner,
    play: optimism.Play,
    value: Callable[[Tree], Array],
    best: Array,
    episodes: int,
    key: Key,
) -> Measures:
    """The regret of a learner in each episode."""
    measure = lambda state, policy: {"regret": best - value(policy)}
    return optimism.learn(learner, play, measure, episodes, key)[1]


def baselines(mdp: dp.TabularMDP, horizon: int, episodes: int) -> dict[str, Entry]:
    """The learners beside which others stand: uniform, greedy and UCBVI."""
    states, actions = mdp.transition.shape[:2]
    play, best = optimism.tabular_play(mdp, horizon), optimism.best_return(mdp, horizon)
    value = partial(optimism.episode_return, mdp)
    of = lambda learner, key: learnt(learner, play, value, best, episodes, key)
    greedy = optimism.planner(states, actions, partial(optimism.certain, horizon=horizon))
    hopeful = lambda scale: optimism.planner(
        states,
        actions,
        lambda counts: optimism.optimistic(counts, optimism.hoeffding(scale), horizon),
    )
    return {
        "uniform": Entry(lambda _, key: of(optimism.fixed(even(mdp, horizon)), key)),
        "greedy, epsilon": Entry(lambda e, key: of(with_noise(greedy, e), key), (0.0, 0.05, 0.2)),
        "UCBVI": Entry(lambda scale, key: of(hopeful(scale), key), SCALES),
    }


def chosen(entry: Entry, seeds: int) -> tuple[float, dict[str, np.ndarray]]:
    """The number with the least regret by the seeds for tuning, and the measures of the others."""
    members = seeds + TUNING
    keys = jax.random.split(jax.random.key(0), members)
    numbers = jnp.repeat(jnp.array(entry.grid), members)
    every = jax.jit(jax.vmap(entry.run))(numbers, jnp.tile(keys, len(entry.grid)))
    found = {k: np.asarray(x).reshape(len(entry.grid), members, -1) for k, x in every.items()}
    # A learner that breaks its constraint is worse than any that does not.
    cost = found["regret"].sum(-1)[:, :TUNING].mean(1)
    cost = cost + 1e6 * found["below"].mean((1, 2)) if "below" in found else cost
    best = int(cost.argmin())
    return entry.grid[best], {k: x[best, TUNING:] for k, x in found.items()}


def growth(regret: np.ndarray) -> float:
    """The power of time by which the mean of cumulative regrets [seeds, T] grows since T / 4."""
    total = regret.mean(0).cumsum()
    # Rewards may by luck be better than the best mean: then there is no power.
    early, late = (x if x > 0 else np.nan for x in (total[len(total) // 4 - 1], total[-1]))
    return float(np.log(late / early) / np.log(4))


def row(problem: Problem, name: str, number: float, found: dict[str, np.ndarray]) -> dict[str, Any]:
    """The line of the table for a learner."""
    regret = found["regret"]
    total, low, high = interval(regret.sum(-1))
    last = max(regret.shape[1] // 10, 1)
    return {
        "problem": problem.name,
        "learner": name,
        "number": number,
        "length": regret.shape[1],
        "regret": total,
        "low": low,
        "high": high,
        "power": growth(regret),
        "late regret": float(regret[:, -last:].mean()),
        "switches": float(found["switches"][:, -1].mean()) if "switches" in found else "",
        "below threshold": float(found["below"].mean()) if "below" in found else "",
    }


def compare(problems: Sequence[Problem], seeds: int, out: Path, title: str) -> None:
    """Run all learners of the problems, and write their table and their curves."""
    size = 5.2 * len(problems), 4.6
    figure, line = plt.subplots(1, len(problems), figsize=size, layout="constrained")
    rows = []
    with tqdm(total=sum(len(p.entries) for p in problems), unit=" learners") as bar:
        for axes, problem in zip(line, problems):
            for name, entry in problem.entries.items():
                number, found = chosen(entry, seeds)
                rows.append(row(problem, name, number, found))
                total = found["regret"].cumsum(-1)
                at = np.unique(np.geomspace(1, total.shape[1], POINTS).astype(int)) - 1
                band(axes, at + 1, np.maximum(total[:, at], 1e-3), name)
                bar.update()
            axes.set(xscale="log", yscale="log", xlabel=problem.unit, title=problem.name)
            axes.grid(alpha=0.3)
            axes.legend(frameon=False, fontsize="x-small")
    save(out, title, rows, figure)
