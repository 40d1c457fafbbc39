"""Candidates of `jaxrl benchmark dynamic-programming` that solve a process to the end."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.timed import compiled
from jaxrl import dp, values
from jaxrl.values import Representation


def solved_by(name: str, mdp: dp.TabularMDP, gamma: float) -> tuple[Callable[[], Any], float]:
    """Prepare a solver of `dp` by its name, to a millionth of the largest value."""
    solver = getattr(dp, name)
    return compiled(lambda mdp: solver(mdp, gamma, tolerance=1e-6).theta, mdp)


def numpy_policy_iteration(mdp: dp.TabularMDP, gamma: float) -> tuple[Callable[[], Any], float]:
    """Prepare numpy: policy iteration whose policies are evaluated by a linear system."""
    p = np.asarray(mdp.transition, np.float64)
    p, r = p / p.sum(-1, keepdims=True), np.asarray(mdp.reward[..., 0], np.float64)
    states = np.arange(len(p))

    def run() -> np.ndarray:
        action = r.argmax(1)
        while True:
            chain, paid = p[states, action], r[states, action]
            q = r + gamma * p @ np.linalg.solve(np.eye(len(p)) - gamma * chain, paid)
            new = np.where(q.max(1) > q[states, action] + 1e-9, q.argmax(1), action)
            if (new == action).all():
                return q
            action = new

    return run, 0.0


def by_programme(mdp: dp.TabularMDP, gamma: float) -> tuple[Callable[[], Any], float]:
    """Prepare `dp.linear_programme`, which is scipy's HiGHS, and one backup of its values."""
    p, r = np.asarray(mdp.transition, np.float64), np.asarray(mdp.reward[..., 0], np.float64)
    return lambda: r + gamma * p @ dp.linear_programme(mdp, gamma).state_values, 0.0


def library_solutions(
    mdp: dp.TabularMDP, gamma: float
) -> dict[str, tuple[Callable[[], Any], float]]:
    """Prepare policy iteration of the installed libraries, in float64."""
    p = np.asarray(mdp.transition, np.float64)
    p, r = p / p.sum(-1, keepdims=True), np.asarray(mdp.reward[..., 0], np.float64)
    found: dict[str, tuple[Callable[[], Any], float]] = {}
    if find_spec("quantecon"):
        process = import_module("quantecon.markov").DiscreteDP(r, p, gamma)
        found["quantecon, policies"] = (
            (lambda: r + gamma * p @ process.solve(method="policy_iteration").v),
            0.0,
        )
    if find_spec("mdptoolbox"):
        kernels = [p[:, a] for a in range(p.shape[1])]

        def toolbox() -> np.ndarray:
            solver = import_module("mdptoolbox.mdp").PolicyIteration(kernels, r, gamma)
            solver.run()
            return r + gamma * p @ np.asarray(solver.V)

        found["pymdptoolbox, policies"] = toolbox, 0.0
    return found


def fixed_points(
    mdp: dp.TabularMDP, gamma: float, on_grid: Representation, support: values.Support
) -> dict[str, tuple[Callable[[], Any], float]]:
    """Prepare the categorical fixed point of the uniform policy: directly, and by iteration."""
    states, actions, _ = mdp.transition.shape
    policy = jnp.full((states, actions), 1 / actions)
    direct = lambda mdp: dp.categorical_fixed_point(mdp, policy, gamma, support).probabilities
    iterated = lambda mdp: (
        dp.distributional_policy_evaluation(
            mdp, policy, gamma, on_grid, distance=dp.wasserstein_on_grid, tolerance=1e-6
        ).theta
    )
    r = np.asarray(mdp.reward[..., 0])
    grid = np.asarray(support.atoms)
    size, low, high = len(grid), grid[0], grid[-1]

    def numpy() -> np.ndarray:
        place = (np.clip(r[..., None] + gamma * grid, low, high) - low) / (high - low)
        gap = place[..., None, :] * (size - 1) - np.arange(size)[:, None]
        share = np.maximum(1 - np.abs(gap), 0)  # [S, A, to, from]
        backup = np.einsum("sat,saij->sitj", np.asarray(mdp.transition) / actions, share)
        matrix = np.eye(states * size) - backup.reshape(states * size, -1)
        matrix[size - 1 :: size] = np.repeat(np.eye(states), size, 1)
        right = np.zeros(states * size)
        right[size - 1 :: size] = 1
        law = np.linalg.solve(matrix, right).reshape(states, size)
        return np.einsum("saij,sat,tj->sai", share, np.asarray(mdp.transition), law)

    return {
        "jaxrl, direct": compiled(direct, mdp),
        "jaxrl, iterated": compiled(iterated, mdp),
        "numpy, direct": (numpy, 0.0),
    }
