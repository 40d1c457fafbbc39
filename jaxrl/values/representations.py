"""Families of return distributions that an array of outputs can express."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, collapse, mean


class Representation(NamedTuple):
    """A family of return distributions indexed by outputs theta [..., size].

    `decode` says which distribution an array of outputs means, `project` how exact dynamic
    programming returns to the family, and `loss` how a sampled learner approaches it. The last
    `fractions` outputs are not learnt: they say at which fractions of [0, 1] the quantiles before
    them were asked for. Whoever has a network tells it these, see `jaxrl.action_values`.
    """

    size: int
    decode: Callable[[Array], ReturnDistribution]
    project: Callable[[ReturnDistribution], Array]
    loss: Callable[[Array, ReturnDistribution], Array]  # (theta [..., size], atoms) -> [...]
    fractions: int = 0


def scalar() -> Representation:
    """A Dirac at the value: classic value functions, regressed with half the squared error."""

    def decode(theta: Array) -> ReturnDistribution:
        return ReturnDistribution(theta, jnp.ones_like(theta))

    def project(distribution: ReturnDistribution) -> Array:
        return mean(distribution)[..., None]

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return optax.l2_loss(theta[..., 0], mean(distribution))

    return Representation(1, decode, project, loss)


def collapsed(representation: Representation) -> Representation:
    """The same outputs, made to learn only the mean of what they are given."""
    return representation._replace(
        project=lambda distribution: representation.project(collapse(distribution)),
        loss=lambda theta, distribution: representation.loss(theta, collapse(distribution)),
    )
