"""Transforms that let a learner learn from transitions that a learnt model imagines."""

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
    """Fit `model` to each batch, then let `update` learn from (view of the model, batch).

    The model learns from (batch, view of the learner), so that its loss may depend on values.

    Examples:
        >>> update = updates.fitting(updates.waking(total), counted)
        >>> state = update.apply(update.init(key, batch), batch, key)[0]
        >>> print(state.inner, state.model)
        4.0 1.0
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
    """Learn from `dream(view of the model, view of the learner, batch, key)`, not the batch.

    Examples:
        >>> print(updates.dreaming(total, dream).apply(zero, ((), batch), key)[0])
        40.0
    """

    def apply(state: Tree, batch: tuple[Tree, Transition], key: Key) -> tuple[Tree, dict]:
        k_dream, k_learn = jax.random.split(key)
        return update.apply(state, dream(batch[0], update.read(state), batch[1], k_dream), k_learn)

    return update._replace(apply=apply)


def waking(update: Update) -> Update:
    """Learn from the batch of (view of the model, batch) and ignore the model.

    Examples:
        >>> print(updates.waking(total).apply(zero, ((), batch), key)[0])
        4.0
    """
    return update._replace(apply=lambda state, batch, key: update.apply(state, batch[1], key))


def without_context(update: Update) -> Update:
    """Learn from the batch of (batch, view of the learner) and ignore the learner.

    It makes of any update one that takes the place of a model in `fitting` or `imagined`.

    Examples:
        >>> print(updates.without_context(total).apply(zero, (batch, ()), key)[0])
        4.0
    """
    return update._replace(apply=lambda state, told, key: update.apply(state, told[0], key))


def in_turn(first: Update, second: Update) -> Update:
    """Apply two updates of the same kind of state to each batch, one after the other.

    Examples:
        >>> print(updates.in_turn(total, counted).apply(zero, batch, key)[0])
        5.0
    """

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        k_first, k_second = jax.random.split(key)
        state, _ = first.apply(state, batch, k_first)
        return second.apply(state, batch, k_second)

    return first._replace(apply=apply)


def together(*updates: Update) -> Update:
    """Apply several updates to the same batches; the state and the view are tuples.

    Examples:
        >>> print(*updates.together(total, counted).apply((zero, zero), batch, key)[0])
        4.0 1.0
    """

    def init(key: Key, example: Transition) -> tuple:
        keys = jax.random.split(key, len(updates))
        return tuple(one.init(k, example) for one, k in zip(updates, keys))

    def apply(state: tuple, batch: Tree, key: Key) -> tuple[tuple, dict]:
        keys = jax.random.split(key, len(updates))
        after = [one.apply(s, batch, k) for one, s, k in zip(updates, state, keys)]
        metrics = {name: x for _, seen in after for name, x in seen.items()}
        return tuple(s for s, _ in after), metrics

    return Update(init, apply, lambda state: tuple(u.read(s) for u, s in zip(updates, state)))


def repeated(update: Update, times: int) -> Update:
    """Learn from each batch `times` times, each time with a new key.

    Examples:
        >>> print(updates.repeated(total, times=3).apply(zero, batch, key)[0])
        12.0
    """

    def apply(state: Tree, batch: Tree, key: Key) -> tuple[Tree, dict]:
        one = lambda state, key: update.apply(state, batch, key)
        return jax.lax.scan(one, state, jax.random.split(key, times))

    return update._replace(apply=apply)


def imagined(update: Update, model: Update, dream: Dream, times: int = 1) -> Update:
    """Fit a model to each batch, then learn `times` times from imagined transitions.

    It is used inside a replay: `replay(imagined(update, model, dream), ...)`. Source: Sutton
    (1991); Janner et al. (2019), algorithm 2, without a store of imagined transitions: the current
    policy generates new ones from the states of each replayed batch.

    Examples:
        >>> update = updates.imagined(total, counted, dream, times=2)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        80.0
    """
    return fitting(repeated(dreaming(update, dream), times), model)


def real_ones(share: float, size: int) -> int:
    """The number of real transitions in a batch of `size`, where a `share` of it is real."""
    return round(share * size)


def mixed(dream: Dream, share: float) -> Dream:
    """Batches [B, ...] of which the first `share` is real and the rest is imagined.

    `dream` may return [length, B / length, ...]. The imagined transitions are an even sample of
    it: the numbers taken from any two steps of the rollouts differ by at most one.

    Examples:
        >>> one = jax.tree.map(lambda x: x[0], batch)
        >>> print(updates.mixed(dream, share=0.5)((), (), one, key).reward)
        [ 1. 10.]
    """

    def blend(model: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        made, size = listed(dream(model, view, batch, key)), lanes(batch)
        real = real_ones(share, size)
        # Time comes first, so that regular steps through the list visit all depths alike.
        index = jnp.arange(size - real) * lanes(made) // max(size - real, 1)
        join = lambda x, y: jnp.concatenate([x[:real], y[index]])
        # A model that tells no signals leaves them out of the real transitions too.
        return jax.tree.map(join, batch._replace(signals=made.signals), made)

    return blend
