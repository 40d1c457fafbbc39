"""Return distributions as weighted atoms, and maps on them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array


class ReturnDistribution(NamedTuple):
    """A weighted sum of Diracs on the real line, on which the Bellman operator is exact."""

    atoms: Array  # [..., N]
    probabilities: Array  # [..., N], summing to one


Statistic = Callable[[ReturnDistribution], Array]
"""What of a return distribution [..., N] is worth maximising: a value [...]."""


def dirac(value: Array) -> ReturnDistribution:
    """The distribution [..., 1] of a return that is surely `value` [...]."""
    return ReturnDistribution(value[..., None], jnp.ones_like(value)[..., None])


def push(distribution: ReturnDistribution, reward: Array, discount: Array) -> ReturnDistribution:
    """The distribution of `reward + discount * Z`, for reward and discount [...].

    Source: the pushforward of Bellemare, Dabney and Rowland (2023), section 2.4.
    """
    atoms = jnp.asarray(reward)[..., None] + jnp.asarray(discount)[..., None] * distribution.atoms
    return distribution._replace(atoms=atoms)


def mix(distribution: ReturnDistribution, weights: Array) -> ReturnDistribution:
    """The mixture [..., M * N] of distributions [..., M, N] under weights [..., M]."""
    probabilities = weights[..., None] * distribution.probabilities
    atoms = jnp.broadcast_to(distribution.atoms, probabilities.shape)
    return jax.tree.map(
        lambda x: x.reshape(*x.shape[:-2], -1), ReturnDistribution(atoms, probabilities)
    )


def pessimistic(distribution: ReturnDistribution, drop: int) -> ReturnDistribution:
    """Pool an ensemble [..., E, N] of equally weighted atoms and drop the `drop` highest.

    One atom per critic and `drop = E - 1` is the minimum of clipped double Q-learning (Fujimoto
    et al. 2018, section 4.2); many atoms give truncated quantile critics (Kuznetsov et al. 2020,
    equation 11).
    """
    atoms = distribution.atoms.reshape(*distribution.atoms.shape[:-2], -1)
    keep = atoms.shape[-1] - drop
    if not 1 <= keep <= atoms.shape[-1]:
        raise ValueError(f"drop must be between 0 and {atoms.shape[-1] - 1}, but it is {drop}")
    atoms = atoms.min(-1, keepdims=True) if keep == 1 else jnp.sort(atoms, -1)[..., :keep]
    return ReturnDistribution(atoms, jnp.full_like(atoms, 1 / keep))


def mean(distribution: ReturnDistribution) -> Array:
    """The expectation [...] of a distribution [..., N]."""
    return (distribution.probabilities * distribution.atoms).sum(-1)
