"""Gradients of temporal differences: semi, true and orthogonal ones.

A loss of temporal differences depends on parameters twice: by the value of a state, and by that of
its successor. Here it is a function `loss(now, after)` of the parameters of both, and the
combinations differ in what passes through which. Sources: Baird (1995), "Residual algorithms:
reinforcement learning with function approximation"; Mao et al. (2024), "ODICE: revealing the
mystery of distribution correction estimation via orthogonal-gradient update",
https://arxiv.org/abs/2402.00348, and the authors' code, https://github.com/maoliyuan/ODICE-Pytorch.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_known
from jaxrl.types import Array, Tree

GRADIENTS = ("semi", "true", "orthogonal")

fixed = jax.lax.stop_gradient


def half_gradients(
    loss: Callable[[Tree, Tree], Array], params: Tree, target: Tree
) -> tuple[Tree, Tree]:
    """The gradients by the value of the state, and by the value of its successor.

    They are those of loss(params, target) by its first argument, and of loss(target, params) by its
    second one: whatever is not descended is that of the target network.

    Examples:
        >>> error = lambda now, after: 0.5 * (1.0 + 0.5 * after - now) ** 2
        >>> one = jnp.array(1.0)
        >>> [print(x) for x in updates.half_gradients(error, 2 * one, one)][0]  # now 2, after 1
        0.5
        0.5
    """
    forward = jax.grad(lambda now: loss(now, target))(params)
    backward = jax.grad(lambda after: loss(target, after))(params)
    return forward, backward


def orthogonal(tree: Tree, to: Tree) -> Tree:
    """What is left of a tree of arrays without its projection on another one.

    It is x - <x, y> / <y, y> y, with one inner product over all entries of all leaves, and x where
    y is zero.

    Examples:
        >>> print(updates.orthogonal(jnp.array([3.0, 4.0]), to=jnp.array([2.0, 0.0])))
        [0. 4.]
    """
    length = jnp.asarray(optax.tree.vdot(to, to))
    share = optax.tree.vdot(tree, to) / jnp.where(length > 0, length, 1.0)
    return jax.tree.map(lambda x, y: x - share * y, tree, to)


def cosine(one: Tree, other: Tree) -> Array:
    """The cosine [] of the angle between two trees of arrays, 0 if one of them is zero.

    Examples:
        >>> print(updates.cosine(jnp.array([1.0, 0.0]), jnp.array([-2.0, 0.0])))
        -1.0
    """
    length = jnp.asarray(optax.tree.norm(one) * optax.tree.norm(other))
    return jnp.asarray(optax.tree.vdot(one, other)) / jnp.where(length > 0, length, 1.0)


def residual_loss(
    loss: Callable[[Tree, Tree], Array],
    params: Tree,
    target: Tree,
    gradient: str = "semi",
    backward: float | Array = 1.0,
) -> tuple[Array, Array]:
    """A loss of temporal differences whose gradient is a combination of its two halves.

    With the half gradients f by the state's value and b by the successor's, the gradient is

        semi:        f
        true:        that of loss(params, params), which has no use for the target
        orthogonal:  f + eta (b - <b, f> / <f, f> f), with one projection for the whole batch.

    Args:
      loss: a function (parameters of the state's value, those of the successor's) -> [].
      params: the parameters that are descended.
      target: those of the target network, or `params` where there is none.
      gradient: semi, true or orthogonal.
      backward: eta, the weight of the orthogonal part.

    Returns:
      The loss [], to be differentiated by `params`, and the cosine [] of f and b as a diagnostic:
      near -1 hardly anything of b is left by the projection.

    Raises:
      InputError: for another kind of gradient.

    Examples:
        >>> error = lambda now, after: 0.5 * (1.0 + 0.5 * after - now) ** 2
        >>> of = lambda kind: lambda x: updates.residual_loss(error, x, jnp.array(1.0), kind)[0]
        >>> print(jax.grad(of("semi"))(jnp.array(1.0)), jax.grad(of("true"))(jnp.array(1.0)))
        -0.5 -0.25

    Source: Mao et al. (2024), https://arxiv.org/abs/2402.00348, in the authors' code.
    """
    require_known("gradient", gradient, GRADIENTS)
    still = fixed(params)
    by_state, by_successor = half_gradients(loss, still, fixed(target))
    if gradient == "true":
        value, slope = jax.value_and_grad(lambda both: loss(both, both))(still)
    else:
        value, slope = loss(still, fixed(target)), by_state
    if gradient == "orthogonal":
        rest = orthogonal(by_successor, to=by_state)
        slope = jax.tree.map(lambda f, b: f + backward * b, by_state, rest)
    # Zero, but for its gradient.
    change = optax.tree.vdot(slope, params)
    return value + change - fixed(change), cosine(by_state, by_successor)
