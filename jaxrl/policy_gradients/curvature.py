"""Hessian and Fisher vector products, natural gradients, and estimates with right derivatives."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.types import Array, Tree

Scalar = Callable[[Tree], Array]
"""A function of parameters to a number []."""


def hessian_vector(function: Scalar, params: Tree, vector: Tree) -> Tree:
    """Return the Hessian of a function at `params` times a vector, both trees of one structure.

    It is the gradient of <gradient, vector>, in reverse mode twice: the layers of
    `jaxrl.networks` have a gradient of their own that excludes forward mode.

    Examples:
        >>> cube = lambda x: (x**3).sum()
        >>> x, ones = jnp.array([1.0, 2.0]), jnp.ones(2)
        >>> print(policy_gradients.hessian_vector(cube, x, ones))  # 6 x
        [ 6. 12.]
    """
    slope = lambda at: optax.tree.vdot(jax.grad(function)(at), vector)
    return jax.grad(slope)(params)


def natural_gradient(
    divergence: Scalar,
    params: Tree,
    gradient: Tree,
    damping: float | Array = 1e-3,
    iterations: int = 20,
) -> Tree:
    """Return (F + damping I)^-1 gradient by conjugate gradients, F being the Fisher matrix.

    F is the Hessian at `params` of a `divergence` from the policy of `params` to that of its
    argument, such as a mean of KL divergences, which is zero there. Raises `InputError` if the
    damping is negative, or unless there is an iteration. Source: Kakade (2001), "A natural policy
    gradient"; conjugate gradients as in Schulman et al. (2015), "Trust region policy optimization",
    https://arxiv.org/abs/1502.05477.

    Examples:
        >>> scaled = lambda x: (jnp.array([1.0, 2.0]) * x**2).sum()
        >>> step = policy_gradients.natural_gradient(scaled, jnp.zeros(2), jnp.ones(2), damping=0.0)
        >>> print(step)  # a Hessian of 2 and 4
        [0.5  0.25]
    """
    require_non_negative(damping=damping)
    require_positive(iterations=iterations)

    def fisher(vector: Tree) -> Tree:
        product = hessian_vector(divergence, params, vector)
        return jax.tree.map(lambda x, v: x + damping * v, product, vector)

    return jax.scipy.sparse.linalg.cg(fisher, gradient, maxiter=iterations)[0]


def trust_region_step(
    divergence: Scalar,
    loss: Scalar,
    params: Tree,
    radius: float | Array,
    damping: float | Array = 1e-3,
    iterations: int = 20,
    halvings: int = 10,
) -> Tree:
    """Return the parameters after a natural step down a loss, within a divergence of `radius`.

    The step along d = F^-1 gradient has the length sqrt(2 radius / <gradient, d>), which a
    quadratic divergence allows, and is halved until the loss falls and the divergence is within the
    radius; if that never happens in as many `halvings`, the parameters stay. Raises `InputError`
    unless the radius is above zero. Source: Schulman et al. (2015), "Trust region policy
    optimization", https://arxiv.org/abs/1502.05477.

    Examples:
        >>> square = lambda x: 0.5 * (x**2).sum()
        >>> slope = lambda x: -x.sum()
        >>> step = policy_gradients.trust_region_step
        >>> print(step(square, slope, jnp.zeros(1), radius=2.0, damping=0.0))
        [2.]
    """
    require_positive(radius=radius)
    gradient = jax.grad(loss)(params)
    step = natural_gradient(divergence, params, gradient, damping, iterations)
    quadratic = jnp.maximum(optax.tree.vdot(gradient, step), 1e-12)
    size = jnp.sqrt(2 * radius / quadratic)
    start = loss(params)
    moved = lambda share: jax.tree.map(lambda x, d: x - share * size * d, params, step)

    def fine(share: Array) -> Array:
        there = moved(share)
        # The quadratic is that of F, and rounding may leave the edge on the wrong side.
        return (loss(there) < start) & (divergence(there) <= radius * (1 + 1e-3))

    shares = 0.5 ** jnp.arange(halvings)
    good = jax.vmap(fine)(shares)
    return moved(jnp.where(good.any(), shares[jnp.argmax(good)], 0.0))


def differentiable_return(log_prob: Array, reward: Array, discount: Array) -> Array:
    """Return the mean return [] of episodes, with derivatives that are estimates of every order.

    Reward r_t of log_prob, reward and discount [T, ...] is weighted by the discounts before it and
    multiplied by exp(c_t - stop_gradient(c_t)) with c_t the sum of the log-probabilities of the
    actions up to t. That is 1, but its gradient is the score of these actions, and its Hessian has
    both their scores' products and their Hessians. Source: Foerster et al. (2018), "DiCE: the
    infinitely differentiable Monte Carlo estimator", https://arxiv.org/abs/1802.05098.

    Examples:
        >>> at = lambda x: policy_gradients.differentiable_return(
        ...     jnp.array([x]), jnp.array([3.0]), jnp.array([0.0])
        ... )
        >>> print(at(0.5), jax.grad(at)(0.5))
        3.0 3.0
    """
    total = jnp.cumsum(log_prob, 0)
    before = jnp.concatenate([jnp.ones_like(discount[:1]), jnp.cumprod(discount, 0)[:-1]])
    box = jnp.exp(total - jax.lax.stop_gradient(total))
    return (before * reward * box).sum(0).mean()
