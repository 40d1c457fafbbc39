"""How good a data set is, and how much of the environment it shows.

Source of all of them: Schweighofer et al. (2022), A dataset perspective on offline reinforcement
learning, https://arxiv.org/abs/2111.04714.
"""

import jax
import jax.numpy as jnp

from jaxrl.data.episodes import in_lanes_of
from jaxrl.errors import require, require_positive
from jaxrl.packing import layout, pack
from jaxrl.types import Array, Transition, Tree


def trajectory_quality(
    returns: Array, lowest: float | Array, highest: float | Array, there: Array | None = None
) -> Array:
    """The trajectory quality TQ [] of a data set: its mean return as a score.

        TQ = (mean return - lowest) / (highest - lowest)

    Args:
      returns: [N] of the episodes.
      lowest: the return of random actions.
      highest: the return of the best policy known, such as that of the agent that collected.
      there: [N] bool, which of the returns count; all by default.

    Examples:
      >>> trajectory_quality(jnp.array([1.0, 3.0]), 0.0, 4.0)
      Array(0.5, dtype=float32)
    """
    returns = jnp.asarray(returns)
    used = jnp.ones_like(returns) if there is None else there.astype(returns.dtype)
    mean = (returns * used).sum() / jnp.maximum(used.sum(), 1)
    return (mean - lowest) / (highest - lowest)


def distinct_pairs(data: Transition, bins: int = 0, reference: Transition | None = None) -> Array:
    """The number [] of distinct pairs of an observation and an action in a data set [T, B, ...].

    Pairs are compared bit for bit, or with `bins` after each real number is replaced by the bin in
    which it lies: that many equal ones between the smallest and the largest value that the
    dimension takes in `reference`, or in the data set itself, and others of the same width beyond.
    Steps of weight 0 are not counted. It is exact, by sorting all pairs.

    Examples:
      >>> distinct_pairs(data)
      Array(4, dtype=int32)
    """
    data = in_lanes_of(data)
    pairs = (data.obs, data.action)
    if bins:
        require_positive(bins=bins)
        known = data if reference is None else reference
        pairs = jax.tree.map(
            lambda x, like: _binned(x, like, bins), pairs, (known.obs, known.action)
        )
    else:  # zero has two signs, which are one number
        pairs = jax.tree.map(lambda x: jnp.where(x == 0, jnp.zeros_like(x), x), pairs)
    rows = pack(pairs, layout(pairs, 2))
    unused = (data.weight == 0).astype(jnp.uint32)[..., None]
    return _distinct(jnp.concatenate([unused, rows], -1).reshape(-1, rows.shape[-1] + 1))


def coverage(data: Transition, reference: Transition, bins: int = 0) -> Array:
    """The state-action coverage SACo [] of a data set, relative to a reference.

        SACo = u(data) / u(reference)

    u counts `distinct_pairs`. The reference is usually the whole history of an online agent, and
    should have as many steps as the data set, for u grows with their number. Raises an InputError
    if the two are of different kinds.

    Examples:
      >>> coverage(data, data)
      Array(1., dtype=float32)
    """
    kinds = lambda x: jax.tree.map(lambda y: (y.shape[2:], str(y.dtype)), (x.obs, x.action))
    require(
        kinds(data) == kinds(reference),
        f"A data set and its reference must be of one environment, but their observations and "
        f"actions are {kinds(data)} and {kinds(reference)}.",
    )
    return distinct_pairs(data, bins, reference) / distinct_pairs(reference, bins)


def _binned(x: Tree, like: Array, bins: int) -> Array:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return x
    low, high = like.min((0, 1)), like.max((0, 1))
    width = jnp.where(high > low, (high - low) / bins, 1)
    place = jnp.floor((x - low) / width)
    # The largest value belongs to the last bin, and not to one of its own.
    return jnp.where(x <= high, jnp.minimum(place, bins - 1), place).astype(jnp.int32)


def _distinct(rows: Array) -> Array:
    """The number of distinct rows [N, W], uint32, among those whose first word is 0.

    They are sorted by one column after another, the last one first, so that the size of the program
    does not depend on their width.
    """
    number, width = rows.shape

    def by_column(i: Array, order: Array) -> Array:
        return order[jnp.argsort(rows[order, width - 1 - i], stable=True)]

    order = jax.lax.fori_loop(0, width, by_column, jnp.arange(number))
    ordered = rows[order]
    new = jnp.append(True, (ordered[1:] != ordered[:-1]).any(-1))
    return (new & (ordered[:, 0] == 0)).sum()
