"""Pessimistic and robust value iteration on linear features, from a fixed set of transitions.

Backwards through an episode, each step is one ridge regression. Robustness changes its target;
pessimism subtracts a penalty where there are few data.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.types import Array


class LinearBatch(NamedTuple):
    """A batch of N transitions of each of H steps of an episode, as features of pairs."""

    features: Array  # [H, N, D] of (s, a)
    reward: Array  # [H, N]
    discount: Array  # [H, N] 0 at termination, else 1
    following: Array  # [H, N, A, D] features of (s', a) for every action a


class LinearValues(NamedTuple):
    """Pessimistic action values that are linear in features, for each step."""

    weights: Array  # [H, D]
    penalty: Array  # [H, D] of each feature
    least: Array  # [H] lower bound of the return to go
    most: Array  # [H] upper bound of the return to go


Regress = Callable[[Array], Array]
"""Targets [N, ...] -> ridge coefficients [D, ...]."""
Expectation = Callable[[Regress, Array, Array, Array], Array]
"""(regress, values [N] of the successors, their bounds [] and []) -> coefficients [D].

Factor i of the features stands for a distribution of successors, and coefficient i for the
(worst-case) expectation of the values under it.
"""


def nominal(regress: Regress, values: Array, least: Array, most: Array) -> Array:
    """Return the nominal expectation: regress the values themselves."""
    return regress(values)


def total_variation(
    regress: Regress, values: Array, least: Array, most: Array, price: float | Array
) -> Array:
    """Return the worst case at a price per probability moved to the worst value in the data."""
    return regress(jnp.minimum(values, values.min() + price))


def kl(regress: Regress, values: Array, least: Array, most: Array, price: float | Array) -> Array:
    """Return the worst case at a price on relative entropy: regress exp(-V / price), take the log.

    The regressed moments are clipped to what the bounds allow, so that the logarithm exists. They
    underflow if the price is below about a hundredth of the range of the values; the worst case is
    then too low.
    """
    low = values.min()
    moment = regress(jnp.exp(-(values - low) / price))
    # In logarithms, for a bound may underflow or overflow where its logarithm does not.
    smallest = jnp.finfo(moment.dtype).tiny
    worst = low - price * jnp.log(jnp.maximum(moment, smallest))
    return jnp.clip(worst, least, most)


def chi_square(
    regress: Regress,
    values: Array,
    least: Array,
    most: Array,
    price: float | Array,
    levels: int = 257,
) -> Array:
    """Return the worst case at a price on the chi-square divergence, each factor at its best level.

    The level is one of `levels` equidistant ones between the least and the largest value: an error
    of order levels^-2. Moments are clipped to what the bounds allow.
    """
    level = jnp.linspace(values.min(), values.max(), levels)
    capped = jnp.minimum(values[:, None], level) - least  # [N, levels]
    first = jnp.clip(regress(capped), 0.0, most - least)
    second = jnp.clip(regress(capped**2), 0.0, (most - least) ** 2)
    return least + (first - (second - first**2) / (4 * price)).max(-1)


def constrained_total_variation(
    regress: Regress,
    values: Array,
    least: Array,
    most: Array,
    radius: float | Array,
    levels: int = 257,
) -> Array:
    """Return the worst case if at most `radius` of probability moves to the worst value in data.

    It is the maximum over levels a of E[min(V, a)] - radius (a - min V), of `levels` equidistant
    ones for each factor: as many regressions as levels, where a price needs one.
    """
    level = jnp.linspace(values.min(), values.max(), levels)
    capped = regress(jnp.minimum(values[:, None], level))
    return (capped - radius * (level - values.min())).max(-1)


def least_squares_value_iteration(
    batch: LinearBatch,
    expectation: Expectation = nominal,
    pessimism: float | Array = 0.0,
    ridge: float | Array = 1.0,
    least: float | Array = 0.0,
    most: float | Array = 1.0,
) -> LinearValues:
    """Return robust and pessimistic action values of an episode, by backward induction.

    With L = ridge I + sum of f f' over the features f of a step, the value of a pair of features f
    is lowered by pessimism * sum_i |f_i| sqrt((L^-1)_ii), one elliptical norm for each factor,
    because each has its own worst case. `least` and `most` bound the reward of a step, and thereby
    the values. Robust expectations are `total_variation`, `kl` and `chi_square` with their price,
    or `constrained_total_variation` with its radius, given by `functools.partial`; they assume
    features that are probabilities of factors. Raises `InputError` unless `ridge` is above zero.
    Source: Tang, Liu and Xu (2025), "Robust offline reinforcement learning with linearly structured
    f-divergence regularization".

    Examples:
        >>> ones = jnp.ones((1, 3, 1))
        >>> batch = dp.LinearBatch(ones, ones[..., 0], 0 * ones[..., 0], ones[..., None])
        >>> print(dp.least_squares_value_iteration(batch).weights)  # 3 / (3 + ridge)
        [[0.75]]
    """
    require_positive(ridge=ridge)
    horizon = batch.reward.shape[0]
    to_go = jnp.arange(horizon, 0, -1)

    def stage(after: LinearValues, inputs: tuple) -> tuple[LinearValues, LinearValues]:
        data, steps = inputs
        dimensions = data.features.shape[-1]
        gram = data.features.T @ data.features + ridge * jnp.eye(dimensions)
        regress = lambda y: jnp.linalg.solve(gram, data.features.T @ y)
        value = data.discount * linear_action_values(after, data.following).max(-1)
        weights = regress(data.reward) + expectation(regress, value, after.least, after.most)
        penalty = pessimism * jnp.sqrt(jnp.diag(jnp.linalg.inv(gram)))
        values = LinearValues(weights, penalty, *_bounds(steps, least, most))
        return values, values

    zero = jnp.zeros(batch.features.shape[-1])
    start = LinearValues(zero, zero, *_bounds(0.0 * to_go[0], least, most))
    return jax.lax.scan(stage, start, (batch, to_go.astype(zero.dtype)), reverse=True)[1]


def linear_action_values(values: LinearValues, features: Array) -> Array:
    """Return the action values [...] of features [..., D] at one step of `values`.

    Examples:
        >>> ones = jnp.ones((1, 3, 1))
        >>> batch = dp.LinearBatch(ones, ones[..., 0], 0 * ones[..., 0], ones[..., None])
        >>> first = jax.tree.map(lambda x: x[0], dp.least_squares_value_iteration(batch))
        >>> print(dp.linear_action_values(first, jnp.array([0.5])))
        0.375
    """
    q = features @ values.weights - jnp.abs(features) @ values.penalty
    return jnp.clip(q, values.least, values.most)


def _bounds(steps: Array, least: float | Array, most: float | Array) -> tuple[Array, Array]:
    # An episode may end early, with nothing more to gain or lose.
    return steps * jnp.minimum(least, 0.0), steps * jnp.maximum(most, 0.0)
