"""Models of finite processes from counts of transitions, as a process or as samples."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP
from jaxrl.errors import require_table
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update, listed


class Counts(NamedTuple):
    """The counts of each state, action and successor."""

    visits: Array  # [S, A, S]
    reward: Array  # [S, A, S] sums
    ends: Array  # [S, A, S] terminations


def counted(spec: Spec) -> Update:
    """Count transitions between one-hot observations [S]; batches are `(transitions, context)`.

    Raises an InputError unless observations are one vector and actions discrete.
    """
    states, actions = require_table(spec)

    def add(counts: Counts, batch: Transition) -> Counts:
        data = listed(batch)
        action = jax.nn.one_hot(data.action, actions)
        at = lambda x: jnp.einsum("ns,na,nt,n->sat", data.obs, action, data.final, x)
        seen = Counts(data.weight, data.weight * data.reward, data.weight * (1 - data.discount))
        return jax.tree.map(lambda old, new: old + at(new), counts, seen)

    def init(key: Key, example: Transition) -> Counts:
        zero = jnp.zeros((states, actions, states))
        return add(Counts(zero, zero, zero), example)

    def apply(counts: Counts, batch: tuple[Transition, Tree], key: Key) -> tuple[Counts, dict]:
        counts = add(counts, batch[0])
        return counts, {"model_pairs": (counts.visits.sum(-1) > 0).mean()}

    return Update(init, apply, lambda counts: counts)


def most_likely(counts: Counts) -> TabularMDP:
    """The process of maximum likelihood.

    Pairs that were never tried stay in their state with reward 0; the initial state is uniform.
    """
    states = counts.visits.shape[0]
    total = counts.visits.sum(-1, keepdims=True)
    stay = jnp.broadcast_to(jnp.eye(states)[:, None], counts.visits.shape)
    transition = jnp.where(total > 0, counts.visits / jnp.maximum(total, 1), stay)
    number = jnp.maximum(counts.visits, 1)
    discount = 1 - counts.ends / number
    return TabularMDP(
        transition, counts.reward / number, discount, jnp.full(states, 1 / states), ()
    )


def recalled(counts: Counts, key: Key, size: int) -> Transition:
    """Transitions [1, size, ...] of the most likely process, from uniformly random tried pairs.

    Where nothing was tried yet, their weight is zero. Source: the search control of Dyna-Q, Sutton
    and Barto (2018), section 8.2.
    """
    k_pair, k_next = jax.random.split(key)
    states, actions, _ = counts.visits.shape
    tried = counts.visits.sum(-1).reshape(-1) > 0
    pair = jax.random.categorical(k_pair, jnp.where(tried, 0.0, -jnp.inf), shape=(size,))
    seen = counts.visits.reshape(states * actions, states)[pair]
    final = jax.random.categorical(k_next, jnp.where(seen > 0, jnp.log(seen), -jnp.inf))
    state, action = pair // actions, pair % actions
    number = jnp.where(tried.any(), counts.visits[state, action, final], 1.0)
    reward = counts.reward[state, action, final] / number
    discount = 1 - counts.ends[state, action, final] / number
    show = lambda index: jax.nn.one_hot(index, states)
    data = Transition(
        show(state), action, reward, discount, jnp.ones(size, bool), show(final), (),
        jnp.broadcast_to(tried.any(), (size,)).astype(float),
    )  # fmt: skip
    return jax.tree.map(lambda x: x[None], data)
