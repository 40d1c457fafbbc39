"""Statistics of return distributions: what an agent may maximise instead of the mean.

Each function here makes a `Statistic`, a function of a distribution [..., N] to values [...].
Levels, targets and risk aversions may be tracers, or arrays that broadcast against [...]. Atoms
without probability do not matter, and shifted or scaled returns give shifted or scaled values to
the precision of their type. What is not linear in probabilities raises an InputError for a
`SignedMeasure`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_fraction
from jaxrl.types import Array
from jaxrl.values.distributions import (
    ReturnDistribution,
    Statistic,
    mean,
    ordered,
    quantiles,
    require_unsigned,
    shift,
    truncate,
)

Number = float | Array

fixed = jax.lax.stop_gradient


def variance(distribution: ReturnDistribution) -> Array:
    """The variance [...] of a distribution [..., N].

    Examples:
        >>> print(values.variance(z))
        3.0
    """
    require_unsigned(distribution, "The variance")
    centred = shift(distribution, -mean(distribution))
    centred = shift(centred, -mean(centred))  # what rounding left of the mean
    return (distribution.probabilities * centred.atoms**2).sum(-1)


def mean_variance(aversion: Number) -> Statistic:
    """The mean less `aversion` times the variance.

    Examples:
        >>> print(values.mean_variance(0.5)(z))
        -0.5
    """
    return lambda distribution: mean(distribution) - aversion * variance(distribution)


def value_at_risk(level: Number) -> Statistic:
    """The quantile at `level`, in [0, 1]: the return is at most this with that probability.

    Level 0 is the least possible return and level 1 the greatest.

    Examples:
        >>> print(values.value_at_risk(0.5)(z), values.value_at_risk(0.9)(z))
        0.0 4.0
    """
    require_fraction(level=level)
    return lambda distribution: quantiles(distribution, jnp.asarray(level)[..., None])[..., 0]


def cvar(level: Number) -> Statistic:
    """The conditional value at risk: the mean of the lowest `level`, in [0, 1], of the return.

    Level 1 is the mean and level 0 the least possible return. Source: Rockafellar and Uryasev
    (2002).

    Examples:
        >>> print(values.cvar(0.8)(z), values.cvar(1.0)(z))
        0.25 1.0
    """
    require_fraction(level=level)

    def statistic(distribution: ReturnDistribution) -> Array:
        lowest = truncate(distribution, level)
        centre = fixed(mean(lowest))  # sums about a centre do not cancel
        return centre + mean(shift(lowest, -centre))

    return statistic


def spectral(cumulative: Callable[[Array], Array]) -> Statistic:
    """The mean of the quantiles of the return with weights that depend on their levels alone.

    With an increasing function phi from [0, 1] onto [0, 1], `cumulative`, it is the sum over the
    ascending atoms z_i of z_i (phi(F_i) - phi(F_{i-1})), where F_i is the probability of at most
    z_i. A concave phi avoids risk, and then the statistic is coherent; phi(u) = u is the mean,
    min(u / level, 1) is `cvar`, and a mixture of these one of several levels. Source: Acerbi
    (2002), "Spectral measures of risk: a coherent representation of subjective risk aversion".

    Examples:
        >>> print(values.spectral(jnp.sqrt)(z))  # 4 (1 - sqrt(3 / 4))
        0.536
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        require_unsigned(distribution, "A spectral measure")
        possible = distribution.probabilities > 0
        weighted = jnp.where(possible, distribution.probabilities * distribution.atoms, 0.0)
        centre = fixed(weighted.sum(-1))  # sums about a centre do not cancel
        atoms = jnp.where(possible, distribution.atoms - centre[..., None], 0.0)
        atoms, p = ordered(distribution._replace(atoms=atoms))
        share = jnp.clip(jnp.cumsum(p, -1)[..., :-1] / p.sum(-1, keepdims=True), 0.0, 1.0)
        ends = jnp.zeros_like(p[..., :1]), jnp.ones_like(p[..., :1])
        weights = jnp.diff(jnp.concatenate([ends[0], cumulative(share), ends[1]], -1))
        return centre + (weights * atoms).sum(-1)

    return statistic


def wang(aversion: Number) -> Callable[[Array], Array]:
    """The function Phi(Phi^-1(u) + aversion) of levels u for `spectral`, of the normal law Phi.

    A positive aversion avoids risk, and 0 gives the mean. The measure of a normal return is its
    mean less aversion times its standard deviation. Source: Wang (2000), "A class of distortion
    operators for pricing financial and insurance risks".

    Examples:
        >>> print(values.wang(1.0)(jnp.array([0.0, 0.5, 1.0])))
        [0.    0.841 1.   ]
    """

    def cumulative(level: Array) -> Array:
        # At 0 and 1 the inverse is infinite, and so would be its derivative.
        inside = (level > 0) & (level < 1)
        normal = jax.scipy.stats.norm
        moved = normal.cdf(normal.ppf(jnp.where(inside, level, 0.5)) + aversion)
        return jnp.where(inside, moved, level)

    return cumulative


def from_above(statistic: Statistic) -> Statistic:
    """The statistic -S(-Z) for S(Z): with `cvar`, the mean of the highest returns.

    Examples:
        >>> print(values.from_above(values.cvar(0.5))(z))
        2.0
    """

    def reflected(distribution: ReturnDistribution) -> Array:
        return -statistic(distribution._replace(atoms=-distribution.atoms))

    return reflected


def entropic_risk(aversion: Number) -> Statistic:
    """The certainty equivalent -log(E exp(-aversion Z)) / aversion of exponential utility.

    A positive aversion avoids risk, a negative one seeks it, and 0 is the mean.

    Examples:
        >>> print(values.entropic_risk(1.0)(z))  # -log(3 / 4 + exp(-4) / 4)
        0.282
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        require_unsigned(distribution, "The entropic risk")
        p, a = distribution.probabilities, jnp.asarray(aversion)
        possible, atoms = p > 0, jnp.broadcast_to(distribution.atoms, p.shape)
        # Where aversion times the range is small: differences of exponentials do not cancel.
        centre = fixed(mean(distribution))
        centred = jnp.where(possible, atoms - centre[..., None], 0.0)
        x = -a[..., None] * centred
        total = -jnp.sum(p * centred * slope(jnp.expm1, jnp.clip(x, -1.0, 1.0)), -1)
        near = centre - total * slope(jnp.log1p, jnp.clip(a * total, -0.9, 2.0))
        # Elsewhere: exponentials relative to the worst return do not overflow.
        least = jnp.where(possible, atoms, jnp.inf).min(-1)
        greatest = jnp.where(possible, atoms, -jnp.inf).max(-1)
        worst = fixed(jnp.where(a < 0, greatest, least))
        above = jnp.where(possible, atoms - worst[..., None], 0.0)
        log = jnp.log(jnp.sum(p * jnp.exp(-a[..., None] * above), -1))
        far = worst - log / jnp.where(a == 0, 1.0, a)
        return jnp.where(jnp.abs(x).max(-1) < 1, near, far)

    return statistic


def slope(function: Callable[[Array], Array], x: Array) -> Array:
    """function(x) / x for expm1 and log1p, with its limit 1 and its derivative at 0."""
    small = jnp.abs(x) < jnp.finfo(x.dtype).eps ** (1 / 3)
    sign = 1 if function is jnp.expm1 else -1
    series = 1 + sign * x / 2 + x**2 / (6 if sign > 0 else 3)
    safe = jnp.where(small, 1.0, x)
    return jnp.where(small, series, function(safe) / safe)


def expectile_at(level: Number) -> Statistic:
    """The expectile at `level`: the mean with weights `level` above it and 1 - level below it.

    Level 1/2 is the mean, level 0 the least possible return and level 1 the greatest. Source: Newey
    and Powell (1987).

    Examples:
        >>> print(values.expectile_at(5 / 6)(z))
        2.5
    """
    require_fraction(level=level)

    def statistic(distribution: ReturnDistribution) -> Array:
        require_unsigned(distribution, "An expectile")
        centre = fixed(mean(distribution))  # sums about a centre do not cancel
        atoms, p = ordered(shift(distribution, -centre))
        tau = jnp.asarray(level)[..., None]
        sums, mass = upto(p * atoms), upto(p)
        weighted = (1 - tau) * sums[0] + tau * sums[1]
        weights = (1 - tau) * mass[0] + tau * mass[1]
        # One weighted mean for each place to divide the atoms, before all of them included. The
        # expectile's own is extreme.
        some = weights > 0
        whole = sums[0][..., -1:] / mass[0][..., -1:]
        split = jnp.where(some, weighted / jnp.where(some, weights, 1.0), whole)
        high = jnp.maximum(split.max(-1), whole[..., 0])
        low = jnp.minimum(split.min(-1), whole[..., 0])
        return centre + jnp.where(tau[..., 0] < 0.5, low, high)

    return statistic


def upto(x: Array) -> tuple[Array, Array]:
    """The sums [..., N] of x [..., N] up to each element, and of all elements after it."""
    after = jnp.flip(jnp.cumsum(jnp.flip(x, -1), -1), -1)
    return jnp.cumsum(x, -1), jnp.concatenate([after[..., 1:], jnp.zeros_like(x[..., :1])], -1)


def expected_utility(utility: Callable[[Array], Array]) -> Statistic:
    """The expectation of `utility`, a function of returns applied to each atom.

    Examples:
        >>> print(values.expected_utility(jnp.sqrt)(z))
        0.5
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        return (distribution.probabilities * utility(distribution.atoms)).sum(-1)

    return statistic


def reach_probability(target: Number) -> Statistic:
    """The probability that the return is at least `target`.

    An atom that should equal the target may miss it by rounding, so that a target slightly below
    is safer.

    Examples:
        >>> print(values.reach_probability(1.0)(z))
        0.25
    """
    return expected_utility(lambda atoms: (atoms >= jnp.asarray(target)[..., None]) * 1.0)


def homeostatic(target: Number) -> Statistic:
    """The expected distance of the return to `target`, negated: staying near a set point.

    Examples:
        >>> print(values.homeostatic(1.0)(z))
        -1.5
    """
    return expected_utility(lambda atoms: -jnp.abs(atoms - jnp.asarray(target)[..., None]))


def lexicographic(first: Statistic, second: Statistic, tolerance: Number = 0.0) -> Statistic:
    """The `second` statistic among the actions that are best in the `first`, -inf for the others.

    Actions are the last axis of the result [..., A], whose argmax is then the greedy action of
    pairs in lexicographic order. Actions within `tolerance` of the best count as best.

    Examples:
        >>> print(values.lexicographic(values.value_at_risk(0.5), values.mean)(pair))
        [-inf   2.]
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        primary = first(distribution)
        best = primary >= primary.max(-1, keepdims=True) - tolerance
        return jnp.where(best, second(distribution), -jnp.inf)

    return statistic
