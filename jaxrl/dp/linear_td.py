"""Temporal differences on linear features: least squares, gradients and emphasis.

What is learnt from is a stream of `Steps`, sampled in order. Values are features @ weights. Each
learning rule is a pair of functions in the manner of optax, and `learn` runs it along a stream.

Examples:
    Two steps, from a state of feature 1 to one of feature 2, which then ends:

    >>> x, one = jnp.array([[1.0], [2.0]]), jnp.ones(2)
    >>> steps = dp.Steps(x, one, jnp.array([0.5, 0.0]), jnp.array([[2.0], [0.0]]), one)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_fraction, require_non_negative, require_positive
from jaxrl.types import Array, Tree


class Steps(NamedTuple):
    """T steps of experience on linear features; a first axis of T, or none for a single one."""

    features: Array  # [T, D] of the state, or of the pair
    reward: Array  # [T]
    discount: Array  # [T] gamma times 0 at termination, else 1
    following: Array  # [T, D] features of the successor, in expectation over the target policy
    ratio: Array  # [T] probability of the action under the target policy over that it was drawn by


class Rule(NamedTuple):
    """A learning rule: a state from weights [D], how a step changes it, and its weights."""

    init: Callable[[Array], Tree]
    update: Callable[[Tree, Steps], Tree]
    weights: Callable[[Tree], Array]


def lstd(
    steps: Steps,
    trace: float | Array = 0.0,
    ridge: float | Array = 0.0,
    weight: Array | float = 1.0,
) -> Array:
    """Return the weights [D] at which the temporal differences vanish on average.

    They solve A w = b of A = sum z (phi - gamma phi')^T + ridge I and b = sum z r, with the traces
    z_t = ratio_t (phi_t + trace discount_{t-1} z_{t-1}): what TD(trace) converges to. `weight` [T]
    or [] counts steps as often as their states are to be visited, as for exact expectations over
    one row for each state (trace 0). If A is singular the result is not finite; a ridge moves the
    solution. A discount of 0 cuts traces; cut a stream of several episodes there. Source: Bradtke
    and Barto (1996), "Linear least-squares algorithms for temporal difference learning"; traces:
    Boyan (2002). Raises `InputError` unless the trace is in [0, 1] and the ridge at least 0.

    Examples:
        >>> print(dp.lstd(steps, trace=1.0))  # (1 + 2.5) / (2.5 * 2)
        [0.7]
    """
    require_fraction(trace=trace)
    require_non_negative(ridge=ridge)

    size = steps.features.shape[-1]
    zero = jnp.zeros(size, steps.features.dtype)
    often = jnp.broadcast_to(jnp.asarray(weight, zero.dtype), steps.reward.shape)[:, None]

    def follow(carry: tuple[Array, Array], now: Steps) -> tuple[tuple[Array, Array], Array]:
        z, discount = carry
        z = now.ratio * (now.features + trace * discount * z)
        return (z, now.discount), z

    if isinstance(trace, int | float) and trace == 0:
        traces = steps.ratio[:, None] * steps.features
    else:
        traces = jax.lax.scan(follow, (zero, jnp.zeros((), zero.dtype)), steps)[1]
    differences = steps.features - steps.discount[:, None] * steps.following
    # One product over all steps takes a twentieth of the time of adding one step after another.
    weighted = (often * traces).T
    matrix, right = weighted @ differences, weighted @ steps.reward
    return jnp.linalg.solve(matrix + ridge * jnp.eye(size, dtype=zero.dtype), right)


def lspi(
    features: Array,
    reward: Array,
    discount: Array,
    following: Array,
    iterations: int = 20,
    ridge: float | Array = 0.0,
    weight: Array | float = 1.0,
) -> tuple[Array, Array]:
    """Return weights [D] of action values by least-squares policy iteration, and the last change.

    `features` [N, D] are of pairs and `following` [N, A, D] of every action in the successors.
    Each iteration is `lstd` of the policy that is greedy in the last one, on the same samples. The
    change [] in the weights is 0 where the policy has become stable; it may cycle instead. Source:
    Lagoudakis and Parr (2003), "Least-squares policy iteration". Raises `InputError` unless
    `iterations` is above zero.

    Examples:
        >>> after = jnp.zeros((2, 2, 1))  # both steps end
        >>> print(*dp.lspi(jnp.ones((2, 1)), jnp.array([1.0, 3.0]), jnp.zeros(2), after))
        [2.] 0.0
    """
    require_positive(iterations=iterations)
    one = jnp.ones_like(reward)

    def improve(weights: Array, _: None) -> tuple[Array, Array]:
        action = (following @ weights).argmax(-1)
        chosen = jnp.take_along_axis(following, action[:, None, None], 1)[:, 0]
        new = lstd(Steps(features, reward, discount, chosen, one), 0.0, ridge, weight)
        return new, jnp.abs(new - weights).max()

    start = jnp.zeros(features.shape[-1], features.dtype)
    weights, changes = jax.lax.scan(improve, start, None, iterations)
    return weights, changes[-1]


def td_lambda(step_size: float | Array, trace: float | Array = 0.0) -> Rule:
    """Return TD with accumulating traces: w += step_size delta z, as defined at `lstd`.

    It converges on-policy; off-policy it may diverge for every step size. Source: Sutton (1988),
    "Learning to predict by the methods of temporal differences".

    Examples:
        >>> print(dp.learn(dp.td_lambda(0.1), steps, jnp.zeros(1))[-1])  # 0.1, then 0.1 * 2 * 0.8
        [0.26]
    """

    def update(state: tuple[Array, Array, Array], step: Steps) -> tuple[Array, Array, Array]:
        weights, z, discount = state
        z = step.ratio * (step.features + trace * discount * z)
        return weights + step_size * _error(weights, step) * z, z, step.discount

    return Rule(lambda w: (w, 0 * w, 0 * w[0]), update, lambda state: state[0])


def gtd2(step_size: float | Array, auxiliary: float | Array) -> Rule:
    """Return GTD2, which descends the projected Bellman error off-policy: two step sizes.

    u += auxiliary (ratio delta - phi.u) phi and w += step_size ratio (phi - gamma phi') (phi.u).
    Source: Sutton et al. (2009), "Fast gradient-descent methods for temporal-difference learning
    with linear function approximation".

    Examples:
        >>> print(dp.learn(dp.gtd2(0.1, 1.0), steps, jnp.zeros(1))[-1])
        [0.4]
    """
    return _gradient(step_size, auxiliary, corrected=False)


def tdc(step_size: float | Array, auxiliary: float | Array) -> Rule:
    """Return TDC: TD with a correction by the gradient, to the solution of `gtd2`.

    w += step_size ratio (delta phi - gamma phi' (phi.u)), with u as in `gtd2`. Source: as there.

    Examples:
        >>> print(dp.learn(dp.tdc(0.1, 1.0), steps, jnp.zeros(1))[0])  # u is 0 at first
        [0.1]
    """
    return _gradient(step_size, auxiliary, corrected=True)


def emphatic_td(
    step_size: float | Array, trace: float | Array = 0.0, interest: float | Array = 1.0
) -> Rule:
    """Return emphatic TD, which weighs updates by how much later values rest on them.

    F_t = interest + discount_{t-1} ratio_{t-1} F_{t-1}, M_t = trace interest + (1 - trace) F_t,
    z_t = ratio_t (trace discount_{t-1} z_{t-1} + M_t phi_t) and w += step_size delta z. Its
    expected matrix is positive definite off-policy, but F may have an infinite variance. Source:
    Sutton, Mahmood and White (2016), "An emphatic approach to the problem of off-policy
    temporal-difference learning".

    Examples:
        >>> print(dp.learn(dp.emphatic_td(0.1), steps, jnp.zeros(1))[-1])  # F is 1, then 1.5
        [0.34]
    """
    require_fraction(trace=trace)

    def update(state: tuple[Array, ...], step: Steps) -> tuple[Array, ...]:
        weights, z, follow, carried, discount = state
        follow = interest + carried * follow
        emphasis = trace * interest + (1 - trace) * follow
        z = step.ratio * (trace * discount * z + emphasis * step.features)
        weights = weights + step_size * _error(weights, step) * z
        return weights, z, follow, step.discount * step.ratio, step.discount

    zero = lambda w: jnp.zeros((), w.dtype)
    return Rule(lambda w: (w, 0 * w, zero(w), zero(w), zero(w)), update, lambda state: state[0])


def learn(rule: Rule, steps: Steps, weights: Array) -> Array:
    """Return the weights [T, D] after each step of a stream, beginning from `weights` [D].

    Examples:
        >>> print(dp.learn(dp.td_lambda(0.5), steps, jnp.zeros(1)))
        [[0.5]
         [0.5]]
    """

    def step(state: Tree, now: Steps) -> tuple[Tree, Array]:
        state = rule.update(state, now)
        return state, rule.weights(state)

    return jax.lax.scan(step, rule.init(weights), steps)[1]


def _error(weights: Array, step: Steps) -> Array:
    """Return the temporal difference [] of a step."""
    return step.reward + step.discount * step.following @ weights - step.features @ weights


def _gradient(step_size: float | Array, auxiliary: float | Array, corrected: bool) -> Rule:
    def update(state: tuple[Array, Array], step: Steps) -> tuple[Array, Array]:
        weights, u = state
        expected = step.features @ u  # of the temporal difference
        error = _error(weights, step)
        lead = error if corrected else expected
        direction = lead * step.features - expected * step.discount * step.following
        u = u + auxiliary * (step.ratio * error - expected) * step.features
        return weights + step_size * step.ratio * direction, u

    return Rule(lambda w: (w, 0 * w), update, lambda state: state[0])
