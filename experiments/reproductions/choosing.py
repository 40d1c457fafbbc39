"""Settings that are chosen on some seeds and judged on others, for reproductions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Array, Key, Tree

One = Callable[[Any, Key], Tree]
"""(point of a grid, key) -> what is found there."""


def scored(one: One, grid: Sequence[Any], seeds: int) -> Any:
    """The scores, leaves [points, 2 seeds, ...], by `one(point, key)` of all points of a grid.

    One compiled program runs all seeds of a point at once.
    """
    keys, run = jax.random.split(jax.random.key(0), 2 * seeds), jax.jit(jax.vmap(one, (None, 0)))
    points = jax.tree.map(lambda *x: jnp.array(x), *grid)
    at = lambda i: jax.tree.map(lambda x: x[i], points)
    found = [run(at(i), keys) for i in range(len(grid))]
    return jax.tree.map(lambda *x: np.stack(x), *found)


def tuned(found: np.ndarray, choosing: int | None = None) -> tuple[int, np.ndarray]:
    """The best point of scores [points, seeds, ...], and its scores [rest, ...] of other seeds.

    It is the best by the mean over the first `choosing` seeds, by default a half of them, which are
    then left out.
    """
    seeds = found.shape[1] // 2 if choosing is None else choosing
    best = int(found[:, :seeds].reshape(len(found), -1).mean(1).argmax())
    return best, found[best, seeds:]


def tried(
    one: One,
    grid: Sequence[Any],
    seeds: int,
    choosing: int = 2,
    score: Callable[[Tree], Array] = lambda found: found,
) -> tuple[int, Tree]:
    """The best point of a grid by its first seeds, and what `one` finds there with other seeds.

    All points run with the same `choosing` seeds, see `best_of`, and the results of the others are
    leaves [seeds, ...]. If `seeds` is the number of points times `choosing`, all of that is one
    compiled program.
    """
    keys = jax.random.split(jax.random.key(0), choosing + seeds)
    best, _, found = best_of(one, grid, keys[:choosing], keys[choosing:], score)
    return best, found


def best_of(
    one: One, grid: Sequence[Any], first: Key, rest: Key, score: Callable[[Tree], Array]
) -> tuple[int, Tree, Tree]:
    """The best point of a grid, what `one` finds there with the `first` keys, and with the `rest`.

    The best is that of the highest mean of the `score` [points keys, ...] of what all points find
    with the first keys [N]; only the best runs with the rest.
    """
    points, run = jax.tree.map(lambda *x: jnp.array(x), *grid), jax.jit(jax.vmap(one))
    every = jax.tree.map(lambda x: jnp.repeat(x, len(first), 0), points)
    found = run(every, jnp.tile(first, len(grid)))
    means = np.asarray(score(found)).reshape(len(grid), -1).mean(1)
    best = int(np.nan_to_num(means, nan=-np.inf).argmax())
    again = jax.tree.map(lambda x: jnp.repeat(x[best][None], len(rest), 0), points)
    own = slice(best * len(first), (best + 1) * len(first))
    before = jax.tree.map(lambda x: np.asarray(x[own]), found)
    return best, before, jax.tree.map(np.asarray, run(again, rest))
