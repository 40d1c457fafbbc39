"""The effective horizon: how far to look ahead of a random policy in order to act well.

Many processes are solved by the greedy policy of the random policy's action values, or of a few
optimal backups of them. The number of backups is a diagnostic of a process, to compare with the
samples that learners need.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import values
from jaxrl.dp.mdp import TabularMDP, averaged, discounted
from jaxrl.dp.operator import backup, expectation
from jaxrl.dp.scalar import finite_horizon
from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values import scalar

_backup = partial(backup, representation=scalar(), mix=expectation)


class EffectiveHorizon(NamedTuple):
    """Returns of the greedy policies of the random policy's improved action values."""

    k: Array  # [] int32 the least k that solves the process, depth + 1 if none does
    returns: Array  # [depth] of the greedy policy of Q_k, k = 1, 2, ..., not monotone in k
    optimal: Array  # [] the return of the optimal policy
    random: Array  # [] the return of the uniformly random policy


def effective_horizon(
    mdp: TabularMDP,
    horizon: int,
    depth: int | None = None,
    gamma: float | Array = 1.0,
    *,
    tolerance: float | Array = 1e-5,
) -> EffectiveHorizon:
    """Find the least k for which acting greedily on Q_k is optimal in episodes of `horizon` steps.

    Q_1 holds the action values of the uniformly random policy at each time, and Q_{k+1} the optimal
    backup of Q_k. Every greedy policy must be optimal: among actions that tie, up to `tolerance`
    times the largest return, the worst counts. `depth` is the largest k tried; the default,
    `horizon`, always suffices. The cost is depth * horizon backups. A process is solved if at most
    `tolerance` times the largest return is lost. Raises `InputError` unless horizon and depth are
    above zero. Source: Laidlaw et al. (2024), "The
    effective horizon explains deep RL performance in stochastic environments".

    Examples:
        >>> found = dp.effective_horizon(mdp, horizon=3)
        >>> print(found.k, found.optimal)
        1 4.0
    """
    depth = horizon if depth is None else depth
    require_positive(horizon=horizon, depth=depth)
    model = discounted(averaged(mdp), gamma)
    states, actions = mdp.transition.shape[:2]
    uniform = jnp.full((states, actions), 1 / actions)
    q = finite_horizon(mdp, horizon, gamma, partial(values.expected, probabilities=uniform))
    best = finite_horizon(mdp, horizon, gamma)
    slack = tolerance * jnp.maximum(jnp.abs(best).max(), jnp.abs(q).max())
    of_start = lambda value: mdp.initial @ value
    optimal = of_start(best[0].max(-1))

    def deeper(q: Array, _: None) -> tuple[Array, Array]:
        return optimal_backups(model, q), of_start(_worst_greedy(model, q, slack))

    _, returns = jax.lax.scan(deeper, q, None, depth)
    solves = returns >= optimal - slack
    k = jnp.where(solves.any(), jnp.argmax(solves) + 1, returns.size + 1)
    return EffectiveHorizon(k.astype(jnp.int32), returns, optimal, of_start(q[0].mean(-1)))


def optimal_backups(model: TabularMDP, q: Array) -> Array:
    """Return one optimal backup of action values [H, S, A] at each time.

    Values after the last time are zero. `model` is `averaged`, and its discounts include gamma.

    Examples:
        >>> print(dp.optimal_backups(dp.averaged(mdp), jnp.zeros((2, 2, 2)))[0])
        [[1. 0.]
         [8. 0.]]
    """
    following = jnp.concatenate([q[1:], jnp.zeros_like(q[:1])])
    return jax.vmap(lambda theta: _backup(model, theta=theta[..., None])[..., 0])(following)


def _worst_greedy(model: TabularMDP, q: Array, slack: Array) -> Array:
    """Return the value [S] at time 0 of the worst policy that is greedy in q [H, S, A]."""

    def stage(value: Array, q: Array) -> tuple[Array, None]:
        true = _backup(model, theta=value[:, None, None])[..., 0]
        greedy = q >= q.max(-1, keepdims=True) - slack
        return jnp.where(greedy, true, jnp.inf).min(-1), None

    return jax.lax.scan(stage, jnp.zeros(q.shape[1]), q, reverse=True)[0]
