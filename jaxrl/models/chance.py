"""Models that separate a decision from what chance makes of it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP
from jaxrl.models.model import Model
from jaxrl.types import Array, Discrete, Key, Spec, TimeStep, Tree


class ChanceModel(NamedTuple):
    """A model, of a batch of B lanes, whose chance is one of C outcomes of known probabilities.

    An action leads to an afterstate, which no chance has touched yet, and an outcome from there to
    the next state. Source: Antonoglou et al. (2022), "Planning in stochastic environments with a
    learned model": https://openreview.net/forum?id=X6D9bAHhBQ1.
    """

    enter: Callable[[Tree, Key], Tree]  # observations [B, *] -> states
    decide: Callable[[Tree, Array], tuple[Tree, Array]]
    # decide: (states, actions [B]) -> (afterstates, log-probabilities [B, C] of the outcomes)
    resolve: Callable[[Tree, Array], tuple[Tree, TimeStep]]
    # resolve: (afterstates, outcomes [B]) -> (states, time steps)
    spec: Spec  # of one lane


def tabular_chance(mdp: TabularMDP, one_hot: bool = True) -> ChanceModel:
    """The model of a finite process: its outcomes are the B successors of a pair.

    States are indices, and so are observations unless they are `one_hot` [S].
    """
    states, actions, _ = mdp.transition.shape
    reward, discount = (jnp.broadcast_to(x, mdp.transition.shape) for x in mdp[1:3])
    dtype = mdp.transition.dtype
    show = lambda state: jax.nn.one_hot(state, states, dtype=dtype) if one_hot else state

    def decide(state: Array, action: Array) -> tuple[Tree, Array]:
        return (state, action), jnp.log(mdp.transition[state, action])

    def resolve(after: Tree, outcome: Array) -> tuple[Array, TimeStep]:
        at = (*after, outcome)
        new = outcome if isinstance(mdp.successors, tuple) else mdp.successors[at]
        obs, kept = show(new), discount[at]
        return new, TimeStep(obs, reward[at], kept, kept == 0, obs, {})

    indices = jax.ShapeDtypeStruct((), jnp.int32)
    observation = jax.ShapeDtypeStruct((states,), dtype) if one_hot else indices
    enter = lambda obs, key: obs.argmax(-1) if one_hot else obs
    return ChanceModel(enter, decide, resolve, Spec(observation, Discrete(actions)))


def drawn(model: ChanceModel) -> Model:
    """The model whose steps draw an outcome: for rollouts, and for searches that know no chance."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        after, chances = model.decide(state, action)
        return model.resolve(after, jax.random.categorical(key, chances))

    return Model(model.enter, step, model.spec)
