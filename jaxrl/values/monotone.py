"""Quantiles that cannot cross, whatever the outputs are."""

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, quantiles
from jaxrl.values.quantile import midpoints, quantile_loss
from jaxrl.values.representations import Representation

LEAST = 1e-6  # least scale, and least share of a step
LEAST_SHARE = 1e-3  # least slope of a spline, and least width and height in units of their mean
UNIT = 0.5413249  # log(e - 1): softplus is 1 there


def _unsoftened(x: Array) -> Array:
    """The inverse of softplus."""
    return x + jnp.log(-jnp.expm1(-x))


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
        return jnp.concatenate([jnp.log(jnp.maximum(steps, LEAST)), _unsoftened(scale), offset], -1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return quantile_loss(decode(theta).atoms, fractions, distribution, kappa).sum(-1)

    return Representation(size + 2, decode, project, loss, equal=True)


def rational_quadratic(knots: Array, heights: Array, slopes: Array, fractions: Array) -> Array:
    """A smooth increasing function [..., M] through knots, with given slopes there.

    Between knots x_k < x_{k+1} of heights y_k <= y_{k+1} and slopes d_k, with u = (x - x_k) /
    (x_{k+1} - x_k) and the secant s = (y_{k+1} - y_k) / (x_{k+1} - x_k), it is

        y_k + (y_{k+1} - y_k) (s u^2 + d_k u (1 - u)) / (s + (d_k + d_{k+1} - 2 s) u (1 - u)),

    which increases for any positive slopes and secants. Knots, heights and slopes are [..., K + 1]
    and `fractions` [M] lie between the first and the last knot. Source: Gregory and Delbourgo
    (1982), "Piecewise rational quadratic interpolation to monotonic data".

    Examples:
        >>> x, y = jnp.array([0.0, 0.5, 1.0]), jnp.array([0.0, 1.0, 4.0])
        >>> slopes, at = jnp.array([2.0, 2.0, 6.0]), jnp.array([0.25, 1.0])
        >>> print(values.rational_quadratic(x, y, slopes, at))
        [0.5 4. ]
    """
    lead = jnp.broadcast_shapes(knots.shape, heights.shape, slopes.shape)
    x, y, d = (jnp.broadcast_to(z, lead) for z in (knots, heights, slopes))
    inside = fractions >= x[..., 1:-1, None]  # [..., K - 1, M]
    place = inside.sum(-2)  # [..., M] the interval
    # A sum over one-hot intervals: gathers, and the scatters of their gradients, are slow.
    chosen: Array = place[..., None, :] == jnp.arange(lead[-1] - 1)[:, None]

    def pick(z: Array) -> Array:
        return (chosen * z[..., None]).sum(-2)

    left, low = pick(x[..., :-1]), pick(y[..., :-1])
    width, rise = pick(jnp.diff(x)), pick(jnp.diff(y))
    start, end, secant = pick(d[..., :-1]), pick(d[..., 1:]), rise / width
    u = (fractions - left) / width
    both = u * (1 - u)
    return low + rise * (secant * u**2 + start * both) / (
        secant + (start + end - 2 * secant) * both
    )


def spline_quantile(bins: int, each: int = 4, kappa: float | Array = 1.0) -> Representation:
    """A smooth quantile function: theta [..., 3 * bins + 3] of a rational-quadratic spline.

    They are `bins` logits of widths, `bins` logits of heights, bins + 1 slopes, a scale and an
    offset: the quantile function is offset + softplus(scale) times a spline from 0 to 1, with the
    slopes softplus(slope) relative to a line. With outputs of 0 it is a line. It is decoded to
    bins * `each` + 1 equidistant quantiles, both ends included, with the weights of the trapezoidal
    rule; the loss is that of `quantile`, at bins * `each` midpoints. The projection has knots at
    the quantiles of equal parts of [0, 1] and slopes between those of the neighbouring secants.
    Source: Luo et al. (2021), "Distributional reinforcement learning with monotonic splines", from
    the abstract; here with fixed fractions in the loss. Raises an InputError if a number is not
    positive.

    Examples:
        >>> family = values.spline_quantile(2)
        >>> even = values.ReturnDistribution(jnp.linspace(0.0, 8.0, 9), jnp.full(9, 1 / 9))
        >>> print(family.decode(family.project(even)).atoms)
        [0. 1. 2. 3. 4. 5. 6. 7. 8.]
    """
    require_positive(bins=bins, each=each)
    fractions = jnp.arange(bins * each + 1) / (bins * each)
    weights = jnp.full(fractions.shape, 1 / (bins * each)).at[jnp.array([0, -1])].divide(2)
    floor = LEAST_SHARE / bins
    shares = lambda logits: floor + (1 - bins * floor) * jax.nn.softmax(logits)
    sums = lambda x: jnp.concatenate([jnp.zeros_like(x[..., :1]), jnp.cumsum(x, -1)], -1)
    ends = bins, 2 * bins, 3 * bins + 1, 3 * bins + 2

    def curve(theta: Array, at: Array) -> Array:
        widths, heights, slopes, scale, offset = jnp.split(theta, ends, -1)
        steep = LEAST_SHARE + (1 - LEAST_SHARE) * jax.nn.softplus(slopes + UNIT)
        spline = rational_quadratic(sums(shares(widths)), sums(shares(heights)), steep, at)
        return offset + jax.nn.softplus(scale) * spline

    def decode(theta: Array) -> ReturnDistribution:
        atoms = curve(theta, fractions)
        return ReturnDistribution(atoms, jnp.broadcast_to(weights, atoms.shape))

    def project(distribution: ReturnDistribution) -> Array:
        atoms = quantiles(distribution, jnp.arange(bins + 1) / bins)
        spread = jnp.maximum(atoms[..., -1:] - atoms[..., :1], LEAST)
        rise = jnp.maximum(jnp.diff(atoms) / spread, floor)
        rise = rise / rise.sum(-1, keepdims=True)
        secant = bins * rise
        inner = 2 / (1 / secant[..., 1:] + 1 / secant[..., :-1])
        slopes = jnp.concatenate([secant[..., :1], inner, secant[..., -1:]], -1)
        logits = jnp.log(jnp.maximum((rise - floor) / (1 - bins * floor), LEAST))
        steep = jnp.maximum((slopes - LEAST_SHARE) / (1 - LEAST_SHARE), LEAST)
        raw = _unsoftened(steep) - UNIT
        return jnp.concatenate(
            [jnp.zeros_like(rise), logits, raw, _unsoftened(spread), atoms[..., :1]], -1
        )

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        # At the fractions 0 and 1 the loss is one-sided, and would let the ends drift.
        inner = midpoints(bins * each)
        return quantile_loss(curve(theta, inner), inner, distribution, kappa).sum(-1)

    return Representation(3 * bins + 3, decode, project, loss)
