"""Return distributions as weighted atoms, and maps on them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError
from jaxrl.types import Array

ROUNDING = 1e-6  # how far a sum of float32 probabilities may be from what it should be


class ReturnDistribution(NamedTuple):
    """A weighted sum of Diracs on the real line, on which the Bellman operator is exact."""

    atoms: Array  # [..., N]
    probabilities: Array  # [..., N], summing to one; off-policy traces may make some negative


Statistic = Callable[[ReturnDistribution], Array]
"""What of a return distribution [..., N] is worth maximising: a value [...]."""

Push = Callable[[ReturnDistribution, Array, Array], ReturnDistribution]
"""How a step's reward [...] and discount [...] are joined to the future's distribution."""


def dirac(value: Array) -> ReturnDistribution:
    """The distribution [..., 1] of a return that is surely `value` [...]."""
    return ReturnDistribution(value[..., None], jnp.ones_like(value)[..., None])


def push(distribution: ReturnDistribution, reward: Array, discount: Array) -> ReturnDistribution:
    """The distribution of `reward + discount * Z`, for reward and discount [...].

    Source: the pushforward of Bellemare, Dabney and Rowland (2023), section 2.4.
    """
    atoms = jnp.asarray(reward)[..., None] + jnp.asarray(discount)[..., None] * distribution.atoms
    return distribution._replace(atoms=atoms)


def push_worst(
    distribution: ReturnDistribution, reward: Array, discount: Array
) -> ReturnDistribution:
    """The distribution of the worst reward from now on, `min(reward, Z)`; reward, discount [...].

    It stands wherever `push` may stand, and then the return is the least reward instead of their
    sum. The discount only tells whether there is a future: where it is 0 the reward is the worst.
    A mean cannot be pushed so, since E min(reward, Z) is not min(reward, E Z).
    """
    reward = jnp.asarray(reward)[..., None]
    future = jnp.asarray(discount)[..., None] > 0
    atoms = jnp.where(future, jnp.minimum(reward, distribution.atoms), reward)
    return distribution._replace(atoms=atoms)


def shift(distribution: ReturnDistribution, amount: Array) -> ReturnDistribution:
    """The distribution of `amount + Z`, for an amount [...]."""
    return distribution._replace(atoms=distribution.atoms + jnp.asarray(amount)[..., None])


def mix(distribution: ReturnDistribution, weights: Array) -> ReturnDistribution:
    """The mixture [..., M * N] of distributions [..., M, N] under weights [..., M]."""
    probabilities = weights[..., None] * distribution.probabilities
    atoms = jnp.broadcast_to(distribution.atoms, probabilities.shape)
    return jax.tree.map(
        lambda x: x.reshape(*x.shape[:-2], -1), ReturnDistribution(atoms, probabilities)
    )


def mean(distribution: ReturnDistribution) -> Array:
    """The expectation [...] of a distribution [..., N]."""
    return (distribution.probabilities * distribution.atoms).sum(-1)


def accumulate(term: Callable[[Array, Array], Array], distribution: ReturnDistribution) -> Array:
    """The sum [..., K] over the atoms of a distribution [..., N] of term(atom, probability).

    `term` takes both as [..., 1] and returns [..., K].
    """
    # A scan over atoms instead of a reduction of [..., N, K]: see `categorical` and `quantile` for
    # what that saves.
    atoms = jnp.broadcast_to(distribution.atoms, distribution.probabilities.shape)
    columns = (
        jnp.moveaxis(atoms, -1, 0)[..., None],
        jnp.moveaxis(distribution[1], -1, 0)[..., None],
    )
    shape = jax.eval_shape(term, *(column[0] for column in columns))
    zero = jnp.zeros(shape.shape, shape.dtype)
    again = jax.checkpoint(term)  # computed anew for derivatives, which is cheaper than stored
    return jax.lax.scan(lambda total, x: (total + again(*x), None), zero, columns)[0]


def collapse(distribution: ReturnDistribution) -> ReturnDistribution:
    """The Dirac [..., 1] at the mean of a distribution [..., N]."""
    return dirac(mean(distribution))


def ordered(distribution: ReturnDistribution) -> ReturnDistribution:
    """The same distribution [..., N] with ascending atoms."""
    atoms = jnp.broadcast_to(distribution.atoms, distribution.probabilities.shape)
    return ReturnDistribution(*jax.lax.sort((atoms, distribution.probabilities), num_keys=1))


def cdf(distribution: ReturnDistribution, values: Array) -> Array:
    """The probabilities [..., M] that a distribution [..., N] is at most values [..., M]."""
    below = distribution.atoms[..., None, :] <= values[..., :, None]
    return (below * distribution.probabilities[..., None, :]).sum(-1)


def quantiles(distribution: ReturnDistribution, fractions: Array) -> Array:
    """The quantiles [..., M] of a distribution [..., N] at fractions [..., M] or [M].

    The quantile at a fraction is the least atom that the distribution does not exceed with at
    least that probability; at 0 it is the least atom with a positive probability.
    """
    atoms, probabilities = ordered(distribution)
    # Sums are short of what they should be by rounding, never a whole atom early.
    least = jnp.maximum(fractions - ROUNDING, jnp.finfo(atoms.dtype).tiny)
    cumulative = jnp.cumsum(probabilities, -1)[..., None, :]
    index = (cumulative < least[..., :, None]).sum(-1)
    return jnp.take_along_axis(atoms, jnp.minimum(index, atoms.shape[-1] - 1), -1)


def truncate(distribution: ReturnDistribution, keep: float | Array) -> ReturnDistribution:
    """A distribution [..., N] given that the return is among its lowest `keep` of probability.

    `keep` [...] is in (0, 1]; the atom at the boundary keeps part of its probability.
    """
    atoms, probabilities = ordered(distribution)
    keep = jnp.maximum(jnp.asarray(keep)[..., None], ROUNDING)
    cumulative = jnp.cumsum(probabilities, -1)
    kept = jnp.clip(keep - (cumulative - probabilities), 0, probabilities)
    return ReturnDistribution(atoms, kept / kept.sum(-1, keepdims=True))


def pessimistic(distribution: ReturnDistribution, drop: int) -> ReturnDistribution:
    """Pool an ensemble [..., E, N] of equally weighted atoms and drop the `drop` highest.

    One atom per critic and `drop = E - 1` is the minimum of clipped double Q-learning (Fujimoto
    et al. 2018, section 4.2); many atoms give truncated quantile critics (Kuznetsov et al. 2020,
    equation 11).
    """
    atoms = distribution.atoms.reshape(*distribution.atoms.shape[:-2], -1)
    keep = atoms.shape[-1] - drop
    if not 1 <= keep <= atoms.shape[-1]:
        raise InputError(f"drop must be between 0 and {atoms.shape[-1] - 1}, but it is {drop}")
    atoms = atoms.min(-1, keepdims=True) if keep == 1 else jnp.sort(atoms, -1)[..., :keep]
    return ReturnDistribution(atoms, jnp.full_like(atoms, 1 / keep))
