"""Quadrature and integral policy iteration against closed forms, scipy and the Riccati equation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_continuous_are, solve_continuous_lyapunov
from scipy.special import gamma as gamma_function
from scipy.special import kv

from jaxrl.dp import continuous

A = np.array([[0.0, 1.0], [-1.0, 0.5]])  # an unstable oscillator
B = np.array([[0.0], [1.0]])
Q, R = np.diag([1.0, 0.5]), np.array([[0.4]])
FIRST = np.array([[0.0, 2.0]])  # stabilises it
STARTS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -0.5]])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def problem():
    return continuous.LinearQuadratic(*map(jnp.asarray, (A, B, Q, R)))


def test_rules_are_exact_for_polynomials_of_their_degree():
    times = np.linspace(0, 2, 9)
    for rule, degree in ((continuous.trapezoid, 1), (continuous.simpson, 3)):
        weights = np.asarray(rule(8, 2.0))
        for power in range(degree + 2):
            exact = 2.0 ** (power + 1) / (power + 1)
            close = abs(weights @ times**power - exact) < 1e-12
            assert close == (power <= degree)


@pytest.mark.parametrize("smoothness", [0.5, 1.5, 2.5])
def test_matern(smoothness):
    kernel = continuous.matern(smoothness, 0.7)
    r = np.linspace(1e-3, 3.0, 20)
    s = np.sqrt(2 * smoothness) * r / 0.7
    expected = (
        2 ** (1 - smoothness) / gamma_function(smoothness) * s**smoothness * kv(smoothness, s)
    )
    np.testing.assert_allclose(kernel.covariance(jnp.asarray(r)), expected, rtol=1e-9)
    integrals = [quad(lambda x: float(kernel.covariance(jnp.asarray(x))), 0, x)[0] for x in r[::5]]
    np.testing.assert_allclose(kernel.integral(jnp.asarray(r[::5])), integrals, rtol=1e-8)


def test_bayesian_quadrature():
    times = jnp.asarray([0.0, 0.1, 0.5, 0.8, 1.3])
    for smoothness in (0.5, 1.5, 2.5):
        kernel = continuous.matern(smoothness, 0.6)
        weights = np.asarray(continuous.bayesian_quadrature(times, 1.5, kernel))
        # Exact for what the kernel spans.
        for t in np.asarray(times):
            f = lambda x, t=t, kernel=kernel: float(kernel.covariance(jnp.abs(jnp.asarray(x - t))))
            exact = quad(f, 0, 1.5, points=[t])[0]
            seen = np.asarray(kernel.covariance(jnp.abs(times - t)))
            np.testing.assert_allclose(weights @ seen, exact, rtol=1e-7)
    # The roughest kernel has a closed form between neighbours, and is the trapezoid far out.
    grid, h = jnp.linspace(0, 1, 9), 1 / 8
    for scale in (0.05, 0.5):
        weights = continuous.bayesian_quadrature(grid, 1.0, continuous.matern(0.5, scale))
        inner = 2 * scale * np.tanh(h / (2 * scale))
        np.testing.assert_allclose(weights, [inner / 2] + [inner] * 7 + [inner / 2], rtol=1e-9)
    weights = continuous.bayesian_quadrature(grid, 1.0, continuous.matern(0.5, 1e3))
    np.testing.assert_allclose(weights, continuous.trapezoid(8, 1.0), rtol=1e-6)


def test_policy_evaluation_solves_the_lyapunov_equation():
    times = jnp.linspace(0, 1, 201)
    states = continuous.closed_loop(problem(), jnp.asarray(FIRST), jnp.asarray(STARTS), times)
    costs = continuous.running_cost(problem(), jnp.asarray(FIRST), states)
    value = continuous.integral_policy_evaluation(states, costs, continuous.simpson(200, 1.0))
    system = A - B @ FIRST
    exact = solve_continuous_lyapunov(system.T, -(Q + FIRST.T @ R @ FIRST))
    np.testing.assert_allclose(value, exact, atol=1e-9)
    np.testing.assert_allclose(value, value.T)


@functools.cache
def solver():
    """Compiled once, as it takes seconds."""
    times = jnp.linspace(0, 1, 33)
    solve = lambda weights: continuous.integral_policy_iteration(
        problem(), jnp.asarray(FIRST), jnp.asarray(STARTS), times, weights
    )
    return jax.jit(jax.vmap(solve))


def gain_errors(rule):
    """The error of the gain with 4, 8, 16 and 32 intervals, all vmapped.

    All see the same 33 times; the coarser rules give most of them the weight 0.
    """
    weights = np.zeros((4, 33))
    for row, n in zip(weights, (4, 8, 16, 32)):
        row[:: 32 // n] = rule(n)
    gains, values = solver()(jnp.asarray(weights))
    best = solve_continuous_are(A, B, Q, R)
    np.testing.assert_allclose(values[-1], best, atol=2e-3)
    return np.abs(np.asarray(gains) - np.linalg.solve(R, B.T @ best)).max((1, 2))


RULES = {
    "trapezoid": lambda n: continuous.trapezoid(n, 1.0),
    "simpson": lambda n: continuous.simpson(n, 1.0),
    1.5: lambda n: bayesian(n, 1.5),
    2.5: lambda n: bayesian(n, 2.5),
}


def bayesian(n, smoothness):
    times, kernel = jnp.linspace(0, 1, n + 1), continuous.matern(smoothness, 1.0)
    return continuous.bayesian_quadrature(times, 1.0, kernel)


@pytest.mark.parametrize("name", RULES)
def test_policy_iteration_converges_with_the_order_of_the_rule(name):
    errors = gain_errors(RULES[name])
    orders = np.log2(errors[:-1] / errors[1:])
    if isinstance(name, str):
        order = {"trapezoid": 2.0, "simpson": 4.0}[name]
        np.testing.assert_allclose(orders[1:], order, atol=0.06)
        np.testing.assert_allclose(orders[2], order, atol=0.02)
    else:
        # The rate for the worst function of its space is smoothness + 1/2; this one is smoother.
        assert (orders > name + 0.5).all()


def test_one_state_and_no_cost():
    """The Riccati equation of a scalar in closed form: P = sqrt(2) - 1, and 0 where all is free."""
    one = jnp.ones((1, 1))
    times, weights = jnp.linspace(0, 1, 33), continuous.simpson(32, 1.0)

    def solve(cost):
        scalar = continuous.LinearQuadratic(-one, one, cost * one, one)
        first = jnp.zeros((1, 1))
        return continuous.integral_policy_iteration(scalar, first, one, times, weights, 8)

    gain, value = jax.jit(jax.vmap(solve))(jnp.array([1.0, 0.0]))
    for found in (gain, value):
        np.testing.assert_allclose(found[:, 0, 0], [np.sqrt(2) - 1, 0.0], atol=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="even number of intervals: 3"):
        continuous.simpson(3, 1.0)
    with pytest.raises(ValueError, match=r"smoothness of 0\.5, 1\.5 or 2\.5 here, not 1"):
        continuous.matern(1.0)
    with pytest.raises(ValueError, match="needs 3 trajectories, not 2"):
        continuous.integral_policy_evaluation(jnp.zeros((2, 5, 2)), jnp.zeros((2, 5)), jnp.ones(5))
