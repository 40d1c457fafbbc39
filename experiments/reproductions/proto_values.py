"""Features by the values of random tasks, by the number of tasks (Farebrother et al. 2023).

In four rooms, an agent that acts at random learns the values of many tasks, each of which pays in
a tenth of the cells; the last hidden layer of its network are the features. They are judged by how
much of the optimal values of all goals they leave out, and by the policy of values that are linear
in the frozen features and fitted to 400 labelled steps, for one goal after another. The references
are features of the network before it learns, as many of the leading singular vectors of the exact
successor representation, and one feature for each cell.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import envs
from agents import proto_value
from experiments import options
from experiments.plots import band
from experiments.reproductions.features import CELLS, GAMMA, fitted, successors
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, dp
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Optimal values that features leave out, and the share of linear values, by tasks"
TASKS = (1, 3, 10, 30, 100, 300)
SIZE, LABELLED = 32, 400


@dataclass(frozen=True)
class Options:
    """Learn features from the values of few or many random tasks."""

    seeds: int = 6
    """Number of networks for each number of tasks."""
    goals: int = 10
    """Number of goals for each of them."""
    rounds: int = 400
    """Number of rounds of 64 steps and 8 gradient steps."""
    out: Path = Path(".reproductions/proto-values")
    """Folder in which the table, the numbers and the picture are written."""


def rooms(goal: Array | None = None) -> dp.TabularMDP:
    """Four rooms with a cost of 1 a step until the goal, or for ever."""
    to = jnp.asarray(successors())[..., None]
    shape = to.shape
    kept = jnp.ones(shape) if goal is None else 1.0 * (to != goal)
    even = jnp.full(CELLS, 1 / CELLS)
    return dp.TabularMDP(jnp.ones(shape), -jnp.ones(shape), kept, even, to.astype(jnp.int32))


def judged(features: Array, goals: Array, keys: Key) -> tuple[Array, Array]:
    """The share of the optimal values that features [S, D] leave out, and that of the policy."""
    best = jax.vmap(lambda goal: dp.value_iteration(rooms(goal), GAMMA).theta.max(-1))
    every = best(jnp.arange(CELLS)).T
    with_constant = jnp.concatenate([features, jnp.ones((CELLS, 1))], -1)
    # What a constant explains is no merit of the features.
    centred = every - every.mean(0)
    share = jax.vmap(lambda goal, key: fitted(features, LABELLED, goal, key))(goals, keys).mean()
    return dp.projection_error(with_constant, centred), share


def learnt(chosen: Options, tasks: int, key: Key) -> Array:
    """What is judged [2, 2] of the features before and after learning."""
    k_learn, k_goals, k_label = jax.random.split(key, 3)
    env = envs.time_limit(envs.from_mdp(rooms()), 50)
    hp = proto_value.Hyperparameters(
        discount=GAMMA, tasks=tasks, share=0.1, hidden=(64, SIZE), learning_rate=2e-3,
        target_rate=0.02, num_envs=8, rollout_length=8, updates=8, buffer_size=8192,
    )  # fmt: skip
    setup = assemble(proto_value.proto_value, env, hp)
    features = proto_value.features(env.spec, hp)
    first = setup.experiment.init(k_learn)
    last, _ = advance(setup.experiment, first, chosen.rounds)
    goals = jax.random.choice(k_goals, CELLS, (chosen.goals,), replace=False)
    keys = jax.random.split(k_label, chosen.goals)
    of = lambda run: judged(features(run.learner.inner, jnp.eye(CELLS)), goals, keys)
    return jnp.stack([jnp.stack(of(run)) for run in (first, last)])


def references(chosen: Options, key: Key) -> Array:
    """What is judged [2, 2] of the exact basis, and of one feature for each cell."""
    k_goals, k_label = jax.random.split(key)
    goals = jax.random.choice(k_goals, CELLS, (chosen.goals,), replace=False)
    keys = jax.random.split(k_label, chosen.goals)
    basis = dp.successor_basis(rooms(), jnp.full((CELLS, 4), 0.25), GAMMA, SIZE)
    return jnp.stack([jnp.stack(judged(x, goals, keys)) for x in (basis, jnp.eye(CELLS))])


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce proto-values", Options, arguments)
    require_positive(seeds=chosen.seeds, goals=chosen.goals, rounds=chosen.rounds)
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    every = [np.asarray(jax.jit(jax.vmap(partial(learnt, chosen, tasks)))(keys)) for tasks in TASKS]
    known = np.asarray(jax.jit(jax.vmap(partial(references, chosen)))(keys))
    measured = {f"{tasks} tasks": x[:, 1] for tasks, x in zip(TASKS, every)}
    measured |= {"random network": every[-1][:, 0]}
    measured |= {"successor basis": known[:, 0], "one for each cell": known[:, 1]}
    rows = []
    for name, x in measured.items():
        left_out, share = (interval(x[:, i]) for i in range(2))
        rows.append(
            {"features": name, "left out": left_out[0], "low": left_out[1], "high": left_out[2],
             "share": share[0], "share, low": share[1], "share, high": share[2]}
        )  # fmt: skip
    figure, pair = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    titles = "optimal values left out", f"share of the way, {LABELLED} labelled steps"
    for i, (axes, title) in enumerate(zip(pair, titles)):
        band(axes, TASKS, np.stack([x[:, 1, i] for x in every], 1), "proto-values", marker="o")
        for style, name in zip((":", "--", "-."), list(measured)[-3:]):
            level = measured[name][:, i].mean()
            axes.axhline(level, linestyle=style, color="black", linewidth=0.8, label=name)
        axes.set(xscale="log", xlabel="tasks", title=title)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
