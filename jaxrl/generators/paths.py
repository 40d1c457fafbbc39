"""Paths from noise to data, and what a network may predict along them.

On a path a sample of the data x is x_t = a(t) x + b(t) e with standard normal noise e, from noise
at time 0 to data at time 1. Diffusion and flow matching are the same method on two kinds of paths:
those that keep the variance, a^2 + b^2 = 1, and straight lines.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from jaxrl.errors import require, require_known, require_positive
from jaxrl.types import Array

PREDICTIONS = ("data", "noise", "velocity")
TINY = 1e-6  # what is divided by is at least that: coefficients are zero at the ends of paths


class Place(NamedTuple):
    """Where a path is at times [...]."""

    position: Array  # [...] u, the variable in which velocities are bounded; it grows with time
    signal: Array  # [...] a
    noise: Array  # [...] b
    signal_slope: Array  # [...] da/du
    noise_slope: Array  # [...] db/du


Path = Callable[[Array], Place]
"""Times [...] in [0, 1] -> places on the path."""


class Prediction(NamedTuple):
    """What is expected of the sample, the noise and the velocity at a place on the path."""

    data: Array  # [..., *shape] E[x | x_t]
    noise: Array  # [..., *shape] E[e | x_t]
    velocity: Array  # [..., *shape] E[dx_t/du | x_t]


def straight() -> Path:
    """The straight path x_t = t x + (1 - t) e, whose velocity is x - e.

    Source: the conditional optimal-transport path of Lipman et al. (2023), "Flow matching for
    generative modeling", https://arxiv.org/abs/2210.02747.

    Examples:
        >>> print(generators.straight()(jnp.array(0.25)).noise)
        0.75
    """

    def place(time: Array) -> Place:
        time = jnp.asarray(time)
        one = jnp.ones_like(time)
        return Place(time, time, 1.0 - time, one, -one)

    return place


def linear(low: float = 0.1, high: float = 20.0) -> Path:
    """The path that keeps the variance, with noise that is added at a linear rate.

    With s = 1 - t, a^2 = exp(-low s - (high - low) s^2 / 2). In T equal steps the rates are
    1 - a(t)^2 / a(t + 1/T)^2; with the highest rate 10 and 5 steps they are those of Diffusion-QL
    and IDQL. Source: the variance-preserving process of Song et al. (2021), "Score-based generative
    modeling through stochastic differential equations", https://arxiv.org/abs/2011.13456. Raises an
    InputError unless 0 < low <= high.

    Examples:
        >>> print(generators.linear(0.1, 10.0)(jnp.array(0.0)).signal ** 2)
        0.0064
    """
    require_positive(low=low)
    require(low <= high, f"low must be at most high, but they are {low} and {high}.")

    def place(time: Array) -> Place:
        left = 1.0 - jnp.asarray(time)
        log = -(low * left + (high - low) * jnp.square(left) / 2)
        return preserving(jnp.exp(log / 2), jnp.sqrt(-jnp.expm1(log)))

    return place


def cosine(offset: float = 0.008, least_signal: float = 0.01) -> Path:
    """The path that keeps the variance, on which the angle of noise and signal falls evenly.

    With s = 1 - t, a = cos(angle(s)) / cos(angle(0)), where the angle grows linearly from
    (pi/2) offset / (1 + offset) to where a is `least_signal`. Source: Nichol and Dhariwal (2021),
    "Improved denoising diffusion probabilistic models", https://arxiv.org/abs/2102.09672, who let
    the signal come near to zero by clipping the rates of noise. Raises an InputError unless offset
    and least_signal lie between 0 and 1.

    Examples:
        >>> print(generators.cosine()(jnp.array([0.0, 1.0])).signal)
        [0.01 1.  ]
    """
    for name, value in (("offset", offset), ("least_signal", least_signal)):
        require(0 < value < 1, f"{name} must lie between 0 and 1, but it is {value}.")
    first = math.pi / 2 * offset / (1 + offset)
    final = math.acos(least_signal * math.cos(first))

    def place(time: Array) -> Place:
        angle = first + (1.0 - jnp.asarray(time)) * (final - first)
        # 1 - a^2 as a product, which does not cancel near the data.
        square = jnp.sin(angle + first) * jnp.sin(angle - first) / math.cos(first) ** 2
        noise = jnp.sqrt(jnp.maximum(square, 0.0))
        return preserving(jnp.cos(angle) / math.cos(first), noise)

    return place


# With the highest rate 20, five steps would leave nearly nothing for the first of them.
PATHS: dict[str, Callable[[], Path]] = {"cosine": cosine, "linear": lambda: linear(0.1, 10.0)}


def path_named(name: str) -> Path:
    """The path of diffusion that is called `name`: cosine, or linear with rates from 0.1 to 10.

    Raises an InputError for another name.

    Examples:
        >>> print(generators.path_named("cosine")(jnp.array(1.0)).noise)
        0.0
    """
    require_known("noise schedule", name, PATHS)
    return PATHS[name]()


def preserving(signal: Array, noise: Array) -> Place:
    """The place with a^2 + b^2 = 1, whose position u is minus the angle of the noise.

    So a = cos u and b = -sin u. The velocity b x - a e is that of Salimans and Ho (2022),
    "Progressive distillation for fast sampling of diffusion models",
    https://arxiv.org/abs/2202.00512, with the other sign, because time runs towards the data.
    """
    return Place(-jnp.arctan2(noise, signal), signal, noise, noise, -signal)


def wide(number: Array, x: Array) -> Array:
    """Numbers [...] that broadcast against x [..., *shape]."""
    number = jnp.asarray(number, x.dtype)
    return number.reshape(*number.shape, *(1,) * (x.ndim - number.ndim)) if number.ndim else number


def noised(place: Place, x: Array, noise: Array) -> Array:
    """The point a x + b e [..., *shape] of the path between samples and noise [..., *shape].

    Examples:
        >>> print(generators.noised(generators.straight()(jnp.array(0.25)), x, 0 * x))
        [ 0.25 -0.5 ]
    """
    return wide(place.signal, x) * x + wide(place.noise, x) * noise


def velocity(place: Place, x: Array, noise: Array) -> Array:
    """The velocity a' x + b' e [..., *shape] of the path between samples and noise.

    Examples:
        >>> print(generators.velocity(generators.straight()(jnp.array(0.25)), x, 0 * x + 1))
        [ 0. -3.]
    """
    return wide(place.signal_slope, x) * x + wide(place.noise_slope, x) * noise


def completed(kind: str, output: Array, x: Array, place: Place) -> Prediction:
    """All three predictions at points x [..., *shape], from the one of a `kind` [..., *shape].

    They are linear in each other: x_t = a x + b e and v = a' x + b' e. Raises an InputError for
    another kind.

    Examples:
        >>> place = generators.straight()(jnp.array(0.5))
        >>> print(generators.completed("velocity", x, jnp.zeros(2), place).data)
        [ 0.5 -1. ]
    """
    require_known("prediction", kind, PREDICTIONS)
    a, b, a_slope, b_slope = (wide(c, x) for c in place[1:])
    if kind == "velocity":
        # By Cramer's rule; the determinant is the same everywhere on paths of this module.
        determinant = a * b_slope - b * a_slope
        data = (b_slope * x - b * output) / determinant
        return Prediction(data, (a * output - a_slope * x) / determinant, output)
    if kind == "data":
        data, noise = output, (x - a * output) / jnp.maximum(b, TINY)
    else:
        data, noise = (x - b * output) / jnp.maximum(a, TINY), output
    return Prediction(data, noise, a_slope * data + b_slope * noise)
