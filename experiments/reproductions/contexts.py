"""Policies by the context of what is preferred, without a reward, beside rewards that are fitted.

Kang et al. (2023) learn contexts of segments, and the one that is preferred, and report that acting
under it beats offline learning from rewards, true ones included (OPPO). The data of a point on a
plane are of four kinds of lanes, each of which goes to another corner, with noise and half of the
possible speed; whole episodes are compared by their returns for one of these corners, or for a
place between two of them, to which no lane goes.
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
from experiments.reproductions.plane import (
    LANES,
    STEPS,
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
    hindsight_learner,
    hindsight_model,
    partial_return,
    preference_fitted,
    rational,
    reward_model,
    wanted_actor,
)
from jaxrl.rewards.segments import Comparisons
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Transition, Update
from jaxrl.values import Ensemble

TITLE = (
    "Share of the way from the data's return to the best one, by what is learnt from comparisons"
)
CORNERS = 0.8 * np.array([(1.0, 1.0), (1.0, -1.0), (-1.0, -1.0), (-1.0, 1.0)])
GOALS = {"a corner of the data": (0.8, 0.8), "between two of them": (0.8, 0.0)}
WAYS = ("OPPO", "IQL, fitted reward", "IQL, true reward", "cloning")
PAIRS, LAYERS = 300, Layers((32, 32))


@dataclass(frozen=True)
class Options:
    """Learn from comparisons of whole episodes, with and without a reward."""

    seeds: int = 6
    """Number of data sets."""
    steps: int = 1_500
    """Number of gradient steps of each learner."""
    out: Path = Path(".reproductions/contexts")
    """Folder in which the table, the numbers and the picture are written."""


def batches(update: Update, answers: Comparisons, key: Key, steps: int, size: int) -> Any:
    """The state of an update after some steps on random comparisons."""
    keys = jax.random.split(key, steps + 1)

    def step(state, key):
        pick = jax.random.randint(key, (size,), 0, PAIRS)
        first, second = (
            jax.tree.map(lambda x: x[:, pick], x) for x in (answers.first, answers.second)
        )
        batch = Comparisons(first, second, answers.label[pick], answers.weight[pick])
        return update.apply(state, batch, key)[0], None

    return jax.lax.scan(step, update.init(keys[0], answers.first), keys[1:])[0]


def shares(chosen: Options, goal: Array, key: Key) -> Array:
    """The shares [ways] of the way to the best."""
    k = jax.random.split(key, 7)
    env = plane(goal, wall=4.0)
    aim = jnp.asarray(CORNERS)[jnp.arange(LANES) % 4]
    data = logged(env, straight(aim, 0.5, 0.3), k[0], 12 * STEPS * LANES)
    episodes = jax.tree.map(
        lambda x: jnp.moveaxis(x.reshape(-1, STEPS, *x.shape[1:]), 0, 1).reshape(
            STEPS, -1, *x.shape[2:]
        ),
        data,
    )
    index = jax.random.randint(k[1], (2, PAIRS), 0, episodes.reward.shape[1])
    first, second = (jax.tree.map(lambda x, i=i: x[:, i], episodes) for i in index)
    verdict = rational(partial_return())(k[2], first, second)
    answers = Comparisons(first, second, verdict.label, verdict.weight)
    contexts = hindsight_model(env.spec, 4, LAYERS)
    learner = hindsight_learner(contexts, optax.adam(1e-3))
    state = batches(learner, answers, k[3], chosen.steps, 16)
    rewards = reward_model(env.spec, Ensemble(3, "average"), LAYERS)
    fit = preference_fitted(rewards, bradley_terry(), optax.adamw(3e-3, weight_decay=1e-2))
    params = batches(fit, answers, k[4], 400, 16).params
    told = relabelled(data, lambda obs, action, final: rewards.reward(params, obs, action))
    small = dict(batch_size=64, hidden=(32, 32), learning_rate=1e-3)

    def found(name: str, data: Transition, **own: Any) -> Array:
        agent = AGENTS[name].make(env.spec, settings(name, data, **small | own))
        return score(env, agent.exploit, learnt(agent, data, k[5], chosen.steps), k[6])

    own = dict(discount=0.9, target_rate=0.02)
    scores = jnp.stack([
        score(env, wanted_actor(contexts), state, k[6]),
        *(found("iql", x, **own) for x in (told, data)),
        found("bc", data),
    ])  # fmt: skip
    start = episodes.reward.sum(0).mean()
    best = score(env, actor(straight(goal)), (), k[6])
    return (scores - start) / (best - start)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce contexts", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    run = jax.jit(jax.vmap(partial(shares, chosen), (None, 0)))
    figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained", sharey=True)
    rows = []
    for axes, (name, goal) in zip(panels, tqdm(GOALS.items(), unit=" goals")):
        found = np.asarray(run(jnp.array(goal), keys))  # [seeds, ways]
        axes.boxplot(found, tick_labels=["OPPO", "IQL,\nfitted", "IQL,\ntrue", "cloning"],
                     whis=(0, 100))  # fmt: skip
        axes.set(title=f"preferred: {name}")
        axes.grid(alpha=0.3, axis="y")
        for way, column in zip(WAYS, found.T):
            mean, low, high = interval(column)
            rows.append({"preferred": name, "learner": way, "share": mean, "low": low,
                         "high": high})  # fmt: skip
    panels[0].set_ylabel("share of the way to the best")
    save(chosen.out, TITLE, rows, figure)
