"""Candidates of `jaxrl benchmark dynamic-programming` that evaluate a policy, exactly or from data.

Every row is solvers of `jaxrl.dp` and what one would write with numpy or call in scipy in place of
them. The policy is the uniform one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats
from scipy.linalg import solve_continuous_are

from experiments.benchmarks.objectives import Candidates, arrays
from experiments.benchmarks.timed import compiled
from jaxrl import dp, values
from jaxrl.types import Array, Key


class Chain(NamedTuple):
    """A process under the uniform policy."""

    policy: Array  # [S, A]
    kernel: np.ndarray  # [S, S]
    reward: np.ndarray  # [S]


def chain(mdp: dp.TabularMDP) -> Chain:
    """A dense process under the uniform policy, in float64."""
    p, r = arrays(mdp)
    return Chain(jnp.full(r.shape, 1 / r.shape[1]), p.mean(1), r.mean(1))


def policies(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The action values of a policy."""
    (p, r), (policy, kernel, reward) = arrays(mdp), chain(mdp)
    identity = np.eye(len(p))
    numpy = lambda: r + gamma * p @ np.linalg.solve(identity - gamma * kernel, reward)
    solve = lambda mdp: dp.policy_evaluation_by_solving(mdp, policy, gamma).theta
    iterate = lambda mdp: dp.policy_evaluation(mdp, policy, gamma, tolerance=1e-6).theta
    return {
        "jaxrl, solved": compiled(solve, mdp),
        "jaxrl, iterated": compiled(iterate, mdp),
        "numpy, solved": (numpy, 0.0),
    }


def visits(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The discounted visits to pairs from the initial states."""
    policy, kernel, _ = chain(mdp)
    start, share = np.asarray(mdp.initial, np.float64), np.asarray(policy)
    matrix = np.eye(len(kernel)) - gamma * kernel
    solve = lambda mdp: dp.occupancy(mdp, policy, gamma)
    iterate = lambda mdp: dp.occupancy_by_iteration(mdp, policy, gamma).theta
    return {
        "jaxrl, solved": compiled(solve, mdp),
        "jaxrl, iterated": compiled(iterate, mdp),
        "numpy, solved": (lambda: np.linalg.solve(matrix.T, start)[:, None] * share, 0.0),
    }


def successors(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The successor representation of states."""
    policy, kernel, _ = chain(mdp)
    states, actions, _ = mdp.transition.shape
    one = jnp.broadcast_to(jnp.eye(states)[:, None], (states, actions, states))
    solve = lambda mdp: dp.successor_representation(mdp, policy, gamma)
    iterate = lambda mdp: dp.successor_features(mdp, policy, one, gamma, tolerance=1e-6).theta.mean(
        1
    )
    return {
        "jaxrl, solved": compiled(solve, mdp),
        "jaxrl, iterated for pairs": compiled(iterate, mdp),
        "numpy, inverted": (lambda: np.linalg.inv(np.eye(states) - gamma * kernel), 0.0),
    }


def moments(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The variance of the return from each state."""
    (p, r), (policy, kernel, reward) = arrays(mdp), chain(mdp)
    identity = np.eye(len(p))

    def numpy() -> np.ndarray:
        mean = np.linalg.solve(identity - gamma * kernel, reward)
        right = (r**2 + 2 * gamma * r * (p @ mean)).mean(1)
        return np.linalg.solve(identity - gamma**2 * kernel, right) - mean**2

    features = jnp.broadcast_to(mdp.reward[..., :1], (*r.shape, 1))
    solve = lambda mdp: dp.joint_moments(mdp, policy, features, gamma).covariance[:, 0, 0]
    return {"jaxrl": compiled(solve, mdp), "numpy": (numpy, 0.0)}


def options(mdp: dp.TabularMDP, gamma: float, number: int = 4) -> Candidates:
    """The discounted rewards of options, each of which takes one action until it ends."""
    p, r = arrays(mdp)
    ends = np.random.default_rng(0).uniform(0.05, 0.5, (number, len(p)))
    policy = jnp.repeat(jnp.eye(p.shape[1])[:number, None], len(p), 1)
    given = dp.Options(policy, jnp.array(ends, jnp.float32))

    def numpy() -> np.ndarray:
        found = []
        for option in range(number):
            goes_on = gamma * p[:, option] * (1 - ends[option])
            right = np.concatenate([r[:, option, None], gamma * p[:, option] * ends[option]], 1)
            found.append(np.linalg.solve(np.eye(len(p)) - goes_on, right))
        return np.stack(found, 1)[..., 0]

    run, seconds = compiled(lambda mdp: dp.option_models(mdp, given, gamma)[:2], mdp)
    return {"jaxrl": (lambda: run()[1][..., 0], seconds), "numpy": (numpy, 0.0)}


def ratios(mdp: dp.TabularMDP, gamma: float) -> Candidates:
    """The ratios of the occupancy of a policy to data of another, without the occupancy."""
    p, r = arrays(mdp)
    states, actions = r.shape
    rng = np.random.default_rng(0)
    data = rng.dirichlet(np.full(r.size, 2.0)).reshape(r.shape) + 0.1 / r.size
    data, policy = data / data.sum(), rng.dirichlet(np.ones(actions), states)
    first = np.asarray(mdp.initial, np.float64)

    def numpy() -> np.ndarray:
        backup = gamma * (p[..., None] * policy).reshape(r.size, r.size)
        start = (1 - gamma) * (first[:, None] * policy).ravel()
        # What a person would do who knows the process: its occupancy, over the data.
        return np.linalg.solve((np.eye(r.size) - backup).T, start).reshape(r.shape) / data

    solve = lambda mdp: dp.stationary_ratios(mdp, jnp.array(policy), jnp.array(data), gamma)
    return {"jaxrl": compiled(solve, mdp), "numpy, by the occupancy": (numpy, 0.0)}


def features(steps: int, size: int = 16, gamma: float = 0.9) -> tuple[dp.Steps, dp.Steps]:
    """A stream of random features, for compiled programs and for numpy."""
    rng = np.random.default_rng(0)
    phi = rng.standard_normal((steps + 1, size)) / np.sqrt(size)
    reward = phi[:-1, 0] + 0.1 * rng.standard_normal(steps)
    one = np.ones(steps)
    stream = dp.Steps(phi[:-1], reward, gamma * one, phi[1:], one)
    return jax.tree.map(lambda x: jnp.array(x, jnp.float32), stream), stream


def least_squares(steps: int) -> Candidates:
    """The weights at which temporal differences vanish, with traces and without."""
    stream, known = features(steps)

    def numpy() -> np.ndarray:
        difference = known.features - known.discount[:, None] * known.following
        return np.linalg.solve(known.features.T @ difference, known.features.T @ known.reward)

    return {"jaxrl": compiled(dp.lstd, stream), "numpy": (numpy, 0.0)}


def least_squares_policies(steps: int, actions: int = 4, iterations: int = 20) -> Candidates:
    """Least-squares policy iteration on the same samples."""
    stream, known = features(steps)
    rng = np.random.default_rng(1)
    each = rng.standard_normal((steps, actions, known.features.shape[1])) / 4

    def numpy() -> np.ndarray:
        weights = np.zeros(each.shape[-1])
        for _ in range(iterations):
            following = each[np.arange(steps), (each @ weights).argmax(1)]
            difference = known.features - known.discount[:, None] * following
            matrix = known.features.T @ difference
            weights = np.linalg.solve(matrix, known.features.T @ known.reward)
        return weights

    solve = lambda stream, each: dp.lspi(
        stream.features, stream.reward, stream.discount, each, iterations
    )
    run, seconds = compiled(solve, stream, jnp.array(each, jnp.float32))
    return {"jaxrl": (lambda: run()[0], seconds), "numpy": (numpy, 0.0)}


def rules(steps: int, trace: float = 0.8, rate: float = 0.01) -> Candidates:
    """TD with traces along a stream, one step after another."""
    stream, known = features(steps)

    def numpy() -> np.ndarray:
        weights = np.zeros(known.features.shape[1])
        z, before = np.zeros_like(weights), 0.0
        for phi, reward, discount, following in zip(*known[:4]):
            z = phi + trace * before * z
            weights = weights + rate * (reward + (discount * following - phi) @ weights) * z
            before = discount
        return weights

    solve = lambda stream: dp.learn(dp.td_lambda(rate, trace), stream, jnp.zeros(16))[-1]
    return {"jaxrl": compiled(solve, stream), "numpy": (numpy, 0.0)}


def quantiles(mdp: dp.TabularMDP, steps: int, gamma: float, size: int = 32) -> Candidates:
    """Quantile temporal differences in a table, one step after another."""
    _, kernel, reward = chain(mdp)
    rng, states = np.random.default_rng(0), len(kernel)
    state = rng.integers(0, states, steps)
    drawn = rng.random((steps, 1))
    following = (np.cumsum(kernel, 1)[state] < drawn).sum(1).clip(max=states - 1)
    rewards = reward[state] + rng.standard_normal(steps)
    fractions, rate = (np.arange(size) + 0.5) / size, 0.05

    def numpy() -> np.ndarray:
        theta = np.zeros((states, size))
        for s, r, after in zip(state, rewards, following):
            below = np.searchsorted(np.sort(r + gamma * theta[after]), theta[s]) / size
            theta[s] += rate * (fractions - below)
        return theta

    given = state, rewards, np.full(steps, gamma), following
    moves = dp.sampled.Moves(*(jnp.asarray(x) for x in given))
    start, family = jnp.zeros((states, size)), values.quantile(size, kappa=0.0)
    solve = lambda moves: dp.distributional_td(family, moves, start, rate)
    return {"jaxrl": compiled(solve, moves), "numpy": (numpy, 0.0)}


def intervals(episodes: int, draws: int = 200) -> Candidates:
    """The interval of a mean over episodes that are drawn again: different draws, the same law."""
    paid = np.random.default_rng(0).standard_normal(episodes)
    given = jnp.array(paid, jnp.float32)
    mean = lambda weights: (weights * given).mean()

    def found(key: Key) -> Array:
        estimate = dp.bootstrap(mean, episodes, key, draws)
        return jnp.stack([estimate.low, estimate.high])

    again = partial(
        stats.bootstrap, (paid,), np.mean, n_resamples=draws, method="percentile", random_state=0
    )
    return {
        "jaxrl": compiled(found, jax.random.key(0)),
        "scipy's bootstrap": (lambda: np.array(again().confidence_interval), 0.0),
    }


def riccati(size: int = 4) -> Candidates:
    """The best control of a linear system, from integrals along its trajectories."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((size, size)), rng.standard_normal((size, 2))
    a = a - 1.1 * np.linalg.eigvals(a).real.max() * np.eye(size)  # stable without control
    one, two = np.eye(size), np.eye(2)
    starts = rng.standard_normal((size * (size + 1), size))
    problem = dp.LinearQuadratic(*(jnp.array(x, jnp.float32) for x in (a, b, one, two)))
    times, weights = jnp.linspace(0.0, 1.0, 41), dp.simpson(40, 1.0)
    solve = lambda problem, starts: dp.integral_policy_iteration(
        problem, jnp.zeros((2, size)), starts, times, weights, 15
    )[0]
    return {
        "jaxrl, by quadrature": compiled(solve, problem, jnp.array(starts, jnp.float32)),
        "scipy's Riccati, model known": (lambda: b.T @ solve_continuous_are(a, b, one, two), 0.0),
    }
