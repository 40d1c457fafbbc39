"""Tree search in a model, by mctx: policies that are better than the network's own."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import mctx

from jaxrl.errors import require_positive
from jaxrl.models.model import Model
from jaxrl.types import Array, Key, Tree

# Of chex, whose dataclasses a type checker cannot see into.
ROOT: Any = mctx.RootFnOutput
EDGE: Any = mctx.RecurrentFnOutput

Judge = Callable[[Tree], tuple[Array, Array]]
"""What a model shows [B, *] -> prior logits [B, A] and values [B] there."""


class SearchOutput(NamedTuple):
    """What a search found."""

    action: Array  # [B]
    policy: Array  # [B, A] probabilities to be learnt from
    value: Array  # [B] of the root


Search = Callable[[Model, Judge, tuple[Tree, Tree], float | Array, Key], SearchOutput]
"""(model, judge, (states, what the model shows there), discount, key) -> what was found."""


def search_with(policy: Callable[..., Any], simulations: int, **options: Any) -> Search:
    """Search by an mctx policy of `simulations` steps in the model."""
    require_positive(simulations=simulations)

    def search(
        model: Model, judge: Judge, root: tuple[Tree, Tree], discount: float | Array, key: Key
    ) -> SearchOutput:
        state, shown = root

        def follow(params: Tree, key: Key, action: Array, state: Tree) -> tuple[Any, Tree]:
            state, now = model.step(state, action, key)
            logits, value = judge(now.final)
            return EDGE(
                reward=now.reward,
                discount=discount * now.discount,
                prior_logits=logits,
                value=value,
            ), state

        logits, value = judge(shown)
        start = ROOT(prior_logits=logits, value=value, embedding=state)
        out = policy((), key, start, follow, simulations, **options)
        best = out.search_tree.summary().value
        return SearchOutput(out.action, out.action_weights, best)

    return search


def predictor_tree_search(simulations: int, noise: float = 0.25) -> Search:
    """The search of AlphaZero: optimistic in the prior, with Dirichlet `noise` at the root.

    Its policy is how often it tried each action; with no noise it takes what it tried most.
    Source: Silver et al. (2018), "A general reinforcement learning algorithm", supplementary
    materials.
    """
    options = dict(dirichlet_fraction=noise, temperature=float(noise > 0))
    return search_with(partial(mctx.muzero_policy, **options), simulations)


def gumbel_search(simulations: int, noise: float = 1.0, considered: int = 16) -> Search:
    """Gumbel MuZero's search, whose policy improves on the prior with any number of simulations.

    `considered` actions compete at the root; with no Gumbel `noise` it takes what is best.
    Source: Danihelka et al. (2022), sections 3 and 4.
    """
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
