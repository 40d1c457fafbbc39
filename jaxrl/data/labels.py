"""Other labels of the same steps: rewards and ends by a function, actions by an inverse model."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.types import Array, Transition, Tree, select


def relabelled(
    data: Transition,
    reward: Callable[[Tree, Tree, Tree], Array],
    terminal: Callable[[Tree, Tree, Tree], Array] | None = None,
) -> Transition:
    """The same steps with the rewards, and perhaps the ends, of another task.

    Args:
      data: a data set [T, B, ...].
      reward: (obs, action, final) -> rewards [T, B].
      terminal: (obs, action, final) -> [T, B] bool, whether the task ends with the successor. Then
        `discount` is 0 there and 1 elsewhere, and `last` is true where it was or where the task
        ends: a step that ended the other task is a truncation of this one. Without it both stay.

    Raises:
      InputError: if the functions do not return one number for each step.

    Examples:
      >>> paid = relabelled(data, lambda obs, action, final: 2 * final[..., 0])
      >>> paid.reward[:, 0]
      Array([2., 4., 6., 8.], dtype=float32)
    """
    step = (data.obs, data.action, data.final)
    new = data._replace(reward=_of_steps(data, reward(*step), "reward").astype(data.reward.dtype))
    if terminal is None:
        return new
    over = _of_steps(data, terminal(*step), "terminal").astype(bool)
    return new._replace(discount=1 - over.astype(data.discount.dtype), last=data.last | over)


def labelled(
    data: Transition, inverse: Callable[[Tree, Tree], Tree], known: Array | None = None
) -> Transition:
    """A data set whose unknown actions are those of an inverse model.

    Args:
      data: a data set [T, B, ...]; its unknown actions may be anything.
      inverse: (obs, final) -> actions [T, B, ...], such as the mean of a fitted inverse model.
      known: [T, B] bool, where the logged action is kept; nowhere by default.

    Raises:
      InputError: if the actions of the model have other shapes than those of the data set.

    Examples:
      >>> labelled(data, lambda obs, final: final - obs).action[:, 0, 0]
      Array([1., 1., 1., 1.], dtype=float32)

    Source: Zheng et al. (2023), Semi-supervised offline reinforcement learning with action-free
    trajectories, https://arxiv.org/abs/2210.06518.
    """
    action = inverse(data.obs, data.final)
    shapes = lambda tree: jax.tree.map(lambda x: x.shape, tree)
    require(
        shapes(action) == shapes(data.action),
        f"The inverse model gives actions of shape {shapes(action)}, but those of the data set are "
        f"of shape {shapes(data.action)}.",
    )
    action = jax.tree.map(lambda x, old: x.astype(old.dtype), action, data.action)
    if known is not None:
        action = select(known, data.action, action)
    return data._replace(action=action)


def _of_steps(data: Transition, found: Array, name: str) -> Array:
    found = jnp.asarray(found)
    require(
        found.shape == data.reward.shape,
        f"{name} must return one number for each step, of shape {data.reward.shape}, but its shape "
        f"is {found.shape}.",
    )
    return found
