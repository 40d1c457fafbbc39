"""Estimates of a policy's return from episodes of another one, with their standard errors.

Episodes are arrays [N, T], of reward 0 after their end. Each estimator returns one number for each
episode, whose mean is the estimate: `estimate` adds the interval, so that what estimates are
compared by is always there. Ratios are the probabilities of actions under the target policy over
those under the behaviour, which must be positive wherever the target's are.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP
from jaxrl.dp.successor import policy_kernel
from jaxrl.errors import require, require_fraction
from jaxrl.types import Array, Key


class Estimate(NamedTuple):
    """A mean with a 95 % interval by the normal law."""

    mean: Array  # []
    low: Array  # []
    high: Array  # []
    standard_error: Array  # []


def estimate(contributions: Array) -> Estimate:
    """Return the mean [] of independent contributions [N], and its interval.

    Importance weights have heavy tails: where a few of them carry the mean, the interval is too
    short.

    Examples:
        >>> print(dp.estimate(jnp.array([1.0, 3.0])).low)  # 2 - 1.96
        0.04
    """
    number = contributions.shape[0]
    require(number > 1, f"An interval needs two episodes or more, not {number}.")
    mean = contributions.mean()
    error = contributions.std(ddof=1) / number**0.5
    return Estimate(mean, mean - 1.96 * error, mean + 1.96 * error, error)


def importance_sampling(reward: Array, ratio: Array, gamma: float | Array) -> Array:
    """Return the returns [N] of episodes times the products of all their ratios.

    Examples:
        >>> ones, ratio = jnp.ones((1, 2)), jnp.array([[2.0, 0.5]])
        >>> print(dp.importance_sampling(ones, ratio, 1.0), dp.per_decision(ones, ratio, 1.0))
        [2.] [3.]
    """
    return ratio.prod(1) * (reward * _powers(reward, gamma)).sum(1)


def per_decision(reward: Array, ratio: Array, gamma: float | Array) -> Array:
    """Return sums [N] of gamma^t times the product of the ratios up to t times the reward.

    Later ratios have mean 1 given what came before, and are left out. Source: Precup, Sutton and
    Singh (2000), "Eligibility traces for off-policy policy evaluation".

    Examples:
        >>> print(dp.per_decision(jnp.ones((1, 2)), jnp.array([[2.0, 3.0]]), 0.5))  # 2 + 3
        [5.]
    """
    return (jnp.cumprod(ratio, 1) * reward * _powers(reward, gamma)).sum(1)


def weighted_per_decision(reward: Array, ratio: Array, gamma: float | Array) -> Array:
    """Return `per_decision` with the weights of each time divided by their mean over episodes.

    Biased and consistent, and never outside the range of what was earned. The contributions [N]
    are linearised, so that their mean is the estimate and their spread its standard error.

    Examples:
        >>> ratio = jnp.array([[2.0], [2.0]])
        >>> print(dp.weighted_per_decision(jnp.array([[1.0], [3.0]]), ratio, 1.0).mean())
        2.0
    """
    weights = jnp.cumprod(ratio, 1)
    share = weights / weights.mean(0)  # [N, T]
    mean = (share * reward).mean(0)
    return ((mean + share * (reward - mean)) * _powers(reward, gamma)).sum(1)


def doubly_robust(
    reward: Array,
    ratio: Array,
    action_values: Array,
    state_values: Array,
    gamma: float | Array,
    alive: Array | float = 1.0,
) -> Array:
    """Return contributions [N] that are right if either ratios or action values are.

    v_t = V(s_t) + ratio_t (r_t + gamma v_{t+1} - Q(s_t, a_t)) backwards from v_T = 0, for the
    model's Q [N, T] of what was done and V [N, T], the expectation of Q under the target policy.
    `alive` [N, T] is 0 after the end of an episode. Unbiased for any Q if the ratios are right;
    with Q 0 it is `per_decision`. With the exact Q only the chance of successors and starts is
    left. Source: Jiang and Li (2016), "Doubly robust off-policy value evaluation for reinforcement
    learning".

    Examples:
        >>> one, model = jnp.ones((1, 2)), jnp.array([[2.0, 1.0]])
        >>> print(dp.doubly_robust(one, 7 * one, model, model, 1.0))  # an exact model
        [2.]
    """
    alive = jnp.broadcast_to(jnp.asarray(alive, reward.dtype), reward.shape)

    def back(later: Array, step: tuple[Array, ...]) -> tuple[Array, None]:
        r, rho, q, v, on = step
        return on * (v + rho * (r + gamma * later - q)), None

    columns = (x.T for x in (reward, ratio, action_values, state_values, alive))
    return jax.lax.scan(back, jnp.zeros_like(reward[:, 0]), tuple(columns), reverse=True)[0]


def stationary_ratios(mdp: TabularMDP, policy: Array, data: Array, gamma: float | Array) -> Array:
    """Return the ratios [S, A] of a policy's occupancy to the distribution `data` [S, A] of pairs.

    The ratios zeta = nu - gamma P nu minimise E_data[zeta^2] / 2 - (1 - gamma) E[nu(s_0, a_0)],
    without the occupancy itself: DualDICE. The return is E_data[zeta r] / (1 - gamma), whatever
    policy the data came from, without products of ratios over time; `estimate` of
    zeta(s, a) r / (1 - gamma) over samples has its interval for given ratios, and `bootstrap` of
    `dice` that with their own error. Here nu is a table and the process that of
    the data, for instance `jaxrl.models` of its counts; `data` must be positive
    wherever the policy goes. Source: Nachum et al. (2019), "DualDICE: behavior-agnostic estimation
    of discounted stationary distribution corrections".

    Examples:
        >>> data = jnp.full((2, 2), 0.25)
        >>> print(dp.stationary_ratios(mdp, policy, data, 0.5))  # 4 (1 - gamma) occupancy
        [[0.  2. ]
         [0.5 0. ]]
    """
    states, actions = policy.shape
    visited = data.reshape(-1)
    # P nu at a pair: the policy's mean of nu in the successors.
    step = jax.vmap(
        lambda a: policy_kernel(mdp, jnp.broadcast_to(a, policy.shape), gamma),
    )(jnp.eye(actions, dtype=policy.dtype))  # [A, S, S]
    kernel = jnp.moveaxis(step, 0, 1).reshape(-1, states)  # of pairs
    backup = (kernel[:, :, None] * policy).reshape(visited.size, -1)
    change = jnp.eye(visited.size, dtype=backup.dtype) - backup
    start = ((1 - gamma) * mdp.initial[:, None] * policy).reshape(-1)
    # The minimum of a quadratic: change^T diag(data) change nu = start.
    nu = jnp.linalg.solve(change.T @ (visited[:, None] * change), start)
    return (change @ nu).reshape(states, actions)


def bootstrap(
    estimator: Callable[[Array], Array],
    episodes: int,
    key: Key,
    draws: int = 200,
    level: float | Array = 0.95,
) -> Estimate:
    """Return the estimate from N episodes, with the interval of those from episodes drawn again.

    `estimator` takes weights [N] of the episodes, how often each counts, to an estimate []. The
    interval is between the quantiles of `draws` estimates, each from N episodes drawn with
    replacement, that leave out (1 - level) / 2 at each end; the standard error is the deviation of
    these estimates. It counts the error of whatever the estimator fits to the episodes. Episodes
    are drawn whole because their steps are dependent. Source: the percentile method of Efron and
    Tibshirani (1993), "An introduction to the bootstrap", chapter 13. Raises `InputError` unless
    there are two episodes and two draws, and the level is in [0, 1].

    Examples:
        >>> paid = jnp.array([1.0, 3.0])
        >>> mean = lambda weights: (weights * paid).mean()
        >>> found = dp.bootstrap(mean, 2, jax.random.key(0))  # 1, 2 or 3
        >>> print(found.mean, found.low, found.high)
        2.0 1.0 3.0
    """
    require(
        episodes > 1 and draws > 1,
        f"A bootstrap needs two episodes and two draws or more, not {episodes} and {draws}.",
    )
    require_fraction(level=level)
    picked = jax.random.randint(key, (draws, episodes), 0, episodes)
    weights = jax.vmap(lambda index: jnp.zeros(episodes).at[index].add(1.0))(picked)
    again = jax.vmap(estimator)(weights)
    tail = (1 - jnp.asarray(level, again.dtype)) / 2
    low, high = jnp.quantile(again, jnp.stack([tail, 1 - tail]))
    return Estimate(estimator(jnp.ones(episodes)), low, high, again.std(ddof=1))


class Episodes(NamedTuple):
    """Episodes of a finite process, as arrays [N, T]: what `dice` learns from."""

    state: Array  # index
    action: Array  # index
    reward: Array
    discount: Array  # 0 at termination, else 1
    successor: Array  # index
    alive: Array  # 0 after the end of an episode, else 1


def dice(
    data: Episodes, policy: Array, gamma: float | Array, weights: Array | float = 1.0
) -> Array:
    """Return the return [] of a policy [S, A], by `stationary_ratios` to weighted episodes.

    It is E_data[zeta r] / (1 - gamma), where the process in which zeta is solved for is that of the
    counts, and first states are those of the episodes. With `weights` [N] of the episodes it is
    what `bootstrap` repeats. Every pair that the policy visits must be among the data.

    Examples:
        >>> one = jnp.ones((2, 1))
        >>> data = dp.Episodes(0 * one, jnp.array([[0], [1]]), 8 * one, 0 * one, 0 * one, one)
        >>> data = jax.tree.map(lambda x: x.astype(int), data)
        >>> even = jnp.array([[0.5, 0.5]])
        >>> estimator = lambda weights: dp.dice(data, even, 0.5, weights)
        >>> print(estimator(jnp.array([1.0, 2.0])))
        8.0
    """
    states, actions = policy.shape
    weight = data.alive * jnp.asarray(weights, policy.dtype).reshape(-1, 1)
    at = data.state, data.action, data.successor
    zero = jnp.zeros((states, actions, states), policy.dtype)
    visits, paid, kept = (zero.at[at].add(weight * x) for x in (1.0, data.reward, data.discount))
    number = jnp.maximum(visits, 1e-12)
    total = visits.sum(-1)
    chances = visits / jnp.maximum(total, 1e-12)[..., None]
    first = jnp.zeros(states, policy.dtype).at[data.state[:, 0]].add(weight[:, 0])
    mdp = TabularMDP(chances, paid / number, kept / number, first / first.sum())
    visited = total / total.sum()
    ratios = stationary_ratios(mdp, policy, visited, gamma)
    reward = paid.sum(-1) / jnp.maximum(total, 1e-12)
    return (visited * ratios * reward).sum() / (1 - gamma)


def _powers(reward: Array, gamma: float | Array) -> Array:
    return jnp.asarray(gamma, reward.dtype) ** jnp.arange(reward.shape[1])
