"""One Bellman operator: select what happens at the successors, mix over them, project.

Every method of dynamic programming here iterates `backup`. A table theta is [S, A, K]: the K
outputs of a representation for each action in each state. A table of state values is one with a
single action, [S, 1, K], and any select of that is the state's own distribution.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import values
from jaxrl.dp.mdp import TabularMDP, arrive, contract, paired
from jaxrl.errors import require
from jaxrl.types import Array, Tree
from jaxrl.values import (
    Representation,
    ReturnDistribution,
    Statistic,
    dirac,
    greedy,
    mean,
    push,
    soft,
)

Select = Callable[[Representation, Array], ReturnDistribution]
"""(representation, theta [S, A, K]) -> the distributions [S, N] of acting on from each state."""
Mix = Callable[[TabularMDP, ReturnDistribution], ReturnDistribution]
"""(process, distributions at its successors [S, A, B, N]) -> those of its pairs [S, A, M]."""


def mixed(mdp: TabularMDP, law: ReturnDistribution) -> ReturnDistribution:
    """The law [S, A, B * N] of reward + discount * Z(successor), exact for any representation."""
    return values.mix(push(law, mdp.reward, mdp.discount), mdp.transition)


def backup(
    mdp: TabularMDP,
    representation: Representation,
    theta: Array,
    evaluate: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """The projected Bellman operator on a table theta [S, A, K], a table [S, A, K].

    `evaluate` selects what happens at the successors (`greedy` in a statistic, `soft`, or
    `values.expected` under a policy, by `functools.partial`), and `mix` what the world does: one
    that weighs the successors otherwise makes the operator robust. Discounts are those of `mdp`:
    see `discounted`. Source: Bellemare, Dabney and Rowland (2023), "Distributional Reinforcement
    Learning", chapter 5.
    """
    return representation.project(mix(mdp, arriving(mdp, evaluate(representation, theta))))


def arriving(mdp: TabularMDP, law: ReturnDistribution) -> ReturnDistribution:
    """The distributions [S, A, B, N] at the successors, or [1, 1, S, N], of those [S, N] of states.

    See `arrive`.
    """
    if law.atoms.shape[-1] == 1:  # a Dirac, whose probability of one need not be looked up
        return dirac(arrive(mdp, law.atoms[..., 0]))
    return jax.tree.map(partial(arrive, mdp), law)


def expectation(mdp: TabularMDP, law: ReturnDistribution) -> ReturnDistribution:
    """The Dirac [S, A, 1] at the mean of `mixed`, for an `averaged` process.

    The mean commutes with mixing: one matrix product of a dense process. Raises `InputError` if
    rewards and discounts are not [S, A, 1].
    """
    _require_paired(mdp, "expectation")
    future = contract(mdp.transition, mean(law))
    return push(dirac(future), mdp.reward[..., 0], mdp.discount[..., 0])


def pooled(mdp: TabularMDP, law: ReturnDistribution) -> ReturnDistribution:
    """The law [S, A, N] that `mixed` gives where all distributions share their atoms.

    Where rewards and discounts are those of pairs, pushing commutes with mixing, and a mixture
    of distributions on common atoms stays on them: N atoms instead of B * N to project. For
    representations of fixed support alone (categorical). Raises `InputError` if rewards and
    discounts are not [S, A, 1].
    """
    _require_paired(mdp, "pooled")
    probabilities = contract(mdp.transition, law.probabilities)
    atoms = jnp.broadcast_to(law.atoms[0, 0, 0], probabilities.shape)
    pool = ReturnDistribution(atoms, probabilities)
    return push(pool, mdp.reward[..., 0], mdp.discount[..., 0])


def regularised(
    representation: Representation,
    theta: Array,
    temperature: float | Array,
    reference: float | Array,
    statistic: Statistic = mean,
) -> ReturnDistribution:
    """`values.soft` [S, A * N], its entropy bonus made a penalty for leaving a reference policy.

    `reference` [S, A] holds the finite logarithms of that policy's probabilities. The policy is
    pi(a) ~ exp(reference(a) + statistic(Z_a) / temperature), and each action pays temperature *
    (log pi(a) - reference(a)): `soft` with every return raised by temperature * reference. With
    the reference 0 it is `soft`.
    """

    def raised(theta: Array) -> ReturnDistribution:
        law = representation.decode(theta)
        shape = jnp.broadcast_shapes(law.atoms.shape[:-1], jnp.shape(reference))
        return values.shift(law, jnp.broadcast_to(temperature * reference, shape))

    return soft(representation._replace(decode=raised), theta, temperature, statistic)


def collapsed(evaluate: Select) -> Select:
    """Keep the mean alone of what `evaluate` selects: all that a scalar table needs."""
    return lambda representation, theta: dirac(mean(evaluate(representation, theta)))


def highest(representation: Representation, theta: Array) -> ReturnDistribution:
    """The Dirac [..., 1] at the best mean of theta [..., A, K]: a cheaper `collapsed(greedy)`."""
    return dirac(mean(representation.decode(theta)).max(-1))


class Solution(NamedTuple):
    """A table and how it was reached."""

    theta: Array  # [S, A, K], or [S, A] where K = 1 by construction
    iterations: Array  # [] int32
    residual: Array  # [] what the last iteration changed


def iterate(
    step: Callable[[Tree], tuple[Tree, Array]],
    start: Tree,
    tolerance: float | Array,
    max_iterations: int | Array,
) -> Solution:
    """Repeat `step`: x -> (x, residual []) until the residual is at most `tolerance`.

    Under `vmap` the members that are done wait, unchanged, for the others.
    """

    def unfinished(carry: tuple[Tree, Array, Array]) -> Array:
        return (carry[2] > tolerance) & (carry[1] < max_iterations)

    def again(carry: tuple[Tree, Array, Array]) -> tuple[Tree, Array, Array]:
        new, residual = step(carry[0])
        return new, carry[1] + 1, jnp.asarray(residual, carry[2].dtype)

    carry = (start, jnp.int32(0), jnp.asarray(jnp.inf))
    return Solution(*jax.lax.while_loop(unfinished, again, carry))


def stages(
    model: TabularMDP,
    representation: Representation,
    horizon: int,
    select: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """The tables [horizon, S, A, K] of an episode of `horizon` steps, the last step's last."""

    def back(theta: Array, _: None) -> tuple[Array, Array]:
        theta = backup(model, representation, theta, select, mix)
        return theta, theta

    # There is no choice at the end, and no bonus for one: a table with a single action.
    last, _ = back(zeros(representation, model.transition.shape[0], 1), None)
    _, before = jax.lax.scan(back, last, None, horizon - 1, reverse=True)
    return jnp.concatenate([before, last[None]])


def zeros(representation: Representation, *shape: int) -> Array:
    """The table [*shape, K] of returns that are surely zero."""
    return representation.project(dirac(jnp.zeros(shape)))


def _require_paired(mdp: TabularMDP, who: str) -> None:
    require(
        paired(mdp),
        f"{who} needs rewards and discounts of pairs, [S, A, 1], not {mdp.reward.shape} and "
        f"{mdp.discount.shape}: see jaxrl.dp.averaged, or use mixed.",
    )
