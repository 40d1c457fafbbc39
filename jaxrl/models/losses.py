"""Losses [M, ...] of the M members of a dynamics on transitions [..., *].

The batch is `(transitions, context)`; only losses that say so need the context. Weights of
transitions are applied by `fitted`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from jaxrl import normalise
from jaxrl.errors import require
from jaxrl.models.dynamics import (
    Dynamics,
    Scales,
    StandardisedPrediction,
    deviations,
    standardised_prediction,
    targets,
)
from jaxrl.networks import flat, joined
from jaxrl.types import Array, Transition, Tree

fixed = jax.lax.stop_gradient


def standardised_targets(dynamics: Dynamics, scales: Scales, batch: Transition) -> Array:
    """The targets [..., D + 1] of the members, in standardised units."""
    moments = scales.targets
    return (targets(dynamics.spec, batch) - moments.mean) / deviations(moments)


def forward(
    dynamics: Dynamics, params: Tree, scales: Scales, batch: Transition
) -> StandardisedPrediction:
    """The predictions [M, ..., *] for transitions [..., *]."""
    return standardised_prediction(
        dynamics, params, scales, joined(dynamics.spec, batch.obs, batch.action)
    )


def survival_loss(out: StandardisedPrediction, batch: Transition) -> Array:
    """The cross-entropy [M, ...] of the prediction that the episode continues."""
    target = jnp.broadcast_to(batch.discount, out.survival.shape)
    return optax.sigmoid_binary_cross_entropy(out.survival, target)


def require_noise(dynamics: Dynamics) -> None:
    """Raise an InputError if predictions are points, which have no likelihood."""
    require(
        dynamics.noise,
        "A deterministic dynamics has no likelihood: use squared_error, or a gaussian_mlp.",
    )


def likelihood(dynamics: Dynamics, params: Tree, scales: Scales, batch: tuple) -> Array:
    """The negative log-likelihood [M, ...] of Gaussian members, without its constant term.

    Raises an InputError for a deterministic dynamics.
    """
    require_noise(dynamics)
    data = batch[0]
    out = forward(dynamics, params, scales, data)
    z = (standardised_targets(dynamics, scales, data) - out.mean) * jnp.exp(-out.log_std)
    return (0.5 * jnp.square(z) + out.log_std).sum(-1) + survival_loss(out, data)


def squared_error(dynamics: Dynamics, params: Tree, scales: Scales, batch: tuple) -> Array:
    """Half the squared error [M, ...], summed over standardised targets."""
    return weighted_error(dynamics, params, scales, batch[0], jnp.ones(()))


def weighted_error(
    dynamics: Dynamics, params: Tree, scales: Scales, data: Transition, weight: Array
) -> Array:
    """Half the squared error [M, ...]; the successor's coordinates have a `weight` [..., D]."""
    out = forward(dynamics, params, scales, data)
    square = 0.5 * jnp.square(standardised_targets(dynamics, scales, data) - out.mean)
    error = (weight * square[..., :-1]).sum(-1) + square[..., -1]
    return error + survival_loss(out, data)


Value = Callable[[Tree, Tree], Array]
"""(context, observations [..., *]) -> values [V, ...] of one or several critics."""


def value_gradient_weighted(value: Value, quantile: float = 0.95) -> Callable:
    """Squared errors weighted by the gradient of the value: VaGraM.

    l = sum_i (dV/ds'_i)^2 (s'_i - prediction_i)^2, averaged over the critics of `value`, at real
    successors. Gradients are normalised to a mean square of one, and those longer than the
    `quantile` of the batch are scaled down to it (the paper's code has this clip behind a
    condition that never lets it act). Source: Voelcker et al. (2022), equation 7.
    """

    def loss(dynamics: Dynamics, params: Tree, scales: Scales, batch: tuple) -> Array:
        data, context = batch
        slope = value_gradients(value, context, data.final)  # [V, ..., D]
        slope = clip_lengths(slope, quantile)
        # The error is in standardised units, so the gradient is too.
        slope = slope * deviations(scales.targets)[:-1]
        weight = jnp.square(slope).mean(0)
        weight = weight / jnp.maximum(weight.mean(), 1e-12)
        return weighted_error(dynamics, params, scales, data, fixed(weight))

    return loss


def value_gradients(value: Value, context: Tree, obs: Array) -> Array:
    """The gradients [V, ..., D] of several values of observations [..., D]."""
    one = lambda x: value(context, x[None])[:, 0]
    slopes = jax.vmap(jax.jacrev(one))(obs.reshape(-1, obs.shape[-1]))
    return jnp.moveaxis(slopes, 1, 0).reshape(-1, *obs.shape)


def clip_lengths(slope: Array, quantile: float) -> Array:
    """Vectors [V, ..., D] scaled down to the `quantile` of the lengths for the same V."""
    length = optax.safe_norm(slope, 0.0, axis=-1, keepdims=True)
    bound = jnp.quantile(length, quantile, axis=tuple(range(1, slope.ndim)), keepdims=True)
    return slope * jnp.minimum(1.0, bound / jnp.maximum(length, 1e-12))


def iterative_value_aware(value: Value) -> Callable:
    """The squared error of the value of the predicted successor: IterVAML.

    (V(s') - V(prediction))^2, averaged over the critics of `value`; the reward has the loss of
    `squared_error`. Source: Farahmand (2018), equation 4, for deterministic models.
    """

    def loss(dynamics: Dynamics, params: Tree, scales: Scales, batch: tuple) -> Array:
        data, context = batch
        out = forward(dynamics, params, scales, data)
        moments = scales.targets
        change = moments.mean + deviations(moments) * out.mean
        final = flat(dynamics.spec.observation, data.obs) + change[..., :-1]
        target = value(context, data.final)  # [V, ...]
        gap = jax.vmap(lambda obs: value(context, obs))(final) - fixed(target)  # [M, V, ...]
        paid = standardised_targets(dynamics, scales, data)[..., -1]
        reward = 0.5 * jnp.square(paid - out.mean[..., -1])
        return 0.5 * jnp.square(gap).mean(1) + reward + survival_loss(out, data)

    return loss


def multi_step(
    dynamics: Dynamics, params: Tree, scales: Scales, batch: tuple[Transition, Tree]
) -> Array:
    """The squared errors [M, L, B] of predictions over L steps, on sequences [L, B, ...].

    Each member continues from its own prediction. Steps after the end of an episode have no loss.
    """
    rows, _ = batch
    spec, moments = dynamics.spec, scales.targets
    deviation = deviations(moments)

    def step(carry: tuple, row: Transition) -> tuple[tuple, Array]:
        obs, alive = carry  # [M, B, D], [B]
        inputs = jax.vmap(lambda x: joined(spec, x, row.action))(obs)
        out = dynamics.apply(params, normalise.standardise(scales.inputs, inputs))
        change = moments.mean + deviation * out.mean
        reached = obs + change[..., :-1]
        wrong = (reached - flat(spec.observation, row.final)) / deviation[:-1]
        reward = (change[..., -1] - row.reward) / deviation[-1]
        error = 0.5 * (jnp.square(wrong).sum(-1) + jnp.square(reward))
        error = alive * (error + survival_loss(out, row))
        return (reached, alive * ~row.last), error

    first = flat(spec.observation, rows.obs)[0]
    first = jnp.broadcast_to(first, (dynamics.members, *first.shape))
    _, errors = jax.lax.scan(step, (first, jnp.ones(first.shape[1])), rows)
    return jnp.swapaxes(errors, 0, 1)
