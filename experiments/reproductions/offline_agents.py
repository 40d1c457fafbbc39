"""Ten offline agents on four data sets of our own.

A pendulum is to be swung up, and a point on a plane to reach a goal. The data are either mixed, of
a rule that does it in a quarter of the episodes and of actions that do not in the others, or
mediocre, of a weak and noisy version of the rule. All agents have the same networks, batches and
numbers of gradient steps, and rewards are divided by their standard deviation in the data. One
number of each agent was chosen from three for each data set, on other data sets of that kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import envs
from agents import AGENTS
from experiments import compare, options, statistics
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.plane import (
    Act,
    actor,
    learnt,
    logged,
    plane,
    score,
    settings,
    straight,
)
from experiments.reproductions.report import save
from experiments.statistics import bootstrap
from jaxrl.errors import require_positive
from jaxrl.loop import fitted
from jaxrl.types import Array, Env, Key, Transition
from jaxrl.values import Ensemble

TITLE = "Scores of offline agents, from 0 of random actions to 1 of the rule"
GOAL, ASTRAY, EPISODES = (0.3, -0.4), (-0.8, 0.8), 32
SMALL: dict[str, Any] = dict(
    batch_size=64, hidden=(64, 64), learning_rate=1e-3, normalise_observations=True,
)  # fmt: skip


class Tried(NamedTuple):
    """An agent, the number that is chosen for it, and what is not as it is by default."""

    agent: str
    number: str
    grid: tuple[float, float, float]
    own: Mapping[str, Any] = MappingProxyType({})


RATES = (3e-4, 1e-3, 3e-3)
TRIED = {
    "cloning": Tried("bc", "learning_rate", RATES),
    "cloning of the best 20 %": Tried("bc", "learning_rate", RATES, dict(best_share=0.2)),
    "TD3+BC": Tried("td3-bc", "value_weight", (0.5, 2.5, 10.0)),
    "AWAC": Tried("awac", "temperature", (0.3, 1.0, 3.0)),
    "IQL": Tried("iql", "inverse_temperature", (1.0, 3.0, 10.0)),
    "CQL": Tried("cql", "conservatism", (0.3, 1.0, 5.0), dict(actor_learning_rate=1e-3)),
    "EDAC": Tried("edac", "diversity", (0.0, 0.5, 5.0), dict(ensemble=Ensemble(5))),
    "ReBRAC": Tried("rebrac", "actor_penalty", (0.01, 0.1, 1.0)),
    "FQL": Tried("fql", "distillation", (1.0, 10.0, 100.0)),
    "BCQ": Tried("bcq", "perturbation", (0.05, 0.2, 0.5), dict(generator_hidden=(64, 64))),
}


@dataclass(frozen=True)
class Options:
    """Learn from four data sets with ten agents."""

    seeds: int = 5
    """Number of data sets of each kind; as many others choose a number of each agent."""
    transitions: int = 8_000
    """Number of steps in a data set."""
    steps: int = 3_000
    """Number of gradient steps."""
    out: Path = Path(".reproductions/offline-agents")
    """Folder in which the table, the numbers and the picture are written."""


def swing(obs: Array) -> Array:
    """Actions [B, 1] that bring a pendulum's energy to that of standing, and then hold it there."""
    cosine, sine, speed = obs[:, 0], obs[:, 1], obs[:, 2]
    energy = 0.5 * speed**2 + 15 * (cosine - 1)
    pump = jnp.where(energy < 0, 1.0, -1.0) * jnp.where(speed < 0, -1.0, 1.0)
    hold = -(8 * sine + 2.5 * speed) / 2
    near = (cosine > 0.95) & (jnp.abs(speed) < 2.5)
    return jnp.clip(jnp.where(near, hold, pump), -1.0, 1.0)[:, None]


class World(NamedTuple):
    """An environment, the rule for acting in it, and the horizon in which agents plan."""

    env: Env  # with actions in [-1, 1]
    best: Act
    discount: float


def world(name: str) -> World:
    """The world of a name."""
    if name == "plane":
        return World(plane(GOAL), straight(GOAL), 0.9)
    return World(fitted(envs.make("Pendulum-v1")), lambda obs, key: swing(obs), 0.98)


WORLDS, KINDS = ("pendulum", "plane"), ("mixed", "mediocre")


def acting(name: str, kind: str) -> Act:
    """The rule for acting that a kind of data is of."""
    best, astray = world(name).best, straight(ASTRAY)

    def act(obs: Array, key: Key) -> Array:
        well = best(obs, key)
        drawn = jax.random.uniform(key, well.shape, minval=-1.0)
        if kind == "mediocre":
            return jnp.clip(0.3 * well + drawn, -1.0, 1.0)
        other = astray(obs, key) if name == "plane" else drawn
        well = jnp.where(jnp.arange(len(obs))[:, None] % 4 == 0, well, other)
        return jnp.clip(well + 0.1 * drawn, -1.0, 1.0)

    return act


def chance(env: Env) -> Act:
    """Random actions."""
    shape = env.spec.action.low.shape
    return lambda obs, key: jax.random.uniform(key, (len(obs), *shape), minval=-1.0)


def scores(method: str, name: str, chosen: Options, number: Array, key: Key) -> Array:
    """The scores [kinds] of an agent in a world."""
    tried, (env, best, discount) = TRIED[method], world(name)
    k_data, k_learn, k_play = jax.random.split(key, 3)
    sets = [logged(env, acting(name, kind), k_data, chosen.transitions) for kind in KINDS]
    more = {} if tried.agent == "bc" else dict(discount=discount, target_rate=0.005)
    hp = settings(tried.agent, sets[0], **SMALL | more | dict(tried.own) | {tried.number: number})
    agent = AGENTS[tried.agent].make(env.spec, hp)
    low, high = (score(env, actor(act), (), k_play, EPISODES) for act in (chance(env), best))

    def one(data: Transition) -> Array:
        data = data._replace(reward=data.reward / (data.reward.std() + 1e-6))
        view = learnt(agent, data, k_learn, chosen.steps)
        return (score(env, agent.exploit, view, k_play, EPISODES) - low) / (high - low)

    return jax.vmap(one)(jax.tree.map(lambda *x: jnp.stack(x), *sets))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce offline-agents", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    rows, found = [], {}
    tasks = [f"{name}, {kind}" for name in WORLDS for kind in KINDS]
    for method, tried in tqdm(TRIED.items(), unit=" agents"):
        row: dict[str, Any] = {"agent": method}
        columns = []
        for name in WORLDS:
            every = scored(partial(scores, method, name, chosen), tried.grid, chosen.seeds)
            columns += [tuned(every[..., kind]) for kind in range(len(KINDS))]
        of = np.stack([column for _, column in columns], -1)  # [seeds, tasks]
        for task, (point, column) in zip(tasks, columns):
            row[task] = f"{column.mean():.2f} ({tried.grid[point]:g})"
        iqm, low, high = bootstrap(statistics.interquartile_mean, of)
        row |= {"interquartile mean": float(iqm), "low": float(low), "high": float(high)}
        gap = float(statistics.optimality_gap(jnp.asarray(of)))
        rows.append(row | {"optimality gap": gap})
        found[method] = compare.Score(of, np.arange(len(of)))
    figure = compare.picture(compare.Comparison(found, tasks, True, False))
    save(chosen.out, TITLE, rows, figure)
