"""The network with linear heads that suits a spec, of names of layers, encoder and memory."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import flax.linen as nn

from jaxrl.errors import unknown
from jaxrl.networks.backbones import BACKBONES, backbone
from jaxrl.networks.encoders import torso
from jaxrl.networks.inputs import inputs
from jaxrl.networks.layers import MLP, Dense
from jaxrl.networks.network import Network, feedforward, recurrent
from jaxrl.networks.own import Own, owned
from jaxrl.types import Array, Spec


class Heads(nn.Module):
    """Linear heads with outputs [..., size], each on a torso of its own or all on one."""

    torso: Callable[[], nn.Module]
    sizes: Sequence[int]
    scales: Sequence[float]
    shared: bool = False

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """One output [..., size] for each of `sizes`."""
        number = len(self.sizes)
        features = (
            [self.torso()(x)] * number if self.shared else [self.torso()(x) for _ in range(number)]
        )
        heads = zip(self.sizes, self.scales, features)
        return tuple(Dense(size, scale)(cast(Array, y)) for size, scale, y in heads)


class Outputs(nn.Module):
    """Linear heads [..., size] of given features."""

    sizes: Sequence[int]
    scales: Sequence[float]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, ...]:
        """One output [..., size] for each of `sizes`."""
        return tuple(Dense(size, scale)(x) for size, scale in zip(self.sizes, self.scales))


def network(
    spec: Spec,
    sizes: Sequence[int],
    scales: Sequence[float],
    hidden: Sequence[int] = (64, 64),
    activation: str = "tanh",
    encoder: str | nn.Module = "auto",
    memory: str = "none",
    layer_norm: bool = False,
    window: int = 16,
    own: Own = None,
) -> Network:
    """The network with linear heads of `sizes` and initial gains `scales` that suits a spec.

    Heads have a torso each on flat observations, and share one on images, behind an encoder of
    one's own, or with a `memory`: "none", or a name of `BACKBONES`, as wide as the torso, which
    looks back over `window` steps if it is a transformer. A person's `own` network takes its place:
    see `owned`. Raises an InputError for an unknown name, or a width that a memory cannot have.
    """
    if own is not None:
        return owned(own, spec, sizes)
    make = lambda: torso(spec.observation, hidden, activation, encoder, layer_norm)
    prepare = partial(inputs, spec, make())
    if memory == "none":
        shared = not isinstance(make(), MLP)
        return feedforward(Heads(make, tuple(sizes), tuple(scales), shared), spec, prepare)
    if memory not in BACKBONES:
        raise unknown("memory", memory, ("none", *BACKBONES))
    carry = partial(backbone, memory, size=hidden[-1], window=window)
    return recurrent(make(), carry, Outputs(tuple(sizes), tuple(scales)), spec, prepare)


def dueling(advantages: Array, value: Array) -> Array:
    """Join advantages [..., A, K] and a value [..., K] to action values [..., A, K].

    Source: Wang et al. (2016), equation 9: the mean advantage is subtracted.
    """
    return value[..., None, :] + advantages - advantages.mean(-2, keepdims=True)
