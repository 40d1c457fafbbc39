"""Learning on linear features: the equations in numpy, a counterexample, and exact solutions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp
from tests.jaxrl.dp.cases import three_arrays
from tests.jaxrl.dp.test_direct import CHAIN, REWARD

GAMMA = 0.9
PHI = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
LAW = np.array([0.3125, 73 / 240, 23 / 60])
RULES = {
    "td": partial(dp.td_lambda, 0.1, 0.7),
    "gtd2": partial(dp.gtd2, 0.1, 0.3),
    "tdc": partial(dp.tdc, 0.1, 0.3),
    "emphatic": partial(dp.emphatic_td, 0.1, 0.4, 0.8),
}


def test_least_squares_of_exact_expectations():
    """The fixed point on the stationary law, and with traces that of the best approximation."""
    steps = dp.Steps(PHI, REWARD, np.full(3, GAMMA), CHAIN @ PHI, np.ones(3))
    with jax.enable_x64(True):
        weights = np.asarray(jax.jit(dp.lstd)(jax.tree.map(jnp.asarray, steps), weight=LAW))
    np.testing.assert_allclose(weights, [1.028254, -0.510019], atol=1e-6)
    value = np.linalg.solve(np.eye(3) - GAMMA * CHAIN, REWARD)
    norm = lambda x: np.sqrt(LAW @ x**2)
    best = np.linalg.lstsq(np.sqrt(LAW)[:, None] * PHI, np.sqrt(LAW) * value, rcond=None)[0]
    np.testing.assert_allclose(norm(PHI @ best - value), 0.652131, atol=1e-6)
    np.testing.assert_allclose(norm(PHI @ weights - value), 1.015246, atol=1e-6)
    assert norm(PHI @ weights - value) <= 1.496091
    with pytest.raises(ValueError, match="trace must lie between 0 and 1"):
        dp.lstd(steps, trace=1.5)


def stream(seed, length=40):
    rng = np.random.default_rng(seed)
    draw = lambda: rng.normal(size=(length, 3))
    discount = 0.9 * (rng.random(length) > 0.2)
    return dp.Steps(draw(), rng.normal(size=length), discount, draw(), rng.uniform(0.2, 2, length))


def by_hand(name, s):
    """The weights after a stream, as the equations are written."""
    w, u, z, f, before, ratio = np.zeros(3), np.zeros(3), np.zeros(3), 0.0, 0.0, 0.0
    for x, r, g, y, rho in zip(*s):
        delta, seen = r + g * y @ w - x @ w, x @ u
        if name == "td":
            z = rho * (x + 0.7 * before * z)
            w = w + 0.1 * delta * z
        elif name == "gtd2":
            w = w + 0.1 * rho * (x - g * y) * seen
        elif name == "tdc":
            w = w + 0.1 * rho * (delta * x - g * y * seen)
        else:
            f = 0.8 + before * ratio * f
            z = rho * (0.4 * before * z + (0.4 * 0.8 + 0.6 * f) * x)
            w = w + 0.1 * delta * z
        u = u + 0.3 * (rho * delta - seen) * x
        before, ratio = g, rho
    return w


def test_rules_and_least_squares_with_traces_are_their_equations():
    steps = stream(0)
    with jax.enable_x64(True):
        run = jax.jit(
            lambda steps: (
                {name: dp.learn(make(), steps, jnp.zeros(3))[-1] for name, make in RULES.items()},
                dp.lstd(steps, trace=0.7, ridge=0.1),
            )
        )
        found, solved = jax.tree.map(np.asarray, run(jax.tree.map(jnp.asarray, steps)))
    for name, weights in found.items():
        np.testing.assert_allclose(weights, by_hand(name, steps), rtol=1e-8, err_msg=name)
    matrix, right, z, before = 0.1 * np.eye(3), np.zeros(3), np.zeros(3), 0.0
    for x, r, g, y, rho in zip(*steps):
        z = rho * (x + 0.7 * before * z)
        matrix, right, before = matrix + np.outer(z, x - g * y), right + z * r, g
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, right), rtol=1e-8)


def test_what_diverges_off_policy_and_what_does_not():
    """Features 1 and 2, the target policy always to state 2, behaviour even: TD leaves 0.9."""
    rng = np.random.default_rng(0)
    length = 20_000
    state = rng.integers(0, 2, length)  # the behaviour goes anywhere
    following = np.r_[state[1:], 0]
    x = np.array([[1.0], [2.0]])
    ratio = 2.0 * (following == 1)
    steps = dp.Steps(x[state], np.zeros(length), np.full(length, 0.9), x[following], ratio)

    @jax.jit
    def run(steps):
        start = jnp.ones(1)
        return (
            dp.learn(dp.td_lambda(0.01), steps, start)[-1],
            dp.learn(dp.tdc(0.005, 0.05), steps, start)[-1],
            dp.learn(dp.gtd2(0.05, 0.05), steps, start)[-1],
        )

    td, tdc, gtd2 = (float(x[0]) for x in run(jax.tree.map(np.float32, steps)))
    assert td > 1e6 and abs(tdc) < 0.9 and abs(gtd2) < 0.9
    # The expected matrix of emphatic TD is 3.4: an exact average of its updates in numpy.
    follow = np.linalg.solve(np.eye(2) - 0.9 * np.array([[0, 0], [1, 1.0]]), [0.5, 0.5])
    np.testing.assert_allclose(follow, [0.5, 9.5])
    matrix = follow @ (x[:, 0] * (x[:, 0] - 0.9 * 2))
    np.testing.assert_allclose(matrix, 3.4)


def test_least_squares_policy_iteration_on_a_table_is_policy_iteration():
    p, r, _, _ = three_arrays()
    pairs = np.eye(6)
    # The expectation over successors of the features of each action, for every pair once.
    with jax.enable_x64(True):
        mdp = dp.from_arrays(*three_arrays())
        exact = np.asarray(dp.value_iteration(mdp, GAMMA, tolerance=1e-12).theta)
        # One sample for each successor, weighed by its probability.
        s, a, n = (x.ravel() for x in np.indices(p.shape))
        following = pairs.reshape(3, 2, 6)[n]
        weight = p[s, a, n]
        weights, change = jax.jit(dp.lspi)(
            jnp.asarray(pairs[s * 2 + a]),
            jnp.asarray(r[s, a, n]),
            jnp.full(s.size, GAMMA),
            jnp.asarray(following),
            weight=weight,
        )
    np.testing.assert_allclose(np.asarray(weights).reshape(3, 2), exact, atol=1e-8)
    assert float(change) < 1e-9
