"""Momentum of stochastic gradients that does not lag behind, as optax transformations.

A plain average of old gradients is that of old parameters. One remedy is to sample where the
average belongs, by extrapolation; the other is to add what the Hessian says has changed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import require_values
from jaxrl.types import Array, Key, Tree

Rate = float | Array | Callable[[Array], Array]
"""The weight of the newest gradient, in (0, 1], or a function of the number [] of steps."""


class Transport(NamedTuple):
    """The state of `scale_by_transport`."""

    momentum: Tree
    previous: Tree  # the parameters before the last step
    reach: Array  # [] how far beyond the last step the next gradient is to be sampled
    count: Array  # [] int32


class Corrected(NamedTuple):
    """The state of `scale_by_hessian_momentum`."""

    momentum: Tree
    previous: Tree
    key: Key
    count: Array  # [] int32


def scale_by_transport(rate: Rate) -> optax.GradientTransformation:
    """Average gradients that are sampled at extrapolated parameters: implicit gradient transport.

    d_t = (1 - eta_t) d_{t-1} + eta_t g_t, where g_t is the gradient at `sampling_params`, theta_t +
    (1 - eta_t) / eta_t (theta_t - theta_{t-1}), and eta_t is the `rate`; eta_0 is 1. Where the
    Hessian is constant d_t has no bias. Raises `InputError` unless the rate is in (0, 1]. Source:
    Fatkhullin, Barakat, Kireeva and He (2023), "Stochastic policy gradient methods: improved sample
    complexity for Fisher-non-degenerate policies", https://arxiv.org/abs/2302.01734.

    Examples:
        >>> rule = policy_gradients.scale_by_transport(0.5)
        >>> params = jnp.array(4.0)
        >>> state = rule.init(params)
        >>> _, state = rule.update(params, state, params)  # of half the square
        >>> print(policy_gradients.sampling_params(state, jnp.array(3.0)))  # 3 + (3 - 4)
        2.0
    """
    eta = _rate(rate)

    def init(params: Tree) -> Transport:
        return Transport(optax.tree.zeros_like(params), params, jnp.zeros(()), jnp.int32(0))

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Tree, Transport]:
        assert params is not None
        momentum = _averaged(eta(state.count), state.momentum, updates)
        following = eta(state.count + 1)
        reach = (1 - following) / following
        return momentum, Transport(momentum, params, reach, state.count + 1)

    return optax.GradientTransformation(init, update)


def sampling_params(state: Tree, params: Tree) -> Tree:
    """Return the parameters at which the next gradient is to be sampled, for `params` after a step.

    `state` is that of an optimiser with `scale_by_transport` in it, also in a chain.

    Examples:
        >>> rule = policy_gradients.scale_by_transport(0.5)
        >>> print(policy_gradients.sampling_params(rule.init(jnp.array(4.0)), jnp.array(4.0)))
        4.0
    """
    here = lambda node: isinstance(node, Transport)
    found = next(x for x in jax.tree.leaves(state, is_leaf=here) if here(x))
    return jax.tree.map(lambda x, old: x + found.reach * (x - old), params, found.previous)


def scale_by_hessian_momentum(rate: Rate, key: Key) -> optax.GradientTransformationExtraArgs:
    """Average gradients, corrected by the Hessian for the step in between.

    d_t = (1 - eta_t) (d_{t-1} + H (theta_t - theta_{t-1})) + eta_t g_t, where H is an estimate of
    the Hessian at a point drawn uniformly between the two: its mean along the segment is exactly
    the change of the gradient. `update` takes the argument `curvature`, (at, direction) -> H times
    the direction, such as `hessian_vector` of a return that is sampled at `at`. Raises `InputError`
    unless the rate is in (0, 1]. Source: as `scale_by_transport`.

    Examples:
        >>> rule = policy_gradients.scale_by_hessian_momentum(0.5, jax.random.key(0))
        >>> exact = lambda at, direction: direction  # the Hessian of half the square
        >>> state = rule.init(jnp.array(4.0))
        >>> _, state = rule.update(jnp.array(4.0), state, jnp.array(4.0), curvature=exact)
        >>> print(rule.update(jnp.array(3.0), state, jnp.array(3.0), curvature=exact)[0])
        3.0
    """
    eta = _rate(rate)

    def init(params: Tree) -> Corrected:
        return Corrected(optax.tree.zeros_like(params), params, key, jnp.int32(0))

    def update(
        updates: Tree, state: Any, params: Tree | None = None, **given: Any
    ) -> tuple[Tree, Corrected]:
        assert params is not None
        key, k_where = jax.random.split(state.key)
        q = jax.random.uniform(k_where)
        direction = jax.tree.map(lambda x, old: x - old, params, state.previous)
        at = jax.tree.map(lambda old, d: old + q * d, state.previous, direction)
        change = given["curvature"](at, direction)
        carried = jax.tree.map(lambda d, v: d + v, state.momentum, change)
        momentum = _averaged(eta(state.count), carried, updates)
        return momentum, Corrected(momentum, params, key, state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def normalised_transport(learning_rate: Any, rate: Rate) -> optax.GradientTransformation:
    """N-PG-IGT: steps of the length `learning_rate` along `scale_by_transport`.

    Examples:
        >>> rule = policy_gradients.normalised_transport(0.5, rate=0.5)
        >>> params = jnp.array([3.0, 4.0])
        >>> print(rule.update(params, rule.init(params), params)[0])
        [-0.3 -0.4]
    """
    return optax.chain(
        scale_by_transport(rate),
        optax.normalize_by_update_norm(),
        optax.scale_by_learning_rate(learning_rate),
    )


def normalised_hessian_momentum(
    learning_rate: Any, rate: Rate, key: Key
) -> optax.GradientTransformationExtraArgs:
    """N-HARPG: steps of the length `learning_rate` along `scale_by_hessian_momentum`.

    Examples:
        >>> rule = policy_gradients.normalised_hessian_momentum(0.5, 0.5, jax.random.key(0))
        >>> params, flat = jnp.array([3.0, 4.0]), lambda at, direction: 0 * direction
        >>> print(rule.update(params, rule.init(params), params, curvature=flat)[0])
        [-0.3 -0.4]
    """
    return optax.chain(
        scale_by_hessian_momentum(rate, key),
        optax.normalize_by_update_norm(),
        optax.scale_by_learning_rate(learning_rate),
    )


def _rate(rate: Rate) -> Callable[[Array], Array]:
    """The weight of the newest gradient at each step, 1 at the first."""
    if not callable(rate):
        require_values(lambda x: (x > 0) & (x <= 1), "be above 0 and at most 1", rate=rate)
    of = rate if callable(rate) else lambda step: rate
    return lambda step: jnp.where(step == 0, 1.0, of(step))


def _averaged(eta: Array, old: Tree, new: Tree) -> Tree:
    return jax.tree.map(lambda d, g: (1 - eta) * d + eta * g, old, new)
