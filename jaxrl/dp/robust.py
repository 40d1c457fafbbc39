"""Expectations and backups under the worst case of a neighbourhood of a distribution.

An adversary reweighs the successors that can happen, at a price. Its weights turn any backup into
a robust one: `mix` with them instead of the nominal probabilities, for values as for distributions.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution, Statistic, mean, mix


class WorstCase(NamedTuple):
    """The least that an adversary can leave of an expectation, and how it does so."""

    value: Array  # [...] in units of the values, the adversary's price included
    weights: Array  # [..., N] its distribution, 0 wherever the nominal one is


Divergence = Callable[[Array, Array, Array | float], WorstCase]
"""The worst case of values [..., N] under probabilities [..., N] at a strength [...].

For `regularised_*` the strength is a price in units of the values, and the value is the minimum
over distributions q of E_q[values] + strength * D(q, p): above zero, the higher the tamer. For
`constrained_*` it is a radius in units of D, and the value is the minimum of E_q[values] over q
with D(q, p) <= strength: zero or more, the higher the harsher. Probabilities sum to one, and
values where they are zero do not matter: q is absolutely continuous in p, so that the padding
of a sparse kernel is no successor. Raises `InputError` if the strength is out of range.
"""

_fixed = jax.lax.stop_gradient


def robust_expectation(
    values: Array, probabilities: Array, strength: Array | float, divergence: Divergence
) -> Array:
    """The worst-case expectation [...] of values [..., N] near probabilities [..., N].

    Its derivative by the values is the adversary's distribution (the envelope theorem).
    """
    return divergence(values, probabilities, strength).value


def robust_mix(
    distribution: ReturnDistribution,
    probabilities: Array,
    strength: Array | float,
    divergence: Divergence,
    statistic: Statistic = mean,
) -> ReturnDistribution:
    """The mixture [..., M * N] of distributions [..., M, N] that an adversary would choose.

    It reweighs the M successors of probabilities [..., M] to lower the expected `statistic`.
    """
    judged = statistic(distribution)
    return mix(distribution, divergence(judged, probabilities, strength).weights)


def regularised_total_variation(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """A price per probability moved: D is TV(q, p) = sum|q - p| / 2; see `Divergence`.

    With lam the strength the value is E_p[min(V, min V + lam)]: what is worth more than that is
    moved to the worst successor. Source: Tang, Liu and Xu (2025), "Robust offline reinforcement
    learning with linearly structured f-divergence regularization".
    """
    v, p, lam = _priced(values, probabilities, strength)
    cap = v.min(-1, keepdims=True) + lam
    weights = _give_to_worst(v, jnp.where(v > cap, 0.0, p))
    return WorstCase((p * jnp.minimum(v, cap)).sum(-1), weights)


def regularised_kl(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
    """A price on relative entropy: D is KL(q | p) = E_q[log(q / p)]; see `Divergence`.

    With lam the strength the value is -lam log E_p[exp(-V / lam)], the entropic risk, precise
    also where lam is far above the values. Source: as `regularised_total_variation`.
    """
    v, p, lam = _priced(values, probabilities, strength)
    low = _fixed(v.min(-1, keepdims=True))
    value = low - lam * _log_partition((v - low) / lam, p)
    return WorstCase(value[..., 0], _tilted((v - low) / lam, p))


def regularised_chi_square(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """A price on the squared change of odds: D is E_p[(q / p - 1)^2]; see `Divergence`.

    With lam the strength and V_a = min(V, a) the value is the maximum over levels a in
    [min V, max V] of E_p[V_a] - Var_p(V_a) / (4 lam), exact, by sorting. Source: as
    `regularised_total_variation`.
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
    """At most `strength` of probability moved: D is TV(q, p) = sum|q - p| / 2; see `Divergence`.

    The best of that much probability goes to the worst successor, exactly, by sorting.
    """
    v, p, radius = _within(values, probabilities, strength)
    order = jnp.argsort(_fixed(v), -1)
    ordered = jnp.take_along_axis(p, order, -1)
    room = (1 - radius) - (ordered.cumsum(-1) - ordered)
    kept = jnp.maximum(jnp.minimum(ordered, room), 0.0)
    weights = _give_to_worst(v, jnp.take_along_axis(kept, jnp.argsort(order, -1), -1))
    return WorstCase((weights * v).sum(-1), weights)


def constrained_kl(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
    """Relative entropy within a radius: D is KL(q | p) = E_q[log(q / p)]; see `Divergence`.

    With rho the strength the value is the maximum over lam of -lam (log E_p[exp(-V / lam)] + rho),
    by bisection on log lam. Source: Nilim and El Ghaoui (2005), "Robust control of Markov
    decision processes with uncertain transition matrices".
    """
    v, p, radius = _within(values, probabilities, strength)
    low, spread = _location_and_scale(v)
    x = (v - low) / spread

    def entropy(log_lam: Array) -> Array:
        y = x * jnp.exp(-log_lam)
        return -(_tilted(y, p) * y).sum(-1, keepdims=True) - _log_partition(y, p)

    log_lam = _fixed(_least(lambda s: entropy(s) <= radius, radius))
    lam, weights = jnp.exp(log_lam), _fixed(_tilted(x / jnp.exp(log_lam), p))
    dual = low + spread * lam * (-_log_partition(x / lam, p) - radius)
    return _attained(v, weights, dual)


def constrained_chi_square(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """The squared change of odds within a radius: D is E_p[(q / p - 1)^2]; see `Divergence`.

    With rho the strength the value is the maximum over levels a of
    a - sqrt((1 + rho) E_p[((a - V)+)^2]), by bisection on log(a - min V). Source: Duchi and
    Namkoong (2021), "Learning models with uniform performance via distributionally robust
    optimization".
    """
    v, p, radius = _within(values, probabilities, strength)
    low, spread = _location_and_scale(v)
    x = (v - low) / spread

    def divergence(log_level: Array) -> Array:
        density = jnp.maximum(jnp.exp(log_level) - x, 0.0)
        density = density / (p * density).sum(-1, keepdims=True)
        return (p * (density - 1) ** 2).sum(-1, keepdims=True)

    level = _fixed(jnp.exp(_least(lambda s: divergence(s) <= radius, radius)))
    # Beyond this radius all is on the worst successors, and a larger one changes nothing.
    useful = jnp.minimum(radius, 1 / (p * (x <= 0)).sum(-1, keepdims=True) - 1)
    square = (p * jnp.maximum(level - x, 0.0) ** 2).sum(-1, keepdims=True)
    dual = low + spread * (level - jnp.sqrt((1 + useful) * square))
    return _attained(v, _fixed(_below(level, x, p)), dual)


def _priced(values: Array, p: Array, strength: Array | float) -> tuple[Array, Array, Array]:
    _check(strength, lambda x: x > 0, "A price must be above zero")
    return _supported(values, p), p, jnp.asarray(strength)[..., None]


def _within(values: Array, p: Array, strength: Array | float) -> tuple[Array, Array, Array]:
    _check(strength, lambda x: x >= 0, "A radius must be zero or more")
    radius = jnp.broadcast_to(jnp.asarray(strength, values.dtype), values.shape[:-1])
    return _supported(values, p), p, radius[..., None]


def _check(strength: Array | float, holds: Callable, sentence: str) -> None:
    # By numpy: inside a compiled function even an operation on concrete numbers is traced.
    if not isinstance(strength, Tracer):
        fine = np.all(holds(np.asarray(strength)))
        require(bool(fine), f"{sentence}, but strength is {strength}.")


def _supported(values: Array, p: Array) -> Array:
    """The values [..., N], with the best of those that can happen where p [..., N] is zero."""
    best = jnp.where(p > 0, values, -jnp.inf).max(-1, keepdims=True)
    return jnp.where(p > 0, values, best)


def _location_and_scale(v: Array) -> tuple[Array, Array]:
    low, high = (_fixed(f(v, -1, keepdims=True)) for f in (jnp.min, jnp.max))
    return low, jnp.where(high > low, high - low, 1.0)


def _give_to_worst(v: Array, kept: Array) -> Array:
    """The weights [..., N], with all that is missing from one on the least value."""
    worst = jax.nn.one_hot(v.argmin(-1), v.shape[-1], dtype=kept.dtype)
    return kept + worst * jnp.maximum(1 - kept.sum(-1, keepdims=True), 0.0)


def _below(level: Array, x: Array, p: Array) -> Array:
    """The distribution [..., N] proportional to p (level - x)+."""
    weights = p * jnp.maximum(level - x, 0.0)
    return weights / weights.sum(-1, keepdims=True)


def _tilted(x: Array, p: Array) -> Array:
    """The distribution [..., N] proportional to p exp(-x), for x >= 0 and 0 somewhere."""
    weights = p * jnp.exp(-x)
    return weights / weights.sum(-1, keepdims=True)


def _log_partition(x: Array, p: Array) -> Array:
    """The logarithm [..., 1] of E_p[exp(-x)], for x >= 0 and 0 somewhere."""
    # Near 1 the sum is all rounding error, and far from 1 what it lacks of 1 is.
    total = (p * jnp.exp(-x)).sum(-1, keepdims=True)
    lack = jnp.maximum((p * jnp.expm1(-x)).sum(-1, keepdims=True), -0.75)
    return jnp.where(total < 0.5, jnp.log(total), jnp.log1p(lack))


def _least(holds: Callable[[Array], Array], like: Array) -> Array:
    """The least s in [-60, 40] at which `holds`, for a condition that holds above some s."""

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        true = holds(middle)
        return jnp.where(true, low, middle), jnp.where(true, middle, high)

    bounds = jnp.full_like(like, -60.0), jnp.full_like(like, 40.0)
    steps = int(jnp.finfo(like.dtype).nmant) + 9  # until what is left is below the rounding error
    return jax.lax.fori_loop(0, steps, halve, bounds)[1]


def _attained(v: Array, weights: Array, dual: Array) -> WorstCase:
    """The value under fixed weights, with the derivatives of the dual [..., 1]."""
    # The primal is the more precise of the two; only the dual knows what the radius does.
    primal = _fixed((weights * v).sum(-1))
    return WorstCase(primal + (dual - _fixed(dual))[..., 0], weights)
