"""Options: policies that run until they end, as actions of a process of their own.

`option_models` are the expected models of whole options, which make planning with them ordinary
value iteration. `call_and_return` is the same process step by step, for whatever is not linear in
the model, such as return distributions.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, arrive, averaged
from jaxrl.dp.successor import policy_kernel
from jaxrl.errors import require
from jaxrl.types import Array


class Options(NamedTuple):
    """O policies, each with the probability of ending in the state it arrives at."""

    policy: Array  # [O, S, A] probabilities
    termination: Array  # [O, S] probabilities


def primitive(mdp: TabularMDP) -> Options:
    """Return the actions themselves as options of a single step.

    Examples:
        >>> print(dp.primitive(mdp).policy[1])  # action 1 in every state
        [[0. 1.]
         [0. 1.]]
    """
    states, actions, _ = mdp.transition.shape
    policy = jnp.repeat(jnp.eye(actions)[:, None], states, 1)
    return Options(policy, jnp.ones((actions, states)))


def option_models(mdp: TabularMDP, options: Options, gamma: float | Array) -> TabularMDP:
    """Return the process [S, O, S] whose actions are whole options: their multi-time models.

    Rewards are discounted sums until the option ends, and the discount is the expectation of
    gamma to the power of its duration: solve it with gamma 1. With C = K diag(1 - ends) of the
    kernel K of an option's policy, its reward is (I - C)^-1 r and its successors are
    (I - C)^-1 K diag(ends). Expected values are exact; return distributions are those of
    `call_and_return`. Dense, of a cost of O S^3. Source: Precup and Sutton (1998), "Multi-time
    models for temporally abstract planning".

    Examples:
        >>> options = dp.Options(policy[None], jnp.zeros((1, 2)).at[:, 1].set(1.0))  # until 1
        >>> model = dp.option_models(mdp, options, 0.5)
        >>> print(model.reward[0, 0], model.discount[0, 0], model.transition[0, 0])
        [0.] [0.25] [0. 1.]
    """
    _check(mdp, options)
    states = mdp.transition.shape[0]
    identity = jnp.eye(states, dtype=mdp.transition.dtype)

    def model(policy: Array, ends: Array) -> tuple[Array, Array]:
        kernel = policy_kernel(mdp, policy, gamma)
        reward = (policy * averaged(mdp).reward[..., 0]).sum(1)
        both = jnp.concatenate([reward[:, None], kernel * ends], 1)
        total = jnp.linalg.solve(identity - kernel * (1 - ends), both)
        return total[:, 0], total[:, 1:]

    reward, kept = jax.vmap(model, out_axes=1)(*options)  # [S, O], [S, O, S]
    discount = kept.sum(-1, keepdims=True)
    some = discount > 0
    stay = jnp.broadcast_to(identity[:, None], kept.shape)
    transition = jnp.where(some, kept / jnp.where(some, discount, 1.0), stay)
    return TabularMDP(transition, reward[..., None], discount, mdp.initial)


def call_and_return(mdp: TabularMDP, options: Options) -> TabularMDP:
    """Return the sparse process [S * (O + 1), O, 2 * A * B] of choosing options and running them.

    Its state s * (O + 1) chooses among the options in state s, and s * (O + 1) + 1 + o runs option
    o, whatever is chosen. Every step of it is a step of `mdp`, so that every solver applies, those
    of return distributions too: it is the semi-Markov backup without its sums over durations.

    Examples:
        >>> options = dp.Options(policy[None], jnp.zeros((1, 2)).at[:, 1].set(1.0))  # until 1
        >>> process = dp.call_and_return(mdp, options)
        >>> print(dp.value_iteration(process, 0.5).theta[:, 0])  # choosing and running, twice
        [2. 2. 8. 8.]
    """
    _check(mdp, options)
    states, actions, slots = mdp.transition.shape
    number = options.policy.shape[0]
    place = jnp.broadcast_to(arrive(mdp, jnp.arange(states)), mdp.transition.shape)
    ends = options.termination[:, place]  # [O, S, A, B]
    chance = options.policy[..., None] * mdp.transition
    running = jnp.arange(number)[:, None, None, None]
    after = place * (number + 1)

    def lined(on: Array, off: Array) -> Array:
        """Of each option [O, S, A, B], whether it goes on or ends, as [S * (O + 1), O, N]."""
        each = jnp.stack([on, off], -1).reshape(number, states, -1)
        choosing = jnp.moveaxis(each, 0, 1)[:, None]  # [S, 1, O, N]
        kept = jnp.moveaxis(each, 0, 1)[:, :, None]  # [S, O, 1, N]
        kept = jnp.broadcast_to(kept, (states, number, number, each.shape[-1]))
        return jnp.concatenate([choosing, kept], 1).reshape(states * (number + 1), number, -1)

    def same(x: Array) -> Array:
        x = jnp.broadcast_to(x, (number, states, actions, slots))
        return lined(x, x)

    first = jnp.zeros((states, number + 1), mdp.initial.dtype).at[:, 0].set(mdp.initial)
    goes_on = after + 1 + running
    return TabularMDP(
        lined(chance * (1 - ends), chance * ends),
        same(mdp.reward),
        same(mdp.discount),
        first.reshape(-1),
        lined(goes_on, jnp.broadcast_to(after, goes_on.shape)).astype(jnp.int32),
    )


def _check(mdp: TabularMDP, options: Options) -> None:
    states, actions, _ = mdp.transition.shape
    number = options.policy.shape[0]
    fits = options.policy.shape[1:] == (states, actions)
    fits = fits and options.termination.shape == (number, states)
    require(
        fits,
        f"Options of {states} states and {actions} actions need policies [O, {states}, {actions}] "
        f"and terminations [O, {states}], not {options.policy.shape} and "
        f"{options.termination.shape}.",
    )
