"""Rewards that keep a policy's occupancy near that of a reference, by a discriminator.

The discriminator's logit d(s, a) is an estimate of log mu_policy / mu_reference: see
`jaxrl.models.consistency` for one of successors. Policy gradients with the rewards minus a
coefficient times the penalty descend the divergence of occupancies. Source: Laidlaw et al. (2025),
https://arxiv.org/abs/2403.03185.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_known
from jaxrl.types import Array


def discriminator_loss(current: Array, base: Array) -> Array:
    """The logistic loss [] of logits of steps of the policy [N], and of the reference [M].

    It is least at log mu_policy / mu_reference.
    """
    return jax.nn.softplus(-current).mean() + jax.nn.softplus(base).mean()


def kl_penalty(logit: Array) -> Array:
    """The penalty d [N] of KL(mu || reference), up to a constant in its gradient."""
    return logit


def chi_square_penalty(logit: Array) -> Array:
    """The penalty 2 (e^d - 1) [N], whose policy gradient is that of the chi-square divergence.

    Without the 2 it is half of the gradient.
    """
    return 2 * jnp.expm1(logit)


def root_chi_square_penalty(logit: Array, trimmed: float = 0.01) -> Array:
    """The penalty (e^d - 1) / sqrt(mean(e^d - 1)) [N] of the root of the chi-square divergence.

    The mean is over the steps of the policy, at which logits are given, and estimates the
    divergence itself. It leaves out the share `trimmed` of the largest and of the smallest, and is
    of all of them where that share is of none.
    """
    excess = jnp.expm1(logit)
    number = excess.shape[0]
    drop = int(trimmed * number)
    middle = jnp.sort(excess)[drop : number - drop]
    return excess / jnp.sqrt(jnp.maximum(middle.mean(), 1e-8))


PENALTIES: dict[str, Callable[[Array], Array]] = {
    "kl": kl_penalty,
    "chi-square": chi_square_penalty,
    "root-chi-square": root_chi_square_penalty,
}


def occupancy_penalty(name: str) -> Callable[[Array], Array]:
    """The penalty of a name; an InputError for a name that is unknown."""
    require_known("penalty of occupancies", name, PENALTIES)
    return PENALTIES[name]
