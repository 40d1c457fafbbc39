"""Candidates of `jaxrl benchmark dynamic-programming` for objectives beside the expected return.

Every row is a solver of `jaxrl.dp` and what one would write with numpy and scipy in its place. Both
take the same number of sweeps, from the same start, so that their results can be compared.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog, minimize_scalar
from scipy.special import logsumexp

from experiments.benchmarks.timed import compiled
from jaxrl import dp, values

Candidates = dict[str, tuple[Callable[[], Any], float]]
TEMPERATURE, LEVEL, AVERSION, RADIUS = 0.1, 0.25, 0.1, 0.1


def arrays(mdp: dp.TabularMDP) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities [S, A, S] and rewards [S, A] of a dense process, in float64."""
    p = np.asarray(mdp.transition, np.float64)
    return p / p.sum(-1, keepdims=True), np.asarray(mdp.reward[..., 0], np.float64)


def swept(
    backup: Callable[[np.ndarray], np.ndarray], pairs: tuple[int, ...], sweeps: int
) -> tuple[Callable[[], np.ndarray], float]:
    """A function that repeats a backup of the best values [S] to action values [S, A]."""

    def run() -> np.ndarray:
        q = np.zeros(pairs)
        for _ in range(sweeps):
            q = backup(q.max(1))
        return q

    return run, 0.0


def soft(mdp: dp.TabularMDP, gamma: float, sweeps: int) -> Candidates:
    """Value iteration with an entropy bonus."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}

    def numpy() -> np.ndarray:
        q = np.zeros(r.shape)
        for _ in range(sweeps):
            q = r + gamma * p @ (TEMPERATURE * logsumexp(q / TEMPERATURE, axis=1))
        return q

    solve = lambda mdp: dp.soft_value_iteration(mdp, gamma, TEMPERATURE, **options).theta
    return {"jaxrl": compiled(solve, mdp), "scipy's logsumexp": (numpy, 0.0)}


def staged(mdp: dp.TabularMDP, horizon: int) -> Candidates:
    """The optimal values of episodes of `horizon` steps."""
    p, r = arrays(mdp)
    solve = lambda mdp: dp.finite_horizon(mdp, horizon)[0]
    found: Candidates = {
        "jaxrl": compiled(solve, mdp),
        "numpy": swept(lambda v: r + p @ v, r.shape, horizon),
    }
    if find_spec("quantecon"):
        library = import_module("quantecon.markov")
        process = library.DiscreteDP(r, p, 1.0)
        backwards = lambda: r + p @ library.backward_induction(process, horizon - 1)[0][0]
        found["quantecon"] = backwards, 0.0
    return found


def averages(mdp: dp.TabularMDP) -> Candidates:
    """The largest average reward, to a millionth of the largest relative value."""
    p, r = arrays(mdp)
    states = np.arange(len(p))

    def relative() -> np.ndarray:
        v = np.zeros(len(p))
        while True:
            change = (r + p @ v).max(1) - v
            if np.ptp(change) < 1e-6 * max(np.abs(v).max(), 1e-6):
                return (change.max() + change.min()) / 2
            v = v + 0.5 * (change - change[0])

    def policies() -> np.ndarray:
        action = r.argmax(1)
        while True:  # the relative values with that of state 0 replaced by the gain
            matrix = np.eye(len(p)) - p[states, action]
            matrix[:, 0] = 1.0
            solution = np.linalg.solve(matrix, r[states, action])
            v = np.concatenate([[0.0], solution[1:]])
            q = r + p @ v
            new = np.where(q.max(1) > q[states, action] + 1e-9, q.argmax(1), action)
            if (new == action).all():
                return solution[0]
            action = new

    one = lambda mdp: dp.relative_value_iteration(mdp, tolerance=1e-6)[0]
    many = lambda mdp: dp.multichain_policy_iteration(mdp)[0][0]
    return {
        "jaxrl, relative values": compiled(one, mdp),
        "jaxrl, policies, multichain": compiled(many, mdp),
        "numpy, relative values": (relative, 0.0),
        "numpy, policies, unichain": (policies, 0.0),
    }


def robust(mdp: dp.TabularMDP, gamma: float, sweeps: int) -> Candidates:
    """The worst case if a share of the probability moves to any successor."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}

    def worst(v: np.ndarray) -> np.ndarray:
        order = np.argsort(v)
        ordered = p[..., order]
        kept = np.clip(1 - RADIUS - (np.cumsum(ordered, -1) - ordered), 0, ordered)
        return r + gamma * (kept @ v[order] + (1 - kept.sum(-1)) * v.min())

    divergence = dp.robust.constrained_total_variation
    solve = lambda mdp: dp.robust_value_iteration(mdp, gamma, RADIUS, divergence, **options).theta
    return {"jaxrl": compiled(solve, mdp), "numpy, by sorting": swept(worst, r.shape, sweeps)}


def robust_entropy(mdp: dp.TabularMDP, gamma: float, sweeps: int) -> Candidates:
    """The worst case within a radius of relative entropy."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}

    def worst(v: np.ndarray) -> np.ndarray:
        if np.ptp(v) == 0:
            return r + gamma * v[0]

        def expected(chances: np.ndarray) -> float:
            def dual(log_price: float) -> float:
                price = np.exp(log_price)
                return price * (logsumexp(-v / price, b=chances) + RADIUS)

            return -minimize_scalar(dual, bounds=(-10, 10), method="bounded").fun

        return r + gamma * np.apply_along_axis(expected, -1, p)

    divergence = dp.robust.constrained_kl
    solve = lambda mdp: dp.robust_value_iteration(mdp, gamma, RADIUS, divergence, **options).theta
    return {"jaxrl": compiled(solve, mdp), "scipy, dual of each": swept(worst, r.shape, sweeps)}


def robust_states(mdp: dp.TabularMDP, gamma: float, sweeps: int) -> Candidates:
    """The worst case if the actions of a state share a budget, by one linear programme of each."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}
    states, actions, _ = p.shape
    size = actions * states
    one, each = np.eye(size), np.repeat(np.eye(actions), states, 1)
    none, free = np.zeros((actions, size)), [(None, None)] + [(0, None)] * (2 * size)

    def worst(v: np.ndarray, s: int) -> float:
        """The least u that is at least r_a + gamma q_a v, over q within the budget of p."""
        paid = gamma * each * np.tile(v, actions)
        minus = np.zeros((size, 1))
        above = np.block(
            [
                [-np.ones((actions, 1)), paid, none],
                [minus, one, -one],
                [minus, -one, -one],
                [np.zeros((1, 1)), np.zeros((1, size)), np.ones((1, size))],
            ]
        )
        limit = np.concatenate([-r[s], p[s].ravel(), -p[s].ravel(), [RADIUS]])
        whole = np.concatenate([np.zeros((actions, 1)), each, none], 1)
        goal = np.concatenate([[1.0], np.zeros(2 * size)])
        return linprog(goal, above, limit, whole, np.ones(actions), free).fun

    def programmes() -> np.ndarray:
        v = np.zeros(states)
        for _ in range(sweeps):
            v = np.array([worst(v, s) for s in range(states)])
        return v

    solve = lambda mdp: dp.s_rectangular_value_iteration(mdp, gamma, RADIUS, **options)[0].theta
    return {"jaxrl": compiled(solve, mdp), "scipy's linprog": (programmes, 0.0)}


def nested(mdp: dp.TabularMDP, gamma: float, sweeps: int) -> Candidates:
    """The nested conditional value at risk."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}

    def lowest(v: np.ndarray) -> np.ndarray:
        order = np.argsort(v)
        ordered = p[..., order]
        kept = np.clip(LEVEL - (np.cumsum(ordered, -1) - ordered), 0, ordered)
        return r + gamma * (kept @ v[order]) / LEVEL

    solve = lambda mdp: dp.nested_value_iteration(mdp, gamma, values.cvar(LEVEL), **options).theta
    return {"jaxrl": compiled(solve, mdp), "numpy, by sorting": swept(lowest, r.shape, sweeps)}


def exponential(mdp: dp.TabularMDP, gamma: float, horizon: int) -> Candidates:
    """The entropic risk of the whole return, with an aversion that decays over a horizon."""
    p, r = arrays(mdp)
    neutral = swept(lambda v: r + gamma * p @ v, r.shape, 500)[0]

    def numpy() -> np.ndarray:
        q = neutral()
        for t in reversed(range(horizon)):
            aversion = AVERSION * gamma**t
            q = r - logsumexp(-aversion * gamma * q.max(1), axis=-1, b=p) / aversion
        return q

    solve = lambda mdp: dp.exponential_utility(mdp, gamma, AVERSION, horizon, tolerance=1e-6)[0]
    return {"jaxrl": compiled(solve, mdp), "scipy's logsumexp": (numpy, 0.0)}


def levels(mdp: dp.TabularMDP, gamma: float, number: int, sweeps: int) -> Candidates:
    """The conditional value at risk of the whole return, by augmenting states with its level."""
    (p, r), options = arrays(mdp), {"tolerance": 0.0, "max_iterations": sweeps}
    level = np.arange(1, number + 1) / number

    def numpy() -> np.ndarray:
        theta = np.zeros((*r.shape, number))
        for _ in range(sweeps):
            atoms = np.diff(theta.max(1), prepend=0.0) * number  # [S, K]
            order = np.argsort(atoms, axis=None)
            chances = np.repeat(p, number, -1)[..., order] / number
            kept = level[:, None] - (np.cumsum(chances, -1) - chances)[..., None, :]
            kept = np.clip(kept, 0, chances[..., None, :])
            theta = level * r[..., None] + gamma * kept @ atoms.ravel()[order]
        return theta

    solve = lambda mdp: dp.cvar_by_levels(mdp, gamma, jnp.array(level), **options).theta
    return {"jaxrl": compiled(solve, mdp), "numpy, by sorting": (numpy, 0.0)}


def constrained(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The return of the best policy that takes the first action half as often as it would."""
    states, actions, _ = mdp.transition.shape
    costs = np.zeros((1, states, actions), np.float32)
    costs[..., 0] = 1.0
    limits = dp.linear_programme(mdp, gamma).occupancy[None] * costs
    limits = np.float32(limits.sum((1, 2)) / 2)
    solve = lambda mdp: dp.constrained_occupancy(mdp, jnp.array(costs), jnp.array(limits), gamma)
    programme = partial(dp.linear_programme, mdp, gamma, costs, limits)
    return {
        "jaxrl, by prices": compiled(lambda mdp: solve(mdp).value, mdp),
        "jaxrl, programme of scipy": (lambda: programme().value, 0.0),
    }
