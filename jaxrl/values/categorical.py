"""Probabilities on fixed atoms: C51, two-hot and HL-Gauss."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require, require_positive
from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, accumulate, require_unsigned
from jaxrl.values.representations import Representation, collapsed

LEAST = 1e-37  # least projected probability, so that its logarithm is finite in float32
GREATEST = 1e30  # greatest logit, so that infinite ones do not become NaN

Spread = Callable[[Array, Array], Array]
"""(position [..., 1], indices [M]) -> the share [..., M] of each atom in a Dirac between atoms."""


class Support(NamedTuple):
    """The fixed atoms of a categorical distribution."""

    atoms: Array  # [M], ascending
    locate: Callable[[Array], Array]
    # locate: returns [...] -> positions [...] in [0, M - 1], linear between neighbouring atoms


def uniform_support(low: float | Array, high: float | Array, size: int) -> Support:
    """`size` evenly spaced atoms from `low` to `high`.

    Raises an InputError if there are fewer than two, if low is not below high, or if they are too
    close to each other, or too far from each other, for the precision of floats.

    Examples:
        >>> support = values.uniform_support(0.0, 8.0, 3)
        >>> print(support.atoms, support.locate(jnp.array(2.0)))
        [0. 4. 8.] 0.5
    """
    coarse = check(low, high, size)
    atoms = jnp.linspace(low, high, size)

    def even(returns: Array) -> Array:
        return jnp.clip((returns - low) * ((size - 1) / (high - low)), 0.0, size - 1.0)

    # Rounding makes the atoms uneven where they are close to each other and far from zero.
    return Support(atoms, between(atoms, even, coarse) if coarse else even)


def symlog_support(low: float | Array, high: float | Array, size: int) -> Support:
    """Atoms from `low` to `high`, evenly spaced in sign(x) log(1 + |x|).

    Source: Hafner et al. (2023). Raises an InputError as `uniform_support` does.

    Examples:
        >>> print(values.symlog_support(-3.0, 3.0, 5).atoms)
        [-3. -1.  0.  1.  3.]
    """
    warp = lambda x: jnp.sign(x) * jnp.log1p(jnp.abs(x))
    unwarp = lambda x: jnp.sign(x) * jnp.expm1(jnp.abs(x))
    return warped_support(low, high, size, warp, unwarp)


def asinh_support(low: float | Array, high: float | Array, size: int) -> Support:
    """Atoms from `low` to `high`, evenly spaced in arsinh(x).

    Raises an InputError as `uniform_support` does.

    Examples:
        >>> print(values.asinh_support(-1.875, 1.875, 5).atoms)
        [-1.875 -0.75   0.     0.75   1.875]
    """
    return warped_support(low, high, size, jnp.arcsinh, jnp.sinh)


def warped_support(
    low: float | Array,
    high: float | Array,
    size: int,
    warp: Callable[[Array], Array],
    unwarp: Callable[[Array], Array],
) -> Support:
    """Atoms from `low` to `high`, evenly spaced in warp(x), an increasing function.

    Raises an InputError as `uniform_support` does.

    Examples:
        >>> print(values.warped_support(1.0, 4.0, 3, jnp.log2, jnp.exp2).atoms)
        [1. 2. 4.]
    """
    coarse = check(low, high, size)
    low, high = jnp.asarray(low, float), jnp.asarray(high, float)
    even = uniform_support(warp(low), warp(high), size)
    atoms = unwarp(even.atoms).at[0].set(low).at[-1].set(high)
    return Support(atoms, between(atoms, lambda returns: even.locate(warp(returns)), coarse))


def between(
    atoms: Array, guess: Callable[[Array], Array], coarse: bool
) -> Callable[[Array], Array]:
    """The positions [...] of returns [...], linear between ascending atoms [M].

    `guess` gives positions between the right atoms, or if `coarse` between neighbours of these.
    """
    low, high, size = atoms[0], atoms[-1], atoms.shape[0]

    def locate(returns: Array) -> Array:
        returns = jnp.clip(returns, low, high)
        left = jnp.clip(guess(returns).astype(int), 0, size - 2)
        if coarse:
            left = jnp.maximum(left - (returns < atoms[left]), 0)
            left = jnp.minimum(left + (returns > atoms[left + 1]), size - 2)
        share = (returns - atoms[left]) / (atoms[left + 1] - atoms[left])
        return left + jnp.clip(share, 0.0, 1.0)

    return locate


def check(low: float | Array, high: float | Array, size: int) -> bool:
    """Raise an InputError unless there are two atoms or more, distinct and in ascending order.

    Returns whether rounding moves even atoms by a noticeable share of their distance.
    """
    require(size >= 2, f"A support needs at least two atoms, but size is {size}.")
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        return False
    first, last = np.asarray(low, np.float64), np.asarray(high, np.float64)
    require(bool(first < last), f"low must be below high, but they are {low} and {high}.")
    precision = jnp.finfo(jnp.result_type(float))
    step = (last - first) / (size - 1)
    error = float(precision.eps) * max(abs(first), abs(last))
    require(
        bool(last - first < precision.max) and bool(step > 2 * error),
        f"{size} atoms from {low} to {high} are not distinct {precision.dtype} numbers: choose "
        "bounds further from each other, fewer atoms, or finite bounds.",
    )
    return bool(step < 1e4 * error)


def linear(position: Array, indices: Array) -> Array:
    """Share a Dirac between its two neighbours so that its mean is kept.

    Examples:
        >>> print(values.linear(jnp.array([0.25]), jnp.arange(3.0)))
        [0.75 0.25 0.  ]
    """
    return jnp.maximum(1 - jnp.abs(position - indices), 0.0)


def gaussian_blur(width: float | Array) -> Spread:
    """Blur a Dirac by a Gaussian of standard deviation `width` atoms, cut off at the edges.

    Raises an InputError if the width is not positive.

    Examples:
        >>> print(values.gaussian_blur(0.5)(jnp.array([1.0]), jnp.arange(3.0)))
        [0.158 0.685 0.158]
    """
    require_positive(width=width)

    def spread(position: Array, indices: Array) -> Array:
        edges = jnp.concatenate([indices - 0.5, indices[-1:] + 0.5])
        # Twice the distribution function less one: it does not cancel where the width is large.
        mass = jax.scipy.special.erf((edges - position) / (width * 2**0.5))
        return (mass[..., 1:] - mass[..., :-1]) / (mass[..., -1:] - mass[..., :1])

    return spread


def on_support(
    support: Support, spread: Spread = linear
) -> Callable[[ReturnDistribution], ReturnDistribution]:
    """The linear map of distributions [..., N] to the atoms [M] of a support.

    A `SignedMeasure` stays one.

    Examples:
        >>> place = values.on_support(values.uniform_support(0.0, 8.0, 3))
        >>> print(place(values.dirac(jnp.array(3.0))).probabilities)
        [0.25 0.75 0.  ]
    """
    size = support.atoms.shape[0]
    indices = jnp.arange(size, dtype=support.atoms.dtype)

    def apply(distribution: ReturnDistribution) -> ReturnDistribution:
        placed = distribution._replace(atoms=support.locate(distribution.atoms))
        # For 256 distributions of 51 atoms on 51, with the loss and its gradient, on two cores: 100
        # microseconds as a scan over atoms, 174 as a scatter, 235 to 300 as a matrix [N, M].
        probabilities = accumulate(lambda x, p: p * spread(x, indices), placed)
        atoms = jnp.broadcast_to(support.atoms, probabilities.shape)
        return distribution._replace(atoms=atoms, probabilities=probabilities)

    return apply


def categorical(support: Support, spread: Spread = linear) -> Representation:
    """Probabilities softmax(theta) of fixed atoms, regressed with the cross-entropy.

    With the `linear` spread and a uniform support it is C51. Returns outside the support count as
    its nearest end. Source: Bellemare, Dabney and Munos (2017), equation 7.

    Examples:
        >>> c51 = values.categorical(values.uniform_support(0.0, 8.0, 3))
        >>> print(c51.decode(c51.project(z)).probabilities)
        [0.75 0.25 0.  ]
    """
    place = on_support(support, spread)
    bounded = lambda theta: jnp.clip(theta, -GREATEST, GREATEST)

    def decode(theta: Array) -> ReturnDistribution:
        atoms = jnp.broadcast_to(support.atoms, theta.shape)
        return ReturnDistribution(atoms, jax.nn.softmax(bounded(theta)))

    def project(distribution: ReturnDistribution) -> Array:
        require_unsigned(distribution, "The logarithm of a probability")
        return jnp.log(jnp.maximum(place(distribution).probabilities, LEAST))

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return -(place(distribution).probabilities * jax.nn.log_softmax(bounded(theta))).sum(-1)

    return Representation(support.atoms.shape[0], decode, project, loss)


def two_hot(support: Support) -> Representation:
    """A mean, as the probabilities of the two atoms around it: value regression by classification.

    The mean of the outputs is exactly what was projected, if inside the support.

    Examples:
        >>> classes = values.two_hot(values.uniform_support(0.0, 8.0, 3))
        >>> print(classes.decode(classes.project(values.shift(z, 1.0))).probabilities)  # of 2
        [0.5 0.5 0. ]
    """
    return collapsed(categorical(support))


def hl_gauss(support: Support, width: float | Array = 0.75) -> Representation:
    """A mean, as a histogram of a Gaussian of standard deviation `width` atoms around it.

    The mean of the outputs is off by some 1e-4 atoms or less where it is at least 2.5 atoms away
    from either end of the support (at the default width). Nearer than that the Gaussian is cut off
    and the mean is biased inwards: by 0.001 atoms at 2 atoms from the end, 0.01 at 1.5, 0.046 at 1,
    0.15 at 0.5 and 0.37 at the end itself. Means outside the support count as its nearest end,
    since the histogram of a Gaussian that is outside is 0/0. Choose a support that is some atoms
    wider than the range of returns. On a squashed support, whose atoms are not even, the mean is
    also biased away from zero: by up to 1.1 % for 51 atoms on symlog(-100, 100).
    Source: Imani and White (2018), for value functions Farebrother et al. (2024).

    Examples:
        >>> classes = values.hl_gauss(values.uniform_support(-9.0, 11.0, 21))
        >>> print(values.mean(classes.decode(classes.project(z))))
        1.0
    """
    return collapsed(categorical(support, gaussian_blur(width)))
