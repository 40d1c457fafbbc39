"""Return distributions as weighted atoms, and maps on them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require
from jaxrl.types import Array, Tree
from jaxrl.values.selection import filled

ROUNDING = 8.0  # relative error of a sum of probabilities, in units of the precision of its type


class ReturnDistribution(NamedTuple):
    """A weighted sum of Diracs on the real line, on which the Bellman operator is exact."""

    atoms: Array  # [..., N]
    probabilities: Array  # [..., N], not negative and summing to one


class SignedMeasure(ReturnDistribution):
    """A sum of Diracs whose weights sum to one, but of which some may be negative.

    Off-policy targets are of this type. It has a mean and the expectation of any function, it can
    be pushed, mixed and placed on a support, and losses regress on it. It has no quantiles, and
    what depends on them raises an InputError.
    """

    __slots__ = ()


Statistic = Callable[[ReturnDistribution], Array]
"""The value [...] of a return distribution [..., N] that an agent maximises."""

Push = Callable[[ReturnDistribution, Array, Array], ReturnDistribution]
"""How a step's reward [...] and discount [...] are joined to the future's distribution."""


def require_unsigned(distribution: ReturnDistribution, what: str) -> None:
    """Raise an InputError, in the name of `what`, if probabilities may be negative."""
    weights = distribution.probabilities
    signed = isinstance(distribution, SignedMeasure)
    if not signed and not isinstance(weights, Tracer):
        signed = bool((np.asarray(weights) < -1e-6).any())
    require(
        not signed,
        f"{what} is not defined for negative probabilities, which off-policy targets have: "
        "take the mean, or regress a critic on them and use what it predicts.",
    )


def dirac(value: Array) -> ReturnDistribution:
    """The distribution [..., 1] of a return that equals `value` [...] with certainty.

    Examples:
        >>> print(values.mean(values.dirac(jnp.array(3.0))))
        3.0
    """
    value = jnp.asarray(value)
    return ReturnDistribution(value[..., None], jnp.ones_like(value)[..., None])


def push(distribution: ReturnDistribution, reward: Array, discount: Array) -> ReturnDistribution:
    """The distribution of `reward + discount * Z`, for reward and discount [...].

    Source: the pushforward of Bellemare, Dabney and Rowland (2023), section 2.4.

    Examples:
        >>> print(values.push(z, 1.0, 0.5).atoms)
        [1. 3.]
    """
    atoms = jnp.asarray(reward)[..., None] + jnp.asarray(discount)[..., None] * distribution.atoms
    return distribution._replace(atoms=atoms)


def push_worst(
    distribution: ReturnDistribution, reward: Array, discount: Array
) -> ReturnDistribution:
    """The distribution of the worst reward from now on, `min(reward, Z)`; reward, discount [...].

    It can replace `push` everywhere; the return is then the least reward instead of their sum. The
    discount only tells whether there is a future: where it is 0, the result is the reward. Means
    cannot be pushed in this way, since E min(reward, Z) is not min(reward, E Z).

    Examples:
        >>> print(values.push_worst(z, 1.0, 0.5).atoms)
        [0. 1.]
    """
    reward = jnp.asarray(reward)[..., None]
    future = jnp.asarray(discount)[..., None] > 0
    atoms = jnp.where(future, jnp.minimum(reward, distribution.atoms), reward)
    return distribution._replace(atoms=atoms)


def shift(distribution: ReturnDistribution, amount: Array) -> ReturnDistribution:
    """The distribution of `amount + Z`, for an amount [...].

    Examples:
        >>> print(values.shift(z, 2.0).atoms)
        [2. 6.]
    """
    return distribution._replace(atoms=distribution.atoms + jnp.asarray(amount)[..., None])


def mix(distribution: ReturnDistribution, weights: Array) -> ReturnDistribution:
    """The mixture [..., M * N] of distributions [..., M, N] under weights [..., M].

    Examples:
        >>> print(values.mix(pair, jnp.array([0.5, 0.5])).probabilities)
        [0.375 0.125 0.375 0.125]
    """
    probabilities = weights[..., None] * distribution.probabilities
    atoms = jnp.broadcast_to(distribution.atoms, probabilities.shape)
    mixed = distribution._replace(atoms=atoms, probabilities=probabilities)
    return jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), mixed)


def mean(distribution: ReturnDistribution) -> Array:
    """The expectation [...] of a distribution [..., N].

    Examples:
        >>> print(values.mean(z))
        1.0
    """
    return (distribution.probabilities * distribution.atoms).sum(-1)


def accumulate(term: Callable[[Array, Array], Tree], distribution: ReturnDistribution) -> Tree:
    """The sums [..., K] over the atoms of a distribution [..., N] of term(atom, probability).

    `term` takes both as [..., 1] and returns an array [..., K], or a tree of them. Several arrays
    stacked in one would cost several times as much.
    """
    # A scan over atoms instead of a reduction of [..., N, K]: `categorical` and `quantile` give
    # the times of both.
    atoms = jnp.broadcast_to(distribution.atoms, distribution.probabilities.shape)
    columns = (
        jnp.moveaxis(atoms, -1, 0)[..., None],
        jnp.moveaxis(distribution[1], -1, 0)[..., None],
    )
    shapes = jax.eval_shape(term, *(column[0] for column in columns))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    again = jax.checkpoint(term)  # recomputed for derivatives, which is cheaper than storing it
    one = lambda total, x: (jax.tree.map(jnp.add, total, again(*x)), None)
    return jax.lax.scan(one, zeros, columns)[0]


def collapse(distribution: ReturnDistribution) -> ReturnDistribution:
    """The Dirac [..., 1] at the mean of a distribution [..., N].

    Examples:
        >>> print(values.collapse(z).atoms)
        [1.]
    """
    return dirac(mean(distribution))


def ordered(distribution: ReturnDistribution) -> ReturnDistribution:
    """The same distribution [..., N] with ascending atoms.

    Examples:
        >>> print(values.ordered(values.push(z, 1.0, -1.0)).atoms)
        [-3.  1.]
    """
    atoms = jnp.broadcast_to(distribution.atoms, distribution.probabilities.shape)
    return distribution._make(jax.lax.sort((atoms, distribution.probabilities), num_keys=1))


def cdf(distribution: ReturnDistribution, values: Array) -> Array:
    """The probabilities [..., M] that a distribution [..., N] is at most values [..., M].

    Examples:
        >>> print(values.cdf(z, jnp.array([-1.0, 0.0, 4.0])))
        [0.   0.75 1.  ]
    """
    below = distribution.atoms[..., None, :] <= values[..., :, None]
    return (below * distribution.probabilities[..., None, :]).sum(-1)


def quantiles(distribution: ReturnDistribution, fractions: Array) -> Array:
    """The quantiles [..., M] of a distribution [..., N] at fractions [..., M] or [M].

    The quantile at a fraction is the least atom that the distribution does not exceed with at
    least that probability; at 0 it is the least atom with a positive probability, and at 1 the
    greatest. Raises an InputError for a `SignedMeasure`.

    Examples:
        >>> print(values.quantiles(z, jnp.array([0.5, 0.9])))
        [0. 4.]
    """
    require_unsigned(distribution, "A quantile")
    atoms, probabilities = ordered(distribution)
    cumulative = jnp.cumsum(probabilities, -1)
    dtype, total = cumulative.dtype, cumulative[..., -1:]
    # A sum may be short of its exact value by rounding, which must not move the next atom in.
    least = fractions * (total * (1 - ROUNDING * jnp.finfo(dtype).eps))
    least = jnp.maximum(least, jnp.finfo(dtype).tiny)
    index = (cumulative[..., None, :] < least[..., :, None]).sum(-1)
    positions = jnp.arange(atoms.shape[-1])
    last = jnp.where(probabilities > 0, positions, 0).max(-1, keepdims=True)
    index = jnp.minimum(jnp.where(fractions >= 1, last, index), last)
    return jnp.take_along_axis(atoms, index, -1)


def truncate(distribution: ReturnDistribution, keep: float | Array) -> ReturnDistribution:
    """A distribution [..., N] given that the return is among its lowest `keep` of probability.

    `keep` [...] is in [0, 1]; the atom at the boundary keeps part of its probability, and at 0 only
    the least possible return is left. Raises an InputError for a `SignedMeasure`.

    Examples:
        >>> print(values.truncate(z, 0.9).probabilities)
        [0.833 0.167]
    """
    require_unsigned(distribution, "Truncation")
    probabilities, keep = distribution.probabilities, jnp.asarray(keep)
    atoms, possible = jnp.broadcast_to(distribution.atoms, probabilities.shape), probabilities > 0
    least = jnp.where(possible, atoms, jnp.inf).min(-1, keepdims=True)
    some = keep >= jnp.finfo(probabilities.dtype).tiny
    kept = filled(atoms, probabilities, jnp.where(some, keep, 1.0))
    lowest = jnp.where(atoms == least, probabilities, 0.0)
    kept = jnp.where(some[..., None], kept, lowest)
    # What is left out may be infinite, and its product with 0 would be NaN.
    atoms = jnp.where(kept > 0, atoms, least)
    return ReturnDistribution(atoms, kept / kept.sum(-1, keepdims=True))


def require_left(drop: int, count: int) -> None:
    """Raise an InputError unless some of `count` atoms are left without `drop` of them."""
    require(
        0 <= drop < count, f"drop must be between 0 and {count - 1} atoms in all, but it is {drop}."
    )


def pessimistic(distribution: ReturnDistribution, drop: int) -> ReturnDistribution:
    """The pooled atoms of an ensemble [..., E, N] without the `drop` highest, all weighing alike.

    Only for members whose atoms have equal probabilities, which it does not read; `truncated` is
    the same for any. One atom per critic and `drop = E - 1` is the minimum of clipped double
    Q-learning (Fujimoto et al. 2018, section 4.2); many atoms give truncated quantile critics
    (Kuznetsov et al. 2020, equation 11). Raises an InputError if no atom is left.

    Examples:
        >>> critics = values.quantile(2).decode(jnp.array([[1.0, 4.0], [2.0, 3.0]]))
        >>> print(values.pessimistic(critics, drop=1).atoms)
        [1. 2. 3.]
    """
    require_unsigned(distribution, "Truncation")
    atoms = distribution.atoms.reshape(*distribution.atoms.shape[:-2], -1)
    require_left(drop, atoms.shape[-1])
    keep = atoms.shape[-1] - drop
    atoms = atoms.min(-1, keepdims=True) if keep == 1 else jnp.sort(atoms, -1)[..., :keep]
    return ReturnDistribution(atoms, jnp.full_like(atoms, 1 / keep))
