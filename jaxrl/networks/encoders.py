"""Encoders: modules from one kind of observation to features, and the choice among them."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_known
from jaxrl.networks.layers import CNN, MLP, Residual
from jaxrl.types import Array, Tree


def convolution(channels: int, size: int, stride: int = 1, padding: str = "VALID") -> nn.Conv:
    """A square convolution with orthogonal weights and zero biases."""
    start = nn.initializers.orthogonal(2**0.5)
    return nn.Conv(channels, (size, size), stride, padding, kernel_init=start)


def rectified(x: Array, layer_norm: bool) -> Array:
    """The rectified images [..., H, W, C], normalised before if `layer_norm`."""
    return nn.relu(nn.LayerNorm(reduction_axes=(-3, -2, -1))(x) if layer_norm else x)


class Nature(nn.Module):
    """The three convolutions of DQN on Atari and an MLP; published with one layer of 512 units.

    The convolutions are rectified whatever the `activation` of the MLP. Images must be at least
    36 x 36. Source: Mnih et al. (2015), methods,
    https://www.nature.com/articles/nature14236.
    """

    hidden: Sequence[int] = (512,)
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features of images [..., H, W, C]."""
        for channels, size, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = rectified(convolution(channels, size, stride)(x), self.layer_norm)
        x = x.reshape(*x.shape[:-3], math.prod(x.shape[-3:]))
        return MLP(self.hidden, self.activation, self.layer_norm)(x)


class Impala(nn.Module):
    """The residual network of IMPALA and an MLP; published with one layer of 256 units.

    Each of three stages convolves, takes the maximum over 3 x 3 with stride 2, and adds two blocks
    of two convolutions. These are rectified whatever the `activation` of the MLP. Source: Espeholt
    et al. (2018), figure 3, https://arxiv.org/abs/1802.01561.
    """

    hidden: Sequence[int] = (256,)
    activation: str = "relu"
    layer_norm: bool = False
    channels: Sequence[int] = (16, 32, 32)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features of images [..., H, W, C]."""
        for channels in self.channels:
            x = convolution(channels, 3, padding="SAME")(x)
            x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
            for _ in range(2):
                y = rectified(x, self.layer_norm)
                y = rectified(convolution(channels, 3, padding="SAME")(y), self.layer_norm)
                x = x + convolution(channels, 3, padding="SAME")(y)
        x = rectified(x, self.layer_norm)
        x = x.reshape(*x.shape[:-3], math.prod(x.shape[-3:]))
        return MLP(self.hidden, self.activation, self.layer_norm)(x)


class Joined(nn.Module):
    """An encoder for each image of a tree and an MLP for the rest, joined by one more layer."""

    image: Callable[[], nn.Module]  # makes the encoder of an image
    axes: Sequence[int]  # of each array of the tree, without leading axes
    images: Sequence[bool]  # which of them are images
    hidden: Sequence[int] = (64, 64)
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, obs: Tree) -> Array:
        """Features of trees of arrays [..., *]."""
        features, rest = [], []
        for x, axes, image in zip(jax.tree.leaves(obs), self.axes, self.images):
            x, lead = x.astype(float), x.ndim - axes
            if image:
                features.append(self.image()(x))
            else:
                rest.append(x.reshape(*x.shape[:lead], math.prod(x.shape[lead:])))
        if rest:
            vector = jnp.concatenate(rest, -1)
            features.append(MLP(self.hidden, self.activation, self.layer_norm)(vector))
        together = jnp.concatenate(features, -1)
        return MLP(self.hidden[-1:], self.activation, self.layer_norm)(together)


IMAGES: dict[str, Callable[..., nn.Module]] = {"cnn": CNN, "nature": Nature, "impala": Impala}
VECTORS: dict[str, Callable[..., nn.Module]] = {"mlp": MLP, "residual": Residual}
SMALLEST = {"cnn": 3, "nature": 36, "impala": 3}  # rows and columns of an image


def torso(
    observation: Tree,
    hidden: Sequence[int],
    activation: str,
    encoder: str | nn.Module = "auto",
    layer_norm: bool = False,
) -> nn.Module:
    """The module that turns one kind of observation into features.

    `encoder` is a name of `VECTORS` or `IMAGES`, or "auto": a CNN for what `is_image` says is an
    image and an MLP for anything else. For vectors, observations that are trees are flattened and
    concatenated; else each image in a tree has an encoder of its own: see `Joined`. The encoder may
    be a module of one's own, from observations as they are, with bytes as fractions of 255, to
    features [..., D]. Raises an InputError for an unknown encoder, or one of images where there are
    none or too small ones.
    """
    if isinstance(encoder, nn.Module):
        return encoder.copy()
    require_known("encoder", encoder, ("auto", *VECTORS, *IMAGES))
    options: dict[str, Any] = dict(
        hidden=tuple(hidden), activation=activation, layer_norm=layer_norm
    )
    leaves = jax.tree.leaves(observation)
    looks = is_image if encoder == "auto" else could_be_image
    images = tuple(encoder not in VECTORS and looks(leaf) for leaf in leaves)
    if encoder in IMAGES:
        size, shapes = SMALLEST[encoder], ", ".join(str(leaf.shape) for leaf in leaves)
        large = [min(x.shape[:2]) >= size for x, image in zip(leaves, images) if image]
        require(
            bool(large) and all(large),
            f"The {encoder} encoder needs images [H, W, C] of at least {size} x {size}, but "
            f"observations are {shapes}: choose {'cnn, impala, ' if large else ''}mlp or auto.",
        )
    if not any(images):
        return VECTORS.get(encoder, MLP)(**options)
    make = lambda: IMAGES["cnn" if encoder == "auto" else encoder](**options)
    axes = tuple(len(leaf.shape) for leaf in leaves)
    return make() if len(leaves) == 1 else Joined(make, axes, images, **options)


def is_image(observation: Tree) -> bool:
    """Whether observations look like images [H, W, C].

    That is one array of three axes, at least 3 x 3, with no more channels than rows or columns;
    square arrays of bytes or bools may have more, as stacked frames do.
    """
    leaves = jax.tree.leaves(observation)
    if len(leaves) != 1 or not could_be_image(leaves[0]):
        return False
    height, width, channels = leaves[0].shape
    frames = height == width and leaves[0].dtype in (jnp.uint8, jnp.bool_)
    return channels <= min(height, width) or frames


def could_be_image(leaf: jax.ShapeDtypeStruct) -> bool:
    """Whether an array can be convolved: three axes, at least 3 x 3, and some channel."""
    return len(leaf.shape) == 3 and min(leaf.shape[:2]) >= 3 and leaf.shape[2] > 0
