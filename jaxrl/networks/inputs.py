"""Observations and actions as the arrays that networks take."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl import spaces
from jaxrl.networks.encoders import Impala, Nature
from jaxrl.networks.layers import CNN, MLP
from jaxrl.types import Array, Spec, Tree


def flat(observation: Tree, obs: Tree) -> Array:
    """Observations [..., *] as one float array [..., D], in the environment's own units."""
    specs, leaves = jax.tree.leaves(observation), jax.tree.leaves(obs)
    lead = leaves[0].shape[: leaves[0].ndim - len(specs[0].shape)]
    return jnp.concatenate(
        [leaf.reshape(*lead, math.prod(s.shape)).astype(float) for s, leaf in zip(specs, leaves)],
        -1,
    )


def scaled(observation: Tree, obs: Tree) -> Tree:
    """Observations [..., *] in the units of networks: bytes 0 to 255 as fractions of 255.

    The spec's dtype says what is a byte, so that imagined bytes, which are floats, are scaled too.
    """

    def one(spec: jax.ShapeDtypeStruct, leaf: Array) -> Array:
        return leaf.astype(float) / 255 if spec.dtype == jnp.uint8 else leaf

    leaves, structure = jax.tree.flatten(obs)
    return structure.unflatten(map(one, jax.tree.leaves(observation), leaves))


def inputs(spec: Spec, torso: nn.Module, obs: Tree) -> Tree:
    """Observations [..., *] as a torso takes them, bytes scaled to [0, 1].

    An MLP takes one flat array of floats and an encoder of images one image of them; others, such
    as a module of one's own, take the tree.
    """
    obs = scaled(spec.observation, obs)
    if isinstance(torso, CNN | Nature | Impala):
        return jax.tree.leaves(obs)[0].astype(float)
    return flat(spec.observation, obs) if isinstance(torso, MLP) else obs


def blank(spec: Spec) -> Tree:
    """A zero observation without a batch axis."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), spec.observation)


def blank_action(spec: Spec, *lead: int) -> Any:
    """A zero action with leading axes, none by default."""
    return spaces.blank(spec.action, *lead)


def action_size(spec: Spec) -> int:
    """The length A of a flat action."""
    return spaces.size(spec.action)


def flat_action(spec: Spec, action: Tree) -> Array:
    """Actions [..., *] as vectors [..., A]; discrete ones are one-hot."""
    return spaces.flat(spec.action, action)


def joined(spec: Spec, obs: Tree, action: Array) -> Array:
    """Observations, with bytes scaled to [0, 1], and actions [..., *] as vectors [..., D + A]."""
    seen = flat(spec.observation, scaled(spec.observation, obs))
    return jnp.concatenate([seen, flat_action(spec, action)], -1)
