"""Expectiles at fixed levels: what asymmetric squared errors regress to."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, mean, shift
from jaxrl.values.quantile import midpoints, quantile_loss
from jaxrl.values.representations import Representation
from jaxrl.values.statistics import expectile_at

LEAST = 1e-6  # least divisor, where the largest expectile is 1
LARGE = 1e12  # larger than any error


def expectile(size: int) -> Representation:
    """Expectiles theta [..., N] at the levels (2i + 1) / 2N, regressed with asymmetric squares.

    The middle one is the mean. `decode` is an imputation: N - 1 atoms with exactly these
    expectiles, if a distribution with them exists. Otherwise they are changed until one does, and
    the mean is kept. Source: Rowland et al. (2019), who find the atoms by optimisation instead.
    Raises an InputError unless `size` is odd and at least 3.

    Examples:
        >>> print(values.expectile(3).project(z))
        [0.25 1.   2.5 ]
    """
    odd = size >= 3 and size % 2 == 1
    require(odd, f"The number of expectiles must be odd and at least 3, but it is {size}.")
    levels, middle = midpoints(size), size // 2
    outer = jnp.delete(jnp.arange(size), middle)
    odds = levels[outer] / (1 - 2 * levels[outer])

    def decode(theta: Array) -> ReturnDistribution:
        centre = theta[..., middle : middle + 1]
        axis = theta.ndim - 1
        # Ascending from the middle outwards; a sort costs ten times as much.
        left = jax.lax.cummin(theta[..., : middle + 1], axis=axis, reverse=True)[..., :-1]
        right = jax.lax.cummax(theta[..., middle:], axis=axis)[..., 1:]
        knots = jnp.concatenate([left, right], -1) - centre
        largest = jax.lax.stop_gradient(jnp.abs(knots).max(-1, keepdims=True))
        scale = jnp.where(largest > jnp.finfo(largest.dtype).tiny, largest, 1.0)
        knots = knots / scale
        # The expectile e at level tau of Z with mean 0 says that E max(e - Z, 0) = -e tau / (1 -
        # 2 tau). That is the integral of the distribution function: convex, with slopes in [0, 1].
        # Its known values are joined by lines, and the atoms are where two lines meet.
        integral = -odds * knots
        gap = jnp.maximum(jnp.diff(knots), LEAST)
        slopes = jax.lax.cummax(jnp.clip(jnp.diff(integral) / gap, 0.0, 1.0), axis=axis)
        first, last = slopes[..., :1], slopes[..., -1:]
        low = knots[..., :1] - integral[..., :1] / jnp.maximum(first, LEAST)
        above = integral[..., -1:] - knots[..., -1:]  # E max(Z - e, 0)
        high = knots[..., -1:] + above / jnp.maximum(1 - last, LEAST)
        atoms = jnp.concatenate([low, knots[..., 1:-1], high], -1)
        bounds = jnp.concatenate([jnp.zeros_like(first), slopes, jnp.ones_like(last)], -1)
        imputed = ReturnDistribution(atoms, jnp.diff(bounds))
        centred = shift(imputed, -mean(imputed))
        return centred._replace(atoms=centre + scale * centred.atoms)

    def project(distribution: ReturnDistribution) -> Array:
        at = lambda level: expectile_at(level)(distribution)
        return jnp.moveaxis(jax.lax.map(at, levels), 0, -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        # With kappa beyond any error, the quantile loss is the asymmetric square over 2 kappa.
        return 2 * LARGE * quantile_loss(theta, levels, distribution, LARGE).sum(-1)

    return Representation(size, decode, project, loss)
