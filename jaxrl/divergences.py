"""Convex conjugates of f-divergences, by which ratios of distributions become losses of values.

Of D_f(p || q) = E_q f(p / q) the dual has f*(x) = max over w >= 0 of x w - f(w), and the ratio that
attains it, w*(x) = max(0, (f')^-1(x)), is the derivative of f*. Source: Nachum and Dai (2020),
"Reinforcement learning via Fenchel-Rockafellar duality", https://arxiv.org/abs/2001.01866.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxrl.errors import require_known
from jaxrl.types import Array


class Divergence(NamedTuple):
    """The dual of an f-divergence; functions of arrays [...]."""

    ratio: Callable[[Array], Array]  # w*(x), which is not negative
    conjugate: Callable[[Array], Array]  # f*(x)


def chi_square() -> Divergence:
    """The divergence with f(w) = (w - 1)^2: w* = max(x / 2 + 1, 0), f* = x w* - (w* - 1)^2."""
    ratio = lambda x: jnp.maximum(x / 2 + 1, 0.0)
    return Divergence(ratio, lambda x: x * ratio(x) - jnp.square(ratio(x) - 1))


def kl() -> Divergence:
    """The divergence with f(w) = w log w - w + 1: w* = exp(x), f* = exp(x) - 1."""
    return Divergence(jnp.exp, jnp.expm1)


DIVERGENCES: dict[str, Callable[[], Divergence]] = {"chi-square": chi_square, "kl": kl}


def divergence(name: str) -> Divergence:
    """The dual of the divergence of a name; an InputError for a name that is unknown."""
    require_known("divergence", name, DIVERGENCES)
    return DIVERGENCES[name]()
