"""Offline learning from a reward that is fitted to a judge who errs (offline RL-VLM-F).

Venkataraman et al. (2024) let a vision language model compare observations of a data set without
rewards, fit a reward to its answers, label the data by it and run IQL; they report that this beats
cloning. Here the judge compares single steps of a point on a plane by their true rewards, errs with
some probability, and calls near ones equal.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from agents import AGENTS
from experiments import options
from experiments.plots import band
from experiments.reproductions.plane import (
    LANES,
    actor,
    learnt,
    logged,
    plane,
    score,
    settings,
    straight,
)
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.data import relabelled
from jaxrl.errors import require_positive
from jaxrl.rewards import (
    bradley_terry,
    indifferent,
    mistaken,
    partial_return,
    preference_fitted,
    rational,
    reward_model,
)
from jaxrl.rewards.segments import Comparisons
from jaxrl.settings import Layers
from jaxrl.types import Array, Env, Key, Transition, listed
from jaxrl.values import Ensemble

TITLE = "Share of the way from the data's return to the best one, by the judge's errors and answers"
GOAL, ERRORS, NUMBERS = (0.3, -0.4), (0.0, 0.1, 0.3, 0.5), (30, 300)
SMALL = dict(batch_size=64, hidden=(32, 32), learning_rate=1e-3)


@dataclass(frozen=True)
class Options:
    """Learn from data that a judge who errs has compared."""

    seeds: int = 5
    """Number of data sets."""
    transitions: int = 3_000
    """Number of steps in a data set."""
    steps: int = 1_500
    """Number of gradient steps of the agent."""
    out: Path = Path(".reproductions/judged")
    """Folder in which the table, the numbers and the picture are written."""


def fitted(env: Env, data: Transition, number: Array, error: Array, key: Key) -> Transition:
    """The data with rewards that are fitted to a number of comparisons of single steps."""
    k_draw, k_judge, k_fit = jax.random.split(key, 3)
    steps = listed(data)
    index = jax.random.randint(k_draw, (2, max(NUMBERS)), 0, len(steps.reward))
    first, second = (jax.tree.map(lambda x, i=i: x[i][None], steps) for i in index)
    judge = mistaken(indifferent(rational(partial_return()), partial_return(), 0.05), error)
    verdict = judge(k_judge, first, second)
    answers = Comparisons(first, second, verdict.label, verdict.weight)
    model = reward_model(env.spec, Ensemble(3, "average"), Layers((32, 32)))
    update = preference_fitted(model, bradley_terry(), optax.adamw(3e-3, weight_decay=1e-2))

    def step(state, key):
        pick = jax.random.randint(key, (64,), 0, number)
        pair = (jax.tree.map(lambda x: x[:, pick], x) for x in (answers.first, answers.second))
        one, other = pair
        batch = Comparisons(one, other, answers.label[pick], answers.weight[pick])
        return update.apply(state, batch, key)[0], None

    keys = jax.random.split(k_fit, 601)
    params = jax.lax.scan(step, update.init(keys[0], first), keys[1:])[0].params
    return relabelled(data, lambda obs, action, final: model.reward(params, obs, action))


def shares(chosen: Options, number: Array | None, error: Array, key: Key) -> Array:
    """The share [] of the way to the best by a fitted reward, or those of the references [2].

    The references are the true reward, and cloning without any.
    """
    skill = jnp.linspace(-0.2, 0.6, LANES)[:, None]
    env, k = plane(GOAL, wall=4.0), jax.random.split(key, 5)
    data = logged(env, straight(GOAL, skill, 0.5), k[0], chosen.transitions)

    def found(name: str, data: Transition, **own: Any) -> Array:
        agent = AGENTS[name].make(env.spec, settings(name, data, **SMALL | own))
        return score(env, agent.exploit, learnt(agent, data, k[3], chosen.steps), k[4])

    start, best = (
        score(env, actor(act), (), k[4]) for act in (straight(GOAL, 0.2, 0.5), straight(GOAL))
    )
    own = dict(discount=0.9, target_rate=0.02)
    if number is None:
        scores = jnp.stack([found("iql", data, **own), found("bc", data)])
    else:
        scores = found("iql", fitted(env, data, number, error, k[1]), **own)
    return (scores - start) / (best - start)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce judged", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    keys, errors = jax.random.split(jax.random.key(0), chosen.seeds), jnp.array(ERRORS)
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    rows = []
    one = partial(shares, chosen)
    run = jax.jit(jax.vmap(jax.vmap(one, (None, 0, None)), (None, None, 0)))
    for number in tqdm(NUMBERS, unit=" numbers"):
        found = np.asarray(run(number, errors, keys))  # [seeds, errors]
        band(axes, ERRORS, found, f"{number} comparisons")
        for i, error in enumerate(ERRORS):
            mean, low, high = interval(found[:, i])
            rows.append({"reward": "fitted", "comparisons": number, "errors": error,
                         "share": mean, "low": low, "high": high})  # fmt: skip
    references = jax.jit(jax.vmap(partial(shares, chosen, None, errors[0])))(keys)
    for name, column in zip(("true", "none, cloning"), np.asarray(references).T):
        mean, low, high = interval(column)
        rows.append({"reward": name, "comparisons": 0, "errors": 0.0, "share": mean, "low": low,
                     "high": high})  # fmt: skip
        axes.axhline(mean, linestyle=":", color="gray")
        axes.annotate(name, (ERRORS[-1], mean), ha="right", va="bottom")
    axes.set(xlabel="probability that the judge errs", ylabel="share of the way to the best")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    save(chosen.out, TITLE, rows, figure)
