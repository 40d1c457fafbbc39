"""The Bellman operator: select an action at the successors, mix over them, project.

Every dynamic programming method here iterates `backup`. A table theta is [S, A, K]: the K outputs
of a representation for each action in each state. A table of state values has a single action,
[S, 1, K], and selecting from it returns the distribution of the state itself.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxrl import values
from jaxrl.dp.mdp import TabularMDP, arrive, contract, paired
from jaxrl.errors import require, require_positive
from jaxrl.types import Array
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
"""(representation, theta [S, A, K]) -> the return distributions [S, N] of the states."""
Mix = Callable[[TabularMDP, ReturnDistribution], ReturnDistribution]
"""(process, distributions at the successors [S, A, B, N]) -> distributions of pairs [S, A, M]."""


def mixed(mdp: TabularMDP, distribution: ReturnDistribution) -> ReturnDistribution:
    """Return the distribution [S, A, B * N] of reward + discount * Z(successor), exactly.

    Examples:
        >>> print(values.mean(dp.mixed(mdp, dp.arriving(mdp, values.dirac(jnp.array([2.0, 8.0]))))))
        [[1. 4.]
         [8. 2.]]
    """
    return values.mix(push(distribution, mdp.reward, mdp.discount), mdp.transition)


def backup(
    mdp: TabularMDP,
    representation: Representation,
    theta: Array,
    evaluate: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """Apply the projected Bellman operator to a table theta [S, A, K]; the result is [S, A, K].

    `evaluate` selects an action at the successors (`greedy` in a statistic, `soft`, or
    `values.expected` under a policy, by `functools.partial`), and `mix` averages over the
    successors: other weights than the probabilities make the operator robust. The discounts are
    those of `mdp`: see `discounted`. Source: Bellemare, Dabney and Rowland (2023), "Distributional
    Reinforcement Learning", chapter 5.

    Examples:
        >>> print(dp.backup(mdp, values.scalar(), jnp.array([[[2.0]], [[8.0]]]))[..., 0])
        [[1. 4.]
         [8. 2.]]
    """
    return representation.project(mix(mdp, arriving(mdp, evaluate(representation, theta))))


def arriving(mdp: TabularMDP, distribution: ReturnDistribution) -> ReturnDistribution:
    """Gather distributions of states [S, N] at the successors: [S, A, B, N], or [1, 1, S, N].

    See `arrive`.

    Examples:
        >>> dp.arriving(mdp, values.dirac(jnp.array([2.0, 8.0]))).atoms.shape
        (1, 1, 2, 1)
    """
    if distribution.atoms.shape[-1] == 1:  # a Dirac, whose probability is known to be one
        return dirac(arrive(mdp, distribution.atoms[..., 0]))
    return jax.tree.map(partial(arrive, mdp), distribution)


def expectation(mdp: TabularMDP, distribution: ReturnDistribution) -> ReturnDistribution:
    """Return the Dirac [S, A, 1] at the mean of `mixed`, for an `averaged` process.

    The mean commutes with mixing, so that it is one matrix product for a dense process. Raises
    `InputError` if rewards and discounts are not [S, A, 1].

    Examples:
        >>> arriving = dp.arriving(mdp, values.dirac(jnp.array([2.0, 8.0])))
        >>> print(values.mean(dp.expectation(dp.averaged(mdp), arriving)))
        [[1. 4.]
         [8. 2.]]
    """
    _require_paired(mdp, "expectation")
    future = contract(mdp.transition, mean(distribution))
    return push(dirac(future), mdp.reward[..., 0], mdp.discount[..., 0])


def pooled(mdp: TabularMDP, distribution: ReturnDistribution) -> ReturnDistribution:
    """Return the distribution [S, A, N] of `mixed` where all distributions share their atoms.

    If rewards and discounts depend on the pair alone, pushing commutes with mixing, and a mixture
    of distributions on common atoms stays on them: N atoms instead of B * N to project. Only for
    representations with a fixed support (categorical). Raises `InputError` if rewards and
    discounts are not [S, A, 1].

    Examples:
        >>> chances = jnp.array([[0.75, 0.25], [0.0, 1.0]])
        >>> state = values.ReturnDistribution(jnp.array([[0.0, 8.0], [0.0, 8.0]]), chances)
        >>> print(values.mean(dp.pooled(dp.averaged(mdp), dp.arriving(mdp, state))))
        [[1. 4.]
         [8. 2.]]
    """
    _require_paired(mdp, "pooled")
    probabilities = contract(mdp.transition, distribution.probabilities)
    atoms = jnp.broadcast_to(distribution.atoms[0, 0, 0], probabilities.shape)
    pool = ReturnDistribution(atoms, probabilities)
    return push(pool, mdp.reward[..., 0], mdp.discount[..., 0])


def regularised(
    representation: Representation,
    theta: Array,
    temperature: float | Array,
    reference: float | Array,
    statistic: Statistic = mean,
) -> ReturnDistribution:
    """Return `values.soft` [S, A * N] with a penalty for divergence from a reference policy.

    `reference` [S, A] holds the finite logarithms of that policy's probabilities. The policy is
    pi(a) ~ exp(reference(a) + statistic(Z_a) / temperature), and each action pays temperature *
    (log pi(a) - reference(a)): it is `soft` with every return raised by temperature * reference.
    With a reference of 0 it is `soft`.

    Examples:
        >>> even = jnp.log(jnp.array([0.5, 0.5]))
        >>> print(values.mean(dp.regularised(values.scalar(), jnp.ones((2, 1)), 1.0, even)))
        1.0
    """

    def raised(theta: Array) -> ReturnDistribution:
        distribution = representation.decode(theta)
        shape = jnp.broadcast_shapes(distribution.atoms.shape[:-1], jnp.shape(reference))
        return values.shift(distribution, jnp.broadcast_to(temperature * reference, shape))

    return soft(representation._replace(decode=raised), theta, temperature, statistic)


def collapsed(evaluate: Select) -> Select:
    """Keep only the mean of the distribution that `evaluate` selects, for scalar tables.

    Examples:
        >>> print(dp.collapsed(values.greedy)(values.scalar(), jnp.array([[1.0], [3.0]])).atoms)
        [3.]
    """
    return lambda representation, theta: dirac(mean(evaluate(representation, theta)))


def highest(representation: Representation, theta: Array) -> ReturnDistribution:
    """Return the Dirac [..., 1] at the highest mean of theta [..., A, K].

    It is a cheaper `collapsed(greedy)`.

    Examples:
        >>> print(dp.highest(values.scalar(), jnp.array([[1.0], [3.0]])).atoms)
        [3.]
    """
    return dirac(mean(representation.decode(theta)).max(-1))


def stages(
    model: TabularMDP,
    representation: Representation,
    horizon: int,
    select: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """Return the tables [horizon, S, A, K] of an episode of `horizon` steps, in order of time.

    Examples:
        >>> print(dp.stages(mdp, values.scalar(), horizon=2)[0, ..., 0])
        [[1. 4.]
         [8. 1.]]
    """
    require_positive(horizon=horizon)

    def back(theta: Array, _: None) -> tuple[Array, Array]:
        theta = backup(model, representation, theta, select, mix)
        return theta, theta

    # After the last step there is no choice, and no bonus for one: a table with a single action.
    last, _ = back(zeros(representation, model.transition.shape[0], 1), None)
    _, before = jax.lax.scan(back, last, None, horizon - 1, reverse=True)
    return jnp.concatenate([before, last[None]])


def zeros(representation: Representation, *shape: int) -> Array:
    """Return the table [*shape, K] of returns that are zero with probability one.

    Examples:
        >>> dp.zeros(values.quantile(2), 3).shape
        (3, 2)
    """
    return representation.project(dirac(jnp.zeros(shape)))


def _require_paired(mdp: TabularMDP, who: str) -> None:
    require(
        paired(mdp),
        f"{who} needs rewards and discounts of pairs, [S, A, 1], not {mdp.reward.shape} and "
        f"{mdp.discount.shape}: convert the process by jaxrl.dp.averaged, or use jaxrl.dp.mixed.",
    )
