"""What algorithms get from data sets of different quality and coverage.

Data sets of five regimes are collected on a lake of ice and in a gridworld by exact optimal
policies with different shares of random actions. Each has a trajectory quality TQ, the mean score
of the policies that took its steps, between random and optimal actions, and a coverage SACo, its
number of distinct pairs of state and action beside that of the regime replay. The claims of
Schweighofer et al. (2022) are that cloning depends on TQ, algorithms without a constraint on SACo,
and constrained ones on both.
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
from agents import AGENTS
from experiments import options
from experiments.reproductions.plane import LANES, learnt, logged, settings
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.data import coverage
from jaxrl.errors import require, require_positive
from jaxrl.types import Array, Env, Key, Transition

TITLE = "Rank correlation of the returns of algorithms with the quality and coverage of their data"
GAMMA, LIMIT = 0.95, 50
WORLDS: dict[str, dict[str, Any]] = {
    "FrozenLake": dict(is_slippery=True),
    "gridworld": dict(rows=4, columns=4, slip=0.1),
}
REGIMES: dict[str, dict[float, float]] = {  # shares of the steps, by the share of random actions
    "random": {1.0: 1.0},
    "mixed": {1.0: 0.8, 0.0: 0.2},
    "replay": {1.0: 0.2, 0.75: 0.2, 0.5: 0.2, 0.25: 0.2, 0.0: 0.2},
    "noisy": {0.2: 1.0},
    "expert": {0.0: 1.0},
}
TRIED = ("bc", "dqn", "qr-dqn", "discrete-cql", "discrete-bcq")
SMALL = dict(
    batch_size=64, hidden=(32, 32), learning_rate=1e-3, discount=GAMMA, target_rate=0.02,
    target_period=1,
)  # fmt: skip


SHARED = ("batch_size", "hidden", "learning_rate")  # settings that cloning has too


@dataclass(frozen=True)
class Options:
    """Learn from data sets of several regimes."""

    seeds: int = 3
    """Number of data sets of each regime."""
    transitions: int = 2_000
    """Number of steps in a data set."""
    steps: int = 1_000
    """Number of gradient steps."""
    out: Path = Path(".reproductions/data-quality")
    """Folder in which the table, the numbers and the picture are written."""


def collected(env: Env, q: Array, key: Key, chosen: Options) -> list[Transition]:
    """A data set of each regime, by random actions with some probability and else optimal ones."""

    def of(epsilon: float, key: Key, number: int) -> Transition:
        def act(obs: Array, key: Key) -> Array:
            k_which, k_random = jax.random.split(key)
            best = (obs @ q).argmax(-1).astype(jnp.int32)
            drawn = jax.random.randint(k_random, best.shape, 0, q.shape[-1])
            return jnp.where(jax.random.uniform(k_which, best.shape) < epsilon, drawn, best)

        data = logged(env, act, key, number)
        return data._replace(last=data.last.at[-1].set(True))  # another part follows

    sets = []
    for parts in REGIMES.values():
        key, *keys = jax.random.split(key, 1 + len(parts))
        logs = [of(e, k, round(share * chosen.transitions))
                for (e, share), k in zip(parts.items(), keys)]  # fmt: skip
        sets.append(jax.tree.map(lambda *x: jnp.concatenate(x), *logs))
    return sets


def worth(mdp: dp.TabularMDP, policy: Array) -> Array:
    """The exact discounted return [] of a policy [S, A]."""
    return mdp.initial @ (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)


def scores(chosen: Options, mdp: dp.TabularMDP, key: Key) -> Array:
    """The scores of each algorithm, and TQ and SACo of the data: [algorithms + 2, regimes]."""
    states, actions = mdp.transition.shape[:2]
    env = envs.time_limit(envs.from_mdp(mdp), LIMIT)
    q = dp.value_iteration(mdp, GAMMA).theta
    k_data, k_learn, k_act = jax.random.split(key, 3)
    sets = collected(env, q, k_data, chosen)
    ends = (
        worth(mdp, jnp.full((states, actions), 1 / actions)),
        worth(mdp, jax.nn.one_hot(q.argmax(-1), actions)),
    )
    score = lambda policy: (worth(mdp, policy) - ends[0]) / (ends[1] - ends[0])
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *sets)

    def learning(name: str, data: Transition) -> Array:
        known = {k: v for k, v in SMALL.items() if name != "bc" or k in SHARED}
        agent = AGENTS[name].make(env.spec, settings(name, sets[0], **known))
        view = learnt(agent, data, k_learn, chosen.steps)
        taken = agent.exploit.step(view, (), jnp.eye(states), k_act)[0]
        return score(jax.nn.one_hot(taken, actions))

    found = [jax.vmap(partial(learning, name))(stacked) for name in TRIED]
    best = jax.nn.one_hot(q.argmax(-1), actions)
    mixture = lambda epsilon: epsilon / actions + (1 - epsilon) * best
    quality = [sum(share * score(mixture(e)) for e, share in parts.items())
               for parts in REGIMES.values()]  # fmt: skip
    covered = jnp.stack([coverage(data, sets[list(REGIMES).index("replay")]) for data in sets])
    return jnp.stack([*found, jnp.stack(quality), covered])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """The rank correlation of numbers [N], NaN if all of one kind are equal."""
    ranks = [(z[:, None] > z).sum(1) + 0.5 * (z[:, None] == z).sum(1) for z in (x, y)]
    if min(z.std() for z in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce data-quality", Options, arguments)
    require_positive(seeds=chosen.seeds, transitions=chosen.transitions, steps=chosen.steps)
    parts = 5 * LANES
    require(
        chosen.transitions % parts == 0,
        f"transitions must be a multiple of {parts}, so that regimes divide into parts, not "
        f"{chosen.transitions}.",
    )
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    # Both have 16 states and 4 actions, so that one program learns in both.
    mdps = dp.stacked(envs.tabular_mdp(world, **own) for world, own in WORLDS.items())
    run = jax.jit(jax.vmap(jax.vmap(partial(scores, chosen), (0, None)), (None, 0)))
    found = np.asarray(run(mdps, keys))
    # [seeds, worlds, algorithms + 2, regimes]
    rows = []
    for i, name in enumerate(TRIED):
        row: dict[str, Any] = {"algorithm": name}
        for j, regime in enumerate(REGIMES):
            row[regime] = float(found[:, :, i, j].mean())
        for at, measure in ((-2, "TQ"), (-1, "SACo")):
            each = [correlation(x[w, i], x[w, at]) for x in found for w in range(len(WORLDS))]
            mean, low, high = interval(np.array(each))
            row |= {f"rank correlation with {measure}": mean, f"{measure} low": low,
                    f"{measure} high": high}  # fmt: skip
        rows.append(row)
    for at, measure in ((-2, "TQ"), (-1, "SACo")):
        means = {regime: float(found[:, :, at, j].mean()) for j, regime in enumerate(REGIMES)}
        blank = {name: "-" for name in list(rows[0]) if name not in (*means, "algorithm")}
        rows.append({"algorithm": f"{measure} of the data"} | means | blank)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
    for w, (axes, world) in enumerate(zip(panels, WORLDS)):
        for i, name in enumerate(TRIED):
            axes.plot(list(REGIMES), found[:, w, i].mean(0), marker="o", label=name)
        axes.plot(list(REGIMES), found[:, w, -2].mean(0), color="black", linestyle=":", label="TQ")
        axes.plot(
            list(REGIMES), found[:, w, -1].mean(0), color="black", linestyle="--", label="SACo"
        )
        axes.set(title=world, xlabel="regime of the data")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of the way from random to best")
    panels[0].legend(frameon=False, ncols=2)
    save(chosen.out, TITLE, rows, figure)
