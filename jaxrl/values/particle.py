"""Gaussians by their moments, and free particles by distances between samples."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, accumulate, mean
from jaxrl.values.quantile import quantile
from jaxrl.values.representations import Representation
from jaxrl.values.statistics import variance

Kernel = Callable[[Array], Array]
"""The similarity of two returns, a function of their difference."""


def gaussian(nodes: int = 8, least: float = 3e-4, greatest: float = 2e5) -> Representation:
    """A Gaussian with mean and log standard deviation theta [..., 2], by maximum likelihood.

    It is decoded to `nodes` atoms of Gauss-Hermite quadrature, so that its first 2 nodes - 1
    moments are exact, and projected by its first two. The standard deviation is clipped to
    [`least`, `greatest`], in units of return, which keeps likelihoods finite; the loss grows with
    the distance of an output from these bounds, so that it has a gradient everywhere. Raises an
    InputError if there are fewer than two nodes, or the bounds are not positive and ascending.

    Examples:
        >>> print(values.gaussian().project(z))  # mean 1, log of the deviation sqrt(3)
        [1.    0.549]
    """
    require(nodes >= 2, f"A Gaussian needs at least two nodes, but nodes is {nodes}.")
    require(0 < least < greatest, f"least must be between 0 and {greatest}, but it is {least}.")
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    weights = weights / weights.sum()
    deviation = lambda theta: jnp.exp(jnp.clip(theta[..., 1], np.log(least), np.log(greatest)))

    def decode(theta: Array) -> ReturnDistribution:
        atoms = theta[..., :1] + deviation(theta)[..., None] * jnp.asarray(points, theta.dtype)
        return ReturnDistribution(
            atoms, jnp.broadcast_to(jnp.asarray(weights, theta.dtype), atoms.shape)
        )

    def project(distribution: ReturnDistribution) -> Array:
        log_deviation = jnp.log(jnp.maximum(variance(distribution), least**2)) / 2
        return jnp.stack([mean(distribution), log_deviation], -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        scaled = (distribution.atoms - theta[..., :1]) / deviation(theta)[..., None]
        square = (distribution.probabilities * scaled**2).sum(-1)
        return square / 2 + jnp.log(deviation(theta)) + excess(theta[..., 1], least, greatest)

    return Representation(2, decode, project, loss)


def excess(log_deviation: Array, least: float, greatest: float) -> Array:
    """The distance [...] of a log standard deviation [...] from its bounds, 0 within them."""
    below, above = np.log(least) - log_deviation, log_deviation - np.log(greatest)
    return jnp.maximum(jnp.maximum(below, above), 0.0)


def gaussian_wasserstein(
    nodes: int = 8, least: float = 3e-4, greatest: float = 2e5
) -> Representation:
    """`gaussian`, by half the squared 2-Wasserstein distance to the target's moments.

    Between Gaussians it is the distance of means and standard deviations. Source: Givens and Shortt
    (1984).

    Examples:
        >>> print(values.gaussian_wasserstein().loss(jnp.array([2.0, 0.0]), z))
        0.768
    """
    family = gaussian(nodes, least, greatest)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        target = family.project(distribution)
        means = theta[..., 0] - target[..., 0]
        deviation = lambda x: jnp.exp(jnp.clip(x[..., 1], np.log(least), np.log(greatest)))
        deviations = deviation(theta) - deviation(target)
        return (means**2 + deviations**2) / 2 + excess(theta[..., 1], least, greatest)

    return family._replace(loss=loss)


def energy(difference: Array) -> Array:
    """The kernel -|x - y|: its distance is twice the squared Cramer distance.

    Examples:
        >>> print(values.energy(jnp.array(3.0)))
        -3.0
    """
    return -jnp.abs(difference)


def gaussian_kernel(width: float | Array) -> Kernel:
    """The kernel exp(-(x - y)^2 / 2 width^2).

    Examples:
        >>> print(values.gaussian_kernel(2.0)(jnp.array(2.0)))  # exp(-1 / 2)
        0.607
    """
    return lambda difference: jnp.exp(-((difference / width) ** 2) / 2)


def particles(size: int, kernel: Kernel = energy) -> Representation:
    """Equally weighted atoms theta [..., N] that minimise the maximum mean discrepancy.

    The loss is E k(X, X') - 2 E k(X, Y) + E k(Y, Y') between atoms X and target Y. Source:
    Nguyen-Tang et al. (2021). The projection is that of `quantile`. Raises an InputError if `size`
    is not positive.

    Examples:
        >>> print(values.particles(4).project(z))
        [0. 0. 0. 4.]
    """
    family = quantile(size)

    def similarity(a: ReturnDistribution, b: ReturnDistribution) -> Array:
        to_b = accumulate(lambda atom, p: p * kernel(a.atoms - atom), b)
        return (a.probabilities * to_b).sum(-1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        own = family.decode(theta)
        spread = similarity(own, own) + similarity(distribution, distribution)
        return spread - 2 * similarity(own, distribution)

    return family._replace(loss=loss)
