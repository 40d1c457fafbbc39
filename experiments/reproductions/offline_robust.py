"""Robust offline planning with linear features, by a price or by a radius (Tang, Liu and Xu 2025).

In a d-rectangular linear process each pair mixes a few factors, each with its own successors, and
an adversary moves the factors. Here one may work, for a wage that differs from process to process,
or invest for two steps and then earn 1 in each step; what is lost pays nothing for ever. Plans come
from transitions of random actions: nominal pessimistic value iteration, R2PVI with the price of
three divergences, and the constrained set of total variation. They are evaluated exactly where
each factor leads to what is lost with a probability that no data show. The time of a plan is that
of the compiled function.
"""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from jaxrl import dp, optimism
from jaxrl.dp import offline
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Return of offline plans minus that of the nominal plan, by the shift of the factors"
STATES, ACTIONS, FACTORS, HORIZON = 4, 2, 5, 8  # lost, poor, prepared, rich
SHIFTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
PESSIMISM, RIDGE = 0.02, 0.1
GRIDS = {
    "R2PVI, TV": (offline.total_variation, (0.5, 1.5, 4.0)),
    "R2PVI, KL": (offline.kl, (0.5, 1.5, 4.0)),
    "R2PVI, chi-square": (offline.chi_square, (0.5, 1.5, 4.0)),
    "constrained, TV": (offline.constrained_total_variation, (0.1, 0.2, 0.4)),
}


@dataclass(frozen=True)
class Options:
    """Compare robust offline plans with a nominal one under shifted factors."""

    processes: int = 60
    """Number of random linear processes, each with data of its own."""
    transitions: int = 200
    """Number of transitions of each step of an episode."""
    out: Path = Path(".reproductions/offline-robust")
    """Folder in which the table, the numbers and the picture are written."""


class Linear(NamedTuple):
    """A process whose pairs are mixtures of factors."""

    features: Array  # [S, A, D] probabilities of the factors
    factors: Array  # [D, S] distributions of successors
    reward: Array  # [D] of a factor


def drawn(key: Key) -> Linear:
    """A process with a wage between 0.3 and 0.7."""
    lost, work, first, second, rich = np.eye(FACTORS)
    features = np.array([[lost, lost], [work, first], [work, second], [rich, rich]])
    wage = jax.random.uniform(key, minval=0.3, maxval=0.7)
    return Linear(
        # Each pair is a little like all others.
        jnp.asarray(0.95 * features + 0.05 / FACTORS, jnp.float32),
        jax.nn.one_hot(jnp.array([0, 1, 2, 3, 3]), STATES),
        jnp.zeros(FACTORS).at[1].set(wage).at[4].set(1.0),
    )


def tabular(process: Linear, factors: Array) -> dp.TabularMDP:
    """The process with other factors [D, S]."""
    reward = (process.features @ process.reward)[..., None]
    initial = jax.nn.one_hot(1, STATES)
    return dp.TabularMDP(process.features @ factors, reward, jnp.ones_like(reward), initial)


def batch(process: Linear, number: int, key: Key) -> dp.LinearBatch:
    """Transitions of random pairs, at each step of an episode."""
    keys = jax.random.split(key, 3)
    shape = HORIZON, number
    s, a = (jax.random.randint(k, shape, 0, n) for k, n in zip(keys, (STATES, ACTIONS)))
    phi = process.features[s, a]
    noise = jax.random.uniform(keys[2], shape)
    draw = jax.vmap(jax.vmap(optimism.draw))
    following = draw(phi @ process.factors, noise)
    ones = jnp.ones(shape)
    return dp.LinearBatch(phi, phi @ process.reward, ones, process.features[following])


def planned(process: Linear, data: dp.LinearBatch, expectation: offline.Expectation) -> Array:
    """The greedy policy [H, S, A] of a plan."""
    found = dp.least_squares_value_iteration(data, expectation, PESSIMISM, RIDGE)
    q = jax.vmap(dp.linear_action_values, (0, None))(found, process.features)
    return optimism.greedy_policy(q)


def shifted_returns(process: Linear, policy: Array) -> Array:
    """The returns [shifts] where each factor leads to what is lost with some probability."""
    lost = jax.nn.one_hot(0, STATES)
    at = lambda shift: tabular(process, (1 - shift) * process.factors + shift * lost)
    return jax.vmap(lambda x: optimism.episode_return(at(x), policy))(jnp.array(SHIFTS))


def gains(name: str, number: int, strength: Array, key: Key) -> Array:
    """The returns [shifts] of a plan minus those of the nominal one."""
    k_process, k_data = jax.random.split(key)
    process = drawn(k_process)
    data = batch(process, number, k_data)
    robust = lambda *given: GRIDS[name][0](*given, strength)
    each = [shifted_returns(process, planned(process, data, f)) for f in (robust, offline.nominal)]
    return each[0] - each[1]


def milliseconds(name: str, number: int) -> float:
    """The least time of one plan of twenty, compiled."""
    expectation, grid = GRIDS.get(name, (offline.nominal, ()))
    process = drawn(jax.random.key(0))
    data = batch(process, number, jax.random.key(1))
    strength = grid[:1]
    solve = jax.jit(lambda data: planned(process, data, lambda *x: expectation(*x, *strength)))
    jax.block_until_ready(solve(data))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        jax.block_until_ready(solve(data))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce offline-robust", Options, arguments)
    require_positive(processes=given.processes, transitions=given.transitions)
    keys = jax.random.split(jax.random.key(0), given.processes)
    figure, grid = plt.subplots(2, 2, figsize=(11, 8), layout="constrained", sharey=True)
    rows: list[dict[str, Any]] = []
    least = milliseconds("nominal", given.transitions)
    for axes, (name, (_, strengths)) in zip(grid.flat, GRIDS.items()):
        run = jax.vmap(partial(gains, name, given.transitions), (None, 0))
        found = np.asarray(jax.jit(jax.vmap(run, (0, None)))(jnp.array(strengths), keys))
        cost = milliseconds(name, given.transitions)
        for strength, gain in zip(strengths, found):
            lines = band(axes, SHIFTS, gain, f"{strength:g}", marker="o")
            for shift, *numbers in zip(SHIFTS, *lines):
                if shift in (0.0, 0.2, 0.5):
                    measured = dict(zip(("gain", "low", "high"), (float(x) for x in numbers)))
                    row = {"plan": name, "strength": strength, "shift": shift} | measured
                    rows.append(row | {"milliseconds": cost, "nominal": least})
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(xlabel="probability of loss", title=name)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, title="price" if "R2PVI" in name else "radius")
    save(given.out, TITLE, rows, figure)
