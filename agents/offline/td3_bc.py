"""TD3 whose actor also imitates the data (Fujimoto and Gu 2021, "TD3+BC").

Source: "A minimalist approach to offline reinforcement learning",
https://arxiv.org/abs/2106.06860.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from agents import td3
from jaxrl import values
from jaxrl.fields import FRACTION, NOT_NEGATIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.settings import Layers, Optimisation
from jaxrl.sharding import total
from jaxrl.types import Agent, Array, Spec, Transition

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(td3.Hyperparameters):
    """The hyperparameters of TD3+BC: those of TD3, and of the imitation."""

    value_weight: float = number(2.5, NOT_NEGATIVE)
    """Weight of the normalised value in the actor's loss, beside that of 1 of the imitation."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target networks move towards the parameters; 1 copies them."""
    normalise_observations: bool = static(True)
    """Standardise observations with the statistics of the data set."""
    network: Layers = Layers(hidden=(256, 256))
    """The network's layers."""


def td3_bc(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 with the actor's loss -weight Q(s, pi(s)) / mean |Q| + |pi(s) - a|^2 / d.

    Actions have d dimensions, and the mean over the batch has no gradient. The other arguments are
    those of `td3.td3`. Raises an InputError as it does.
    """
    own = partial(td3.td3, network=network, critic_encoder=critic_encoder, optimiser=optimiser)
    return own(spec, hp, representation, actor_loss=partial(imitating, hp))


def imitating(hp: Hyperparameters, value: Array, action: Array, batch: Transition) -> Array:
    """The actor's loss [B] of TD3+BC, for values [B] of its actions [B, *action]."""
    size = action[0].size
    return distance(action, batch.action) / size - hp.value_weight * normalised(value, batch)


def distance(one: Array, other: Array) -> Array:
    """The squared distance [B] of actions [B, *action]."""
    return jnp.square(one - other).reshape(len(one), -1).sum(-1)


def normalised(value: Array, batch: Transition) -> Array:
    """Values [B] over the mean of their sizes in the batch, which has no gradient; 0 if all are."""
    share = batch.weight / jnp.maximum(total(batch.weight.sum()), 1e-8)
    return value / fixed(jnp.maximum(total((share * jnp.abs(value)).sum()), 1e-8))
