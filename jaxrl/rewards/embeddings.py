"""Rewards from where an embedding of what is seen lies between a goal and a baseline."""

from collections.abc import Callable

import jax.numpy as jnp

from jaxrl.errors import require, require_fraction
from jaxrl.types import Array


def unit(x: Array) -> Array:
    """Vectors [..., D] of length one; zero vectors stay."""
    length = jnp.sqrt(jnp.square(x).sum(-1, keepdims=True))
    return x / jnp.where(length > 0, length, 1.0)


def goal_baseline_reward(
    goal: Array, baseline: Array, strength: float | Array = 0.5
) -> Callable[[Array], Array]:
    """The reward [...] of embeddings [..., D] by their distance to a goal's, along one direction.

    For unit vectors x, goal g and baseline b, and the direction d = g - b,

        r(x) = 1 - |P (x - g)|^2 / 2,  P = strength d d' / |d|^2 + (1 - strength) I,

    which is the cosine of x and g without strength, and counts nothing but the direction from the
    baseline to the goal with a strength of 1. Embeddings may be of images and words, or of any
    encoder. Source: Rocamonde et al. (2024), "Vision-language models are zero-shot reward models
    for reinforcement learning", https://arxiv.org/abs/2310.12921. Raises an InputError unless goal
    and baseline are two different vectors of one length and the strength is in [0, 1].

    Examples:
        >>> reward = goal_baseline_reward(jnp.array([1.0, 0.0]), jnp.array([0.0, 1.0]), 0.0)
        >>> print(reward(jnp.array([0.0, 2.0])))
        0.0
    """
    require_fraction(strength=strength)
    require(
        goal.ndim == 1 and goal.shape == baseline.shape,
        f"Goal and baseline must be vectors [D] of one length, not {goal.shape} and "
        f"{baseline.shape}.",
    )
    g, b = unit(goal), unit(baseline)
    direction = unit(g - b)

    def reward(x: Array) -> Array:
        away = unit(x) - g
        along = (away @ direction)[..., None] * direction
        kept = strength * along + (1 - strength) * away
        return 1 - jnp.square(kept).sum(-1) / 2

    return reward
