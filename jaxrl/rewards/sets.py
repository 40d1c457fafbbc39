"""Functions of sets with diminishing returns, and what greedy choice guarantees for them.

A set function F is monotone if more items are never worth less, and submodular if an item adds the
less, the more there is already. `jaxrl.rewards.marginal_gains` pays an episode F of what it visits.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.types import Array

SetFunction = Callable[[Array], Array]
"""A set [..., N] bool -> its value [...]."""


def coverage(covered: Array, weights: Array) -> SetFunction:
    """The weight of all that a set covers: F(X) = sum of the weights [P] of points in some item.

    `covered` [N, P] bool says which points an item covers. It is monotone and submodular where
    weights are not negative.
    """
    return lambda chosen: ((chosen[..., :, None] & covered).any(-2) * weights).sum(-1)


def information(kernel: Array, noise: float | Array) -> SetFunction:
    """The information of noisy measurements about a Gaussian process, in nats.

    F(X) = log det(I + K_XX / noise) / 2 for measurements of the items in X, with the covariances
    `kernel` [N, N] and the variance of the noise, which is above zero: an InputError otherwise. It
    is monotone and submodular. Source: Krause, Singh and Guestrin (2008), "Near-optimal sensor
    placements in Gaussian processes", https://jmlr.org/papers/v9/krause08a.html.
    """
    require_positive(noise=noise)
    identity = jnp.eye(kernel.shape[0])

    def value(chosen: Array) -> Array:
        both = chosen[..., :, None] & chosen[..., None, :]
        return jnp.linalg.slogdet(identity + jnp.where(both, kernel, 0.0) / noise)[1] / 2

    return value


def greedy_set(value: SetFunction, items: int, size: int) -> Array:
    """The set [items] that takes, `size` times, the item of the largest marginal gain.

    If F is monotone and submodular, it is worth at least 1 - 1 / e of the best set of this size,
    and (1 - exp(-c)) / c with the `curvature` c. Raises an InputError unless the size is between
    one and the number of items. Source: Nemhauser, Wolsey and Fisher (1978), and Conforti and
    Cornuejols (1984).
    """
    require(1 <= size <= items, f"size must lie between 1 and {items}, the items, not {size}.")

    def take(chosen: Array, _: None) -> tuple[Array, None]:
        worth = value(chosen | jnp.eye(items, dtype=bool))
        best = jnp.where(chosen, -jnp.inf, worth).argmax()
        return chosen.at[best].set(True), None

    return jax.lax.scan(take, jnp.zeros(items, bool), None, size)[0]


def curvature(value: SetFunction, items: int) -> Array:
    """The curvature [] of a monotone set function, between 0 and 1.

    c = 1 - min over items of (F(all) - F(all but the item)) / (F(the item) - F(none)): 0 if F is a
    sum over items, 1 if some item adds nothing to the others. Items that are worth nothing by
    themselves do not count. Source: Conforti and Cornuejols (1984).
    """
    alone = jnp.eye(items, dtype=bool)
    none, every = jnp.zeros(items, bool), jnp.ones(items, bool)
    first, last = value(alone) - value(none), value(every) - value(~alone)
    worth = first > 0
    return 1 - jnp.where(worth, last / jnp.where(worth, first, 1.0), 1.0).min()
