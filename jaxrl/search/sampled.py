"""Tree search among actions that are drawn at every node: for continuous actions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.models.model import Model
from jaxrl.networks import blank_action
from jaxrl.search.trees import Search
from jaxrl.types import Array, Discrete, Key, TimeStep, Tree

Propose = Callable[[Tree, int, Key], tuple[Array, Array, Array]]
"""(observations [B, *], K, key) -> actions [B, K, *], their log-probabilities under the policy and
under the proposal that they were drawn from, [B, K] each."""


class Candidates(NamedTuple):
    """An observation with the actions that may be taken there."""

    obs: Tree  # [B, *]
    action: Array  # [B, K, *action]
    logits: Array  # [B, K] of the prior, -inf for a repetition of an earlier candidate


class SampledOutput(NamedTuple):
    """The result of a search among sampled actions."""

    action: Array  # [B, *action]
    candidates: Array  # [B, K, *action]
    policy: Array  # [B, K] probabilities of the candidates, the targets of a policy
    value: Array  # [B] of the root


def among(propose: Propose, obs: Tree, number: int, key: Key) -> Candidates:
    """Draw candidates, whose prior is proportional to count / K * policy / proposal.

    That is the ratio of the empirical proposal to the true one times the policy, with which means
    under the prior tend to means under the policy as K grows. Equal candidates are merged.
    """
    action, policy, proposal = propose(obs, number, key)
    flat = action.reshape(*action.shape[:2], -1)
    equal = (flat[:, :, None] == flat[:, None]).all(-1)  # [B, K, K]
    earlier = jnp.tril(equal, -1).any(-1)
    logits = jnp.log(equal.sum(-1)) + policy - proposal
    return Candidates(obs, action, jnp.where(earlier, -jnp.inf, logits))


def taken(candidates: Array, index: Array) -> Array:
    """The actions [B, *] at indices [B] among candidates [B, K, *]."""
    return jax.vmap(lambda all_of_lane, one: all_of_lane[one])(candidates, index)


def sampled_model(model: Model, propose: Propose, number: int) -> Model:
    """The model whose actions are indices of `number` candidates, drawn anew at every state.

    Its states are (state, candidates [B, K, *]) and its observations `Candidates`. Any search can
    run in it. Source: Hubert et al. (2021), "Learning and planning in complex action spaces":
    https://arxiv.org/abs/2104.06303. Raises an InputError unless the number is positive.
    """
    require_positive(number=number)

    def enter(obs: Candidates, key: Key) -> Tree:
        return model.enter(obs.obs, key), obs.action

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_step, k_draw = jax.random.split(key)
        inner, candidates = state
        new, now = model.step(inner, taken(candidates, action), k_step)
        seen = among(propose, now.final, number, k_draw)
        return (new, seen.action), now._replace(obs=seen, final=seen)

    action = jax.eval_shape(lambda: blank_action(model.spec, number))
    prior: Any = jax.ShapeDtypeStruct((number,), jnp.float32)
    seen = Candidates(model.spec.observation, action, prior)
    spec = model.spec._replace(observation=seen, action=Discrete(number), mask=None)
    return Model(enter, step, spec)


def sampled_search(search: Search, propose: Propose, number: int) -> Callable[..., SampledOutput]:
    """A search among `number` actions that are drawn at every node: Sampled MuZero.

    `search` is any search of discrete actions, of `SEARCHES` for instance; the result is a function
    (model, value, (states, observations), discount, key), where `value(obs [B, *]) -> [B]`. A
    policy learns from the `policy` of the root's candidates as from a weighted sample. Source:
    Hubert et al. (2021), "Learning and planning in complex action spaces":
    https://arxiv.org/abs/2104.06303. Raises an InputError unless the number is positive.
    """
    require_positive(number=number)

    def run(
        model: Model,
        value: Callable[[Tree], Array],
        root: tuple[Tree, Tree],
        discount: float | Array,
        key: Key,
    ) -> SampledOutput:
        state, obs = root
        k_draw, k_search = jax.random.split(key)
        first = among(propose, obs, number, k_draw)
        found = search(
            sampled_model(model, propose, number),
            lambda seen: (seen.logits, value(seen.obs)),
            ((state, first.action), first),
            discount,
            k_search,
        )
        action = taken(first.action, found.action)
        return SampledOutput(action, first.action, found.policy, found.value)

    return run
