"""The output layers of implicit quantile networks."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxrl.networks.layers import MLP, Dense
from jaxrl.types import Array


class ImplicitHead(nn.Module):
    """Quantiles of each action's return at any fractions, by a cosine embedding of these.

    Features are multiplied by relu(W c + b), where c_i(fraction) = cos(pi i fraction) for i below
    `frequencies`, and go through `hidden` layers of relu units. Source: Dabney et al. (2018b),
    equation 4.
    """

    actions: int
    frequencies: int = 64
    hidden: Sequence[int] = ()

    @nn.compact
    def __call__(self, features: Array, fractions: Array) -> Array:
        """Values [..., A, N] of features [..., D] at fractions [..., N]."""
        waves = jnp.cos(jnp.pi * jnp.arange(self.frequencies) * fractions[..., None])
        embedding = nn.relu(Dense(features.shape[-1])(waves))
        x = MLP(tuple(self.hidden), "relu")(features[..., None, :] * embedding)
        return jnp.swapaxes(Dense(self.actions, 1.0)(x), -1, -2)


def with_fractions(values: Array, fractions: Array) -> Array:
    """Outputs [..., A, 2N] of values [..., A, N] at fractions [..., N], for `implicit_quantile`."""
    fractions = jnp.broadcast_to(fractions[..., None, :], values.shape)
    return jnp.concatenate([values, fractions], -1)
