"""Iteration to a fixed point, with derivatives by the implicit function theorem.

A solver runs a loop whose length depends on the data, and its result x satisfies x = T(x, m) for
an operator T and parameters m. Neither the length nor the path of the loop enters the derivative:
dx = (I - dT/dx)^-1 (dT/dm) dm. `implicit` attaches that derivative to the result of any loop.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Tree

Operator = Callable[[Array], Array]
"""A map of a table [...] to a table of the same shape."""


class Solution(NamedTuple):
    """A table and how it was reached."""

    theta: Array  # [S, A, K], or [S, A] where K = 1 by construction
    iterations: Array  # [] int32
    residual: Array  # [] change made by the last iteration
    converged: Array  # [] bool, whether the residual is small enough for the tolerance


def largest(x: Tree) -> Array:
    """Return the largest absolute value [] among the real numbers of a tree."""
    leaves = [leaf for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.abs(leaf).max() for leaf in leaves]).max()


def largest_difference(x: Array, y: Array) -> Array:
    """Return the largest absolute difference [] between two tables."""
    return jnp.abs(x - y).max()


def threshold(tolerance: float | Array, scale: Array, largest: Array | None = None) -> Array:
    """Return the residual [] at which an iteration on values of size `scale` [] ends.

    It is tolerance * scale, but not less than the rounding error of the `largest` [] number that
    the iteration computes with, which by default is `scale`. A tolerance of 0 is exact: only a
    residual of 0 ends the iteration early.
    """
    rounding = jnp.finfo(scale.dtype).eps * (scale if largest is None else largest)
    tolerance = jnp.asarray(tolerance)
    return jnp.where(tolerance > 0, jnp.maximum(tolerance * scale, rounding), 0.0)


def iterate(
    step: Callable[[Tree], tuple[Tree, Array]],
    start: Tree,
    tolerance: float | Array,
    max_iterations: int | Array,
    scale: Callable[[Tree], Array] = largest,
    rounded: Callable[[Tree], Array] | None = None,
) -> Solution:
    """Repeat `step`: x -> (x, residual []) until the residual is at most the `threshold`.

    `scale` measures the size [] of the values in x, which the tolerance is relative to, and
    `rounded` the largest number [] whose rounding moves the residual, if it is another one. Under
    `vmap` the members that have converged wait, unchanged, for the others. The loop itself can
    only be differentiated forwards, and then inexactly: see `implicit`.

    Examples:
        >>> step = lambda x: (x / 2 + 1, jnp.abs(1 - x / 2))
        >>> solution = dp.iterate(step, jnp.zeros(()), 1e-6, 100)
        >>> print(solution.theta, solution.converged)
        2.0 True
    """
    start = _as_returned(lambda x: step(x)[0], start)

    def unfinished(carry: tuple[Tree, Array, Array, Array]) -> Array:
        _, iterations, residual, least = carry
        return (residual > least) & (iterations < max_iterations)

    def again(carry: tuple[Tree, Array, Array, Array]) -> tuple[Tree, Array, Array, Array]:
        new, residual = step(carry[0])
        least = threshold(tolerance, scale(new), None if rounded is None else rounded(new))
        return new, carry[1] + 1, residual.astype(carry[2].dtype), least.astype(carry[3].dtype)

    carry = start, jnp.int32(0), jnp.asarray(jnp.inf), jnp.zeros(())
    theta, iterations, residual, least = jax.lax.while_loop(unfinished, again, carry)
    return Solution(theta, iterations, residual, residual <= least)


def implicit(
    operator: Operator,
    run: Callable[[Array], Solution],
    start: Array,
    max_iterations: int | Array,
) -> Solution:
    """Return `run(start)`, whose table has the derivatives of the fixed point of `operator`.

    They are exact for the fixed point, in forward and in reverse mode, of any order, and by
    everything that `operator` closes over; `run` is never differentiated. The linear equation is
    solved by iteration, which converges where `operator` contracts, to the rounding error or for
    at most `max_iterations`.

    Examples:
        >>> def root(m):  # of x = m x + 1
        ...     step = lambda x: (1 / (1 - m) + 0 * x, jnp.abs(1 / (1 - m) - x))
        ...     found = lambda start: dp.iterate(step, start, 1e-6, 9)
        ...     return dp.implicit(lambda x: m * x + 1, found, jnp.zeros(()), 100).theta
        >>> print(jax.grad(root)(0.5), jax.hessian(root)(0.5))  # 1 / (1 - m)^2, 2 / (1 - m)^3
        4.0 16.0
    """
    start = _as_returned(operator, start)

    def solve(_: Operator, start: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        theta, iterations, residual, converged = run(start)
        # Integers and booleans would need tangents of types of their own.
        dtype = residual.dtype
        numbers = iterations.astype(dtype), residual, converged.astype(dtype)
        return theta.astype(start.dtype), numbers

    def neumann(matvec: Operator, b: Array) -> Array:
        """Solve (J - I) x = b for a contraction J by x <- J x - b."""

        def unfinished(carry: tuple[Array, Array, Array]) -> Array:
            return carry[2] & (carry[1] < max_iterations)

        def again(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            x, iterations, _ = carry
            change = matvec(x) - b
            new = x + change
            least = 4 * jnp.finfo(x.dtype).eps * jnp.abs(new).max()
            return new, iterations + 1, jnp.abs(change).max() > least

        carry = -b, jnp.int32(0), jnp.asarray(True)
        return jax.lax.while_loop(unfinished, again, carry)[0]

    def tangent(linear: Operator, b: Array) -> Array:
        return jax.lax.custom_linear_solve(linear, b, neumann, neumann)

    theta, (iterations, residual, converged) = jax.lax.custom_root(
        lambda x: operator(x) - x, start, solve, tangent, has_aux=True
    )
    return Solution(theta, iterations.astype(jnp.int32), residual, converged > 0)


def fixed_point(
    operator: Operator,
    start: Array,
    tolerance: float | Array,
    max_iterations: int | Array,
    distance: Callable[[Array, Array], Array] = largest_difference,
    scale: Callable[[Array], Array] = largest,
    rounded: Callable[[Array], Array] | None = None,
) -> Solution:
    """Return the fixed point of a contraction of tables, by iteration from `start`.

    The residual is the `distance` [] by which the last iteration moved the table; when the
    iteration ends is said at `iterate`, and how it is differentiated at `implicit`.

    Examples:
        >>> root = lambda m: dp.fixed_point(lambda x: m * x + 1, jnp.zeros(()), 1e-6, 100).theta
        >>> print(root(0.5), jax.grad(root)(0.5))
        2.0 4.0
    """

    def step(x: Array) -> tuple[Array, Array]:
        new = operator(x)
        return new, distance(new, x)

    run = lambda start: iterate(step, start, tolerance, max_iterations, scale, rounded)
    return implicit(operator, run, start, max_iterations)


def _as_returned(function: Callable[[Tree], Tree], x: Tree) -> Tree:
    """Cast a tree to the types that `function` returns, as the carry of a loop must have them."""
    types = jax.eval_shape(function, x)
    return jax.tree.map(lambda leaf, type: jnp.asarray(leaf, type.dtype), x, types)
