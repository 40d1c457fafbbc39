"""A reward of dynamics: discriminators that tell real successors from those of a model.

It scores the candidates of `best_scored`. Source: Luo et al. (2024), "MOREC", section 4.1: the
model is the generator, and discriminators from the whole training history vote, because the last
one only knows the last mistakes of the model.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl import normalise
from jaxrl.errors import require_positive
from jaxrl.models.dynamics import vector_size
from jaxrl.models.ensemble import Score
from jaxrl.networks import action_size, flat, joined
from jaxrl.networks.layers import MLP, Tower, initialise
from jaxrl.normalise import Moments
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates.gradient import Learner, descend


class Jury(NamedTuple):
    """The state of a discriminator, and its earlier parameters."""

    learner: Learner
    past: Tree  # [H, ...] parameters; the newest replace the oldest
    inputs: Moments  # [D + A + D]


def jury(
    spec: Spec,
    propose: Callable[[Tree, Transition, Key], Array],
    optimiser: optax.GradientTransformation,
    hidden: Sequence[int] = (64, 64),
    history: int = 8,
    period: int = 100,
) -> Update:
    """Train a discriminator of real successors and those of `propose` [B, D].

    Batches are `(transitions [B, ...], view)`. The discriminator sees the observation, the action
    and the change of the observation. Its parameters are stored at every `period`-th step; the
    latest `history` of them are kept.
    """
    require_positive(history=history, period=period)
    size = vector_size(spec)
    net = Tower(MLP(tuple(hidden), "swish"), 1)
    width = 2 * size + action_size(spec)

    def verdict(params: Tree, inputs: Moments, x: Array) -> Array:
        return cast(Array, net.apply(params, normalise.standardise(inputs, x)))[..., 0]

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        inputs, real, fake, weight = batch
        error = jax.nn.softplus(-verdict(params, inputs, real))
        error = error + jax.nn.softplus(verdict(params, inputs, fake))
        return (weight * error).mean(), {"jury_loss": error.mean()}

    descent = descend(lambda key: initialise(net, key, jnp.zeros(width)), loss, optimiser)

    def init(key: Key, example: Transition) -> Jury:
        learner = descent.init(key, example)
        past = jax.tree.map(lambda x: jnp.broadcast_to(x, (history, *x.shape)), learner.params)
        return Jury(learner, past, normalise.init(jax.ShapeDtypeStruct((width,), jnp.float32)))

    def apply(state: Jury, batch: tuple[Transition, Tree], key: Key) -> tuple[Jury, dict]:
        data, view = batch
        k_propose, k_learn = jax.random.split(key)
        at = partial(case, spec, data.obs, data.action)
        real, fake = at(flat(spec.observation, data.final)), at(propose(view, data, k_propose))
        inputs = normalise.update(state.inputs, real, weight=data.weight)
        learner, metrics = descent.apply(state.learner, (inputs, real, fake, data.weight), k_learn)
        slot = (learner.step // period) % history
        kept = lambda old, new: jnp.where(learner.step % period == 0, old.at[slot].set(new), old)
        past = jax.tree.map(kept, state.past, learner.params)
        return Jury(learner, past, inputs), metrics

    return Update(init, apply, lambda state: state)


class Judged(NamedTuple):
    """The state of a dynamics, and of the jury that judges its proposals."""

    fit: Tree
    jury: Jury


def judged(fit: Update, voters: Update) -> Update:
    """Fit a dynamics to `(transitions, context)`, then a jury to its new proposals."""

    def init(key: Key, example: Transition) -> Judged:
        k_fit, k_jury = jax.random.split(key)
        return Judged(fit.init(k_fit, example), voters.init(k_jury, example))

    def apply(state: Judged, batch: tuple[Transition, Tree], key: Key) -> tuple[Judged, dict]:
        k_fit, k_jury = jax.random.split(key)
        learnt, seen = fit.apply(state.fit, batch, k_fit)
        jury, metrics = voters.apply(state.jury, (batch[0], fit.read(learnt)), k_jury)
        return Judged(learnt, jury), seen | metrics

    return Update(init, apply, lambda state: Judged(fit.read(state.fit), state.jury))


def case(spec: Spec, obs: Tree, action: Array, final: Array) -> Array:
    """The inputs [..., D + A + D] of the jury."""
    return jnp.concatenate([joined(spec, obs, action), final - flat(spec.observation, obs)], -1)


def dynamics_reward(spec: Spec, state: Jury, hidden: Sequence[int] = (64, 64)) -> Score:
    """The jury's mean probability [M, B] that candidates [M, B, D] are real."""
    net = Tower(MLP(tuple(hidden), "swish"), 1)

    def score(obs: Tree, action: Array, final: Array) -> Array:
        one = lambda x: case(spec, obs, action, x)
        x = normalise.standardise(state.inputs, jax.vmap(one)(final))
        logits = jax.vmap(lambda params: cast(Array, net.apply(params, x))[..., 0])(state.past)
        return jax.nn.sigmoid(logits).mean(0)

    return score
