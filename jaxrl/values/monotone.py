"""Quantiles that cannot cross, whatever the outputs are."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, quantiles
from jaxrl.values.quantile import midpoints, quantile_loss
from jaxrl.values.representations import Representation

LEAST = 1e-6  # least scale, and least share of a step


def non_crossing_quantile(size: int, kappa: float | Array = 1.0) -> Representation:
    """Quantiles in ascending order: theta [..., N + 2] is N logits, a scale and an offset.

    The quantile at the i-th midpoint is offset + softplus(scale) times the sum of the first i
    probabilities of the logits, so that none is below the one before. The loss is that of
    `quantile`. Source: Zhou, Wang and Feng (2020), "Non-crossing quantile regression for
    distributional reinforcement learning", with softplus for their relu, whose gradient may
    vanish. Raises an InputError if `size` is not positive.

    Examples:
        >>> family = values.non_crossing_quantile(4)
        >>> print(family.decode(family.project(z)).atoms)
        [0. 0. 0. 4.]
    """
    require_positive(size=size)
    fractions = midpoints(size)

    def decode(theta: Array) -> ReturnDistribution:
        share = jnp.cumsum(jax.nn.softmax(theta[..., :size]), -1)
        atoms = theta[..., -1:] + jax.nn.softplus(theta[..., -2:-1]) * share
        return ReturnDistribution(atoms, jnp.full_like(atoms, 1 / size))

    def project(distribution: ReturnDistribution) -> Array:
        atoms = quantiles(distribution, fractions)
        # The first step leads from the offset to the first quantile: as long as the others.
        spread = jnp.maximum(atoms[..., -1:] - atoms[..., :1], LEAST)
        offset = atoms[..., :1] - spread / size
        scale = spread * (1 + 1 / size)
        steps = jnp.diff(atoms, axis=-1, prepend=offset) / scale
        raw = scale + jnp.log(-jnp.expm1(-scale))  # the inverse of softplus
        return jnp.concatenate([jnp.log(jnp.maximum(steps, LEAST)), raw, offset], -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return quantile_loss(decode(theta).atoms, fractions, distribution, kappa).sum(-1)

    return Representation(size + 2, decode, project, loss, equal=True)
