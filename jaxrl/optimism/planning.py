"""Planning with bonuses: backward induction whose mixtures are raised or lowered.

Optimism is a way to mix successors: the mean of the empirical process plus a width that shrinks
with the number of visits. Subtracted instead, the width gives pessimistic values, which bound those
of a policy from below. Rewards are assumed not to be negative.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.dp.scalar import SCALAR
from jaxrl.errors import require_non_negative, require_positive
from jaxrl.optimism.counts import Counts, empirical
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution, dirac, expected, mean

Bonus = Callable[[Counts, Array], Array]
"""(counts, values [S] of the successors) -> widths [S, A] of the pairs that were visited."""
Critic = Callable[[Counts], Array]
"""Counts -> action values [H, S, A] at each time of an episode."""


def hoeffding(scale: float | Array) -> Bonus:
    """Return the width scale / sqrt(N) after N visits.

    For returns in [0, H] the bound of Hoeffding has the scale H sqrt(log(2 / delta) / 2), with
    failures of probability delta; in practice a tenth of it explores enough.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.hoeffding(0.5)(seen, jnp.zeros(2))[0, 1])
        0.5
    """
    require_non_negative(scale=scale)
    return lambda counts, values: scale / jnp.sqrt(jnp.maximum(counts.visits, 1))


def bernstein(scale: float | Array, span: float | Array) -> Bonus:
    """Return the width scale sd sqrt(2 / N) + scale^2 span / N after N visits.

    Here sd is the empirical standard deviation of the value of the successor plus that of the
    reward, and `span` is the largest return. With scale^2 = log(1 / delta) it has the form of
    Bernstein's bound. Source: Azar, Osband and Munos (2017), "Minimax regret bounds for
    reinforcement learning", https://arxiv.org/abs/1703.05449.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.bernstein(0.5, span=8.0)(seen, jnp.zeros(2))[0, 1])
        2.0
    """
    require_non_negative(scale=scale, span=span)

    def width(counts: Counts, values: Array) -> Array:
        visits = jnp.maximum(counts.visits, 1)
        kernel = counts.continued / visits[..., None]
        deviation = jnp.sqrt(_variance(kernel @ values**2, kernel @ values))
        deviation += jnp.sqrt(_variance(counts.square / visits, counts.reward / visits))
        return scale * deviation * jnp.sqrt(2 / visits) + scale**2 * span / visits

    return width


def _variance(second: Array, first: Array) -> Array:
    return jnp.maximum(second - first**2, 0.0)


def optimistic(
    counts: Counts,
    bonus: Bonus,
    horizon: int,
    policy: Array | None = None,
    most: float | Array = 1.0,
) -> Array:
    """Return upper bounds [H, S, A] of the action values at each time of an episode.

    Backwards, Q_h = min(c_h, r + P V_{h+1} + bonus) with the empirical rewards r and kernel P, and
    V the largest Q, or the expected one under a `policy` [H, S, A]. The ceiling c_h is `most`, the
    highest reward of a step, times the number of steps to go, and the value of what was never
    tried. Acting greedily in it is UCBVI. Raises `InputError` unless there is a step. Source: Azar,
    Osband and Munos (2017), "Minimax regret bounds for reinforcement learning",
    https://arxiv.org/abs/1703.05449.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.optimistic(seen, optimism.hoeffding(0.5), horizon=1, most=8.0)[0])
        [[8.  0.5]
         [8.  8. ]]
    """
    ceiling = most * _to_go(horizon)

    def mix(highest: Array, model: dp.TabularMDP, arriving: ReturnDistribution) -> Array:
        likely, width = _interval(counts, bonus, model, arriving)
        return jnp.where(counts.visits > 0, jnp.minimum(likely + width, highest), highest)

    return _induction(empirical(counts), mix, ceiling, policy)


def pessimistic(counts: Counts, bonus: Bonus, horizon: int, policy: Array | None = None) -> Array:
    """Return lower bounds [H, S, A] of the action values at each time of an episode.

    It is `optimistic` with the bonus subtracted and with zero, the least return, for what was never
    tried. Raises `InputError` unless there is a step.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.pessimistic(seen, optimism.hoeffding(0.5), horizon=1)[0])
        [[0.  0. ]
         [7.5 0. ]]
    """

    def mix(_: Array, model: dp.TabularMDP, arriving: ReturnDistribution) -> Array:
        likely, width = _interval(counts, bonus, model, arriving)
        return jnp.where(counts.visits > 0, jnp.maximum(likely - width, 0.0), 0.0)

    return _induction(empirical(counts), mix, _to_go(horizon), policy)


def certain(counts: Counts, horizon: int) -> Array:
    """Return the values [H, S, A] of the empirical process, and zero for what was never tried.

    Acting greedily in them is certainty equivalence, which does not explore.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.certain(seen, horizon=1)[0])
        [[0. 0.]
         [8. 0.]]
    """
    return pessimistic(counts, hoeffding(0.0), horizon)


def episode_values(mdp: dp.TabularMDP, policy: Array) -> Array:
    """Return the action values [H, S, A] of a policy [H, S, A] that depends on the time.

    Examples:
        >>> first, second = jnp.array([[0.0, 1.0]] * 2), jnp.array([[1.0, 0.0]] * 2)
        >>> print(optimism.episode_values(mdp, jnp.stack([first, second]))[0])
        [[1. 4.]
         [8. 1.]]
    """
    mix = lambda _, model, arriving: mean(dp.expectation(model, arriving))
    return _induction(dp.averaged(mdp), mix, _to_go(policy.shape[0]), policy)


def episode_return(mdp: dp.TabularMDP, policy: Array) -> Array:
    """Return the expected return [] of an episode under a policy [H, S, A].

    Examples:
        >>> first, second = jnp.array([[0.0, 1.0]] * 2), jnp.array([[1.0, 0.0]] * 2)
        >>> print(optimism.episode_return(mdp, jnp.stack([first, second])))
        4.0
    """
    return mdp.initial @ (policy[0] * episode_values(mdp, policy)[0]).sum(-1)


def best_return(mdp: dp.TabularMDP, horizon: int) -> Array:
    """Return the expected return [] of an episode under the best policy.

    Examples:
        >>> print(optimism.best_return(mdp, horizon=2))
        4.0
    """
    return mdp.initial @ dp.finite_horizon(mdp, horizon)[0].max(-1)


def greedy_policy(q: Array) -> Array:
    """Return the policy [..., A] of the best actions in q [..., A], each of equal probability.

    Examples:
        >>> print(optimism.greedy_policy(jnp.array([3.0, 1.0, 3.0])))
        [0.5 0.  0.5]
    """
    best = q == q.max(-1, keepdims=True)
    return best / best.sum(-1, keepdims=True)


def _interval(
    counts: Counts, bonus: Bonus, model: dp.TabularMDP, arriving: ReturnDistribution
) -> tuple[Array, Array]:
    """Return the mean [S, A] and the width [S, A] of a backup of the empirical process."""
    likely = mean(dp.expectation(model, arriving))
    return likely, bonus(counts, mean(arriving)[0, 0])


def _to_go(horizon: int) -> Array:
    require_positive(horizon=horizon)
    return jnp.arange(horizon, 0, -1).astype(float)


def _induction(
    model: dp.TabularMDP,
    mix: Callable[[Array, dp.TabularMDP, ReturnDistribution], Array],
    bounds: Array,
    policy: Array | None,
) -> Array:
    """Return the tables [H, S, A] of backups whose mixtures see the bounds [H] of each time."""

    def back(theta: Array, inputs: tuple[Array, Array | None]) -> tuple[Array, Array]:
        bound, probabilities = inputs
        select = dp.highest
        if probabilities is not None:
            select = dp.collapsed(partial(expected, probabilities=probabilities))
        mixed = lambda model, arriving: dirac(mix(bound, model, arriving))
        theta = dp.backup(model, SCALAR, theta, select, mixed)
        return theta, theta[..., 0]

    # The values of a time are mixed by the policy of the next one; after the last all are zero.
    after = None if policy is None else jnp.concatenate([policy[1:], policy[-1:]])
    start = dp.zeros(SCALAR, *model.transition.shape[:2])
    return jax.lax.scan(back, start, (bounds, after), reverse=True)[1]
