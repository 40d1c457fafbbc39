"""Expectiles at fixed levels: what asymmetric squared errors regress to."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, accumulate, mean, shift
from jaxrl.values.quantile import midpoints
from jaxrl.values.representations import Representation
from jaxrl.values.statistics import expectile_at

LEAST = 1e-6  # of a difference that something is divided by


def expectile(size: int) -> Representation:
    """Expectiles theta [..., N] at the levels (2i + 1) / 2N, the middle one being the mean.

    `decode` is an imputation: N - 1 atoms with just these expectiles, where any distribution has
    them. Otherwise they are sorted, and bent until one does; the mean stays. Source: Rowland et al.
    (2019), who find the atoms by optimisation instead. Raises a ValueError unless `size` is odd and
    at least 3.
    """
    require(size >= 3 and size % 2 == 1, f"size must be odd and at least 3, but it is {size}.")
    levels, middle = midpoints(size), size // 2
    outer = jnp.delete(jnp.arange(size), middle)
    odds = levels[outer] / (1 - 2 * levels[outer])

    def decode(theta: Array) -> ReturnDistribution:
        centre = theta[..., middle : middle + 1]
        knots = jnp.sort(theta, -1)[..., outer] - centre
        # The expectile e at level tau of Z with mean 0 says that E max(e - Z, 0) = -e tau / (1 -
        # 2 tau). That is the integral of the distribution function: convex, with slopes in [0, 1].
        # We join its known values by lines, so that the atoms are where lines meet.
        integral = -odds * knots
        gap = jnp.maximum(jnp.diff(knots), LEAST)
        slopes = jax.lax.cummax(jnp.clip(jnp.diff(integral) / gap, 0.0, 1.0), axis=theta.ndim - 1)
        first, last = slopes[..., :1], slopes[..., -1:]
        low = knots[..., :1] - integral[..., :1] / jnp.maximum(first, LEAST)
        above = integral[..., -1:] - knots[..., -1:]  # E max(Z - e, 0)
        high = knots[..., -1:] + above / jnp.maximum(1 - last, LEAST)
        atoms = jnp.concatenate([low, knots[..., 1:-1], high], -1)
        bounds = jnp.concatenate([jnp.zeros_like(first), slopes, jnp.ones_like(last)], -1)
        imputed = ReturnDistribution(atoms, jnp.diff(bounds))
        return shift(imputed, centre[..., 0] - mean(imputed))

    def project(distribution: ReturnDistribution) -> Array:
        at = lambda level: expectile_at(level)(distribution)
        return jnp.moveaxis(jax.lax.map(at, levels), 0, -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        def term(atom: Array, probability: Array) -> Array:
            error = atom - theta
            return probability * jnp.where(error < 0, 1 - levels, levels) * error**2

        return accumulate(term, distribution).sum(-1)

    return Representation(size, decode, project, loss)
