"""Values as the progress of a task, told from frames without their order, and how to judge them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require
from jaxrl.representations.encoders import beside, encoder, head
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Tree, Update
from jaxrl.updates import descend


class Progress(NamedTuple):
    """A network of the progress of frames within a set of them."""

    init: Callable[[Key], Tree]
    at: Callable[[Tree, Tree], Array]  # (params, frames [T, N, *observation]) -> [T, N]


def progress_model(spec: Spec, size: int = 32, layers: Layers = Layers()) -> Progress:
    """The progress in (0, 1) of each frame of N sets, which does not depend on their order.

    It is a function of the features of the frame, of those of the first one, which is known to be
    the first, and of their mean over the set; no frame tells its place. Raises an InputError for a
    size that is not positive.
    """
    seen = encoder(spec, size, layers)
    judge = head(3 * size, 1, layers)

    def init(key: Key) -> Tree:
        k_seen, k_judge = jax.random.split(key)
        return {"seen": seen.init(k_seen), "judge": judge.init(k_judge)}

    def at(params: Tree, frames: Tree) -> Array:
        x = seen.apply(params["seen"], frames)
        one = jnp.broadcast_to(x[:1], x.shape)
        together = jnp.broadcast_to(x.mean(0, keepdims=True), x.shape)
        return jax.nn.sigmoid(judge.apply(params["judge"], beside(x, one, together))[..., 0])

    return Progress(init, at)


def progress_learner(model: Progress, optimiser: optax.GradientTransformation) -> Update:
    """Regress the progress of frames [T, N, ...] on their time t / (T - 1).

    A batch is the frames of N demonstrations that succeed. Source: Ma et al. (2025), "Vision
    language models are in-context value learners", https://arxiv.org/abs/2411.04549, where a model
    of images and words does it without being trained. Frames are shuffled there so that it cannot
    count; here the network has no order to see.
    """

    def loss(params: Tree, target: Tree, frames: Tree, key: Key) -> tuple[Array, dict]:
        told = model.at(params, frames)
        require(len(told) > 1, "Progress needs at least two frames of each demonstration.")
        time = jnp.arange(len(told)) / (len(told) - 1)
        error = jnp.square(told - time[:, None]).mean()
        return error, {"progress_loss": error}

    return descend(model.init, loss, optimiser)


def ranks(x: Array) -> Array:
    """The ranks [..., T] from 0 of numbers [..., T], with their mean where several are equal.

    Examples:
        >>> print(ranks(jnp.array([5.0, 1.0, 5.0])))
        [1.5 0.  1.5]
    """
    less = (x[..., None, :] < x[..., :, None]).sum(-1)
    equal = (x[..., None, :] == x[..., :, None]).sum(-1)
    return less + (equal - 1) / 2


def value_order_correlation(values: Array) -> Array:
    """Spearman's rank correlation [...] of values [..., T] with their time; 0 if all are equal.

    It is 1 where values grow with every step, as those of an expert's demonstration should, and -1
    where they fall. Source: as `progress_learner`. Raises an InputError for less than two values.

    Examples:
        >>> print(value_order_correlation(jnp.array([0.1, 0.2, 0.9])))
        1.0
    """
    require(values.shape[-1] > 1, "An order needs at least two values.")
    time = jnp.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    place = ranks(values)
    place = place - place.mean(-1, keepdims=True)
    scale = jnp.sqrt(jnp.square(place).sum(-1) * jnp.square(time).sum())
    return jnp.where(scale > 0, (place * time).sum(-1) / jnp.where(scale > 0, scale, 1.0), 0.0)
