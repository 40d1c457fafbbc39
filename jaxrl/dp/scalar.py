"""Dynamic programming for expected values: the operator with a scalar table.

Each takes a process whose discounts are 0 at terminations and 1 elsewhere, and `gamma` apart; each
can be compiled, and vmapped over processes, `gamma`, temperatures and tolerances. Tables are
[S, A], of action values. In float32 a residual below 1e-7 of the largest value may never come.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, averaged, averaged_under, chosen, discounted
from jaxrl.dp.operator import (
    Select,
    Solution,
    backup,
    collapsed,
    expectation,
    iterate,
    soft,
    stages,
    zeros,
)
from jaxrl.types import Array
from jaxrl.values import greedy, scalar, take

SCALAR = scalar()
_expected_backup = partial(backup, mix=expectation)


def value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The optimal action values [S, A].

    They are within gamma / (1 - gamma) * residual of the truth, and the greedy policy's value
    within 2 gamma / (1 - gamma) * residual, in the largest difference. Source: Puterman (1994),
    "Markov decision processes", section 6.3.
    """
    return _solve(averaged(mdp), gamma, greedy, tolerance, max_iterations)


def soft_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    temperature: float | Array,
    reference: float | Array = 0.0,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The optimal action values [S, A] with an entropy bonus, or a penalty, as of `soft`.

    `reference` is 0 for entropy, or the finite logarithms [S, A] of a policy to stay close to;
    the optimal policy is the softmax of reference + theta / temperature. Within
    gamma / (1 - gamma) * residual of the truth. Source: Geist, Scherrer and Pietquin (2019), "A
    theory of regularized Markov decision processes".
    """
    select = collapsed(partial(soft, temperature=temperature, reference=reference))
    return _solve(averaged(mdp), gamma, select, tolerance, max_iterations)


def policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The action values [S, A] of a policy [S, A] of probabilities.

    Within gamma^2 / (1 - gamma) * residual of the truth, the residual being that of state values.
    """
    values = _solve(averaged_under(mdp, policy), gamma, greedy, tolerance, max_iterations)
    model = discounted(averaged(mdp), gamma)
    return values._replace(theta=_expected_backup(model, SCALAR, values.theta[..., None])[..., 0])


def policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 100,
    max_sweeps: int | Array = 10_000,
) -> Solution:
    """The optimal action values [S, A], by evaluating a policy, acting greedily, and again.

    An action is changed only for one that is better by more than `tolerance`, which is also the
    residual of each evaluation, of at most `max_sweeps` sweeps. The values are those of a policy
    and within (residual + tolerance) / (1 - gamma) of the optimal ones; `iterations` counts
    policies. Source: Howard (1960), "Dynamic programming and Markov processes".
    """
    model = discounted(averaged(mdp), gamma)

    def evaluate(action: Array, value: Array) -> Array:
        process = chosen(model, action)
        return iterate(_sweep(process, greedy), value, tolerance, max_sweeps).theta

    def step(state: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], Array]:
        action, value, _ = state
        value = evaluate(action, value)
        theta = _expected_backup(model, SCALAR, value)
        gain = theta.max(1)[:, 0] - take(theta, action)[:, 0]
        action = jnp.where(gain > tolerance, theta[..., 0].argmax(1), action)
        return (action, value, theta), gain.max()

    states, actions, _ = mdp.transition.shape
    start = jnp.zeros(states, jnp.int32), zeros(SCALAR, states, 1), zeros(SCALAR, states, actions)
    solution = iterate(step, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[2][..., 0])


def modified_policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    sweeps: int = 10,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The optimal action values [S, A], with `sweeps` sweeps of each greedy policy in between.

    A sweep of a policy costs one A-th of one over all actions. 0 sweeps are value iteration. The
    residual is the largest difference between the state values and their optimal backup; the
    table is within gamma / (1 - gamma) * residual of the truth. Source: Puterman (1994), section
    6.5.
    """
    model = discounted(averaged(mdp), gamma)

    def step(state: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        theta = _expected_backup(model, SCALAR, state[0])
        action = theta[..., 0].argmax(1)
        process, value = chosen(model, action), take(theta, action)[:, None]
        residual = jnp.abs(value - state[0]).max()
        value = jax.lax.fori_loop(
            0, sweeps, lambda _, value: _expected_backup(process, SCALAR, value), value
        )
        return (value, theta), residual

    states, actions, _ = mdp.transition.shape
    start = zeros(SCALAR, states, 1), zeros(SCALAR, states, actions)
    solution = iterate(step, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[1][..., 0])


def relative_value_iteration(
    mdp: TabularMDP,
    relaxation: float | Array = 0.5,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 100_000,
) -> tuple[Array, Solution]:
    """The largest average reward [] of a process that goes on for ever, and relative values.

    Every pair of states must communicate under some policy; discounts are ignored. The residual
    is the span of how much a sweep adds to the state values, and the average reward is within
    half of it. The table [S, A] is of action values above the average reward, relative to state
    0. A `relaxation` of 1 is the plain method, which a periodic process defeats. Source: Puterman
    (1994), sections 8.5.4 (periodic processes) and 8.5.5.
    """
    model = averaged(mdp._replace(discount=jnp.ones_like(mdp.discount)))

    def step(state: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], Array]:
        value = state[0]  # [S, 1, 1]
        theta = _expected_backup(model, SCALAR, value)
        added = theta.max(1, keepdims=True) - value
        gain = (added.max() + added.min()) / 2
        value = value + relaxation * (added - gain)
        return (value - value[:1], theta - gain, gain), added.max() - added.min()

    states, actions, _ = mdp.transition.shape
    start = zeros(SCALAR, states, 1), zeros(SCALAR, states, actions), jnp.zeros(())
    solution = iterate(step, start, tolerance, max_iterations)
    _, theta, gain = solution.theta
    return gain, solution._replace(theta=theta[..., 0])


def finite_horizon(
    mdp: TabularMDP, horizon: int, gamma: float | Array = 1.0, select: Select = greedy
) -> Array:
    """Action values [horizon, S, A] at each time of an episode of `horizon` steps, exact.

    With `select` greedy they are optimal; with `partial(expected, probabilities=policy)` those of
    a policy [S, A]. At time t there are horizon - t steps to go. Differentiable in the
    process and in gamma.
    """
    model = discounted(averaged(mdp), gamma)
    return stages(model, SCALAR, horizon, collapsed(select), expectation)[..., 0]


def _sweep(model: TabularMDP, select: Select):
    """One sweep, and how much it changed at most."""

    def step(theta: Array) -> tuple[Array, Array]:
        new = _expected_backup(model, SCALAR, theta, select)
        return new, jnp.abs(new - theta).max()

    return step


def _solve(
    model: TabularMDP,
    gamma: float | Array,
    select: Select,
    tolerance: float | Array,
    max_iterations: int | Array,
) -> Solution:
    """Iterate an averaged process, undiscounted as yet, from a table of zeros."""
    start = zeros(SCALAR, *model.transition.shape[:2])
    step = _sweep(discounted(model, gamma), select)
    solution = iterate(step, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[..., 0])
