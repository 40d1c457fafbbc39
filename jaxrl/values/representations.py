"""Families of return distributions that an array of outputs can express."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import optax

from jaxrl.errors import require
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, collapse, mean


class Representation(NamedTuple):
    """A family of return distributions indexed by outputs theta [..., size].

    `decode` gives the distribution that outputs stand for, `project` the outputs of the nearest
    member of the family, for exact dynamic programming, and `loss` what a sampled learner descends.
    Some families need care, and say so: the last `fractions` outputs of an implicit one are inputs
    of its network, the fractions of [0, 1] whose quantiles come before them (see
    `jaxrl.action_values`); the atoms of an `equal` one have equal probabilities; and one that is
    `collapsed` learns the mean and nothing else of a return.
    """

    size: int
    decode: Callable[[Array], ReturnDistribution]
    project: Callable[[ReturnDistribution], Array]
    loss: Callable[[Array, ReturnDistribution], Array]  # (theta [..., size], atoms) -> [...]
    fractions: int = 0
    equal: bool = False
    collapsed: bool = False


def scalar() -> Representation:
    """A Dirac at the value, regressed with half the squared error: the usual value function.

    Examples:
        >>> print(values.scalar().loss(jnp.array([3.0]), z))
        2.0
    """

    def decode(theta: Array) -> ReturnDistribution:
        return ReturnDistribution(theta, jnp.ones_like(theta))

    def project(distribution: ReturnDistribution) -> Array:
        return mean(distribution)[..., None]

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return optax.l2_loss(theta[..., 0], mean(distribution))

    return Representation(1, decode, project, loss, equal=True, collapsed=True)


def collapsed(representation: Representation) -> Representation:
    """The same outputs, which learn only the mean of a target distribution.

    Examples:
        >>> print(values.collapsed(values.quantile(2)).project(z))
        [1. 1.]
    """
    return representation._replace(
        project=lambda distribution: representation.project(collapse(distribution)),
        loss=lambda theta, distribution: representation.loss(theta, collapse(distribution)),
        collapsed=True,
    )


def huber_means(representation: Representation, width: float | Array) -> Representation:
    """The same outputs, whose mean regresses on that of a target with a Huber loss.

    It is e^2 / 2 for errors of at most the width and width (|e| - width / 2) for larger ones, which
    therefore move the mean no more than errors of the width do.

    Examples:
        >>> print(values.huber_means(values.scalar(), 0.5).loss(jnp.array([3.0]), z))
        0.875
    """

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return optax.huber_loss(mean(representation.decode(theta)), mean(distribution), delta=width)

    return representation._replace(loss=loss, collapsed=True)


def require_explicit(representation: Representation, who: str) -> None:
    """Raise an InputError in the name of `who` for a critic whose network takes fractions.

    Examples:
        >>> values.require_explicit(values.quantile(8), "An ensemble")
        >>> values.require_explicit(values.implicit_quantile(8), "An ensemble")
        Traceback (most recent call last):
        jaxrl.errors.InputError: An ensemble cannot have an implicit-quantile critic, ...
    """
    require(
        not representation.fractions,
        f"{who} cannot have an implicit-quantile critic, whose network also takes fractions: "
        "choose quantile or fully-parameterised-quantile.",
    )


def require_distribution(representation: Representation, what: str) -> None:
    """Raise an InputError in the name of `what` for a critic that learns nothing but means.

    Examples:
        >>> values.require_distribution(values.quantile(8), "An objective")
        >>> values.require_distribution(values.scalar(), "An objective")
        Traceback (most recent call last):
        jaxrl.errors.InputError: An objective other than mean needs a critic of distributions, ...
    """
    require(
        not representation.collapsed,
        f"{what} other than mean needs a critic of distributions, but scalar, two-hot and hl-gauss "
        "critics only learn the mean: choose quantile, categorical or another family.",
    )
