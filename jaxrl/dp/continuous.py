"""Continuous time: quadrature rules, and policy iteration from integrals along trajectories.

The value of a policy solves V(x(0)) - V(x(T)) = integral of the cost from 0 to T, and the cost is
known at a few times only. The quadrature rule therefore limits the accuracy of the policy.

Examples:
    The system x' = u of cost x'x + u'u, whose best control is u = -x:

    >>> one, start, gain = jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.ones((1, 1))
    >>> drift = dp.LinearQuadratic(a=0 * one, b=one, q=one, r=one)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.types import Array


def trapezoid(intervals: int, length: float | Array) -> Array:
    """Return the weights [intervals + 1] of the trapezoid rule on [0, length]; error of order 2.

    Examples:
        >>> print(dp.trapezoid(intervals=2, length=1.0))
        [0.25 0.5  0.25]
    """
    require_positive(intervals=intervals, length=length)
    weights = jnp.ones(intervals + 1).at[jnp.asarray([0, -1])].set(0.5)
    return length / intervals * weights


def simpson(intervals: int, length: float | Array) -> Array:
    """Return the weights [intervals + 1] of Simpson's rule on [0, length]; error of order 4.

    Raises `InputError` if the number of intervals is odd.

    Examples:
        >>> print(dp.simpson(intervals=2, length=1.0))
        [0.167 0.667 0.167]
    """
    require_positive(intervals=intervals, length=length)
    require(intervals % 2 == 0, f"Simpson's rule needs an even number of intervals: {intervals}.")
    weights = jnp.full(intervals + 1, 2.0).at[1::2].set(4.0).at[jnp.asarray([0, -1])].set(1.0)
    return length / intervals / 3 * weights


class Kernel(NamedTuple):
    """A stationary covariance of functions of time."""

    covariance: Callable[[Array], Array]  # distance [...] >= 0 between two times -> [...]
    integral: Callable[[Array], Array]  # of the covariance from 0 to a distance [...] >= 0


def matern(smoothness: float, length_scale: float | Array = 1.0) -> Kernel:
    """Return the Matern kernel of smoothness 0.5, 1.5 or 2.5, of unit variance.

    Its functions have smoothness - 1/2 derivatives. Raises `InputError` for another smoothness.

    Examples:
        >>> kernel = dp.matern(0.5)
        >>> print(kernel.covariance(jnp.array(1.0)), kernel.integral(jnp.array(1.0)))
        0.368 0.632
    """
    require_positive(length_scale=length_scale)
    # The covariance is p(s) exp(-s) in s = sqrt(2 smoothness) r / length_scale, and its integral
    # q(0) - q(s) exp(-s) with p = q - q'.
    polynomials = {
        0.5: ((1.0,), (1.0,)),
        1.5: ((1.0, 1.0), (1.0, 2.0)),
        2.5: ((1 / 3, 1.0, 1.0), (1 / 3, 5 / 3, 8 / 3)),
    }
    require(
        smoothness in polynomials,
        f"A Matern kernel has a smoothness of 0.5, 1.5 or 2.5 here, not {smoothness}.",
    )
    p, q = polynomials[smoothness]
    scale = (2 * smoothness) ** 0.5 / length_scale

    def covariance(distance: Array) -> Array:
        s = scale * distance
        return jnp.polyval(jnp.asarray(p), s) * jnp.exp(-s)

    def integral(distance: Array) -> Array:
        s = scale * distance
        # The difference from q(0), so that short distances keep their digits.
        rest = jnp.polyval(jnp.asarray((*q[:-1], 0.0)), s) * jnp.exp(-s)
        return (-q[-1] * jnp.expm1(-s) - rest) / scale

    return Kernel(covariance, integral)


def bayesian_quadrature(times: Array, length: float | Array, kernel: Kernel) -> Array:
    """Return the weights [N] of Bayesian quadrature at distinct times [N] in [0, length].

    They give the posterior mean of the integral over [0, length] of a Gaussian process with this
    covariance, observed at the times. In float32 the covariance of many times on a long scale is
    singular. Source:
    O'Hagan (1991), "Bayes-Hermite quadrature".

    Examples:
        >>> print(dp.bayesian_quadrature(jnp.array([0.5]), 1.0, dp.matern(0.5)))
        [0.787]
    """
    covariance = kernel.covariance(jnp.abs(times[:, None] - times))
    mean = kernel.integral(times) + kernel.integral(length - times)
    return jnp.linalg.solve(covariance, mean)


class LinearQuadratic(NamedTuple):
    """A linear system x' = A x + B u of cost x'Qx + u'Ru, controlled by u = -K x."""

    a: Array  # [n, n] A
    b: Array  # [n, m] B
    q: Array  # [n, n] Q, symmetric
    r: Array  # [m, m] R, symmetric and positive


def closed_loop(problem: LinearQuadratic, gain: Array, starts: Array, times: Array) -> Array:
    """Return the exact states [M, N, n] at times [N] from starts [M, n] under u = -gain x.

    Examples:
        >>> print(dp.closed_loop(drift, gain, start, jnp.array([0.0, 1.0]))[0, :, 0])  # 1, 1/e
        [1.    0.368]
    """
    system = problem.a - problem.b @ gain
    flow = jax.vmap(lambda t: jax.scipy.linalg.expm(system * t))(times)
    return jnp.einsum("tij,mj->mti", flow, starts)


def running_cost(problem: LinearQuadratic, gain: Array, states: Array) -> Array:
    """Return the cost per unit of time [...] at states [..., n] under u = -gain x, [m, n].

    Examples:
        >>> print(dp.running_cost(drift, gain, jnp.array([2.0])))  # x'x + u'u
        8.0
    """
    weight = problem.q + gain.T @ problem.r @ gain
    return jnp.einsum("...i,ij,...j->...", states, weight, states)


def integral_policy_evaluation(states: Array, costs: Array, weights: Array) -> Array:
    """Return the matrix P [n, n] of the value x'Px that fits trajectories by least squares.

    States [M, N, n] and costs [M, N] belong to the times of the quadrature weights [N], the first
    of which is the start and the last the end. It needs no model, but M >= n (n + 1) / 2
    trajectories from starts in general position. Raises `InputError` for fewer. Source: Vrabie et
    al. (2009), "Adaptive optimal control for continuous-time linear systems based on policy
    iteration".

    Examples:
        >>> times, weights = jnp.linspace(0.0, 1.0, 11), dp.simpson(10, 1.0)
        >>> states = dp.closed_loop(drift, gain, start, times)
        >>> costs = dp.running_cost(drift, gain, states)
        >>> print(dp.integral_policy_evaluation(states, costs, weights))
        [[1.]]
    """
    n = states.shape[-1]
    rows, columns = jnp.triu_indices(n)
    require(
        states.shape[0] >= rows.size,
        f"A quadratic value of {n} states needs {rows.size} trajectories, not {states.shape[0]}.",
    )
    quadratic = lambda x: x[:, rows] * x[:, columns]
    difference = quadratic(states[:, 0]) - quadratic(states[:, -1])
    theta = jnp.linalg.lstsq(difference, costs @ weights)[0]
    # Off the diagonal a coefficient of the form is twice the entry of the matrix.
    upper = jnp.zeros((n, n), theta.dtype).at[rows, columns].set(theta)
    return (upper + upper.T) / 2


def integral_policy_iteration(
    problem: LinearQuadratic,
    gain: Array,
    starts: Array,
    times: Array,
    weights: Array,
    iterations: int = 30,
) -> tuple[Array, Array]:
    """Return the gain K [m, n] and value matrix P [n, n] after rounds of policy iteration.

    Each round follows the gain from starts [M, n], evaluates it by quadrature at times [N], and
    takes K = R^-1 B'P; the first gain must stabilise the system. It is Newton's method on the
    Riccati equation, up to the error of the quadrature. Source: Cao and Pan (2024),
    "Impact of computation in integral reinforcement learning for continuous-time control".

    Examples:
        >>> times, weights = jnp.linspace(0.0, 1.0, 11), dp.simpson(10, 1.0)
        >>> print(dp.integral_policy_iteration(drift, 2 * gain, start, times, weights)[0])
        [[1.]]
    """

    def improve(gain: Array, _: None) -> tuple[Array, Array]:
        states = closed_loop(problem, gain, starts, times)
        costs = running_cost(problem, gain, states)
        value = integral_policy_evaluation(states, costs, weights)
        return jnp.linalg.solve(problem.r, problem.b.T @ value), value

    gain, values = jax.lax.scan(improve, gain, None, iterations)
    return gain, values[-1]
