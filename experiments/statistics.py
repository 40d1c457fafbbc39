"""Statistics of the scores of several runs on several tasks, and their bootstrap intervals.

Scores are arrays [N, M] of N runs on each of M tasks; where a task has fewer runs, or a run has no
score, there is a NaN. Every statistic is a pure function of scores, so that `bootstrap` resamples
runs by `jax.vmap`. Source: Agarwal et al. (2021), "Deep reinforcement learning at the edge of the
statistical precipice", https://arxiv.org/abs/2108.13264.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from jaxrl.errors import require, require_known

Statistic = Callable[..., Any]
"""A function of one or more arrays of scores [N, M], such as `interquartile_mean`."""

DRAWS = 2_000
"""Resamples of a bootstrap."""


class Estimate(NamedTuple):
    """A statistic, and the ends of its bootstrap interval, of one shape."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean(scores: jax.Array) -> jax.Array:
    """The mean of all scores []."""
    return jnp.nanmean(scores)


def median(scores: jax.Array) -> jax.Array:
    """The median over tasks of the mean over runs []; of one task, the median over runs."""
    return jnp.nanmedian(scores if scores.shape[1] == 1 else jnp.nanmean(scores, 0))


def interquartile_mean(scores: jax.Array) -> jax.Array:
    """The mean of the middle half of all scores [], runs and tasks together.

    Of n scores floor(n / 4) are left out at each end, so that it is the mean if n < 4. Source:
    Agarwal et al. (2021), section 4.3.
    """
    ordered = jnp.sort(scores.reshape(-1))  # NaN come last
    number = jnp.isfinite(ordered).sum()
    rank, cut = jnp.arange(ordered.size), number // 4
    middle = (rank >= cut) & (rank < number - cut)
    return jnp.where(middle, ordered, 0.0).sum() / middle.sum()


def optimality_gap(scores: jax.Array, target: float = 1.0) -> jax.Array:
    """The mean amount [] by which scores fall short of a target: E max(target - score, 0)."""
    return jnp.nanmean(jnp.where(jnp.isnan(scores), jnp.nan, jnp.maximum(target - scores, 0.0)))


def performance_profile(scores: jax.Array, thresholds: ArrayLike) -> jax.Array:
    """The share of scores above each of the thresholds [T], runs and tasks together."""
    above = scores[..., None] > jnp.asarray(thresholds)
    return jnp.nanmean(jnp.where(jnp.isnan(scores)[..., None], jnp.nan, above), (0, 1))


def probability_of_improvement(x: jax.Array, y: jax.Array) -> jax.Array:
    """The probability [] that a run of x scores higher than one of y, as a mean over tasks.

    A tie counts one half: per task, the Mann-Whitney statistic divided by the number of pairs.
    """
    first, second = x[:, None], y[None]  # [N, K, M]
    higher = jnp.where(first > second, 1.0, jnp.where(first == second, 0.5, 0.0))
    known = ~(jnp.isnan(first) | jnp.isnan(second))
    per_task = (higher * known).sum((0, 1)) / known.sum((0, 1))
    return jnp.nanmean(per_task)


def difference(x: jax.Array, y: jax.Array, of: Statistic = interquartile_mean) -> jax.Array:
    """How much higher a statistic of x is than of y []."""
    return of(x) - of(y)


def paired_difference(x: jax.Array, y: jax.Array) -> jax.Array:
    """The interquartile mean [] of the differences of runs with equal seeds, x - y [N, M]."""
    return interquartile_mean(x - y)


STATISTICS: dict[str, Statistic] = {
    "iqm": interquartile_mean,
    "mean": mean,
    "median": median,
}
"""The statistics of one array of scores by the names of the command line."""

NAMES = {"iqm": "interquartile mean", "mean": "mean", "median": "median"}
"""The same, as they are called in pictures."""


def statistic(name: str) -> Statistic:
    """The statistic of a name; an InputError names the valid ones."""
    require_known("statistic", name, STATISTICS)
    return STATISTICS[name]


def area_under_curve(steps: ArrayLike, values: ArrayLike) -> np.ndarray:
    """The mean height [N] of curves [N, E] over steps [E], by the trapezoid rule.

    Points without a value are left out; NaN where fewer than one is left.
    """
    steps, values = np.asarray(steps, float), np.atleast_2d(np.asarray(values, float))
    areas = np.full(len(values), np.nan)
    for i, curve in enumerate(values):
        known = np.isfinite(curve)
        at, height = steps[known], curve[known]
        if at.size:
            width = at[-1] - at[0]
            areas[i] = np.trapezoid(height, at) / width if width else height.mean()
    return areas


def bootstrap(
    of: Statistic,
    *scores: ArrayLike,
    confidence: float = 0.95,
    draws: int = DRAWS,
    paired: bool = False,
    seed: int = 0,
) -> Estimate:
    """A statistic of scores [N, M] and its percentile bootstrap interval, stratified by task.

    In each of `draws` resamples the runs of each task are drawn anew with replacement, as many as
    there are, those of different tasks and different arrays independently of each other. If
    `paired`, all arrays take the same runs: those of row n have the same seed. Raises an InputError
    for a task without a score, and for paired arrays of different shapes.

    Example:
      value, low, high = bootstrap(interquartile_mean, scores)
    """
    arrays = [np.asarray(x, np.float32) for x in scores]
    for x in arrays:
        require(x.ndim == 2 and x.size > 0, f"Scores must be of shape [N, M], not {x.shape}.")
    if paired:
        require(
            len({x.shape for x in arrays}) == 1,
            "Paired scores must be of the same tasks and seeds, but their shapes are "
            f"{' and '.join(str(x.shape) for x in arrays)}.",
        )
        missing = np.any([np.isnan(x) for x in arrays], 0)
        arrays = [np.where(missing, np.nan, x) for x in arrays]
    for x in arrays:
        require(bool(np.isfinite(x).any(0).all()), "Every task needs a score that is a number.")
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    found = _bootstrap(of, draws, paired, tails, jax.random.key(seed), *arrays)
    return Estimate(*(np.asarray(x) for x in found))


def bands(of: Statistic, values: ArrayLike, confidence: float = 0.95) -> Estimate:
    """A statistic over members of curves [N, E] and its bootstrap interval, each [E].

    It is NaN where no member has a value.
    """
    values = np.asarray(values, np.float32)
    number, length = values.shape
    # One program serves curves of similar lengths, as they grow while a run is watched.
    padded = np.full((number, -(-length // 32) * 32), np.nan, np.float32)
    padded[:, :length] = values
    tails = ((1 - confidence) / 2, (1 + confidence) / 2)
    found = _bands(of, DRAWS, tails, jax.random.key(0), padded)
    return Estimate(*(np.asarray(x)[:length] for x in found))


def interval(values: ArrayLike, of: Statistic = mean) -> tuple[float, float, float]:
    """A statistic of seeds' values [N], the mean by default, and its 95 % bootstrap interval.

    Values that are not finite are left out; NaN if none is left.
    """
    values = np.asarray(values, float).reshape(-1, 1)
    found = bands(of, np.where(np.isfinite(values), values, np.nan))
    return tuple(float(x[0]) for x in found)  # pyright: ignore[reportReturnType]


def resampled(key: jax.Array, scores: jax.Array) -> jax.Array:
    """Scores [N, M] drawn anew with replacement within each task, as many as are not NaN."""
    number = jnp.isfinite(scores).sum(0)
    found = jnp.argsort(jnp.isnan(scores), axis=0, stable=True)  # those with a score come first
    place = jax.random.randint(key, scores.shape, 0, jnp.maximum(number, 1))
    drawn = jnp.take_along_axis(scores, jnp.take_along_axis(found, place, 0), 0)
    return jnp.where(jnp.arange(len(scores))[:, None] < number, drawn, jnp.nan)


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _bootstrap(
    of: Statistic, draws: int, paired: bool, tails: tuple, key: jax.Array, *scores: jax.Array
) -> tuple:
    def one(key: jax.Array) -> Any:
        keys = [key] * len(scores) if paired else jax.random.split(key, len(scores))
        return of(*map(resampled, keys, scores))

    found = jax.vmap(one)(jax.random.split(key, draws))
    low, high = (jnp.nanquantile(found, tail, axis=0) for tail in tails)
    return of(*scores), low, high


@partial(jax.jit, static_argnums=(0, 1, 2))
def _bands(of: Statistic, draws: int, tails: tuple, key: jax.Array, values: jax.Array) -> tuple:
    at = lambda column: _bootstrap(of, draws, False, tails, key, column[:, None])

    def none(column: jax.Array) -> tuple:
        return jax.tree.map(
            lambda x: jnp.full(x.shape, jnp.nan, x.dtype), jax.eval_shape(at, column)
        )

    # In a loop only one branch is run, so what was added to a curve costs no resamples.
    known = lambda column: jnp.isfinite(column).any()
    return jax.lax.map(lambda column: jax.lax.cond(known(column), at, none, column), values.T)
