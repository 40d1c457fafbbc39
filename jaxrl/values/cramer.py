"""The Cramer distance on fixed atoms: its loss, and the nearest probabilities to signed weights."""

import jax
import jax.numpy as jnp

from jaxrl.types import Array
from jaxrl.values.categorical import GREATEST, Support, categorical, on_support
from jaxrl.values.distributions import ReturnDistribution
from jaxrl.values.representations import Representation


def cramer(support: Support) -> Representation:
    """`categorical` probabilities, regressed with the squared Cramer distance.

    The loss is the integral of the squared difference of the distribution functions of the outputs
    and of the target on the support. The projection of `categorical` is the nearest point in this
    distance, and the gradient is linear in the target, so that samples of it are unbiased, which
    those of Wasserstein distances are not. Source: Rowland et al. (2018), "An analysis of
    categorical distributional reinforcement learning".

    Examples:
        >>> family = values.cramer(values.uniform_support(0.0, 8.0, 3))
        >>> print(family.loss(jnp.zeros(3), z))  # thirds against 3/4, 1/4 and 0
        1.139
    """
    place, widths = on_support(support), jnp.diff(support.atoms)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        own = jax.nn.softmax(jnp.clip(theta, -GREATEST, GREATEST))
        gap = jnp.cumsum(own - place(distribution).probabilities, -1)[..., :-1]
        return (widths * gap**2).sum(-1)

    return categorical(support)._replace(loss=loss)


def unsigned(measure: ReturnDistribution) -> ReturnDistribution:
    """The distribution [..., M] nearest in Cramer distance to signed weights on the same atoms.

    The atoms [..., M] ascend and the weights sum to one. The nearest distribution function is the
    isotonic regression of theirs, cut off at 0 and 1; weights that are probabilities are kept. It
    makes a `SignedMeasure` on a support, as off-policy targets give, a distribution that has
    quantiles; its mean may move.

    Examples:
        >>> law = values.ReturnDistribution(jnp.arange(3.0), jnp.array([0.5, -0.25, 0.75]))
        >>> print(values.unsigned(law).probabilities)
        [0.375 0.    0.625]
    """
    weights = measure.probabilities
    atoms = jnp.broadcast_to(measure.atoms, weights.shape)
    widths = jnp.diff(atoms, axis=-1)
    target = jnp.cumsum(weights, -1)[..., :-1]
    # The value at i is the largest over j <= i of the least over k >= i of the means from j to k.
    start = jnp.zeros_like(widths[..., :1])
    sums, mass = (
        jnp.concatenate([start, jnp.cumsum(x, -1)], -1) for x in (widths * target, widths)
    )

    def between(x: Array) -> Array:
        """Sums [..., from, to]."""
        return x[..., None, 1:] - x[..., :-1, None]

    size = widths.shape[-1]
    whole = jnp.triu(jnp.ones((size, size), bool))
    means = jnp.where(whole, between(sums) / jnp.where(whole, between(mass), 1.0), jnp.inf)
    axis = means.ndim - 1
    least = jax.lax.cummin(means, axis=axis, reverse=True)
    least = jnp.where(whole, least, -jnp.inf)
    heights = jnp.clip(least.max(-2), 0.0, 1.0)
    ends = jnp.zeros_like(weights[..., :1]), jnp.ones_like(weights[..., :1])
    p = jnp.diff(jnp.concatenate([ends[0], heights, ends[1]], -1))
    return ReturnDistribution(atoms, p)
