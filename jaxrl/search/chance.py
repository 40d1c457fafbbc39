"""Tree search that knows chance: nodes of chance between nodes of decision, by mctx."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mctx

from jaxrl.errors import require_fraction, require_non_negative, require_positive
from jaxrl.models.chance import ChanceModel
from jaxrl.search.trees import ROOT, Evaluator, SearchOutput, onward
from jaxrl.types import Array, Key, Tree, lanes

# These are chex dataclasses, which type checkers do not understand.
DECISION: Any = mctx.DecisionRecurrentFnOutput
CHANCE: Any = mctx.ChanceRecurrentFnOutput
POLICY: Callable[..., Any] = mctx.stochastic_muzero_policy

ChanceSearch = Callable[..., SearchOutput]
"""(chance model, evaluator, (states, observations), discount, key, mask=None) -> the result."""


def chance_search(
    simulations: int,
    noise: float = 0.25,
    exploration: float | Array = 1.25,
    afterstates: Callable[[Tree], Array] | None = None,
) -> ChanceSearch:
    """The search of Stochastic MuZero: PUCT at decisions, and each outcome by its probability.

    A node of chance goes on with the outcome of the largest p / (1 + visits), so that the mean over
    its visits tends to the expectation. A search that draws one outcome for each edge plans for
    that outcome as if it were known. `simulations` counts nodes of both kinds. The value of an
    afterstate is `afterstates(afterstates) -> [B]`; without it, it is the expectation of reward
    plus discounted value over all outcomes, at the price of one evaluation for each. The rest is
    as in `predictor_tree_search`. Source: Antonoglou et al. (2022), "Planning in stochastic
    environments with a learned model": https://openreview.net/forum?id=X6D9bAHhBQ1. Raises an
    InputError if the numbers do not fit.
    """
    require_fraction(noise=noise)
    require_non_negative(exploration=exploration)
    require_positive(simulations=simulations)

    def search(
        model: ChanceModel,
        evaluator: Evaluator,
        root: tuple[Tree, Tree],
        discount: float | Array,
        key: Key,
        mask: Array | None = None,
    ) -> SearchOutput:
        state, obs = root
        logits, value = evaluator(obs)
        actions = logits.shape[-1]

        def expectation(after: Tree, chances: Array) -> Array:
            def one(outcome: Array) -> Array:
                _, now = model.resolve(after, jnp.full(lanes(chances), outcome))
                return now.reward + discount * now.discount * evaluator(now.final)[1]

            each = jax.vmap(one, out_axes=-1)(jnp.arange(chances.shape[-1]))
            return jnp.where(jnp.isfinite(chances), jnp.exp(chances) * each, 0.0).sum(-1)

        def decide(params: Tree, key: Key, action: Array, node: tuple) -> tuple[Any, tuple]:
            state, obs, ended = node
            # mctx calls this at nodes of chance too, and then ignores the result.
            after, chances = model.decide(state, jnp.clip(action, 0, actions - 1))
            worth = expectation(after, chances) if afterstates is None else afterstates(after)
            worth = jnp.where(ended, evaluator(obs)[1], worth)
            return DECISION(chance_logits=chances, afterstate_value=worth), (after, *node)

        def resolve(params: Tree, key: Key, outcome: Array, node: tuple) -> tuple[Any, tuple]:
            after, *before = node
            new, now = model.resolve(after, jnp.maximum(outcome, 0))
            found, node = onward(evaluator, discount, tuple(before), new, now)
            logits, value, reward, kept = found
            return CHANCE(action_logits=logits, value=value, reward=reward, discount=kept), node

        ended = jnp.zeros(value.shape, bool)
        out = POLICY(
            (),
            key,
            ROOT(prior_logits=logits, value=value, embedding=(state, obs, ended)),
            decide,
            resolve,
            simulations,
            None if mask is None else ~mask,
            dirichlet_fraction=noise,
            temperature=float(noise > 0),
            pb_c_init=exploration,
        )
        best = out.search_tree.summary().value
        return SearchOutput(out.action, out.action_weights, best)

    return search
