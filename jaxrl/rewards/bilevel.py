"""Rewards that are learnt so that what is learnt from them is good: implicit gradients."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxrl.types import Array, Tree

Residual = Callable[[Tree, Tree], Tree]
"""(theta, phi) -> a tree like theta that is zero where theta is what phi leads to."""


def learnt_from(
    residual: Residual, solve: Callable[[Tree, Tree], Tree], start: Tree
) -> Callable[[Tree], Tree]:
    """The function phi -> theta(phi) of what an algorithm learns, with implicit derivatives.

    `solve(theta, phi)` runs the algorithm from `start` until residual(theta, phi) = 0, such as the
    update of a policy by the rewards of phi, and is never differentiated:

        d theta / d phi = -(d residual / d theta)^-1 d residual / d phi

    by a dense linear system, for policies of up to a few hundred parameters. The update may be
    biased, as one of another discount; phi then corrects for that too. Source: Gupta et al. (2023),
    "Behavior alignment via reward function optimization", https://arxiv.org/abs/2310.19007.
    """
    first, unravel = ravel_pytree(start)
    flat = lambda tree: ravel_pytree(tree)[0]

    def solution(phi: Tree) -> Tree:
        fixed = jax.lax.stop_gradient(phi)

        def tangent(linear: Callable[[Array], Array], b: Array) -> Array:
            matrix = jax.jacobian(linear)(jnp.zeros_like(b))
            return jnp.linalg.solve(matrix, b)

        theta = jax.lax.custom_root(
            lambda x: flat(residual(unravel(x), phi)),
            first,
            lambda _, x: flat(solve(unravel(x), fixed)),
            tangent,
        )
        return unravel(theta)

    return solution


def mixed_reward(phi: Tree, primary: Array, auxiliary: Array) -> Array:
    """The reward phi["bias"] + phi["primary"] r + phi["auxiliary"] r_aux [...] of BARFI.

    Each of the three may be a number, or an array [...] of states and actions.
    """
    return phi["bias"] + phi["primary"] * primary + phi["auxiliary"] * auxiliary
