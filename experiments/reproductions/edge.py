"""The edge of reach: short rollouts from a data set fail even in the true model (RAVL).

Sims et al. (2024): rollouts of k steps from the data set bootstrap from states that they only ever
reach last, where values are never learnt; a greedy maximum over these arbitrary values spreads to
the states within. The process is a line of 21 states with data on states 0 to 5, and the model is
the simulator itself. One critic overestimates at the edge; the minimum of ten critics does not, nor
does one critic whose rollouts reach everywhere. Terminating rollouts at their length does not help.
With several critics, their values differ at the edge and agree within.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from experiments import options
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, models
from jaxrl.errors import require_positive
from jaxrl.models.diagnostics import edge_of_reach, value_variance
from jaxrl.types import Actor, Array, Key, Transition, Tree

TITLE = "Greedy return from state 5 after learning in rollouts of the true model (best: -1.40)"
STATES, DATA, GAMMA = 21, 6, 0.95
SETTINGS: dict[str, tuple[int, int, bool]] = {  # steps of a rollout, critics, terminated at the end
    "1 step, 1 critic": (1, 1, False),
    "1 step, 1 critic, terminated": (1, 1, True),
    "1 step, minimum of 2": (1, 2, False),
    "1 step, minimum of 10": (1, 10, False),
    "3 steps, 1 critic": (3, 1, False),
    "3 steps, minimum of 10": (3, 10, False),
    "16 steps, 1 critic": (16, 1, False),
}


@dataclass(frozen=True)
class Options:
    """Learn in short rollouts of the true model, which do not reach all states."""

    seeds: int = 200
    """Number of random initial values."""
    rounds: int = 400
    """Number of rounds of rollouts and learning."""
    out: Path = Path(".reproductions/edge")
    """Folder in which the table, the numbers and the picture are written."""


def line() -> dp.TabularMDP:
    """A line of 21 states, left by action 0 and right by action 1; a step costs 0.1 per place."""
    state = np.arange(STATES)
    to = np.clip(state[:, None] + np.array([-1, 1]), 0, STATES - 1)
    reward = np.broadcast_to(-0.1 * state[:, None, None], (STATES, 2, STATES))
    return envs.tabular.from_arrays(
        np.eye(STATES)[to], reward, np.ones((STATES, 2, STATES)), np.eye(STATES)[DATA - 1]
    )


def wanderer() -> Actor:
    """Keep a random direction, and draw a new one with probability 0.2 at each step."""

    def step(view: Tree, memory: Array, obs: Array, key: Key) -> tuple[Array, Array, tuple]:
        k_turn, k_way = jax.random.split(key)
        turn = (memory < 0) | (jax.random.uniform(k_turn, memory.shape) < 0.2)
        way = jnp.where(turn, jax.random.randint(k_way, memory.shape, 0, 2), memory)
        return way, way, ()

    return Actor(lambda size: jnp.full(size, -1), step)


def learn(tables: Array, batch: Transition) -> Array:
    """Set the visited pairs of all tables [N, S, A] to the target of their minimum."""
    next_value = jnp.einsum("tbs,nsa->ntba", batch.final, tables).min(0).max(-1)
    target = batch.reward + GAMMA * batch.discount * next_value
    action = jax.nn.one_hot(batch.action, 2)
    at = lambda x: jnp.einsum("tbs,tba,tb->sa", batch.obs, action, batch.weight * x)
    count = at(jnp.ones_like(target))
    return jnp.where(count > 0, at(target) / jnp.maximum(count, 1.0), tables)


def trained(steps: int, critics: int, terminated: bool, rounds: int) -> Callable[[Key], tuple]:
    """A function of a key: estimated value, true return of the greedy policy, and variances [2].

    The variances of the critics' values are those within the reach of rollouts and at its edge.
    """
    mdp = line()
    model = models.true_model(envs.from_mdp(mdp), lambda obs, key: obs.argmax(-1))
    model = models.terminating(model, steps) if terminated else model
    starts = jnp.tile(jnp.eye(STATES)[:DATA], (16, 1))
    actor = wanderer()
    data = jnp.arange(STATES) < DATA
    edge = edge_of_reach(jnp.asarray(mdp.transition), data, steps)
    within = jnp.cumsum(edge) == 0

    def run(key: Key) -> tuple[Array, Array, Array]:
        k_init, k_run = jax.random.split(key)

        def one(tables: Array, key: Key) -> tuple[Array, None]:
            batch, _ = models.branched(model, actor, (), starts, key, steps)
            return learn(tables, batch), None

        tables = 5.0 * jax.random.normal(k_init, (critics, STATES, 2))
        tables, _ = jax.lax.scan(one, tables, jax.random.split(k_run, rounds))
        q = tables.min(0)
        policy = jax.nn.one_hot(q.argmax(-1), 2)
        value = (policy * dp.policy_evaluation(mdp, policy, GAMMA).theta).sum(-1)
        spread = [value_variance(tables.max(-1), where) for where in (within, edge)]
        return q[DATA - 1].max(), value[DATA - 1], jnp.stack(spread)

    return run


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce edge", Options, arguments)
    require_positive(seeds=chosen.seeds, rounds=chosen.rounds)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    best = float(dp.value_iteration(line(), GAMMA).theta[DATA - 1].max())
    rows, shown = [], []
    for name, setting in tqdm(SETTINGS.items(), unit=" settings"):
        run = jax.jit(jax.vmap(trained(*setting, chosen.rounds)))
        estimate, value, variance = (np.asarray(x) for x in run(keys))
        mean, low, high = interval(value)
        within, edge = map(float, variance.mean(0))
        rows.append(
            {"setting": name, "estimated value": float(estimate.mean()), "return": mean, "low": low,
             "high": high, "optimal": float((value > best - 1e-3).mean()),
             "variance within": within, "variance at the edge": edge}
        )  # fmt: skip
        shown.append(value)
    figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
    axes.boxplot(shown, orientation="horizontal", tick_labels=list(SETTINGS), whis=(0, 100))
    axes.axvline(best, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="return of the greedy policy", title="The model is the truth in all of these")
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    save(chosen.out, TITLE, rows, figure)
