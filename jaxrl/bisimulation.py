"""Features whose distances say how differently observations go on: a bisimulation loss.

Observations, or histories of them, that have the same rewards and the same successors are as one
state, and what was learnt of one holds for the other. Source: Hong et al. (2024), "Offline RL with
observation histories: analyzing and improving sample complexity",
https://arxiv.org/abs/2310.20663; Zhang et al. (2021), "Learning invariant representations for
reinforcement learning without reconstruction", https://arxiv.org/abs/2006.10742.
"""

import jax
import jax.numpy as jnp

from jaxrl.types import Array

fixed = jax.lax.stop_gradient


def distances(x: Array, y: Array) -> Array:
    """The Euclidean distances [...] of vectors [..., K], with the derivative 0 where they agree."""
    square = jnp.square(x - y).sum(-1)
    some = square > 0
    return jnp.where(some, jnp.sqrt(jnp.where(some, square, 1.0)), 0.0)


def bisimulation_loss(
    features: Array,
    rewards: Array,
    successors: Array,
    action: Array,
    discount: float | Array,
    weight: Array,
) -> Array:
    """The loss [B] of the distances of features from those of what is predicted from them.

    Over all other samples j of the batch, with the action a that was taken in i, it is the weighted
    mean of

        (|phi_i - phi_j| - |r_i(a) - r_j(a)| - discount |z_i(a) - z_j(a)|)^2.

    Args:
      features: phi [B, K].
      rewards: r [B, A], predicted for each discrete action; they have no gradient.
      successors: z [B, A, K], predicted features of the successors; they have no gradient.
      action: a [B] int32.
      discount: factor of the distances of successors; below 1 the target contracts.
      weight: [B] of the samples j; those of the samples i are left to the caller.
    """
    number = len(features)
    # What is predicted for the action of sample i, from the features of every sample j: [i, j].
    paid = fixed(rewards).T[action]
    after = fixed(successors).swapaxes(0, 1)[action]
    own = jnp.arange(number)
    target = jnp.abs(paid - paid[own, own][:, None])
    target = target + discount * distances(after, after[own, own][:, None])
    error = jnp.square(distances(features[:, None], features[None]) - target)
    share = jnp.where(jnp.eye(number, dtype=bool), 0.0, weight)
    return (share * error).sum(1) / jnp.maximum(share.sum(1), 1e-8)
