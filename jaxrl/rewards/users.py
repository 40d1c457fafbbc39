"""Rewards of users who differ: a latent of each user, inferred from its own comparisons.

The comparisons of a user are `Comparisons` with leaves [L, N, ...]; those of several users have an
axis before these. Source: Poddar et al. (2024), "Personalizing reinforcement learning from human
feedback with variational preference learning", https://arxiv.org/abs/2408.10075.
"""

from collections.abc import Callable
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.networks import blank, blank_action, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.rewards.losses import PreferenceLoss, bradley_terry
from jaxrl.rewards.segments import Comparisons, total
from jaxrl.settings import Layers
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import descend


class Latent(NamedTuple):
    """A normal distribution of a user's latent, with independent entries."""

    mean: Array  # [..., Z]
    log_std: Array  # [..., Z]


class UserModel(NamedTuple):
    """Rewards that depend on a latent, and what comparisons tell of it."""

    init: Callable[[Key], Tree]
    posterior: Callable[[Tree, Comparisons], Latent]  # (params, comparisons of one user) -> [Z]
    reward: Callable[[Tree, Tree, Tree, Array], Array]  # (params, obs, action, latent) -> [...]


def user_model(spec: Spec, size: int = 2, layers: Layers = Layers()) -> UserModel:
    """Networks of the reward of observations and actions, and of the posterior of a latent [size].

    Each comparison is encoded with the preferred segment first, and the mean over those that were
    answered is decoded, so that neither their order nor that of a pair matters. Raises an
    InputError unless the size is above zero.
    """
    require_positive(size=size)
    tower = lambda width: Tower(MLP(tuple(layers.hidden), layers.activation), width)
    pay, read, sum_up = tower(1), tower(layers.hidden[-1]), tower(2 * size)
    width = joined(spec, blank(spec), blank_action(spec)).shape[-1]

    def init(key: Key) -> Tree:
        k_pay, k_read, k_sum = jax.random.split(key, 3)
        return {
            "reward": initialise(pay, k_pay, jnp.zeros(width + size)),
            "pair": initialise(read, k_read, jnp.zeros(2 * width)),
            "user": initialise(sum_up, k_sum, jnp.zeros(layers.hidden[-1])),
        }

    def features(segments: Transition) -> Array:
        return total(segments, joined(spec, segments.obs, segments.action))

    def posterior(params: Tree, comparisons: Comparisons) -> Latent:
        first, second = features(comparisons.first), features(comparisons.second)
        label = comparisons.label[:, None]
        better = jnp.concatenate(
            [label * first + (1 - label) * second, label * second + (1 - label) * first], -1
        )
        each = cast(Array, read.apply(params["pair"], better))
        weight = comparisons.weight[:, None]
        mean = (weight * each).sum(0) / jnp.maximum(weight.sum(), 1.0)
        found = cast(Array, sum_up.apply(params["user"], mean))
        return Latent(found[:size], jnp.clip(found[size:], -5.0, 2.0))

    def reward(params: Tree, obs: Tree, action: Tree, latent: Array) -> Array:
        x = joined(spec, obs, action)
        same = jnp.broadcast_to(latent, (*x.shape[:-1], latent.shape[-1]))
        return cast(Array, pay.apply(params["reward"], jnp.concatenate([x, same], -1)))[..., 0]

    return UserModel(init, posterior, reward)


def divergence_from_prior(latent: Latent) -> Array:
    """KL(latent || standard normal) [...]: (mean^2 + std^2 - 1) / 2 - log std, summed."""
    each = jnp.square(latent.mean) + jnp.exp(2 * latent.log_std) - 1
    return (each / 2 - latent.log_std).sum(-1)


def user_learner(
    model: UserModel,
    optimiser: optax.GradientTransformation,
    divergence: float | Array = 0.01,
    loss: PreferenceLoss | None = None,
) -> Update:
    """Fit a user model to batches of comparisons of several users, [U, L, N, ...].

    The loss is the mean over users of the mean preference loss of their own comparisons under a
    latent that is drawn from the posterior, plus `divergence` times the KL divergence of that from
    a standard normal. Raises an InputError for a negative weight.
    """
    require_non_negative(divergence=divergence)
    preferred = bradley_terry() if loss is None else loss

    def one(params: Tree, own: Comparisons, key: Key) -> tuple[Array, Array]:
        latent = model.posterior(params, own)
        noise = jax.random.normal(key, latent.mean.shape)
        z = latent.mean + jnp.exp(latent.log_std) * noise

        def score(segments: Transition) -> Array:
            return total(segments, model.reward(params, segments.obs, segments.action, z))

        each = preferred(score(own.first), score(own.second), own.label)
        error = (own.weight * each).sum() / jnp.maximum(own.weight.sum(), 1.0)
        return error, divergence_from_prior(latent)

    def objective(params: Tree, target: Tree, batch: Comparisons, key: Key) -> tuple[Array, dict]:
        keys = jax.random.split(key, batch.label.shape[0])
        error, apart = jax.vmap(one, (None, 0, 0))(params, batch, keys)
        told = {"preference_loss": error.mean(), "latent_divergence": apart.mean()}
        return error.mean() + divergence * apart.mean(), told

    return descend(model.init, objective, optimiser)
