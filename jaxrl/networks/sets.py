"""Features of members of a set, such as players, by attention to those that are there."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl.networks.layers import Dense
from jaxrl.types import Array


class Others(nn.Module):
    """Each member's own features, its attention to the other members, and how many there are.

    The features of member i are tanh of a layer of x_i, of sum_j softmax_j(q_i k_j / sqrt(D)) v_j
    over the members j != i that are present, and of the number of these. They do not depend on the
    order of the others, nor on what stands in the place of those that are absent; alone, a member
    attends to zeros. Source: Vaswani et al. (2017), https://arxiv.org/abs/1706.03762, with one
    head; the number is added, since a mean does not tell it.
    """

    size: int = 32

    @nn.compact
    def __call__(self, x: Array, present: Array) -> Array:
        """Features [..., N, size] of members [..., N, D], of which some [..., N] are present."""
        members = x.shape[-2]
        query, key, value = (Dense(self.size, 1.0)(x) for _ in range(3))
        seen = present[..., None, :] & ~jnp.eye(members, dtype=bool)
        score = jnp.einsum("...id,...jd->...ij", query, key) / math.sqrt(self.size)
        weight = jax.nn.softmax(jnp.where(seen, score, -1e9)) * seen
        number = seen.sum(-1, keepdims=True) / members
        mixed = jnp.einsum("...ij,...jd->...id", weight, value)
        return jnp.tanh(Dense(self.size, 1.0)(jnp.concatenate([x, mixed, number], -1)))
