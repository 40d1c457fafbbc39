"""A critic of two sources: returns of the policy itself, and temporal differences off-policy."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp import LinearBatch
from jaxrl.errors import require_fraction, require_positive
from jaxrl.types import Array


class Returns(NamedTuple):
    """Pairs at each of H steps of M episodes under the policy, and what followed them."""

    features: Array  # [H, M, D] of (s, a)
    to_go: Array  # [H, M] the sum of the rewards from this step on


def two_source_critic(
    online: Returns,
    offline: LinearBatch,
    policy: Array,
    share: float | Array = 0.5,
    ridge: float | Array = 1e-3,
) -> Array:
    """Return the weights [H, D] of a policy's action values, linear in features, for each step.

    Backwards, w_h minimises (1 - share) mean (f w - G)^2 over the returns G of the policy's own
    episodes, plus share mean (f w - r - d sum_a policy(a | s') f(s', a) w_{h+1})^2 over other data,
    plus ridge |w|^2, in one linear equation. `policy` [H, N, A] are its probabilities at the
    successors in these data. Where they tell nothing of the policy, its own returns still do. With
    a share of 0 it is Monte Carlo regression, with a share of 1 fitted Q evaluation. Raises
    `InputError` unless the share is in [0, 1] and the ridge is above zero. Source: the critic of
    HNPG, Zhou, Sekhari, Song and Sun (2024), "Offline data enhanced on-policy policy gradient with
    provable guarantees", https://arxiv.org/abs/2311.08384.

    Examples:
        >>> ones = jnp.ones((1, 3, 1))
        >>> online = policy_gradients.Returns(ones, 4 * ones[..., 0])
        >>> offline = dp.LinearBatch(ones, 2 * ones[..., 0], 0 * ones[..., 0], ones[..., None])
        >>> policy = jnp.ones((1, 3, 1))
        >>> print(policy_gradients.two_source_critic(online, offline, policy))  # from 4 and 2
        [[2.997]]
    """
    require_fraction(share=share)
    require_positive(ridge=ridge)
    dimensions = online.features.shape[-1]

    def moments(features: Array, target: Array) -> tuple[Array, Array]:
        return features.T @ features / len(features), features.T @ target / len(features)

    def back(after: Array, inputs: tuple[Returns, LinearBatch, Array]) -> tuple[Array, Array]:
        own, other, chances = inputs
        future = (chances * (other.following @ after)).sum(-1)
        target = other.reward + other.discount * future
        parts = moments(own.features, own.to_go), moments(other.features, target)
        gram, moment = ((1 - share) * x + share * y for x, y in zip(*parts))
        weights = jnp.linalg.solve(gram + ridge * jnp.eye(dimensions), moment)
        return weights, weights

    start = jnp.zeros(dimensions)
    return jax.lax.scan(back, start, (online, offline, policy), reverse=True)[1]
