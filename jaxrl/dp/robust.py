"""Expectations and backups under the worst case of a neighbourhood of a distribution.

An adversary reweights the possible successors, at a price or within a radius. Mixing with its
weights instead of the nominal probabilities makes any backup robust, of values and distributions.

Examples:
    Two values of equal probability:

    >>> v, even = jnp.array([0.0, 8.0]), jnp.array([0.5, 0.5])
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution, Statistic, filled, mean, mix


class WorstCase(NamedTuple):
    """The lowest expectation that an adversary can reach, and its distribution."""

    value: Array  # [...] in units of the values, including the price that the adversary pays
    weights: Array  # [..., N] distribution of the adversary, 0 wherever the nominal one is


Divergence = Callable[[Array, Array, Array | float], WorstCase]
"""(values [..., N], probabilities [..., N], strength [...]) -> worst case.

For `regularised_*` the strength is a price above zero in units of the values, and the value is the
minimum over distributions q of E_q[values] + strength * D(q, p): a higher price weakens the
adversary. For `constrained_*` it is a radius of zero or more in units of D, and the value is the
minimum of E_q[values] over q with D(q, p) <= strength: a larger radius strengthens the adversary.
Probabilities must sum to one. Values of probability zero do not matter: q is absolutely continuous
with respect to p, so that neither the impossible successors of a dense process nor the padding of a
sparse one get any weight. Raises `InputError` if the strength is out of range.
"""

_fixed = jax.lax.stop_gradient


def robust_expectation(
    values: Array, probabilities: Array, strength: Array | float, divergence: Divergence
) -> Array:
    """Return the worst-case expectation [...] of values [..., N] near probabilities [..., N].

    Its derivative by the values is the distribution of the adversary (envelope theorem).

    Examples:
        >>> moved = dp.robust.constrained_total_variation
        >>> print(dp.robust_expectation(v, even, 0.25, moved))
        2.0
    """
    return divergence(values, probabilities, strength).value


def robust_mix(
    distribution: ReturnDistribution,
    probabilities: Array,
    strength: Array | float,
    divergence: Divergence,
    statistic: Statistic = mean,
) -> ReturnDistribution:
    """Return the mixture [..., M * N] of distributions [..., M, N] that an adversary chooses.

    It reweights the M successors of probabilities [..., M] to lower the expected `statistic`.

    Examples:
        >>> moved = dp.robust.constrained_total_variation
        >>> print(values.mean(dp.robust_mix(values.dirac(v), even, 0.25, moved)))
        2.0
    """
    judged = statistic(distribution)
    return mix(distribution, divergence(judged, probabilities, strength).weights)


def regularised_total_variation(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """Return the worst case at a price per probability moved: D = TV(q, p) = sum|q - p| / 2.

    See `Divergence`. With the strength lam the value is E_p[min(V, min V + lam)]: the probability
    of higher values moves to the worst successor. Source: Tang, Liu and Xu (2025), "Robust offline
    reinforcement learning with linearly structured f-divergence regularization".

    Examples:
        >>> print(dp.robust.regularised_total_variation(v, even, 2.0).value)
        1.0
    """
    v, p, lam = _priced(values, probabilities, strength)
    cap = v.min(-1, keepdims=True) + lam
    weights = _give_to_worst(v, p > 0, jnp.where(v > cap, 0.0, p))
    return WorstCase((p * jnp.minimum(v, cap)).sum(-1), weights)


def regularised_kl(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
    """Return the worst case at a price on relative entropy: D = KL(q | p) = E_q[log(q / p)].

    See `Divergence`. With the strength lam the value is -lam log E_p[exp(-V / lam)], the entropic
    risk, which is precise also where lam is far above the values. Source: as
    `regularised_total_variation`.

    Examples:
        >>> print(dp.robust.regularised_kl(v, even, 1.0).value)
        0.693
    """
    v, p, lam = _priced(values, probabilities, strength)
    low = _fixed(v.min(-1, keepdims=True))
    value = low - lam * _log_partition((v - low) / lam, p)
    return WorstCase(value[..., 0], _tilted((v - low) / lam, p))


def regularised_chi_square(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """Return the worst case at a price on the chi-square divergence: D = E_p[(q / p - 1)^2].

    See `Divergence`. With the strength lam and V_a = min(V, a) the value is the maximum over levels
    a in [min V, max V] of E_p[V_a] - Var_p(V_a) / (4 lam), exactly, by sorting. Source: as
    `regularised_total_variation`.

    Examples:
        >>> print(dp.robust.regularised_chi_square(v, even, 4.0).value)
        3.0
    """
    v, p, lam = _priced(values, probabilities, strength)
    low = _fixed(v.min(-1, keepdims=True))
    x = v - low
    # The level a solves E_p[(a - x)+] = 2 lam, piecewise linear in a: find the piece, then a.
    order = jnp.argsort(_fixed(x), -1)
    ordered, mass = (jnp.take_along_axis(array, order, -1) for array in (x, p))
    moment, mass = (mass * ordered).cumsum(-1), mass.cumsum(-1)
    below = (mass * ordered - moment < 2 * lam).sum(-1, keepdims=True)
    piece = jnp.maximum(below - 1, 0)
    moment, mass = (jnp.take_along_axis(array, piece, -1) for array in (moment, mass))
    level = _fixed((2 * lam + moment) / mass)
    capped = jnp.minimum(x, level)
    expected = (p * capped).sum(-1, keepdims=True)
    variance = (p * (capped - expected) ** 2).sum(-1, keepdims=True)
    value = low + expected - variance / (4 * lam)
    return WorstCase(value[..., 0], _below(level, x, p))


def constrained_total_variation(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """Return the worst case if at most `strength` of probability moves: D = sum|q - p| / 2.

    See `Divergence`. That much probability moves from the best values to the worst successor.

    Examples:
        >>> print(dp.robust.constrained_total_variation(v, even, 0.25).value)
        2.0
    """
    v, p, radius = within(values, probabilities, strength)
    return moved(v, p, radius, p > 0)


def moved(v: Array, p: Array, radius: Array, possible: Array) -> WorstCase:
    """Move up to `radius` [..., 1] of probability from the best to the worst `possible` one."""
    weights = _give_to_worst(v, possible, filled(v, p, 1 - radius[..., 0]))
    return WorstCase((weights * v).sum(-1), weights)


def constrained_kl(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
    """Return the worst case within a radius of relative entropy: D = KL(q | p) = E_q[log(q / p)].

    See `Divergence`. With the strength rho the value is the maximum over lam of -lam (log
    E_p[exp(-V / lam)] + rho), by bisection on log lam. Source: Nilim and El Ghaoui (2005), "Robust
    control of Markov decision processes with uncertain transition matrices".

    Examples:
        >>> print(dp.robust.constrained_kl(v, even, 0.0).value)
        4.0
    """
    v, p, radius = within(values, probabilities, strength)
    low, spread = _location_and_scale(v)
    x = (v - low) / spread

    def entropy(log_lam: Array) -> Array:
        y = x * jnp.exp(-log_lam)
        return -(_tilted(y, p) * y).sum(-1, keepdims=True) - _log_partition(y, p)

    log_lam = _fixed(_least(lambda s: entropy(s) <= radius, radius))
    lam, weights = jnp.exp(log_lam), _fixed(_tilted(x / jnp.exp(log_lam), p))
    dual = low + spread * lam * (-_log_partition(x / lam, p) - radius)
    return attained(v, weights, dual)


def constrained_chi_square(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """Return the worst case within a radius of chi-square divergence: D = E_p[(q / p - 1)^2].

    See `Divergence`. With the strength rho the value is the maximum over levels a of
    a - sqrt((1 + rho) E_p[((a - V)+)^2]), by bisection on log(a - min V). Source: Duchi and
    Namkoong (2021), "Learning models with uniform performance via distributionally robust
    optimization".

    Examples:
        >>> print(dp.robust.constrained_chi_square(v, even, 0.25).value)
        2.0
    """
    v, p, radius = within(values, probabilities, strength)
    low, spread = _location_and_scale(v)
    x = (v - low) / spread

    def divergence(log_level: Array) -> Array:
        density = jnp.maximum(jnp.exp(log_level) - x, 0.0)
        density = density / (p * density).sum(-1, keepdims=True)
        return (p * (density - 1) ** 2).sum(-1, keepdims=True)

    level = _fixed(jnp.exp(_least(lambda s: divergence(s) <= radius, radius)))
    # Beyond this radius only the worst successors have weight, and a larger one changes nothing.
    useful = jnp.minimum(radius, 1 / (p * (x <= 0)).sum(-1, keepdims=True) - 1)
    square = (p * jnp.maximum(level - x, 0.0) ** 2).sum(-1, keepdims=True)
    dual = low + spread * (level - jnp.sqrt((1 + useful) * square))
    return attained(v, _fixed(_below(level, x, p)), dual)


def _priced(values: Array, p: Array, strength: Array | float) -> tuple[Array, Array, Array]:
    _check(strength, lambda x: x > 0, "A price must be above zero")
    return supported(values, p > 0), p, jnp.asarray(strength)[..., None]


def within(values: Array, p: Array, strength: Array | float) -> tuple[Array, Array, Array]:
    """Return the values where possible [..., N], p [..., N] and the radius [..., 1]."""
    _check(strength, lambda x: x >= 0, "A radius must be zero or more")
    radius = jnp.broadcast_to(jnp.asarray(strength, values.dtype), values.shape[:-1])
    return supported(values, p > 0), p, radius[..., None]


def _check(strength: Array | float, holds: Callable, sentence: str) -> None:
    # By numpy: inside a compiled function even an operation on concrete numbers is traced.
    if not isinstance(strength, Tracer):
        fine = np.all(holds(np.asarray(strength)))
        require(bool(fine), f"{sentence}, but strength is {strength}.")


def supported(values: Array, possible: Array) -> Array:
    """Return the values [..., N], with the best possible one where it is not possible."""
    best = jnp.where(possible, values, -jnp.inf).max(-1, keepdims=True)
    # Without the barrier XLA may compute these twice, with different rounding: then nothing equals
    # the least of them, and what is divided by a small temperature overflows.
    return jax.lax.optimization_barrier(jnp.where(possible, values, best))


def _location_and_scale(v: Array) -> tuple[Array, Array]:
    low, high = (_fixed(f(v, -1, keepdims=True)) for f in (jnp.min, jnp.max))
    return low, jnp.where(high > low, high - low, 1.0)


def _give_to_worst(v: Array, possible: Array, kept: Array) -> Array:
    """Return `kept` [..., N] with the rest of the probability on the worst possible successor."""
    # Where all possible values tie, the impossible ones, which stand at the best, tie too.
    least = jnp.where(possible, v, jnp.inf).argmin(-1)
    worst = jax.nn.one_hot(least, v.shape[-1], dtype=kept.dtype)
    return kept + worst * jnp.maximum(1 - kept.sum(-1, keepdims=True), 0.0)


def _below(level: Array, x: Array, p: Array) -> Array:
    """Return the distribution [..., N] proportional to p (level - x)+."""
    weights = p * jnp.maximum(level - x, 0.0)
    return weights / weights.sum(-1, keepdims=True)


def _tilted(x: Array, p: Array) -> Array:
    """Return the distribution [..., N] proportional to p exp(-x), for x >= 0 and 0 somewhere."""
    weights = p * jnp.exp(-x)
    return weights / weights.sum(-1, keepdims=True)


def _log_partition(x: Array, p: Array) -> Array:
    """Return the logarithm [..., 1] of E_p[exp(-x)], for x >= 0 and 0 somewhere."""
    # Near 1 rounding dominates the sum, and far from 1 it dominates the difference from 1.
    total = (p * jnp.exp(-x)).sum(-1, keepdims=True)
    lack = jnp.maximum((p * jnp.expm1(-x)).sum(-1, keepdims=True), -0.75)
    return jnp.where(total < 0.5, jnp.log(total), jnp.log1p(lack))


def _least(holds: Callable[[Array], Array], like: Array) -> Array:
    """Return the least s in [-60, 40] at which `holds`, if it holds above some s."""

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        true = holds(middle)
        return jnp.where(true, low, middle), jnp.where(true, middle, high)

    bounds = jnp.full_like(like, -60.0), jnp.full_like(like, 40.0)
    steps = int(jnp.finfo(like.dtype).nmant) + 9  # until what is left is below the rounding error
    return jax.lax.fori_loop(0, steps, halve, bounds)[1]


def attained(v: Array, weights: Array, dual: Array) -> WorstCase:
    """Return the value under fixed weights, with the derivatives of the dual [..., 1]."""
    # The primal is more precise; only the dual depends on the radius.
    primal = _fixed((weights * v).sum(-1))
    return WorstCase(primal + (dual - _fixed(dual))[..., 0], weights)
