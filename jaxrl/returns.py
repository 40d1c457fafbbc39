"""Returns and advantages along trajectories, time first: [T, ...].

In every function `reward` is [T, ...]; `discount` [T, ...] is the agent's discount times that of
the environment, so that it is 0 at a termination; `last` [T, ...] is true at each episode
boundary, terminated or truncated; `value` [T, ...] is V(S_t) and `next_value` [T, ...] is V of the
true successor of step t, never of a reset observation. A boundary cuts traces, a truncation
bootstraps from its successor, and the end of the array counts as a truncation.

Everything is differentiable and no gradient is stopped here: the papers do not differentiate
targets of V-trace, Retrace or Q(lambda), so a loss has to stop it. All raise an InputError if there
is no step, or if an array per step has another shape than the rewards.

Examples:
    The examples of this page share two steps of an episode that goes on:

    >>> import jax.numpy as jnp
    >>> from jaxrl import returns
    >>> reward, discount = jnp.array([1.0, 2.0]), jnp.array([0.5, 0.5])
    >>> last = jnp.array([False, False])
    >>> value, next_value = jnp.array([1.0, 1.0]), jnp.array([1.0, 2.0])
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError, require, require_positive
from jaxrl.types import Array


def backwards(increment: Array, carry: Array) -> Array:
    """The solution [T, ...] of x_t = increment_t + carry_t x_{t+1} with x_T = 0.

    Examples:
        >>> print(returns.backwards(reward, discount))
        [2. 2.]
    """

    def step(future: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        future = now[0] + now[1] * future
        return future, future

    # Neither unrolled nor an associative scan: on two cores, for 128 steps of 4, 64 or 2048 lanes
    # and their gradients, those are 1 to 6 times as slow, and slower to compile.
    dtype = jnp.result_type(increment, carry)
    increment, carry = increment.astype(dtype), carry.astype(dtype)
    start = jnp.zeros_like(increment[0])
    return jax.lax.scan(step, start, (increment, carry), reverse=True)[1]


def check(reward: Array, **arrays: Array) -> None:
    """Raise an InputError unless there is a step and all arrays have the shape of the rewards.

    Examples:
        >>> returns.check(reward, last=last)
        >>> returns.check(reward, last=last[:1])
        Traceback (most recent call last):
        jaxrl.errors.InputError: last must have the shape of reward: ...
    """
    shape = jnp.shape(reward)
    steps = len(shape) > 0 and shape[0] > 0
    require(steps, f"reward must be [T, ...] with T at least 1, but its shape is {shape}.")
    for name, array in arrays.items():
        if jnp.shape(array) != jnp.shape(reward):
            shapes = f"{jnp.shape(array)}, but reward has {jnp.shape(reward)}"
            raise InputError(f"{name} must have the shape of reward: it has {shapes}.")


def gae(
    reward: Array, discount: Array, last: Array, value: Array, next_value: Array, lam: float | Array
) -> Array:
    """Generalised advantage estimates A [T, ...].

    A_t = delta_t + discount_t lam A_{t+1}, delta_t = R_{t+1} + discount_t V(S_{t+1}) - V(S_t),
    without the second term at a boundary. Source: Schulman et al. (2016), equation 16.

    Examples:
        >>> print(returns.gae(reward, discount, last, value, next_value, lam=0.5))
        [1. 2.]
    """
    check(reward, discount=discount, last=last, value=value, next_value=next_value)
    delta = reward + discount * next_value - value
    return backwards(delta, jnp.where(last, 0.0, lam * discount))


def lambda_returns(
    reward: Array, discount: Array, last: Array, next_value: Array, lam: float | Array
) -> Array:
    """Truncated lambda-returns G [T, ...].

    G_t = R_{t+1} + discount_t ((1 - lam) V(S_{t+1}) + lam G_{t+1}), with V(S_{t+1}) alone at a
    boundary and at the end. Source: Sutton and Barto (2018), equation 12.3.

    Examples:
        >>> print(returns.lambda_returns(reward, discount, last, next_value, lam=0.5))
        [2. 3.]
    """
    check(reward, discount=discount, last=last, next_value=next_value)
    lam = jnp.where(last, 0.0, lam).at[-1].set(0.0)
    return backwards(reward + discount * (1 - lam) * next_value, lam * discount)


def n_step_returns(reward: Array, discount: Array, last: Array, next_value: Array, n: int) -> Array:
    """n-step returns G [T, ...], shorter where a boundary or the end comes first.

    G_t = sum_{k<m} (prod_{j<k} discount_{t+j}) R_{t+k+1} + (prod_{j<m} discount_{t+j}) V(S_{t+m}),
    with m the least of n and the steps left. Source: Sutton and Barto (2018), equation 7.1.
    Raises an InputError if `n` is not positive.

    Examples:
        >>> print(returns.n_step_returns(reward, discount, last, next_value, n=2))
        [2.5 3. ]
    """
    check(reward, discount=discount, last=last, next_value=next_value)
    require_positive(n=n)
    end = jnp.asarray(last).at[-1].set(True)
    horizon = reward + discount * next_value  # the return over one step

    def longer(returns: Array, _: None) -> tuple[Array, None]:
        shifted = jnp.concatenate([returns[1:], returns[-1:]])
        return jnp.where(end, horizon, reward + discount * shifted), None

    return jax.lax.scan(longer, horizon, None, n - 1)[0]


class VTrace(NamedTuple):
    """Targets for a critic and advantages for a policy gradient."""

    target: Array  # [T, ...]
    advantage: Array  # [T, ...]


def vtrace(
    reward: Array,
    discount: Array,
    last: Array,
    value: Array,
    next_value: Array,
    ratio: Array,
    lam: float | Array = 1.0,
    clip_ratio: float = 1.0,
    clip_trace: float = 1.0,
) -> VTrace:
    """V-trace targets, for importance ratios pi / mu [T, ...] of the actions taken.

    v_t - V(S_t) = delta_t + discount_t c_t (v_{t+1} - V(S_{t+1})), delta_t = rho_t (R_{t+1} +
    discount_t V(S_{t+1}) - V(S_t)), rho_t = min(clip_ratio, ratio_t), c_t = lam min(clip_trace,
    ratio_t); the advantage is rho_t (R_{t+1} + discount_t v_{t+1} - V(S_t)), where v_{t+1} is
    V(S_{t+1}) at a boundary and at the end. Source: Espeholt et al. (2018), equation 1 and
    section 4.2.

    Examples:
        >>> ratio = jnp.array([1.0, 2.0])
        >>> print(returns.vtrace(reward, discount, last, value, next_value, ratio).target)
        [2.5 3. ]
    """
    check(reward, discount=discount, last=last, value=value, next_value=next_value, ratio=ratio)
    rho = jnp.minimum(clip_ratio, ratio)
    trace = jnp.where(last, 0.0, lam * jnp.minimum(clip_trace, ratio))
    error = backwards(rho * (reward + discount * next_value - value), discount * trace)
    target = value + error
    following = jnp.concatenate([target[1:], next_value[-1:]])
    following = jnp.where(last, next_value, following)
    return VTrace(target, rho * (reward + discount * following - value))


def off_policy_returns(
    reward: Array,
    discount: Array,
    last: Array,
    action_value: Array,
    next_value: Array,
    trace: Array,
) -> Array:
    """Off-policy targets [T, ...] for the values of the actions taken, for any traces c [T, ...].

    `action_value` [T, ...] is Q(S_t, A_t) and `next_value` [T, ...] is E_pi Q(S_{t+1}, .). The
    target is Q(S_t, A_t) + sum_{s>=t} (prod_{t<i<=s} discount_{i-1} c_i) delta_s with delta_s =
    R_{s+1} + discount_s E_pi Q(S_{s+1}, .) - Q(S_s, A_s). Traces pi / mu give importance
    sampling, lam min(1, pi / mu) Retrace, lam pi Tree-backup, and lam Harutyunyan's Q(lambda).
    Source: Munos et al. (2016), equation 3 and table 1.

    Examples:
        >>> trace = jnp.array([0.5, 0.5])
        >>> print(returns.off_policy_returns(reward, discount, last, value, next_value, trace))
        [2. 3.]
    """
    values = {"action_value": action_value, "next_value": next_value}
    check(reward, discount=discount, last=last, trace=trace, **values)
    following = jnp.concatenate([trace[1:], jnp.zeros_like(trace[:1])])
    delta = reward + discount * next_value - action_value
    return action_value + backwards(delta, jnp.where(last, 0.0, discount * following))


def retrace(
    reward: Array,
    discount: Array,
    last: Array,
    action_value: Array,
    next_value: Array,
    ratio: Array,
    lam: float | Array,
) -> Array:
    """Retrace(lambda) targets [T, ...], for importance ratios pi / mu [T, ...] of A_t.

    They are `off_policy_returns` with the traces lam min(1, ratio). Source: Munos et al. (2016),
    equation 4.

    Examples:
        >>> ratio = jnp.array([1.0, 2.0])
        >>> print(returns.retrace(reward, discount, last, value, next_value, ratio, lam=0.5))
        [2. 3.]
    """
    trace = lam * jnp.minimum(1.0, ratio)
    return off_policy_returns(reward, discount, last, action_value, next_value, trace)


def peng_q_lambda(
    reward: Array, discount: Array, last: Array, next_action_values: Array, lam: float | Array
) -> Array:
    """Peng's Q(lambda) targets [T, ...], from Q(S_{t+1}, .) [T, ..., A].

    They are lambda-returns with the greedy value of the successor, whatever the behaviour does
    next: the Q(lambda) of deep agents, biased off policy unless lam is 0.
    Source: Peng and Williams (1996), section 3.

    Examples:
        >>> next_q = jnp.array([[1.0, 0.0], [2.0, 0.0]])
        >>> print(returns.peng_q_lambda(reward, discount, last, next_q, lam=0.5))
        [2. 3.]
    """
    return lambda_returns(reward, discount, last, next_action_values.max(-1), lam)


def watkins_q_lambda(
    reward: Array,
    discount: Array,
    last: Array,
    next_action_values: Array,
    greedy: Array,
    lam: float | Array,
) -> Array:
    """Watkins's Q(lambda) targets [T, ...], from Q(S_{t+1}, .) [T, ..., A].

    `greedy` [T, ...] tells whether A_t is greedy in S_t; traces are cut before an action that is
    not. Source: Watkins (1989); Sutton and Barto (2018), section 12.10.

    Examples:
        >>> next_q, greedy = jnp.array([[1.0, 0.0], [2.0, 0.0]]), jnp.array([True, False])
        >>> print(returns.watkins_q_lambda(reward, discount, last, next_q, greedy, lam=0.5))
        [1.5 3. ]
    """
    value = next_action_values.max(-1)
    check(reward, discount=discount, last=last, greedy=greedy, next_value=value)
    following = jnp.concatenate([greedy[1:], jnp.ones_like(greedy[:1])])
    kept = jnp.where(following, lam, 0.0)
    kept = jnp.where(last, 0.0, kept).at[-1].set(0.0)
    return backwards(reward + discount * (1 - kept) * value, kept * discount)
