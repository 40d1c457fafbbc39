"""Rewards of tasks in stages, which are told apart by a few features each."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array


def segmented(features: Array, number: int) -> Array:
    """The stage [T] of each frame, by the best cut of features [T, D] into stages in a row.

    The best minimises the sum of squared distances from the means of the stages. It is found by
    dynamic programming over the last cut, in T^2 D operations a stage; of equal cuts the earliest
    is taken. Source: Sermanet, Xu and Levine (2017), "Unsupervised perceptual rewards for imitation
    learning", https://arxiv.org/abs/1612.06699, which splits greedily instead. Raises an InputError
    unless each stage can have a frame.

    Examples:
        >>> print(segmented(jnp.array([[0.0], [0.1], [5.0], [5.0], [9.0]]), 3))
        [0 0 1 1 2]
    """
    frames = len(features)
    require(
        0 < number <= frames,
        f"{frames} frames have 1 to {frames} stages, but {number} are asked for.",
    )
    x = features - features.mean(0)
    sums = jnp.concatenate([jnp.zeros((1, x.shape[1])), jnp.cumsum(x, 0)])
    squares = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.square(x).sum(1))])
    start, end = jnp.arange(frames + 1)[:, None], jnp.arange(frames + 1)[None]
    size = end - start
    spread = squares[None] - squares[:, None]
    spread = spread - jnp.square(sums[None] - sums[:, None]).sum(-1) / jnp.maximum(size, 1)
    cost = jnp.where(size > 0, jnp.maximum(spread, 0.0), jnp.inf)  # of the frames from start to end

    def stage(best: Array, _: None) -> tuple[Array, Array]:
        total = best[:, None] + cost  # [last cut, end]
        return total.min(0), total.argmin(0)

    none = jnp.full(frames + 1, jnp.inf).at[0].set(0.0)
    _, cuts = jax.lax.scan(stage, none, None, number)

    def back(end: Array, cut: Array) -> tuple[Array, Array]:
        return cut[end], cut[end]

    _, begins = jax.lax.scan(back, jnp.asarray(frames), cuts, reverse=True)
    return (jnp.arange(frames)[:, None] >= begins[1:]).sum(1)


class Stages(NamedTuple):
    """What tells the stages of a task apart."""

    mean: Array  # [stages, D] of the features in each stage
    deviation: Array  # [stages, D]
    chosen: Array  # [stages, D] 1 for the features that each stage is told by


def stage_features(
    features: Array, stage: Array, number: int, kept: int, least: float = 1e-2
) -> Stages:
    """What tells `number` stages apart, by `kept` features each, from frames [N, D] of stages [N].

    The features of a stage are those of the largest separation |m_in - m_out| - (s_in + s_out), of
    means and standard deviations within the stage and outside of it, which are at least `least`.
    Source: as `segmented`; the form of the separation is ours. Raises an InputError unless there
    are so many features.
    """
    size = features.shape[1]
    require(0 < kept <= size, f"There are {size} features, but {kept} are to be kept.")
    within = (jnp.arange(number)[:, None] == stage).astype(features.dtype)

    def moments(weight: Array) -> tuple[Array, Array]:
        share = weight / jnp.maximum(weight.sum(1, keepdims=True), 1e-8)
        mean = share @ features
        variance = jnp.maximum(share @ jnp.square(features) - jnp.square(mean), 0.0)
        return mean, jnp.maximum(jnp.sqrt(variance), least)

    (mean, deviation), (other, spread) = moments(within), moments(1 - within)
    apart = jnp.abs(mean - other) - (deviation + spread)
    place = jnp.argsort(jnp.argsort(-apart, 1), 1)  # of equals the first
    return Stages(mean, deviation, (place < kept).astype(features.dtype))


def stage_chances(found: Stages, features: Array) -> Array:
    """The chance [..., stages] of each stage by Gaussians of its own chosen features [..., D]."""
    z = (features[..., None, :] - found.mean) / found.deviation
    number = jnp.maximum(found.chosen.sum(-1), 1.0)
    # The mean, and not the sum, over features: they are anything but independent.
    likely = -0.5 * (found.chosen * (jnp.square(z) + 2 * jnp.log(found.deviation))).sum(-1)
    return jax.nn.softmax(likely / number, axis=-1)


def stage_reward(found: Stages, features: Array) -> Array:
    """The reward [...] in [0, 1] of features [..., D]: sum_i 2^i p_i / sum_i 2^i, of stages i > 0.

    p_i is the chance of stage i or a later one. Later stages pay more than all before them
    together, so that progress is worth more than what was reached. Source: as `segmented`, with
    chances of Gaussians in place of the authors' classifiers.
    """
    chances = stage_chances(found, features)
    reached = jnp.cumsum(chances[..., ::-1], -1)[..., ::-1][..., 1:]
    worth = 2.0 ** jnp.arange(1, reached.shape[-1] + 1)
    return (reached * worth).sum(-1) / worth.sum()
