"""Dynamic programming for expected values: the Bellman operator on scalar tables.

Each solver takes a process whose discounts are 0 at terminations and 1 elsewhere, and `gamma`
separately. Each can be compiled, vmapped over processes, `gamma`, temperatures and tolerances, and
differentiated in both modes: the derivatives are those of the exact fixed point, by the implicit
function theorem, of any order. Tables are action values [S, A]. The tolerance is relative to the
largest value, and is at least its rounding error; `Solution.converged` says whether the residual
met it within `max_iterations`.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxrl.dp.iteration import Solution, fixed_point, implicit, iterate, largest, threshold
from jaxrl.dp.mdp import TabularMDP, averaged, averaged_under, chosen, discounted
from jaxrl.dp.operator import Select, backup, collapsed, expectation, highest, regularised, stages
from jaxrl.errors import require_positive
from jaxrl.types import Array
from jaxrl.values import greedy, scalar

SCALAR = scalar()


def value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    select: Select = highest,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A] by value iteration.

    `select` says what the values of actions are worth in a state, whose policy is optimal: the
    highest, or with a bonus for regularity, such as `partial(values.tsallis, temperature=0.5)`.

    The largest error is at most gamma / (1 - gamma) * residual, and the value of the greedy policy
    is within 2 gamma / (1 - gamma) * residual of the optimum. Source: Puterman (1994), "Markov
    decision processes", section 6.3.

    Examples:
        >>> print(dp.value_iteration(mdp, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    select = select if select is highest else collapsed(select)
    return _solve(averaged(mdp), gamma, select, tolerance, max_iterations)


def soft_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    temperature: float | Array,
    reference: float | Array = 0.0,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A] with an entropy bonus or a penalty.

    `reference` is 0 for entropy, or the finite logarithms [S, A] of a policy to stay close to, as
    in `regularised`; the optimal policy is the softmax of reference + theta / temperature. The
    largest error is at most gamma / (1 - gamma) * residual. Raises `InputError` unless the
    temperature is above zero. Source: Geist, Scherrer and Pietquin (2019), "A theory of
    regularized Markov decision processes".

    Examples:
        >>> print(dp.soft_value_iteration(mdp, 0.5, temperature=0.01).theta)
        [[1. 2.]
         [8. 1.]]
    """
    require_positive(temperature=temperature)
    select = collapsed(partial(regularised, temperature=temperature, reference=reference))
    return _solve(averaged(mdp), gamma, select, tolerance, max_iterations)


def policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the action values [S, A] of a policy [S, A] of probabilities.

    The largest error is at most gamma^2 / (1 - gamma) * residual, the residual being that of state
    values.

    Examples:
        >>> print(dp.policy_evaluation(mdp, policy, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    values = _solve(averaged_under(mdp, policy), gamma, highest, tolerance, max_iterations)
    model = discounted(averaged(mdp), gamma)
    return values._replace(theta=_backup(model, values.theta))


def policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 100,
    max_sweeps: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A] by policy iteration.

    An action is changed only for one that is better by more than `tolerance` times the largest
    value, which is also the residual of each evaluation, of at most `max_sweeps` sweeps. The result
    is the value of a policy and within twice that over 1 - gamma of the optimal values;
    `iterations` counts policies. Source: Howard (1960), "Dynamic programming and Markov processes".

    Examples:
        >>> print(dp.policy_iteration(mdp, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)

    def evaluate(action: Array, value: Array) -> Array:
        operator = partial(_backup, chosen(model, action))
        step = lambda value: _with_residual(operator(value), value)
        return iterate(step, value, tolerance, max_sweeps).theta

    def step(state: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], Array]:
        action, value, _ = state
        value = evaluate(action, value)
        theta = _backup(model, value)
        gain = theta.max(1) - _chosen(theta, action)[:, 0]
        better = gain > threshold(tolerance, largest(theta))
        return (jnp.where(better, theta.argmax(1), action), value, theta), gain.max()

    def run(theta: Array) -> Solution:
        start = jnp.zeros(theta.shape[0], int), jnp.zeros_like(theta[:, :1]), theta
        solution = iterate(step, start, tolerance, max_iterations)
        return solution._replace(theta=solution.theta[2])

    return implicit(partial(_backup, model), run, _zeros(mdp), max_sweeps)


def modified_policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    sweeps: int = 10,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A], with `sweeps` sweeps of each greedy policy.

    A sweep of a policy costs one A-th of one over all actions; with 0 sweeps it is value iteration.
    The residual is the largest difference between the state values and their optimal backup; the
    largest error of the table is gamma / (1 - gamma) * residual. Source: Puterman (1994), section
    6.5.

    Examples:
        >>> print(dp.modified_policy_iteration(mdp, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)

    def step(state: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        theta = _backup(model, state[0])
        action = theta.argmax(1)
        process, value = chosen(model, action), _chosen(theta, action)
        residual = jnp.abs(value - state[0]).max()
        value = jax.lax.fori_loop(0, sweeps, lambda _, value: _backup(process, value), value)
        return (value, theta), residual

    def run(theta: Array) -> Solution:
        solution = iterate(step, (theta[:, :1], theta), tolerance, max_iterations)
        return solution._replace(theta=solution.theta[1])

    return implicit(partial(_backup, model), run, _zeros(mdp), max_iterations)


def relative_value_iteration(
    mdp: TabularMDP,
    relaxation: float | Array = 0.5,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 100_000,
) -> tuple[Array, Solution]:
    """Return the largest average reward [] of a process that never ends, and relative values.

    Every pair of states must communicate under some policy; discounts are ignored. The residual is
    the span of the change of the state values in a sweep, and the error of the average reward is at
    most half of it. The table [S, A] holds action values above the average reward, relative to
    state 0. A `relaxation` of 1 is the plain method, which does not converge on periodic processes.
    Source: Puterman (1994), sections 8.5.4 (periodic processes) and 8.5.5.

    Examples:
        >>> print(dp.relative_value_iteration(mdp)[0])  # to stop in state 1, for ever
        8.0
    """
    model = averaged(mdp._replace(discount=jnp.ones_like(mdp.discount)))

    def added(value: Array) -> tuple[Array, Array]:
        theta = _backup(model, value)
        return theta.max(1, keepdims=True) - value, theta

    def operator(value: Array) -> Array:
        value = value + relaxation * added(value)[0]
        return value - value[:1]

    def step(state: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        value, _ = state
        change, theta = added(value)
        value = value + relaxation * (change - change[:1])
        return (value - value[:1], largest(theta)), jnp.ptp(change)

    def run(value: Array) -> Solution:
        solution = iterate(step, (value, value[0, 0]), tolerance, max_iterations)
        return solution._replace(theta=solution.theta[0])

    solution = implicit(operator, run, _zeros(mdp)[:, :1], max_iterations)
    change, theta = added(solution.theta)
    gain = (change.max() + change.min()) / 2
    return gain, solution._replace(theta=theta - gain)


def finite_horizon(
    mdp: TabularMDP, horizon: int, gamma: float | Array = 1.0, select: Select = greedy
) -> Array:
    """Return the action values [horizon, S, A] at each time of an episode of `horizon` steps.

    They are exact. With `select` greedy they are optimal; with `partial(expected,
    probabilities=policy)` they are those of a policy [S, A]. At time t there are horizon - t steps
    to go. Raises `InputError` unless there is a step.

    Examples:
        >>> print(dp.finite_horizon(mdp, horizon=2)[0])
        [[1. 4.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)
    return stages(model, SCALAR, horizon, collapsed(select), expectation)[..., 0]


def _backup(model: TabularMDP, table: Array, select: Select = highest) -> Array:
    """Apply the operator to [S, A] or [S, 1]: a last axis of length 1 would make loops slower."""
    return backup(model, SCALAR, table[..., None], select, expectation)[..., 0]


def _chosen(table: Array, action: Array) -> Array:
    """Return the values [S, 1] of one action [S] in each state."""
    return jnp.take_along_axis(table, action[:, None], 1)


def _with_residual(new: Array, old: Array) -> tuple[Array, Array]:
    return new, jnp.abs(new - old).max()


def _zeros(mdp: TabularMDP) -> Array:
    return jnp.zeros(mdp.transition.shape[:2])


def _solve(
    model: TabularMDP,
    gamma: float | Array,
    select: Select,
    tolerance: float | Array,
    max_iterations: int | Array,
) -> Solution:
    """Iterate the operator of an averaged process, not yet discounted, from a table of zeros."""
    operator = partial(_backup, discounted(model, gamma), select=select)
    return fixed_point(operator, _zeros(model), tolerance, max_iterations)
