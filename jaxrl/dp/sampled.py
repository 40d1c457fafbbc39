"""Distributional temporal differences in a table, from a stream of steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Array
from jaxrl.values import Representation, push


class Moves(NamedTuple):
    """T steps between numbered states."""

    state: Array  # [T] int
    reward: Array  # [T]
    discount: Array  # [T] gamma times 0 at termination, else 1
    following: Array  # [T] int


def distributional_td(
    representation: Representation, moves: Moves, theta: Array, step_size: Array | float
) -> Array:
    """Return the table [S, K] of return distributions after a stream of steps, from `theta`.

    Each step descends the loss of the outputs of its state on the pushed distribution of the next:
    theta(s) -= step_size grad loss(theta(s), r + discount Z(s')). With `values.quantile(N, 0)` it
    is quantile TD: theta_i += step_size (tau_i - P(r + discount Z < theta_i)), whose limit is that
    of `distributional_policy_evaluation` with the same representation; means of few quantiles are
    biased. `step_size` [T] should fall for the limit to be reached. Source: Rowland et al. (2024),
    "An analysis of quantile temporal-difference learning".

    Examples:
        >>> moves = dp.sampled.Moves(*(jnp.array([x]) for x in (0, 8.0, 0.0, 0)))
        >>> family = values.quantile(2, kappa=0.0)
        >>> print(dp.distributional_td(family, moves, jnp.zeros((1, 2)), 0.4))
        [[0.1 0.3]]
    """
    slope = jax.grad(representation.loss)

    def step(theta: Array, now: tuple[Moves, Array]) -> tuple[Array, None]:
        (state, reward, discount, following), size = now
        target = push(representation.decode(theta[following]), reward, discount)
        return theta.at[state].add(-size * slope(theta[state], target)), None

    sizes = jnp.broadcast_to(jnp.asarray(step_size, theta.dtype), moves.reward.shape)
    return jax.lax.scan(step, theta, (moves, sizes))[0]
