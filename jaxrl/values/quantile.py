"""Quantiles at fixed, sampled or learnt fractions: QR-DQN, IQN and FQF."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, accumulate, quantiles
from jaxrl.values.representations import Representation

fixed = jax.lax.stop_gradient


def midpoints(size: int) -> Array:
    """The fractions (2i + 1) / 2N [N] in the middle of N equal parts of [0, 1].

    Examples:
        >>> print(values.midpoints(4))
        [0.125 0.375 0.625 0.875]
    """
    return (jnp.arange(size) + 0.5) / size


def quantile(size: int, kappa: float | Array = 1.0) -> Representation:
    """Equally weighted atoms, regressed to the quantiles at midpoints.

    `kappa` is the error at which the loss turns from quadratic to linear: 0 is the plain quantile
    loss, whose minimisers are the quantiles themselves. Source: Dabney et al. (2018a), equation 10;
    the loss is that divided by kappa, as in Dabney et al. (2018b). Raises an InputError
    if `size` is not positive.

    Examples:
        >>> print(values.quantile(4).project(z))
        [0. 0. 0. 4.]
    """
    require_positive(size=size)
    fractions = midpoints(size)

    def decode(theta: Array) -> ReturnDistribution:
        return ReturnDistribution(theta, jnp.full_like(theta, 1 / size))

    def project(distribution: ReturnDistribution) -> Array:
        return quantiles(distribution, fractions)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return quantile_loss(theta, fractions, distribution, kappa).sum(-1)

    return Representation(size, decode, project, loss, equal=True)


def implicit_quantile(size: int, kappa: float | Array = 1.0) -> Representation:
    """Quantiles at fractions that the outputs contain: theta [..., 2N] is N values, N fractions.

    The fractions may be sampled anew for each use and come in any order; no gradient reaches them.
    The probability of an atom is its fraction's part of [0, 1], which ends half-way to the next
    one, so that fractions at midpoints have equal probabilities. `size` is N; the size of the
    representation is 2N. Source: Dabney et al. (2018b), who give all atoms the same probability.
    Raises an InputError if `size` is not positive.

    Examples:
        >>> print(values.implicit_quantile(4).project(z))
        [0.    0.    0.    4.    0.125 0.375 0.625 0.875]
    """
    require_positive(size=size)

    def decode(theta: Array) -> ReturnDistribution:
        return ReturnDistribution(theta[..., :size], lengths(fixed(theta[..., size:])))

    def project(distribution: ReturnDistribution) -> Array:
        values = quantiles(distribution, midpoints(size))
        return jnp.concatenate([values, jnp.broadcast_to(midpoints(size), values.shape)], -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        values, fractions = theta[..., :size], fixed(theta[..., size:])
        return quantile_loss(values, fractions, distribution, kappa).sum(-1)

    return Representation(2 * size, decode, project, loss, fractions=size)


def lengths(fractions: Array) -> Array:
    """The lengths [..., N] of the parts of [0, 1] that are nearest to each of fractions [..., N].

    Fractions come in any order. Of equal ones the first has what is before them, and the last what
    is behind.
    """
    place = jnp.arange(fractions.shape[-1])

    # A loop over the other fractions takes less than half of the time of a sort.
    def beside(ends: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[tuple, None]:
        at, i = other[0][..., None], other[1]
        before = (at < fractions) | ((at == fractions) & (i < place))
        middle = (at + fractions) / 2
        first = jnp.where(before, jnp.maximum(ends[0], middle), ends[0])
        last = jnp.where(before | (i == place), ends[1], jnp.minimum(ends[1], middle))
        return (first, last), None

    ends = jnp.zeros_like(fractions), jnp.ones_like(fractions)
    first, last = jax.lax.scan(beside, ends, (jnp.moveaxis(fractions, -1, 0), place))[0]
    return last - first


def fully_parameterised_quantile(size: int, kappa: float | Array = 1.0) -> Representation:
    """Quantiles at learnt fractions: theta [..., 3N - 1] = N values, N - 1 bounds, N logits.

    The softmax of the logits divides [0, 1] into N parts; the values are the quantiles in the
    middle of the parts and learn by regression. The bounds are the quantiles between two parts,
    from which the parts learn to lower the 1-Wasserstein distance. Source: Yang et al. (2019).
    Raises an InputError if `size` is not positive.

    Examples:
        >>> family = values.fully_parameterised_quantile(2)
        >>> print(family.decode(jnp.array([1.0, 3.0, 2.0, 0.0, 0.0])).probabilities)
        [0.5 0.5]
    """
    require_positive(size=size)

    def split(theta: Array) -> tuple[Array, Array, Array]:
        weights = jax.nn.softmax(theta[..., 2 * size - 1 :])
        return theta[..., :size], theta[..., size : 2 * size - 1], weights

    def decode(theta: Array) -> ReturnDistribution:
        values, _, weights = split(theta)
        return ReturnDistribution(values, weights)

    def project(distribution: ReturnDistribution) -> Array:
        inner = jnp.arange(1, size) / size
        both = quantiles(distribution, jnp.concatenate([midpoints(size), inner]))
        return jnp.concatenate([both, jnp.zeros_like(both[..., :size])], -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        values, bounds, weights = split(theta)
        ends = jnp.cumsum(weights, -1)
        middle, inner = ends - weights / 2, ends[..., :-1]
        known = jnp.concatenate([middle, inner], -1)
        learnt = jnp.concatenate([values, bounds], -1)
        error = quantile_loss(learnt, fixed(known), distribution, kappa).sum(-1)
        # The derivative of the distance by each inner fraction.
        slope = fixed(2 * bounds - values[..., 1:] - values[..., :-1])
        return error + (slope * (inner - fixed(inner))).sum(-1)

    return Representation(3 * size - 1, decode, project, loss)


def quantile_loss(
    theta: Array, fractions: Array, distribution: ReturnDistribution, kappa: float | Array
) -> Array:
    """The quantile Huber loss [..., N] of values theta [..., N] at fractions [..., N] or [N].

    Each is E rho(Z - theta_i) over a distribution [..., M], where rho(u) = |fraction - 1{u < 0}|
    H(u) and H(u) is |u| - kappa/2 for |u| > kappa, else u^2 / (2 kappa). Differentiable in theta,
    atoms and probabilities; fractions and kappa count as constants. Source: Dabney et al. (2018a),
    equation 10, divided by kappa.

    Examples:
        >>> print(values.quantile_loss(jnp.array([1.0]), jnp.array([0.5]), z, kappa=0.0))
        [0.75]
    """
    fractions = jnp.broadcast_to(fractions, theta.shape).astype(theta.dtype)
    # At 0 the loss is |u| of any u that is not 0.
    kappa = jnp.maximum(jnp.asarray(kappa, theta.dtype), jnp.finfo(theta.dtype).tiny)
    shape = (*theta.shape[:-1], distribution.atoms.shape[-1])
    atoms, probabilities = (jnp.broadcast_to(x, shape) for x in distribution)
    return huber(theta, fractions, kappa, ReturnDistribution(atoms, probabilities))


def asymmetric(theta: Array, fractions: Array, kappa: Array, atom: Array) -> tuple[Array, Array]:
    """rho [..., N] of one atom [..., 1] and its derivative by the atom."""
    error = atom - theta
    slope = jnp.clip(error * (1 / kappa), -1.0, 1.0)  # one division for all
    steep = jnp.where(error < 0, 1 - fractions, fractions) * slope
    return steep * (error - kappa / 2 * slope), steep


# For 256 distributions of 51 atoms on 51 quantiles, value and gradient take 210 microseconds on two
# cores when one scan over atoms accumulates both, and 1090 if it has them in one array.
# Differentiating that scan takes 490 to 960, and the matrix [N, M] 1280. A sort alone takes 780.
@jax.custom_vjp
def huber(theta: Array, fractions: Array, kappa: Array, distribution: ReturnDistribution) -> Array:
    """`quantile_loss` for fractions of the shape of theta and a positive kappa."""
    return forward(theta, fractions, kappa, distribution)[0]


def forward(theta, fractions, kappa, distribution):
    """The loss, and what its derivatives need."""
    terms = lambda atom, p: [p * x for x in asymmetric(theta, fractions, kappa, atom)]
    value, slope = accumulate(terms, distribution)
    return value, (slope, theta, fractions, kappa, distribution)


def backward(residuals, cotangent):
    """The derivatives by theta, and by the distribution, which are compiled away if unused."""
    slope, theta, fractions, kappa, distribution = residuals

    def by_atom(_: None, atom: Array) -> tuple[None, tuple[Array, Array]]:
        rho, steep = asymmetric(theta, fractions, kappa, atom[..., None])
        return None, ((cotangent * steep).sum(-1), (cotangent * rho).sum(-1))

    columns = jnp.moveaxis(distribution.atoms, -1, 0)
    atoms, probabilities = (jnp.moveaxis(x, 0, -1) for x in jax.lax.scan(by_atom, None, columns)[1])
    by_distribution = ReturnDistribution(distribution.probabilities * atoms, probabilities)
    zeros = jnp.zeros_like(fractions), jnp.zeros_like(kappa)
    return -cotangent * slope, *zeros, by_distribution


huber.defvjp(forward, backward)
