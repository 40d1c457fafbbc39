"""Networks that predict the next observation, the reward and the end: one, or an ensemble.

They predict the change of the observation and the reward in standardised units, from standardised
inputs, as Gaussians (`gaussian_mlp`) or as points (`deterministic_mlp`). All predictions have a
leading axis of members [M, ...], also for a single network.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxrl import normalise
from jaxrl.errors import require, require_positive
from jaxrl.networks import action_size, flat, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.normalise import Moments
from jaxrl.types import Array, Key, Spec, Transition, Tree


class StandardisedPrediction(NamedTuple):
    """Predictions of the members of a dynamics, in units in which targets have deviation one."""

    mean: Array  # [M, ..., D + 1] of the change of the observation, then of the reward
    log_std: Array  # [M, ..., D + 1], minus infinity where there is no noise
    survival: Array  # [M, ...] logits of the probability that the episode continues


class Dynamics(NamedTuple):
    """A family of predictions, with parameters."""

    init: Callable[[Key], Tree]
    apply: Callable[[Tree, Array], StandardisedPrediction]  # (params, inputs [M, ..., D + A])
    penalty: Callable[[Tree], Array]  # of the parameters, to be added to a loss
    spec: Spec
    members: int
    noise: bool = True  # whether predictions are distributions and not points


class Scales(NamedTuple):
    """Statistics of the inputs and the targets of a dynamics."""

    inputs: Moments  # [D + A]
    targets: Moments  # [D + 1]


class View(NamedTuple):
    """The state of a dynamics that predictions need."""

    params: Tree
    scales: Scales
    elite: Array  # [M] bool, the members of least error


class Prediction(NamedTuple):
    """Predictions of the members, in the environment's units."""

    mean: Array  # [M, B, D + 1] the next observation, then the reward
    std: Array  # [M, B, D + 1]
    survival: Array  # [M, B] the probability that the episode continues


def vector_size(spec: Spec) -> int:
    """The length of the observations of a spec; an InputError unless they are one vector."""
    leaves = jax.tree.leaves(spec.observation)
    shapes = ", ".join(str(leaf.shape) for leaf in leaves)
    require(
        len(leaves) == 1 and len(leaves[0].shape) == 1,
        f"A dynamics needs observations that are one vector, not {shapes}: wrap the environment in "
        "envs.flatten_observation.",
    )
    return leaves[0].shape[0]


def targets(spec: Spec, batch: Transition) -> Array:
    """The change of the observation and the reward [..., D + 1] of transitions."""
    change = flat(spec.observation, batch.final) - flat(spec.observation, batch.obs)
    return jnp.concatenate([change, batch.reward[..., None]], -1)


def empty_scales(spec: Spec) -> Scales:
    """Statistics of no data."""
    size = vector_size(spec)
    shape = lambda n: normalise.init(jax.ShapeDtypeStruct((n,), jnp.float32))
    return Scales(shape(size + action_size(spec)), shape(size + 1))


def members_of(module: nn.Module, members: int, size: int) -> tuple[Callable, Callable]:
    """`init(key)` and `apply(params, x [M, ..., D])` of independent copies of a module."""

    def init(key: Key) -> Tree:
        make = lambda key: initialise(module, key, jnp.zeros(size))
        return jax.vmap(make)(jax.random.split(key, members))

    return init, jax.vmap(cast(Callable, module.apply))


def gaussian_mlp(
    spec: Spec,
    members: int = 1,
    hidden: Sequence[int] = (200, 200),
    activation: str = "swish",
    bound_weight: float = 0.01,
) -> Dynamics:
    """Gaussian predictions whose log-variance lies between two learnt bounds.

    Each output of each member has its own bounds; a penalty of weight `bound_weight` draws them
    together. Source: Chua et al. (2018), appendix A.1. Raises an InputError unless observations
    are one vector.
    """
    require_positive(members=members)
    size = vector_size(spec)
    tower = Tower(MLP(tuple(hidden), activation), 2 * size + 3)
    start, forward = members_of(tower, members, size + action_size(spec))

    def init(key: Key) -> Tree:
        shape = (members, size + 1)
        return {"net": start(key), "high": jnp.full(shape, 0.5), "low": jnp.full(shape, -10.0)}

    def apply(params: Tree, x: Array) -> StandardisedPrediction:
        out = forward(params["net"], x)
        mean, raw, survival = jnp.split(out, [size + 1, 2 * size + 2], -1)
        wide = lambda bound: bound.reshape(-1, *(1,) * (x.ndim - 2), size + 1)
        high, low = wide(params["high"]), wide(params["low"])
        log_variance = high - jax.nn.softplus(high - raw)
        log_variance = low + jax.nn.softplus(log_variance - low)
        return StandardisedPrediction(mean, log_variance / 2, survival[..., 0])

    penalty = lambda params: bound_weight * (params["high"] - params["low"]).sum()
    return Dynamics(init, apply, penalty, spec, members)


def deterministic_mlp(
    spec: Spec, members: int = 1, hidden: Sequence[int] = (200, 200), activation: str = "swish"
) -> Dynamics:
    """Predictions of a single outcome, without noise.

    Raises an InputError unless observations are one vector.
    """
    require_positive(members=members)
    size = vector_size(spec)
    tower = Tower(MLP(tuple(hidden), activation), size + 2)
    init, forward = members_of(tower, members, size + action_size(spec))

    def apply(params: Tree, x: Array) -> StandardisedPrediction:
        mean, survival = jnp.split(forward(params, x), [size + 1], -1)
        return StandardisedPrediction(mean, jnp.full_like(mean, -jnp.inf), survival[..., 0])

    return Dynamics(init, apply, lambda params: jnp.zeros(()), spec, members, noise=False)


def deviations(moments: Moments) -> Array:
    """The standard deviations of statistics, bounded away from zero."""
    return jnp.sqrt(moments.variance + 1e-8)


def standardised_prediction(
    dynamics: Dynamics, params: Tree, scales: Scales, x: Array
) -> StandardisedPrediction:
    """The predictions [M, ...] of all members for inputs [..., D + A]."""
    x = normalise.standardise(scales.inputs, x)
    return dynamics.apply(params, jnp.broadcast_to(x, (dynamics.members, *x.shape)))


def predict(dynamics: Dynamics, view: View, obs: Tree, action: Array) -> Prediction:
    """The members' predictions for observations and actions [B, *]."""
    out = standardised_prediction(
        dynamics, view.params, view.scales, joined(dynamics.spec, obs, action)
    )
    return in_units(dynamics.spec, view.scales, obs, out)


def in_units(spec: Spec, scales: Scales, obs: Tree, out: StandardisedPrediction) -> Prediction:
    """Predictions [..., B, *] for observations [B, *], in the environment's units."""
    moments = scales.targets
    deviation = deviations(moments)
    now = flat(spec.observation, obs)
    base = jnp.concatenate([now, jnp.zeros_like(now[..., :1])], -1) + moments.mean
    mean, std = base + deviation * out.mean, deviation * jnp.exp(out.log_std)
    return Prediction(mean, std, jax.nn.sigmoid(out.survival))
