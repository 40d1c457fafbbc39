"""Tree search in a model, by mctx: policies that improve on those of a network."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
import mctx

from jaxrl.errors import require_fraction, require_non_negative, require_positive
from jaxrl.models.model import Model
from jaxrl.types import Array, Key, TimeStep, Tree, select

# These are chex dataclasses, which type checkers do not understand.
ROOT: Any = mctx.RootFnOutput
EDGE: Any = mctx.RecurrentFnOutput

Evaluator = Callable[[Tree], tuple[Array, Array]]
"""Observations of a model [B, *] -> prior logits [B, A] and values [B]."""


class SearchOutput(NamedTuple):
    """The result of a search."""

    action: Array  # [B]
    policy: Array  # [B, A] probabilities, the targets of a policy
    value: Array  # [B] of the root


Search = Callable[..., SearchOutput]
"""(model, evaluator, (states, observations), discount, key, mask=None) -> the result.

The mask [B, A] of actions that are allowed at the root is optional.
"""


def onward(
    evaluator: Evaluator, discount: float | Array, node: tuple, new: Tree, now: TimeStep
) -> tuple[tuple[Array, Array, Array, Array], tuple]:
    """Logits [B, A], values, rewards and discounts [B] of a step of the model, and its node.

    A node is (state, observation, whether the episode has ended), and `new` and `now` are what the
    step has led to. Beyond an end the tree stays where it is, for nothing.
    """
    state, obs, ended = node
    state, obs = select(ended, (state, obs), (new, now.final))
    logits, value = evaluator(obs)
    reward = jnp.where(ended, 0.0, now.reward)
    kept = jnp.where(ended, 1.0, discount * now.discount)
    return (logits, value, reward, kept), (state, obs, ended | now.last)


def search_with(policy: Callable[..., Any], simulations: int, **options: Any) -> Search:
    """Search by an mctx policy of `simulations` steps in the model.

    Nothing follows a termination, and a truncated state is worth the value of its evaluation.
    Raises an InputError unless the number of simulations is positive.
    """
    require_positive(simulations=simulations)

    def search(
        model: Model,
        evaluator: Evaluator,
        root: tuple[Tree, Tree],
        discount: float | Array,
        key: Key,
        mask: Array | None = None,
    ) -> SearchOutput:
        state, obs = root
        logits, value = evaluator(obs)
        ended = jnp.zeros(value.shape, bool)

        def follow(params: Tree, key: Key, action: Array, node: tuple) -> tuple[Any, tuple]:
            new, now = model.step(node[0], action, key)
            found, node = onward(evaluator, discount, node, new, now)
            logits, value, reward, kept = found
            return EDGE(reward=reward, discount=kept, prior_logits=logits, value=value), node

        start = ROOT(prior_logits=logits, value=value, embedding=(state, obs, ended))
        invalid = None if mask is None else ~mask
        out = policy((), key, start, follow, simulations, invalid_actions=invalid, **options)
        best = out.search_tree.summary().value
        return SearchOutput(out.action, out.action_weights, best)

    return search


def predictor_tree_search(
    simulations: int, noise: float = 0.25, exploration: float | Array = 1.25
) -> Search:
    """The search of AlphaZero (PUCT), with a share `noise` of Dirichlet noise at the root.

    Its policy is the share of visits of each action; without noise it takes the most visited one.
    `exploration` is the constant c_1 in front of the prior's bonus. Source: Silver et al. (2018),
    "A general reinforcement learning algorithm", supplementary materials. Raises an InputError if
    the numbers do not fit.
    """
    require_fraction(noise=noise)
    require_non_negative(exploration=exploration)
    options = dict(dirichlet_fraction=noise, temperature=float(noise > 0), pb_c_init=exploration)
    return search_with(partial(mctx.muzero_policy, **options), simulations)


def gumbel_search(simulations: int, noise: float = 1.0, considered: int = 16) -> Search:
    """The search of Gumbel MuZero, which improves on the prior with any number of simulations.

    At most `considered` actions are compared at the root; without Gumbel `noise` it takes the best
    one. Source: Danihelka et al. (2022), sections 3 and 4. Raises an InputError if the numbers do
    not fit.
    """
    require_non_negative(noise=noise)
    require_positive(considered=considered)
    return search_with(
        partial(
            mctx.gumbel_muzero_policy,
            max_num_considered_actions=considered,
            gumbel_scale=noise,
            qtransform=partial(
                mctx.qtransform_completed_by_mix_value, rescale_values=False, value_scale=0.05
            ),
        ),
        simulations,
    )


SEARCHES: dict[str, Callable[..., Search]] = {
    "gumbel": gumbel_search,
    "puct": predictor_tree_search,
}
