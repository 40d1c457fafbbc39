"""Robust dynamic programming: one adversary for each pair, or one static model for the episode.

The adversary of `robust_mixed` may choose anew at every pair and step (rectangularity), so the
robust backup is again a contraction. `static_robust_control` faces an adversary that chooses one
model and keeps it: not a Bellman equation, but a sequence of ordinary problems.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import values
from jaxrl.dp.mdp import TabularMDP, arrive, discounted
from jaxrl.dp.operator import Mix, Select, Solution, backup, iterate, zeros
from jaxrl.dp.robust import Divergence
from jaxrl.types import Array, Tree
from jaxrl.values import ReturnDistribution, Statistic, greedy, mean, push, scalar


def robust_mixed(
    strength: Array | float, divergence: Divergence, statistic: Statistic = mean
) -> Mix:
    """What an adversary makes of the world: a `Mix` for the one Bellman operator, `backup`.

    For each pair it reweighs reward + discount * Z(successor) to lower the expected `statistic`;
    a price it pays is added to the return. `strength` is [] or [S, A], in units of returns where
    it is a price: of discount * value, so that gamma times the price is the price per value.
    """

    def mix(mdp: TabularMDP, arriving: ReturnDistribution) -> ReturnDistribution:
        law = push(arriving, mdp.reward, mdp.discount)
        judged = statistic(law)  # [S, A, B]
        worst = divergence(judged, mdp.transition, strength)
        paid = worst.value - jnp.where(worst.weights > 0, worst.weights * judged, 0.0).sum(-1)
        return push(values.mix(law, worst.weights), paid, jnp.ones_like(paid))

    return mix


def robust_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The action values [S, A] of the best policy under the worst of rectangular worlds.

    Within gamma / (1 - gamma) * residual of the truth, in the largest difference. Source: Iyengar
    (2005), "Robust dynamic programming", for constrained adversaries.
    """
    return _solve(mdp, gamma, strength, divergence, greedy, tolerance, max_iterations)


def robust_policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    strength: Array | float,
    divergence: Divergence,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The action values [S, A] of a policy [S, A] under the worst of rectangular worlds.

    The adversary sees the action before it chooses. Error as in `robust_value_iteration`.
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
    """The process whose transitions are the adversary's answer to action values [S, A].

    Next to `mdp` itself it is what to test a policy in; of the fixed point of a constrained
    adversary, it has that fixed point as its ordinary optimal values.
    """
    model = discounted(mdp, gamma)
    judged = model.reward + model.discount * arrive(mdp, theta.max(-1))
    return mdp._replace(transition=divergence(judged, mdp.transition, strength).weights)


class StaticRobustness(NamedTuple):
    """What `static_robust_control` found, and the way there."""

    policy: Tree  # of the candidates the one with the best worst case
    value: Array  # [] its value in the worst of the models
    active: Array  # [M] bool, the models that were solved
    values: Array  # [M] worst case of each candidate, nan after the last
    worst: Array  # [M] int32 model that did it, -1 after the last
    iterations: Array  # [] int32 candidates


def static_robust_control(
    solve: Callable[[Tree], Array],
    evaluate: Callable[[Array, Tree], Array],
    models: Tree,
    first: int | Array = 0,
) -> StaticRobustness:
    """Robust control as a sequence of static problems over models, a pytree [M, ...].

    `solve(model)` gives action values [..., A] at a fixed set of states, `evaluate(action,
    model)` the value [] of a rule [...] for acting there. Begin with the model `first`; solve
    it; act greedily on the least action values of all models solved so far; find, with the models
    vmapped, the one where that does worst, and add it; stop once that was solved before. It ends
    within M rounds but need not end at the best static policy: the last candidate may be worse
    than one before, so the best is returned. Source: Zouitine et al. (2024), "Solving robust
    MDPs as a sequence of static RL problems".
    """
    num = jax.tree.leaves(models)[0].shape[0]
    model = lambda index: jax.tree.map(lambda x: x[index], models)
    shape = jax.eval_shape(solve, model(0))
    judge = jax.vmap(evaluate, (None, 0))

    def unfinished(carry: tuple) -> Array:
        return ~carry[-1]

    def again(carry: tuple) -> tuple:
        index, least, found, _ = carry
        least = jnp.minimum(least, solve(model(index)))
        action = least.argmax(-1)
        value = judge(action, models)
        worst, low = jnp.argmin(value).astype(jnp.int32), value.min()
        active, round = found.active.at[index].set(True), found.iterations
        better = low > found.value
        found = StaticRobustness(
            jnp.where(better, action, found.policy),
            jnp.maximum(low, found.value),
            active,
            found.values.at[round].set(low),
            found.worst.at[round].set(worst),
            round + 1,
        )
        return worst, least, found, active[worst]

    nothing = StaticRobustness(
        jnp.zeros(shape.shape[:-1], jnp.int32),
        jnp.full((), -jnp.inf, shape.dtype),
        jnp.zeros(num, bool),
        jnp.full(num, jnp.nan, shape.dtype),
        jnp.full(num, -1, jnp.int32),
        jnp.int32(0),
    )
    start = jnp.asarray(first, jnp.int32), jnp.full(shape.shape, jnp.inf, shape.dtype), nothing
    return jax.lax.while_loop(unfinished, again, (*start, jnp.asarray(False)))[2]


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

    def step(theta: Array) -> tuple[Array, Array]:
        new = backup(model, scalar(), theta, select, mix)
        return new, jnp.abs(new - theta).max()

    start = zeros(scalar(), *mdp.transition.shape[:2])
    solution = iterate(step, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[..., 0])
