"""Value iteration in other orders and with memory: in place, by priority, and accelerated.

All of them have the fixed point, the tolerances and the derivatives of `jaxrl.dp.scalar`, and
count in `iterations` what they say.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.iteration import (
    Operator,
    Solution,
    implicit,
    iterate,
    largest,
    largest_difference,
)
from jaxrl.dp.mdp import TabularMDP, averaged, dense, discounted, expect
from jaxrl.errors import require_positive
from jaxrl.types import Array


class _Mixing(NamedTuple):
    """Where Anderson mixing is, and where it was."""

    x: Array  # [N] the next point
    plain: Array  # [N] what the operator gave last, to fall back on
    residual: Array  # [] of the last point that was accepted
    points: Array  # [memory, N] results of the operator
    changes: Array  # [memory, N] results less points
    filled: Array  # [memory] 1 where there is a result
    best: Array  # [N] the last result that was accepted


def accelerated(
    operator: Operator,
    start: Array,
    tolerance: float | Array,
    max_iterations: int | Array,
    memory: int = 5,
    scale: Callable[[Array], Array] = largest,
) -> Solution:
    """Return the fixed point of an operator on tables by Anderson acceleration.

    The next point is the combination of the last `memory` + 1 results, with weights that sum to 1,
    whose residuals combine to the smallest norm. A point whose residual is not below the last one
    is thrown away with the memory, and the result before it is taken, so that the residuals
    contract wherever those of the plain iteration do. `iterations` counts applications of the
    operator. For linear operators it is a Krylov method, which ends after as many iterations as
    there are unknowns. Source: Geist and Scherrer (2018), "Anderson acceleration for reinforcement
    learning". Raises `InputError` unless `memory` is above zero.

    Examples:
        >>> turn = jnp.array([[0.0, 0.9], [-0.9, 0.0]])
        >>> found = dp.accelerated(lambda x: turn @ x + 1, jnp.zeros(2), 1e-5, 100)
        >>> print(found.theta, found.iterations < 10)
        [1.05 0.055] True
    """
    require_positive(memory=memory)
    shape = start.shape

    def step(state: _Mixing) -> tuple[_Mixing, Array]:
        result = operator(state.x.reshape(shape)).ravel()
        change = result - state.x
        residual = largest(change)
        worse = residual >= state.residual
        # Differences to the present one: the weights sum to 1 by construction.
        rows = jnp.where(state.filled[:, None] > 0, change - state.changes, 0.0)
        weights = jnp.linalg.lstsq(rows.T, change)[0]
        moved = jnp.where(state.filled[:, None] > 0, result - state.points, 0.0)
        mixed = result - weights @ moved
        shifted = lambda kept, new: jnp.roll(kept, 1, 0).at[0].set(new)
        accepted = _Mixing(
            jnp.where(jnp.isfinite(mixed).all(), mixed, result),
            result,
            residual,
            shifted(state.points, result),
            shifted(state.changes, change),
            shifted(state.filled, jnp.ones((), state.filled.dtype)),
            result,
        )
        # The residual of the plain result is smaller than the last one, whatever was tried here.
        refused = state._replace(
            x=state.plain, residual=jnp.full_like(residual, jnp.inf), filled=0 * state.filled
        )
        state = jax.tree.map(partial(jnp.where, worse), refused, accepted)
        return state, jnp.where(worse, jnp.inf, residual)

    def run(start: Array) -> Solution:
        x = start.ravel()
        nothing = jnp.zeros((memory, x.size), x.dtype)
        first = _Mixing(
            x, x, jnp.asarray(jnp.inf, x.dtype), nothing, nothing, jnp.zeros(memory, x.dtype), x
        )
        found = iterate(step, first, tolerance, max_iterations, lambda state: scale(state.best))
        return found._replace(theta=found.theta[-1].reshape(shape))

    return implicit(operator, run, start, max_iterations)


def anderson_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    memory: int = 5,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A] by `accelerated` value iteration of state values.

    Examples:
        >>> print(dp.anderson_value_iteration(mdp, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)
    operator = lambda value: _action_values(model, value).max(1)
    start = jnp.zeros(mdp.transition.shape[0], model.reward.dtype)
    solution = accelerated(operator, start, tolerance, max_iterations, memory)
    return solution._replace(theta=_action_values(model, solution.theta))


def gauss_seidel_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the optimal action values [S, A] by value iteration in place, state after state.

    Each state is backed up with the newest values of the others. `iterations` counts sweeps. A
    sweep contracts by gamma at least, and by less than that where values flow in the order of the
    states. Source: Puterman (1994), "Markov decision processes", section 6.3.3.

    Examples:
        >>> print(dp.gauss_seidel_value_iteration(mdp, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)
    states = mdp.transition.shape[0]
    reward, discount = model.reward[..., 0], model.discount[..., 0]

    def back(s: Array, value: Array) -> Array:
        following = value if isinstance(mdp.successors, tuple) else value[mdp.successors[s]]
        future = (model.transition[s] * following).sum(-1)
        return value.at[s].set((reward[s] + discount[s] * future).max())

    def step(value: Array) -> tuple[Array, Array]:
        new = jax.lax.fori_loop(0, states, back, value)
        return new, largest_difference(new, value)

    run = lambda start: iterate(step, start, tolerance, max_iterations)
    return _solved(model, run, max_iterations)


def prioritised_sweeping(
    mdp: TabularMDP,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 1_000_000,
) -> Solution:
    """Return the optimal action values [S, A] by backing up the state of the largest residual.

    A backup of one state changes the action values of its predecessors, and with them their
    residuals, which are followed and not bounded. After every S backups action values are computed
    anew, because rounding adds up. `iterations` counts backups of single states, S at a time.
    Dense. Where few states matter it needs few backups; each costs S * A.
    Source: Moore and Atkeson (1993), "Prioritized sweeping: reinforcement learning with less data
    and less time".

    Examples:
        >>> found = dp.prioritised_sweeping(mdp, 0.5)
        >>> print(found.theta, found.iterations)
        [[1. 2.]
         [8. 1.]] 2
    """
    model = discounted(averaged(dense(mdp)), gamma)
    kernel = model.discount * model.transition  # [S, A, S]

    states = mdp.transition.shape[0]

    def back(_: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        value, theta = state
        change = theta.max(1) - value
        s = jnp.abs(change).argmax()
        value = value.at[s].add(change[s])
        # Predecessors alone would do, but their number differs from state to state.
        return value, theta + kernel[:, :, s] * change[s]

    def step(value: Array) -> tuple[Array, Array]:
        value, _ = jax.lax.fori_loop(0, states, back, (value, _action_values(model, value)))
        return value, largest_difference(_action_values(model, value).max(1), value)

    def run(start: Array) -> Solution:
        found = iterate(step, start, tolerance, -(-max_iterations // states))
        return found._replace(iterations=found.iterations * states)

    return _solved(model, run, max_iterations)


def _solved(
    model: TabularMDP, run: Callable[[Array], Solution], max_iterations: int | Array
) -> Solution:
    """Return the action values [S, A] of the optimal state values [S] that `run` finds from zero.

    They have the derivatives of the fixed point in an averaged, discounted process.
    """
    operator = lambda value: _action_values(model, value).max(1)
    start = jnp.zeros(model.transition.shape[0], model.reward.dtype)
    solution = implicit(operator, run, start, max_iterations)
    return solution._replace(theta=_action_values(model, solution.theta))


def _action_values(model: TabularMDP, value: Array) -> Array:
    """Return the backup [S, A] of state values [S] in an averaged, discounted process."""
    return model.reward[..., 0] + model.discount[..., 0] * expect(model, value)
