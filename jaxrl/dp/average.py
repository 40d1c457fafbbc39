"""The average reward of processes that never end, on any chains, and what goes with it.

Discounts of the process are ignored here. Everything is dense, and decides what is recurrent by
rank: use float64 where probabilities of leaving a class may be tiny.
"""

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, averaged, expect, under
from jaxrl.dp.successor import policy_kernel
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution


def limiting_kernel(mdp: TabularMDP, policy: Array) -> Array:
    """Return the share of time [S, S] that a policy [S, A] spends in each state in the long run.

    It is the average of the powers of the kernel P, also where classes of recurrent states are
    several or periodic: the projection onto the null space of I - P along its range. Singular
    values below the root of the rounding error count as 0.

    Examples:
        >>> print(dp.limiting_kernel(mdp, policy))  # state 1 leads to itself
        [[0. 1.]
         [0. 1.]]
    """
    kernel = policy_kernel(_endless(mdp), policy, 1.0)
    left, weights, right = jnp.linalg.svd(jnp.eye(kernel.shape[0], dtype=kernel.dtype) - kernel)
    null = (weights <= jnp.finfo(weights.dtype).eps ** 0.5).astype(kernel.dtype)
    left, right = left * null, right.T * null
    # The identity stands for the directions that are not null.
    middle = left.T @ right + jnp.diag(1 - null)
    return right @ jnp.linalg.solve(middle, left.T)


def gain_and_bias(mdp: TabularMDP, policy: Array) -> tuple[Array, Array]:
    """Return the average reward [S] and the bias [S] of a policy [S, A].

    With the kernel P and its limit P*, of `limiting_kernel`, the gain is g = P* r and the bias
    h = (I - P + P*)^-1 (I - P*) r: for discounts near 1 values are g / (1 - gamma) + h. Source:
    Puterman (1994), "Markov decision processes", theorem 8.2.6 and appendix A.

    Examples:
        >>> gain, bias = dp.gain_and_bias(mdp, policy)
        >>> print(gain, bias)
        [8. 8.] [-16.   0.]
    """
    model = averaged(_endless(mdp))
    kernel, limit = policy_kernel(model, policy, 1.0), limiting_kernel(mdp, policy)
    reward = (policy * model.reward[..., 0]).sum(1)
    gain = limit @ reward
    matrix = jnp.eye(kernel.shape[0], dtype=kernel.dtype) - kernel + limit
    return gain, jnp.linalg.solve(matrix, reward - gain)


def multichain_policy_iteration(
    mdp: TabularMDP, tolerance: float | Array = 1e-6, max_iterations: int = 100
) -> tuple[Array, Array, Array]:
    """Return the largest average reward [S], the bias [S] and actions [S] that attain it.

    A policy is improved first in the gain, sum P g, and where no action raises that, in
    r + sum P h among the actions of the highest gain; an action stays unless another is better by
    more than `tolerance` times the largest value. It needs no condition on the chains, where
    `relative_value_iteration` needs states that communicate. Source:
    Puterman (1994), "Markov decision processes", section 9.2.

    Examples:
        >>> gain, bias, action = dp.multichain_policy_iteration(mdp)
        >>> print(gain, action)
        [8. 8.] [1 0]
    """
    endless = averaged(_endless(mdp))
    states, actions = mdp.transition.shape[:2]
    reward = endless.reward[..., 0]

    def better(score: Array, action: Array, among: Array) -> Array:
        """The best of some actions [S], or the present one if it is as good."""
        least = tolerance * jnp.maximum(jnp.abs(score).max(), jnp.abs(reward).max())
        score = jnp.where(among, score, -jnp.inf)
        now = jnp.take_along_axis(score, action[:, None], 1)[:, 0]
        return jnp.where(score.max(1) > now + least, score.argmax(1), action)

    def improve(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        action, _, count = carry
        gain, bias = gain_and_bias(mdp, jax.nn.one_hot(action, actions, dtype=reward.dtype))
        ahead = expect(endless, gain)
        new = better(ahead, action, jnp.ones_like(ahead, bool))
        least = tolerance * jnp.maximum(jnp.abs(ahead).max(), jnp.abs(reward).max())
        highest = ahead >= ahead.max(1, keepdims=True) - least
        by_bias = better(reward + expect(endless, bias), action, highest)
        new = jnp.where((new == action).all(), by_bias, new)
        return new, (new != action).any(), count + 1

    unfinished = lambda carry: carry[1] & (carry[2] < max_iterations)
    start = jnp.zeros(states, int), jnp.asarray(True), jnp.int32(0)
    action = jax.lax.while_loop(unfinished, improve, start)[0]
    gain, bias = gain_and_bias(mdp, jax.nn.one_hot(action, actions, dtype=reward.dtype))
    return gain, bias, action


def stationary_rewards(mdp: TabularMDP, policy: Array) -> ReturnDistribution:
    """Return the law [S, A * B] of a step's reward in the long run from each state.

    Its mean is the average reward, but the mean of a few of its quantiles is not. Source: Rojas and
    Lee (2025), "A differential perspective on distributional reinforcement learning".

    Examples:
        >>> print(values.mean(dp.stationary_rewards(mdp, policy)))
        [8. 8.]
    """
    process, limit = under(mdp, policy), limiting_kernel(mdp, policy)
    p = (limit[:, :, None] * process.transition[:, 0]).reshape(limit.shape[0], -1)
    return ReturnDistribution(jnp.broadcast_to(process.reward[:, 0].reshape(-1), p.shape), p)


def centred(mdp: TabularMDP, gain: Array) -> TabularMDP:
    """Return the process whose rewards are less by the average reward `gain` [] or [S].

    Its undiscounted returns are differential. Their means over long horizons tend to the bias, but
    their variance grows with the horizon, so that their distributions are those of
    `distributional_finite_horizon`, or of a gamma below 1.

    Examples:
        >>> print(dp.centred(mdp, jnp.array(8.0)).reward[:, 0, 0])
        [-7.  0.]
    """
    reward = mdp.reward - jnp.reshape(gain, (-1, 1, 1))
    return mdp._replace(reward=reward)


def _endless(mdp: TabularMDP) -> TabularMDP:
    return mdp._replace(discount=jnp.ones_like(mdp.discount))
