"""Exploration without rewards, where the kernel is a mixture of known ones.

P(s' | s, a) = sum_i theta_i P_i(s' | s, a) with known kernels P_i and an unknown theta [D]. The
expectation of any function V of the successor is linear in theta with the features phi_V(s, a)_i =
(P_i V)(s, a), so that values themselves are what is regressed on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.optimism.counts import Steps
from jaxrl.optimism.learning import Learner
from jaxrl.optimism.planning import greedy_policy
from jaxrl.types import Array, Key


class MixtureFit(NamedTuple):
    """Weighted ridge regressions of the powers V, V^2, V^4, ... of functions of the successor."""

    gram: Array  # [M, D, D] ridge plus the sum of phi phi' / variance
    moment: Array  # [M, D] the sum of phi V(s') / variance


def mixed_kernel(kernels: Array, theta: Array) -> Array:
    """Return the kernel [S, A, S] of weights theta [D], made a distribution where it is none.

    Examples:
        >>> kernels = jnp.array([[[[1.0, 0.0]]], [[[0.0, 1.0]]]])
        >>> print(optimism.mixed_kernel(kernels, jnp.array([0.25, 0.75]))[0, 0])
        [0.25 0.75]
    """
    kernel = jnp.maximum(jnp.tensordot(theta, kernels, 1), 0.0)
    total = kernel.sum(-1, keepdims=True)
    return jnp.where(total > 1e-6, kernel / jnp.maximum(total, 1e-6), 1 / kernel.shape[-1])


def coefficients(fit: MixtureFit) -> Array:
    """Return the estimates [M, D] of theta, one for each power.

    Examples:
        >>> fit = optimism.MixtureFit(4 * jnp.eye(2)[None], jnp.ones((1, 2)))
        >>> print(optimism.coefficients(fit))
        [[0.25 0.25]]
    """
    return jnp.linalg.solve(fit.gram, fit.moment[..., None])[..., 0]


def reward_free(
    kernels: Array,
    horizon: int,
    radius: float | Array,
    targets: Array | None = None,
    powers: int = 3,
    ridge: float | Array = 1.0,
    floor: float | Array = 0.1,
) -> Learner:
    """Return the learner that explores to know theta, for kernels [D, S, A, S].

    A pair is as uncertain as the most uncertain of the `targets` V [J, S], functions of the
    successor in [0, 1], by default the indicators of states: u(s, a) is the largest radius
    |phi_V(s, a)| in the norm of the inverse gram matrix. Before an episode it plans, in the
    estimated kernel and optimistically, for the pseudo-reward min(1, u) / horizon. Afterwards, for
    each step, the V of the largest u is regressed on phi_V with the weight of one over its
    variance, which is estimated from the regression of V^2, whose variance is estimated from that
    of V^4, and so on for as many `powers`; the last has the variance 1. A variance is not below
    floor^2, nor below floor times the uncertainty. With one power it is the regression without
    weights. Raises `InputError` unless there are powers, steps and a ridge. Source: HF-UCRL-RFE++
    of Zhang, Zhang and Gu (2023), "Optimal horizon-free reward-free exploration for linear mixture
    MDPs", https://arxiv.org/abs/2303.10165, with one radius for all of its constants.

    Examples:
        >>> kernels = jnp.array([[[[1.0, 0.0]] * 2] * 2, [[[0.0, 1.0]] * 2] * 2])
        >>> learner = optimism.reward_free(kernels, horizon=2, radius=1.0)
        >>> print(learner.init().gram.shape)
        (3, 2, 2)
    """
    require_positive(powers=powers, ridge=ridge, horizon=horizon)
    dimensions, states = kernels.shape[:2]
    targets = jnp.eye(states) if targets is None else targets
    features = lambda v: jnp.moveaxis(kernels @ v, 0, -1)  # [S, A, D]
    every = jax.vmap(features)(targets)  # [J, S, A, D]
    norm = lambda inverse, phi: jnp.sqrt(jnp.maximum(((phi @ inverse) * phi).sum(-1), 0.0))

    def init() -> MixtureFit:
        gram = jnp.broadcast_to(ridge * jnp.eye(dimensions), (powers, dimensions, dimensions))
        return MixtureFit(gram, jnp.zeros((powers, dimensions)))

    def plan(fit: MixtureFit, key: Key) -> tuple[MixtureFit, Array]:
        inverse = jnp.linalg.inv(fit.gram[0])
        kernel = mixed_kernel(kernels, coefficients(fit)[0])
        pseudo = jnp.minimum(1.0, radius * norm(inverse, every).max(0)) / horizon

        def back(value: Array, _: None) -> tuple[Array, Array]:
            width = radius * norm(inverse, features(value))
            q = jnp.clip(pseudo + kernel @ value + width, 0.0, 1.0)
            return q.max(-1), q

        q = jax.lax.scan(back, jnp.zeros(states), None, horizon, reverse=True)[1]
        return fit, greedy_policy(q)

    def observe(fit: MixtureFit, steps: Steps) -> MixtureFit:
        theta, inverse = coefficients(fit), jnp.linalg.inv(fit.gram)
        which = norm(inverse[0], every).argmax(0)[steps.state, steps.action]  # [H]
        raised = targets[which] ** (2.0 ** jnp.arange(powers))[:, None, None]  # [M, H, S]
        at = kernels[:, steps.state, steps.action]  # [D, H, S]
        phi = jnp.einsum("dhs,mhs->mhd", at, raised)
        first = jnp.clip((phi * theta[:, None]).sum(-1), 0.0, 1.0)  # [M, H]
        unsure = radius * jax.vmap(norm)(inverse, phi)
        variance = jnp.maximum(first[1:] - first[:-1] ** 2, 0.0) + floor * unsure[1:]
        variance = jnp.concatenate([variance, jnp.ones_like(first[:1])])
        variance = jnp.maximum(variance, jnp.maximum(floor**2, floor * unsure))
        weight = steps.weight / variance
        seen = jnp.take_along_axis(raised, steps.following[None, :, None], 2)[..., 0]
        gram = fit.gram + jnp.einsum("mh,mhi,mhj->mij", weight, phi, phi)
        return MixtureFit(gram, fit.moment + jnp.einsum("mh,mhi,mh->mi", weight, phi, seen))

    return Learner(init, plan, observe)


def planned(kernels: Array, theta: Array, reward: Array, horizon: int) -> Array:
    """Return the policy [H, S, A] that is optimal for a reward [S, A] and an estimate of theta.

    Examples:
        >>> kernels = jnp.array([[[[1.0, 0.0]] * 2] * 2, [[[0.0, 1.0]] * 2] * 2])
        >>> reward = jnp.array([[0.0, 1.0], [1.0, 0.0]])
        >>> print(optimism.planned(kernels, jnp.array([0.5, 0.5]), reward, 1)[0])
        [[0. 1.]
         [1. 0.]]
    """
    kernel = mixed_kernel(kernels, theta)
    ones = jnp.ones_like(reward)[..., None]
    mdp = dp.TabularMDP(kernel, reward[..., None], ones, kernel[0, 0])
    return greedy_policy(dp.finite_horizon(mdp, horizon))
