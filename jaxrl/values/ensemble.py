"""Ensembles of critics of one family, and how their distributions are reduced to one.

A reduction is a map of distributions [..., E, N] of E members to one [..., M]; it can also be
applied by itself, to an ensemble that has an axis of its own.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.types import Array, Key
from jaxrl.values.distributions import (
    ReturnDistribution,
    mean,
    mix,
    require_left,
    shift,
    truncate,
)
from jaxrl.values.representations import Representation, require_explicit

Reduction = Callable[[ReturnDistribution], ReturnDistribution]


def average(distribution: ReturnDistribution) -> ReturnDistribution:
    """The even mixture [..., E * N] of the members [..., E, N].

    Examples:
        >>> print(values.mean(values.average(pair)))
        1.5
    """
    members = distribution.probabilities.shape[-2]
    return mix(distribution, jnp.full(distribution.probabilities.shape[:-1], 1 / members))


def member(distribution: ReturnDistribution, index: Array) -> ReturnDistribution:
    """One member [..., N] of an ensemble [..., E, N], for an index [...]."""
    # By a mask: gathers and their gradients are slow on CPU, and ensembles are small.
    chosen = jnp.arange(distribution.probabilities.shape[-2]) == index[..., None]
    pick = lambda x: jnp.sum(x, -2, where=chosen[..., None])
    return jax.tree.map(pick, distribution)


def minimum(distribution: ReturnDistribution) -> ReturnDistribution:
    """The member [..., N] with the least mean: clipped double Q-learning on distributions.

    Source: Fujimoto et al. (2018), section 4.2.

    Examples:
        >>> print(values.mean(values.minimum(pair)))
        1.0
    """
    return member(distribution, mean(distribution).argmin(-1))


def quantile_of_ensemble(level: float | Array) -> Reduction:
    """The member whose mean has a share `level`, in [0, 1], of the others below it, rounded down.

    Level 0 is `minimum`, and 1 the most optimistic member.

    Examples:
        >>> print(values.mean(values.quantile_of_ensemble(1.0)(pair)))
        2.0
    """
    require_fraction(level=level)

    def reduce(distribution: ReturnDistribution) -> ReturnDistribution:
        means = mean(distribution)
        rank = jnp.floor(level * (means.shape[-1] - 1) + 1e-4).astype(int)
        return member(distribution, jnp.argsort(means, -1)[..., rank])

    return reduce


def lower_confidence(beta: float | Array) -> Reduction:
    """The even mixture, lowered by `beta` standard deviations of the members' means.

    Examples:
        >>> print(values.mean(values.lower_confidence(1.0)(pair)))
        1.0
    """

    def reduce(distribution: ReturnDistribution) -> ReturnDistribution:
        return shift(average(distribution), -beta * deviation(mean(distribution)))

    return reduce


def deviation(x: Array) -> Array:
    """The standard deviation [...] of x [..., E], with the derivative 0 where all are equal."""
    centred = x - x.mean(-1, keepdims=True)
    centred = centred - centred.mean(-1, keepdims=True)  # what rounding left of the mean
    square = (centred**2).mean(-1)
    some = square > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)


def truncated(drop: int) -> Reduction:
    """The mixture of the members without the highest `drop` / (E N) of its probability.

    If all E N atoms have equal probabilities, these are the `drop` highest, as in `pessimistic`,
    which is faster. Raises an InputError if no atom is left.

    Examples:
        >>> print(values.mean(values.truncated(drop=1)(pair)))
        0.5
    """

    def reduce(distribution: ReturnDistribution) -> ReturnDistribution:
        pool = average(distribution)
        count = pool.atoms.shape[-1]
        require_left(drop, count)
        return truncate(pool, 1 - drop / count)

    return reduce


def random_subset(key: Key, size: int, reduction: Reduction = minimum) -> Reduction:
    """A reduction of `size` members drawn by `key`, the same for a whole batch.

    It may be made inside a loss, from the key of the update. Source: the in-target minimisation of
    Chen et al. (2021), algorithm 1.

    Examples:
        >>> print(values.mean(values.random_subset(jax.random.key(0), size=2)(pair)))
        1.0
    """
    require_positive(size=size)

    def reduce(distribution: ReturnDistribution) -> ReturnDistribution:
        members = distribution.probabilities.shape[-2]
        require(size <= members, f"size must be at most {members}, but it is {size}.")
        chosen = jax.random.permutation(key, members)[:size]
        return reduction(jax.tree.map(lambda x: x[..., chosen, :], distribution))

    return reduce


def ensemble(
    representation: Representation, members: int, reduction: Reduction = minimum
) -> Representation:
    """Members side by side: theta [..., E * K] of E members that each regress to the same target.

    Decoding reduces them to one distribution; projection gives all of them the same outputs, and
    the loss is the sum over members. Raises an InputError if `members` is not positive, or the
    representation is an implicit one, whose members would have to share their fractions.

    Examples:
        >>> two = values.ensemble(values.scalar(), members=2)
        >>> print(two.decode(jnp.array([3.0, 1.0])).atoms)
        [1.]
    """
    require_positive(members=members)
    require_explicit(representation, "An ensemble")
    size = representation.size
    apart = lambda theta: theta.reshape(*theta.shape[:-1], members, size)

    def decode(theta: Array) -> ReturnDistribution:
        distribution = representation.decode(apart(theta))
        shape = distribution.probabilities.shape
        return reduction(distribution._replace(atoms=jnp.broadcast_to(distribution.atoms, shape)))

    def project(distribution: ReturnDistribution) -> Array:
        theta = representation.project(distribution)
        return jnp.tile(theta, members)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return jax.vmap(representation.loss, (-2, None), -1)(apart(theta), distribution).sum(-1)

    return Representation(members * size, decode, project, loss, collapsed=representation.collapsed)
