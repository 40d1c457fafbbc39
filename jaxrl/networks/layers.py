"""Layers, and the parameters that networks of them begin with."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxrl.errors import require, require_known
from jaxrl.types import Array, Key, Tree

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": nn.elu,
    "gelu": nn.gelu,
    "relu": nn.relu,
    "swish": nn.swish,
    "tanh": jnp.tanh,
}


def activation(name: str) -> Callable[[Array], Array]:
    """The activation function called `name`; an InputError names the valid ones."""
    require_known("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]


@jax.custom_vjp
def linear(x: Array, kernel: Array, bias: Array) -> Array:
    """The layer `x @ kernel + bias` [..., O] of inputs [..., I], with a faster gradient on CPU.

    It can be differentiated in reverse mode, any number of times, but not in forward mode.
    """
    return x @ kernel + bias


def linear_forward(x: Array, kernel: Array, bias: Array) -> tuple[Array, tuple[Array, Array]]:
    """The layer, and what its gradient needs."""
    return linear(x, kernel, bias), (x, kernel)


def linear_backward(saved: tuple[Array, Array], g: Array) -> tuple[Array, Array, Array]:
    """The gradients of inputs, kernel and bias, for a gradient g [..., O] of the outputs."""
    x, kernel = saved
    rows, grads = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
    if grads.shape[-1] == 1:
        # A sum of rows: in this order a third to a ninth of the time, alone and in ensembles.
        return g @ kernel.T, (grads.T @ rows).T, grads.sum(0)

    def transposed_first(x: Array, g: Array) -> Array:
        return jax.lax.optimization_barrier(x.T) @ g

    # XLA's CPU product over leading axes takes another, slower path: to transpose before it makes
    # the gradient of an MLP 1.3 to 1.6 times as fast, from 128 to 5120 rows.
    slope = jax.lax.platform_dependent(
        rows, grads, cpu=transposed_first, default=lambda x, g: x.T @ g
    )
    return g @ kernel.T, slope, grads.sum(0)


linear.defvjp(linear_forward, linear_backward)


class Dense(nn.Module):
    """A linear layer with orthogonal weights (Saxe et al. 2014) of gain `scale`, zero biases."""

    size: int
    scale: float = 2**0.5

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Outputs [..., size] of inputs [..., D]."""
        shape = (x.shape[-1], self.size)
        kernel = self.param("kernel", nn.initializers.orthogonal(self.scale), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.size,))
        return linear(x, kernel, bias)


class Dropout(nn.Module):
    """Set a share `rate` of numbers to zero, and divide the others by 1 - rate.

    The mean over keys is the input. Without random numbers called `dropout` it is the input itself.
    The rate is a multiple of 2^-16, so that two masks are made of one random word. Source:
    Srivastava et al. (2014), "Dropout: A simple way to prevent neural networks from overfitting".
    """

    rate: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The numbers [...] that are left, and zeros."""
        if not self.has_rng("dropout"):
            return x
        least = round(self.rate * 2**16)
        bits = jax.random.bits(self.make_rng("dropout"), x.shape, jnp.uint16)
        return jnp.where(bits >= least, x / (1 - least / 2**16), 0.0)


class MLP(nn.Module):
    """A multilayer perceptron from flat inputs [..., D] to features [..., hidden[-1]]."""

    hidden: Sequence[int] = (64, 64)
    activation: str = "tanh"
    layer_norm: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features of inputs [..., D]; units are dropped before they are normalised."""
        for size in self.hidden:
            x = Dense(size)(x)
            x = Dropout(self.dropout)(x) if self.dropout else x
            x = nn.LayerNorm()(x) if self.layer_norm else x
            x = activation(self.activation)(x)
        return x


class Residual(nn.Module):
    """Blocks that are added to their inputs: flat inputs [..., D] to features [..., hidden[-1]].

    After one linear layer, each block adds to x [..., H] what two layers, of 4 H and of H units,
    make of the normalised x; the features are normalised. `hidden` has H once for each block, and
    layers are normalised with or without `layer_norm`. With a wide critic and normalised
    observations it is the network of Lee et al. (2024), "SimBa: Simplicity bias for scaling up
    parameters in deep reinforcement learning", https://arxiv.org/abs/2410.09754. Raises an
    InputError unless all of `hidden` are equal.
    """

    hidden: Sequence[int] = (128,)
    activation: str = "relu"
    layer_norm: bool = False

    def __post_init__(self) -> None:
        """Check the sizes."""
        hidden = tuple(self.hidden)
        require(
            len(set(hidden)) == 1,
            f"The residual encoder adds blocks of one size, but hidden is {hidden}: give the same "
            f"number for each block, such as {hidden[-1:] * len(hidden)}.",
        )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features of inputs [..., D]."""
        size = self.hidden[-1]
        x = Dense(size, 1.0)(x)
        for _ in self.hidden:
            y = activation(self.activation)(Dense(4 * size)(nn.LayerNorm()(x)))
            x = x + Dense(size)(y)
        return nn.LayerNorm()(x)


class CNN(nn.Module):
    """One 3 x 3 convolution and an MLP: for MinAtar-like images [..., H, W, C].

    The convolution has unit stride and no padding, as in Young and Tian (2019), section 4.
    """

    channels: int = 16
    hidden: Sequence[int] = (128,)
    activation: str = "relu"
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Features of images [..., H, W, C]."""
        lead, height, width = x.shape[:-3], x.shape[-3], x.shape[-2]
        # As a product of patches and a matrix: on CPU several times faster than a convolution.
        rows = [x[..., i : height - 2 + i, :, :] for i in range(3)]
        patches = [row[..., j : width - 2 + j, :] for row in rows for j in range(3)]
        x = Dense(self.channels)(jnp.concatenate(patches, -1))
        x = nn.LayerNorm(reduction_axes=(-3, -2, -1))(x) if self.layer_norm else x
        x = activation(self.activation)(x)
        x = x.reshape(*lead, (height - 2) * (width - 2) * self.channels)
        return MLP(self.hidden, self.activation, self.layer_norm)(x)


class Tower(nn.Module):
    """A torso and one linear head [..., size]."""

    torso: nn.Module
    size: int
    scale: float = 1.0

    def setup(self) -> None:
        """The head."""
        self.head = Dense(self.size, self.scale)

    def __call__(self, *x: Any) -> Array:
        """Outputs [..., size] of what the torso takes, such as inputs [..., D]."""
        return self.head(self.features(*x))

    def features(self, *x: Any) -> Array:
        """What the head is linear in [..., H], of what the torso takes."""
        return cast(Array, self.torso(*x))


def initialise(module: nn.Module, key: Key, *inputs: Any) -> Tree:
    """The parameters that `module` begins with: those of `module.init`, from other draws.

    The weights of all `Dense` layers are made of one draw, which compiles in a third of the time,
    and vmapped in a quarter.
    """
    gains: dict[tuple[str, ...], float] = {}

    def note(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if isinstance(context.module, Dense):
            gains[context.module.path] = context.module.scale
        return call(*args, **kwargs)

    k_dense, k_rest = jax.random.split(key)
    with nn.intercept_methods(note):  # a new function, for eval_shape remembers what it traced
        shapes = jax.eval_shape(lambda: module.init(k_rest, *inputs))
    params: dict[Any, Any] = dict(flatten_dict(shapes["params"]))
    others = [path for path in params if path[:-1] not in gains]
    made = flatten_dict(module.init(k_rest, *inputs)["params"]) if others else {}
    params |= {path: made.get(path, jnp.zeros(x.shape, x.dtype)) for path, x in params.items()}
    kernels = [path for path in params if path[:-1] in gains and path[-1] == "kernel"]
    sizes = [params[path].size for path in kernels]
    draws = jax.random.normal(k_dense, (sum(sizes),))
    for path, draw in zip(kernels, jnp.split(draws, np.cumsum(sizes)[:-1])):
        params[path] = gains[path[:-1]] * orthogonal(draw.reshape(params[path].shape))
    return {"params": unflatten_dict(params)}


def orthogonal(normal: Array) -> Array:
    """Matrices [..., N, M] with orthonormal rows or columns, from standard normal ones."""
    tall = normal.shape[-2] >= normal.shape[-1]
    q, r = jnp.linalg.qr(normal if tall else jnp.swapaxes(normal, -1, -2))
    # The signs make every orthogonal matrix equally likely: Mezzadri (2007), section 5.
    q = q * jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return q if tall else jnp.swapaxes(q, -1, -2)
