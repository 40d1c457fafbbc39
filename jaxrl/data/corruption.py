"""Data sets whose observations, actions, rewards or dynamics are corrupted on purpose.

Source of all of them: Yang et al. (2024), Towards robust offline reinforcement learning under
diverse data corruption, https://arxiv.org/abs/2310.12955, and the authors' code,
https://github.com/YangRui2015/RIQL (attack.py).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl.data.episodes import in_lanes_of
from jaxrl.errors import (
    require,
    require_fraction,
    require_known,
    require_non_negative,
    require_positive,
    typed_key,
)
from jaxrl.types import Array, Key, Transition, Tree, select

PARTS = {"observations": "obs", "actions": "action", "rewards": "reward", "dynamics": "final"}
"""What may be corrupted, and the field of a transition that holds it."""

REWARD_RANGE = 30.0
"""Random rewards are drawn from [-30 scale, 30 scale]."""


def corrupted(
    data: Transition, key: Key, part: str, rate: float | Array = 0.3, scale: float | Array = 1.0
) -> Transition:
    """A data set in which a random share of the steps is replaced by noise.

    With the probability `rate`, independently for each step, x becomes x + scale std(x) U in
    each dimension, where U is uniform on [-1, 1] and std the standard deviation over all steps. A
    reward becomes scale 30 U instead. Corrupted dynamics are other successors `final`; those of
    the observation that follows stay as they are. Actions are not clipped.

    Args:
      data: a data set [T, B, ...].
      key: says which steps are corrupted, and by what.
      part: observations, actions, rewards or dynamics.
      rate: the probability of each step, between 0 and 1.
      scale: the range of the noise, in standard deviations.

    Raises:
      InputError: for another part, for one that is not of real numbers, such as discrete actions,
        and for a rate or scale outside its range.

    Examples:
      >>> corrupted(data, jax.random.key(0), "rewards", rate=0.0).reward[:, 0]
      Array([1., 2., 3., 0.], dtype=float32)
    """
    k_rows, k_noise = jax.random.split(typed_key(key))
    data = in_lanes_of(data)
    old, rows = _chosen(data, k_rows, part, rate, scale)
    noise = _noise(k_noise, old)
    if part == "rewards":
        new = jax.tree.map(lambda u: (REWARD_RANGE * scale * u).astype(u.dtype), noise)
    else:
        new = _moved(old, jax.tree.map(lambda u: scale * u, noise), _deviations(old))
    return data._replace(**{PARTS[part]: select(rows, new, old)})


def attacked(
    data: Transition,
    key: Key,
    part: str,
    value: Callable[[Transition], Array] | None = None,
    rate: float | Array = 0.3,
    scale: float | Array = 1.0,
    steps: int = 100,
    step_size: float | Array = 0.01,
) -> Transition:
    """A data set in which a random share of the steps is moved to where a value is lowest.

    With the probability `rate`, independently for each step, x becomes x + z std(x), where z in
    [-scale, scale] descends the gradient of the value from a uniformly random start: by `steps`
    steps of Adam of the size `step_size` times the scale, after each of which z is clipped. A
    reward becomes -scale times itself, and needs no value.

    Args:
      data: a data set [T, B, ...].
      key: says which steps are corrupted, and where z starts.
      part: observations, actions, rewards or dynamics.
      value: the values [T, B] of the steps of a data set: of observations and actions
        `lambda data: q(data.obs, data.action)`, of dynamics `lambda data: q(data.final,
        policy(data.final))`.
      rate: the probability of each step, between 0 and 1.
      scale: the bound of z, in standard deviations.
      steps: the number of steps of the descent.
      step_size: of one of them, as a share of the scale.

    Raises:
      InputError: as `corrupted` does, and if a value is missing.

    Examples:
      >>> attacked(data, jax.random.key(0), "rewards", rate=1.0, scale=2.0).reward[:, 0]
      Array([-2., -4., -6., -0.], dtype=float32)
    """
    k_rows, k_start = jax.random.split(typed_key(key))
    data = in_lanes_of(data)
    old, rows = _chosen(data, k_rows, part, rate, scale)
    name = PARTS[part]
    if part == "rewards":
        return data._replace(reward=select(rows, -scale * old, old))
    require(value is not None, f"An attack on {part} needs a value, whose gradient it descends.")
    assert value is not None
    require_positive(steps=steps)
    spread = _deviations(old)

    def loss(z: Tree) -> Array:  # a sum, so that the gradient of each step is its own
        return value(data._replace(**{name: _moved(old, z, spread)})).sum()

    rule = optax.adam(step_size * scale)

    def descend(carry: tuple, _: None) -> tuple[tuple, None]:
        z, state = carry
        change, state = rule.update(jax.grad(loss)(z), state)
        moved = optax.apply_updates(z, change)
        return (jax.tree.map(lambda x: jnp.clip(x, -scale, scale), moved), state), None

    start = jax.tree.map(lambda u: (scale * u).astype(u.dtype), _noise(k_start, old))
    (z, _), _ = jax.lax.scan(descend, (start, rule.init(start)), None, steps)
    return data._replace(**{name: select(rows, _moved(old, z, spread), old)})


def _chosen(
    data: Transition, key: Key, part: str, rate: float | Array, scale: float | Array
) -> tuple[Tree, Array]:
    """The field that holds a part, and which steps [T, B] of it are corrupted."""
    require_known("part of a data set", part, PARTS)
    require_fraction(rate=rate)
    require_non_negative(scale=scale)
    field = getattr(data, PARTS[part])
    for x in jax.tree.leaves(field):
        require(
            jnp.issubdtype(x.dtype, jnp.floating),
            f"Only real numbers can be corrupted, but the {part} are of type {x.dtype}.",
        )
    return field, jax.random.uniform(key, data.reward.shape) < rate


def _noise(key: Key, like: Tree) -> Tree:
    """Uniform numbers in [-1, 1] of the shapes and types of a tree."""
    leaves, structure = jax.tree.flatten(like)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(k, x.shape, x.dtype, -1) for k, x in zip(keys, leaves)]
    return jax.tree.unflatten(structure, drawn)


def _deviations(tree: Tree) -> Tree:
    """The standard deviation of each dimension over all steps [T, B]."""
    return jax.tree.map(lambda x: x.std((0, 1)), tree)


def _moved(tree: Tree, by: Tree, spread: Tree) -> Tree:
    return jax.tree.map(lambda x, z, s: (x + z * s).astype(x.dtype), tree, by, spread)
