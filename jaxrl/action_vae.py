"""A conditional variational autoencoder of actions: a generator of what the data would do.

The encoder gives the mean and the deviation of a latent z for an observation and an action, and the
decoder the action for an observation and a latent. Source: Sohn et al. (2015), as used in Fujimoto
et al. (2019), "Off-policy deep reinforcement learning without exploration",
https://arxiv.org/abs/1812.02900.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl.networks import blank, blank_action, joined
from jaxrl.networks.inputs import flat, scaled
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.settings import Layers
from jaxrl.types import Array, Box, Key, Spec, Tree


class ActionVAE(NamedTuple):
    """A generator of actions in [-1, 1] for observations."""

    init: Callable[[Key], Tree]
    loss: Callable[..., Array]  # (params, obs, action, key, share [B] = 1) -> [B]
    sample: Callable[[Tree, Tree, Key], Array]  # (params, obs [B, *], key) -> actions [B, *]
    remake: Callable[[Tree, Tree, Array, Key], Array]  # (params, obs, action, key) -> actions


def divergence(mean: Array, log_std: Array) -> Array:
    """The Kullback-Leibler divergence [...] of N(mean, exp(log_std)^2) from N(0, 1), [..., L].

    It is the mean over the L dimensions of (mean^2 + exp(2 log_std) - 1) / 2 - log_std.
    """
    each = 0.5 * (jnp.square(mean) + jnp.exp(2 * log_std) - 1) - log_std
    return each.mean(-1)


def action_vae(
    spec: Spec,
    layers: Layers = Layers(),
    latents: int = 0,
    weight: float | Array = 0.5,
    clip: float | Array = 0.5,
) -> ActionVAE:
    """An autoencoder of the continuous actions of a spec.

    Its loss is share |decoded - a|^2 / d + weight divergence, for actions of d dimensions and a
    latent z of the encoder's distribution. Samples decode a standard normal z, clipped to
    [-clip, clip], and `remake` decodes a z that the encoder gives for an action.
    There are two `latents` for each dimension of the action if their number is 0.
    """
    assert isinstance(spec.action, Box), "an autoencoder of actions needs continuous ones"
    shape, size = spec.action.shape, spec.action.low.size
    latents = latents or 2 * size
    torso = MLP(tuple(layers.hidden), layers.activation, layers.layer_norm)
    encoder, decoder = Tower(torso, 2 * latents), Tower(torso, size)

    def given(obs: Tree, z: Array) -> Array:
        return jnp.concatenate([flat(spec.observation, scaled(spec.observation, obs)), z], -1)

    def init(key: Key) -> Tree:
        k_encoder, k_decoder = jax.random.split(key)
        pair = joined(spec, blank(spec), blank_action(spec))
        return {
            "encoder": initialise(encoder, k_encoder, pair),
            "decoder": initialise(decoder, k_decoder, given(blank(spec), jnp.zeros(latents))),
        }

    def decode(params: Tree, obs: Tree, z: Array) -> Array:
        out = jnp.tanh(cast(Array, decoder.apply(params["decoder"], given(obs, z))))
        return out.reshape(*out.shape[:-1], *shape)

    def encode(params: Tree, obs: Tree, action: Array, key: Key) -> tuple[Array, Array, Array]:
        """A latent, and the mean and the logarithmic deviation [..., L] of its distribution."""
        code = cast(Array, encoder.apply(params["encoder"], joined(spec, obs, action)))
        mean, log_std = jnp.split(code, 2, -1)
        log_std = jnp.clip(log_std, -4.0, 15.0)
        return mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape), mean, log_std

    def loss(params: Tree, obs: Tree, action: Array, key: Key, share: float | Array = 1.0) -> Array:
        z, mean, log_std = encode(params, obs, action, key)
        error = jnp.square(decode(params, obs, z) - action)
        error = error.reshape(*mean.shape[:-1], -1).mean(-1)
        return share * error + weight * divergence(mean, log_std)

    def remake(params: Tree, obs: Tree, action: Array, key: Key) -> Array:
        return decode(params, obs, encode(params, obs, action, key)[0])

    def sample(params: Tree, obs: Tree, key: Key) -> Array:
        lead = flat(spec.observation, obs).shape[:-1]
        z = jnp.clip(jax.random.normal(key, (*lead, latents)), -clip, clip)
        return decode(params, obs, z)

    return ActionVAE(init, loss, sample, remake)
