"""Robust dynamic programming: an adversary for each pair, or one static model for the episode.

The adversary of `robust_mixed` chooses again at every pair and step (rectangularity), so that the
robust backup is a contraction. The adversary of `static_robust_control` chooses one model and keeps
it: there is no Bellman equation, but a sequence of ordinary problems.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import values
from jaxrl.dp.iteration import Solution, fixed_point
from jaxrl.dp.mdp import TabularMDP, arrive, discounted
from jaxrl.dp.operator import Mix, Select, backup, zeros
from jaxrl.dp.robust import Divergence
from jaxrl.types import Array, Tree
from jaxrl.values import ReturnDistribution, Statistic, greedy, mean, push, scalar


def robust_mixed(
    strength: Array | float, divergence: Divergence, statistic: Statistic = mean
) -> Mix:
    """Return a `Mix` in which an adversary chooses the probabilities of the successors.

    For each pair it reweights reward + discount * Z(successor) to lower the expected `statistic`;
    the price it pays is added to the return. `strength` is [] or [S, A]. A price is in units of
    returns, discount * value, so that gamma times the price is the price per value.

    Examples:
        >>> mix = dp.robust_mixed(0.25, dp.robust.constrained_total_variation)
        >>> print(dp.backup(mdp, values.scalar(), jnp.array([[[2.0]], [[8.0]]]), mix=mix)[0, 1])
        [2.]
    """

    def mix(mdp: TabularMDP, arriving: ReturnDistribution) -> ReturnDistribution:
        following = push(arriving, mdp.reward, mdp.discount)
        shape = jnp.broadcast_shapes(following.atoms.shape, following.probabilities.shape)
        following = jax.tree.map(lambda x: jnp.broadcast_to(x, shape), following)
        judged = statistic(following)  # [S, A, B]
        worst = divergence(judged, mdp.transition, strength)
        paid = worst.value - jnp.where(worst.weights > 0, worst.weights * judged, 0.0).sum(-1)
        return push(values.mix(following, worst.weights), paid, jnp.ones_like(paid))

    return mix


def robust_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the action values [S, A] of the best policy in the worst rectangular process.

    The largest error is at most gamma / (1 - gamma) * residual. Source: Iyengar
    (2005), "Robust dynamic programming", for constrained adversaries.

    Examples:
        >>> moved = dp.robust.constrained_total_variation
        >>> print(dp.robust_value_iteration(mdp, 0.5, 0.25, moved).theta)
        [[1.  1. ]
         [8.  0.5]]
    """
    return _solve(mdp, gamma, strength, divergence, greedy, tolerance, max_iterations)


def robust_policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the action values [S, A] of a policy [S, A] in the worst rectangular process.

    The adversary sees the action before it chooses. The error is as in `robust_value_iteration`.

    Examples:
        >>> moved = dp.robust.constrained_total_variation
        >>> print(dp.robust_policy_evaluation(mdp, policy, 0.5, 0.25, moved).theta)
        [[1.  1. ]
         [8.  0.5]]
    """
    select = partial(values.expected, probabilities=policy)
    return _solve(mdp, gamma, strength, divergence, select, tolerance, max_iterations)


def worst_case_process(
    mdp: TabularMDP,
    theta: Array,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
) -> TabularMDP:
    """Return the process whose transitions are the adversary's choice at action values [S, A].

    It is the hardest process to test a policy in. If the action values are the robust fixed point
    of a constrained adversary, they are also the ordinary optimal values of this process.

    Examples:
        >>> moved = dp.robust.constrained_total_variation
        >>> theta = jnp.array([[1.0, 1.0], [8.0, 0.5]])
        >>> print(dp.worst_case_process(mdp, theta, 0.5, 0.25, moved).transition[0, 1])
        [0.75 0.25]
    """
    model = discounted(mdp, gamma)
    judged = model.reward + model.discount * arrive(mdp, theta.max(-1))
    return mdp._replace(transition=divergence(judged, mdp.transition, strength).weights)


class StaticRobustness(NamedTuple):
    """The result of `static_robust_control` and its candidates."""

    policy: Tree  # the candidate with the best worst case
    value: Array  # [] its value in its worst model
    active: Array  # [M] bool, the models that were solved
    values: Array  # [M] worst case of each candidate, -inf after the last
    worst: Array  # [M] int32, the worst model of each candidate, -1 after the last
    iterations: Array  # [] int32, the number of candidates


def static_robust_control(
    solve: Callable[[Tree], Array],
    evaluate: Callable[[Array, Tree], Array],
    models: Tree,
    first: int | Array = 0,
) -> StaticRobustness:
    """Find a robust policy by a sequence of static problems over models, a pytree [M, ...].

    `solve(model)` returns action values [..., A] at a fixed set of states, and `evaluate(action,
    model)` the value [] of acting there by the actions [...]. The search begins with the model
    `first`. Each round solves the model, acts greedily on the least action values of all models
    solved so far, and evaluates that in all models by `vmap`; the model where it is worst is
    solved next, and the search ends when that one has been solved. It takes at most M rounds but
    need not find the best static policy; the best candidate is returned. The derivatives of `value`
    by the models are those for a fixed policy and a fixed worst model. Source: Zouitine et al.
    (2024), "Solving robust MDPs as a sequence of static RL problems".

    Examples:
        >>> payoffs = jnp.array([[3.0, 1.0], [0.0, 1.0]])  # of two actions in two models
        >>> found = dp.static_robust_control(lambda m: m, lambda action, m: m[action], payoffs)
        >>> print(found.policy, found.value)
        1 1.0
    """
    num = jax.tree.leaves(models)[0].shape[0]
    frozen = jax.lax.stop_gradient(models)
    model = lambda index: jax.tree.map(lambda x: x[index], frozen)
    shape = jax.eval_shape(solve, model(0))
    judge = jax.vmap(evaluate, (None, 0))

    def unfinished(carry: tuple) -> Array:
        return ~carry[-1]

    def again(carry: tuple) -> tuple:
        index, least, found, _ = carry
        least = jnp.minimum(least, solve(model(index)))
        action = least.argmax(-1)
        value = judge(action, frozen)
        worst, low = jnp.argmin(value).astype(jnp.int32), value.min()
        active, number = found.active.at[index].set(True), found.iterations
        better = low > found.value
        found = StaticRobustness(
            jnp.where(better, action, found.policy),
            jnp.maximum(low, found.value),
            active,
            found.values.at[number].set(low),
            found.worst.at[number].set(worst),
            number + 1,
        )
        return worst, least, found, active[worst]

    nothing = StaticRobustness(
        jnp.zeros(shape.shape[:-1], int),
        jnp.full((), -jnp.inf, shape.dtype),
        jnp.zeros(num, bool),
        jnp.full(num, -jnp.inf, shape.dtype),
        jnp.full(num, -1, jnp.int32),
        jnp.int32(0),
    )
    start = jnp.asarray(first, jnp.int32), jnp.full(shape.shape, jnp.inf, shape.dtype), nothing
    found = jax.lax.while_loop(unfinished, again, (*start, jnp.asarray(False)))[2]
    values = judge(found.policy, models)
    # By its index: the derivative of a minimum is zero where what equals it is rounded otherwise.
    return found._replace(value=values[values.argmin()])


def _solve(
    mdp: TabularMDP,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
    select: Select,
    tolerance: float | Array,
    max_iterations: int | Array,
) -> Solution:
    model, mix = discounted(mdp, gamma), robust_mixed(strength, divergence)
    operator = lambda theta: backup(model, scalar(), theta, select, mix)
    start = zeros(scalar(), *mdp.transition.shape[:2])
    solution = fixed_point(operator, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[..., 0])
