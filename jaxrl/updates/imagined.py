"""Transforms for learning from what a learnt model imagines."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Key, Transition, Tree, Update, lanes, listed

Dream = Callable[[Tree, Tree, Transition, Key], Transition]
"""(view of the model, view of the learner, replayed batch, key) -> imagined transitions."""


class Imagined(NamedTuple):
    """The state of a learner and of the model it learns in."""

    inner: Tree
    model: Tree


def fitting(update: Update, model: Update) -> Update:
    """Let `model` learn from each batch, then `update` from (view of the model, batch).

    The model learns from (batch, view of the learner), so that its loss may depend on values.
    """

    def init(key: Key, example: Transition) -> Imagined:
        k_inner, k_model = jax.random.split(key)
        return Imagined(update.init(k_inner, example), model.init(k_model, example))

    def apply(state: Imagined, batch: Transition, key: Key) -> tuple[Imagined, dict]:
        k_model, k_learn = jax.random.split(key)
        view = update.read(state.inner)
        fit, seen = model.apply(state.model, (batch, view), k_model)
        inner, metrics = update.apply(state.inner, (model.read(fit), batch), k_learn)
        return Imagined(inner, fit), metrics | seen

    return Update(init, apply, lambda state: update.read(state.inner))


def dreaming(update: Update, dream: Dream) -> Update:
    """Learn from `dream(view of the model, view of the learner, batch, key)`, not the batch."""

    def apply(state: Tree, batch: tuple[Tree, Transition], key: Key) -> tuple[Tree, dict]:
        k_dream, k_learn = jax.random.split(key)
        return update.apply(state, dream(batch[0], update.read(state), batch[1], k_dream), k_learn)

    return update._replace(apply=apply)


def waking(update: Update) -> Update:
    """Learn from the batch of (view of the model, batch) as if there was no model."""
    return update._replace(apply=lambda state, batch, key: update.apply(state, batch[1], key))


def in_turn(first: Update, second: Update) -> Update:
    """Let two ways to learn, of the same kind of state, learn from each batch in turn."""

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        k_first, k_second = jax.random.split(key)
        state, _ = first.apply(state, batch, k_first)
        return second.apply(state, batch, k_second)

    return first._replace(apply=apply)


def repeated(update: Update, times: int) -> Update:
    """Learn from each batch `times` times, with a key of its own each time."""

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        one = lambda state, key: update.apply(state, batch, key)
        return jax.lax.scan(one, state, jax.random.split(key, times))

    return update._replace(apply=apply)


def imagined(update: Update, model: Update, dream: Dream, times: int = 1) -> Update:
    """Fit a model to each batch, then learn `times` times from what is dreamt in it.

    Around it goes a replay: `replay(imagined(update, model, dream), ...)`. Source: Sutton (1991);
    Janner et al. (2019), algorithm 2, without a store of imagined transitions: they are made
    afresh, from the starts of the replayed batch, by the policy as it is.
    """
    return fitting(repeated(dreaming(update, dream), times), model)


def real_ones(share: float, size: int) -> int:
    """How many transitions of a batch of `size` are real, where a share of it should be."""
    return round(share * size)


def mixed(dream: Dream, share: float) -> Dream:
    """Dreams of one step each [B, ...], of which the first `share` are replaced by real ones.

    `dream` may return [length, B / length, ...]; its leading axes are flattened.
    """

    def blend(model: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        made = listed(dream(model, view, batch, key))
        first = real_ones(share, lanes(batch))
        # Real transitions have a weight of their own, of replay; extras are the dream's.
        join = lambda x, y: jnp.concatenate([x[:first], y[first:]])
        return jax.tree.map(join, batch, made)

    return blend
