"""Mixtures of Gaussians as return distributions."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, mix, ordered
from jaxrl.values.particle import excess, gaussian
from jaxrl.values.representations import Representation


def gaussian_mixture(
    components: int, nodes: int = 8, least: float = 3e-4, greatest: float = 2e5
) -> Representation:
    """A mixture of Gaussians by maximum likelihood: theta [..., 3M] is M logits, means, log widths.

    The loss is the mean over the target of -log sum_m w_m N(z; mu_m, sigma_m), less the constant
    log(2 pi) / 2, and `excess` for each component; its distribution is that of `nodes` points of
    each component. The projection gives each component an equal share of the probability, in
    ascending order, with its mean and variance: the mean and the variance of the mixture are those
    of the target. One component is `gaussian`. Bounds of standard deviations are as there. Source:
    mixture density networks of Bishop (1994), as critics in Barth-Maron et al. (2018), "Distributed
    distributional deterministic policy gradients". Raises an InputError if a number does not fit.

    Examples:
        >>> two = values.quantile(2).decode(jnp.array([1.0, 5.0]))
        >>> print(values.gaussian_mixture(2).project(two))
        [ 0.     0.     1.     5.    -8.112 -8.112]
    """
    require_positive(components=components)
    family = gaussian(nodes, least, greatest)
    parts = lambda theta: jnp.split(theta, 3, -1)
    bounded = lambda log_width: jnp.clip(log_width, np.log(least), np.log(greatest))

    def decode(theta: Array) -> ReturnDistribution:
        logits, means, log_widths = parts(theta)
        return mix(family.decode(jnp.stack([means, log_widths], -1)), jax.nn.softmax(logits))

    def project(distribution: ReturnDistribution) -> Array:
        atoms, p = ordered(distribution)
        p = p / p.sum(-1, keepdims=True)
        below = (jnp.cumsum(p, -1) - p)[..., None, :]
        start = jnp.arange(components)[:, None] / components
        share = jnp.clip(below + p[..., None, :], start, start + 1 / components)
        share = components * (share - jnp.clip(below, start, start + 1 / components))
        moments = family.project(ReturnDistribution(atoms[..., None, :], share))
        return jnp.concatenate(
            [jnp.zeros_like(moments[..., 0]), moments[..., 0], moments[..., 1]], -1
        )

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        logits, means, log_widths = (x[..., None, :] for x in parts(theta))
        log_width = bounded(log_widths)
        square = jnp.square((distribution.atoms[..., None] - means) / jnp.exp(log_width))
        log_density = jax.nn.log_softmax(logits) - square / 2 - log_width
        surprise = -jax.nn.logsumexp(log_density, -1)  # [..., N]
        outside = excess(parts(theta)[2], least, greatest).sum(-1)
        return (distribution.probabilities * surprise).sum(-1) + outside

    return Representation(3 * components, decode, project, loss)
