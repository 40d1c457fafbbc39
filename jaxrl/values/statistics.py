"""Statistics of return distributions: what an agent may maximise instead of the mean.

Each function here makes a `Statistic`, a function of a distribution [..., N] to values [...].
Levels, targets and risk aversions may be tracers, or arrays that broadcast against [...].
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
    shift,
    truncate,
)

Number = float | Array


def variance(distribution: ReturnDistribution) -> Array:
    """The variance [...] of a distribution [..., N]."""
    centred = shift(distribution, -mean(distribution))
    return (distribution.probabilities * centred.atoms**2).sum(-1)


def mean_variance(aversion: Number) -> Statistic:
    """The mean less `aversion` times the variance."""
    return lambda distribution: mean(distribution) - aversion * variance(distribution)


def value_at_risk(level: Number) -> Statistic:
    """The quantile at `level`, in [0, 1]: the return is at most this with that probability."""
    require_fraction(level=level)
    return lambda distribution: quantiles(distribution, jnp.asarray(level)[..., None])[..., 0]


def cvar(level: Number) -> Statistic:
    """The conditional value at risk: the mean of the lowest `level`, in [0, 1], of the return.

    Level 1 is the mean and level 0 the least possible return. Source: Rockafellar and Uryasev
    (2002).
    """
    require_fraction(level=level)
    return lambda distribution: mean(truncate(distribution, level))


def from_above(statistic: Statistic) -> Statistic:
    """The statistic -S(-Z) for S(Z): with `cvar` the mean of the highest returns, and so on."""

    def reflected(distribution: ReturnDistribution) -> Array:
        return -statistic(distribution._replace(atoms=-distribution.atoms))

    return reflected


def entropic_risk(aversion: Number) -> Statistic:
    """The certainty equivalent -log(E exp(-aversion Z)) / aversion of exponential utility.

    A positive aversion avoids risk, a negative one seeks it, and 0 is the mean.
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        centre, p = mean(distribution), distribution.probabilities
        a = jnp.asarray(aversion)
        x = -a[..., None] * shift(distribution, -centre).atoms
        # Two forms, since the first cancels where x is small and the second overflows elsewhere.
        tail = jax.nn.logsumexp(x, -1, b=p)
        near = jnp.log1p((p * jnp.expm1(jnp.clip(x, -1.0, 1.0))).sum(-1))
        log = jnp.where(jnp.abs(x).max(-1) < 1, near, tail)
        return centre - jnp.where(a == 0, 0.0, log / jnp.where(a == 0, 1.0, a))

    return statistic


def expectile_at(level: Number) -> Statistic:
    """The expectile at `level`, in (0, 1): the mean with weights `level` above it, 1 - level below.

    Level 1/2 is the mean. Source: Newey and Powell (1987).
    """
    require_fraction(level=level)

    def statistic(distribution: ReturnDistribution) -> Array:
        atoms, p = ordered(distribution)
        tau = jnp.asarray(level)[..., None]
        below, mass = jnp.cumsum(p * atoms, -1), jnp.cumsum(p, -1)
        total, whole = below[..., -1:], mass[..., -1:]
        weighted = (1 - tau) * below + tau * (total - below)
        # One weighted mean for each place to divide the atoms. The expectile's own is extreme.
        split = weighted / ((1 - tau) * mass + tau * (whole - mass))
        return jnp.where(tau[..., 0] < 0.5, split.min(-1), split.max(-1))

    return statistic


def expected_utility(utility: Callable[[Array], Array]) -> Statistic:
    """The expectation of `utility`, a function of returns applied to each atom."""

    def statistic(distribution: ReturnDistribution) -> Array:
        return (distribution.probabilities * utility(distribution.atoms)).sum(-1)

    return statistic


def reach_probability(target: Number) -> Statistic:
    """The probability that the return is at least `target`.

    An atom that should equal the target may miss it by rounding: aim a little lower.
    """
    return expected_utility(lambda atoms: (atoms >= jnp.asarray(target)[..., None]) * 1.0)


def homeostatic(target: Number) -> Statistic:
    """The expected distance of the return to `target`, negated: staying near a set point."""
    return expected_utility(lambda atoms: -jnp.abs(atoms - jnp.asarray(target)[..., None]))


def lexicographic(first: Statistic, second: Statistic, tolerance: Number = 0.0) -> Statistic:
    """The `second` statistic among the actions that are best in the `first`, -inf for the others.

    Actions are the last axis of the result [..., A], so that its argmax is the greedy action of
    pairs in lexicographic order. `tolerance` is how much less than the best still counts as best.
    """

    def statistic(distribution: ReturnDistribution) -> Array:
        primary = first(distribution)
        best = primary >= primary.max(-1, keepdims=True) - tolerance
        return jnp.where(best, second(distribution), -jnp.inf)

    return statistic
