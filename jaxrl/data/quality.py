"""How good a data set is, and how much of the environment it shows.

Source of all of them: Schweighofer et al. (2022), A dataset perspective on offline reinforcement
learning, https://arxiv.org/abs/2111.04714.
"""

import jax
import jax.numpy as jnp

from jaxrl.data.episodes import in_lanes_of
from jaxrl.errors import require, require_positive, require_values
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

    Raises:
      InputError: unless `highest` is above `lowest`.

    Examples:
      >>> trajectory_quality(jnp.array([1.0, 3.0]), 0.0, 4.0)
      Array(0.5, dtype=float32)
    """
    require_values(lambda x: x > 0, "be above zero", **{"highest - lowest": highest - lowest})
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
    known = jnp.maximum(distinct_pairs(reference, bins), 1)
    return distinct_pairs(data, bins, reference) / known


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

    Rows are sorted by a hash of 64 bits, so that equal ones stand together, however wide they are.
    Where two different rows have one hash, they are sorted by all of their words.
    """
    number, width = rows.shape

    def by(column: Array, order: Array) -> Array:
        return order[jnp.argsort(column[order], stable=True)]

    first, second = hashes(rows)
    order = by(second, by(first, jnp.arange(number)))
    same = (first[order][1:] == first[order][:-1]) & (second[order][1:] == second[order][:-1])
    collided = (same & _differ(rows[order])).any()
    # By one column after another, the last one first; of no columns where no hash collided.
    needed = jnp.where(collided, width, 0)
    order = jax.lax.fori_loop(0, needed, lambda i, x: by(rows[:, width - 1 - i], x), order)
    ordered = rows[order]
    new = jnp.append(True, _differ(ordered))
    return (new & (ordered[:, 0] == 0)).sum()


def _differ(rows: Array) -> Array:
    """Whether each row but the first [N - 1] differs from the one before."""
    return (rows[1:] != rows[:-1]).any(-1)


def hashes(rows: Array) -> tuple[Array, Array]:
    """Two hashes [N], uint32, of rows [N, W] of words: sums of words that are mixed by place."""
    salts = jax.random.bits(jax.random.key(0), (2, rows.shape[1]), jnp.uint32)

    def mixed(salt: Array) -> Array:
        x = rows ^ salt
        x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
        x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
        return ((x ^ (x >> 16)) * (salt | 1)).sum(1)

    return mixed(salts[0]), mixed(salts[1])
