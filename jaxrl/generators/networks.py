"""Networks that predict along a path, from a point, the time and a condition."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.networks import Own, network
from jaxrl.settings import Layers
from jaxrl.types import Array, Discrete, Key, Spec, Tree


class Denoiser(NamedTuple):
    """A parametrised function of points on a path."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Array, Array, Tree], Array]
    # apply: (params, x [..., *shape], time [...], condition [..., *]) -> [..., *shape]


def time_features(time: Array, size: int = 16, highest: float = 100.0) -> Array:
    """Sines and cosines [..., size] of times [...], at frequencies from 1 to `highest` radians.

    The frequencies are a geometric sequence. Source: the positional encoding of Vaswani et al.
    (2017), "Attention is all you need", https://arxiv.org/abs/1706.03762. Raises an InputError
    unless the size is even and positive.

    Examples:
        >>> print(generators.time_features(jnp.array(0.0), 4))
        [0. 0. 1. 1.]
    """
    require(size > 0 and size % 2 == 0, f"size must be even and positive, but it is {size}.")
    angle = jnp.asarray(time)[..., None] * jnp.geomspace(1.0, highest, size // 2)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], -1)


def denoiser(
    shape: tuple[int, ...],
    condition: Tree = (),
    layers: Layers = Layers(hidden=(256, 256)),
    own: Own = None,
    features: int = 16,
) -> Denoiser:
    """The network that suits samples of a shape and conditions [..., *condition].

    `condition` has one jax.ShapeDtypeStruct per leaf, as `Spec.observation`; images in it are
    encoded as `layers` say, and an MLP sees samples, conditions and `time_features` of a number.
    A person's `own` network takes its place: it is given a dictionary of `condition`, `time` and
    `x`, and returns a vector [..., size] for samples of that size. Raises an InputError for layers
    that do not exist.

    Examples:
        >>> net = generators.denoiser((2,))
        >>> print(net.apply(net.init(key), x, jnp.array(0.5), ()).shape)
        (2,)
    """
    number = jnp.result_type(float)
    x_spec = jax.ShapeDtypeStruct(shape, number)
    time_spec = jax.ShapeDtypeStruct((features,), number)
    seen = {"condition": condition, "time": time_spec, "x": x_spec}
    size = math.prod(shape)
    net = network(Spec(seen, Discrete(1)), (size,), (0.01,), **vars(layers), own=own)

    def apply(params: Tree, x: Array, time: Array, condition: Tree) -> Array:
        lead = x.shape[: x.ndim - len(shape)]
        embedded = jnp.broadcast_to(time_features(time, features), (*lead, features))
        told = {"condition": condition, "time": embedded, "x": x}
        return net.step(params, (), told)[0][0].reshape(x.shape)

    return Denoiser(net.init, apply)
