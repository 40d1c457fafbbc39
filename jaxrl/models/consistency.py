"""A reward of dynamics: how real a successor looks, learnt by telling it from what models propose.

What scores the candidates of `best_scored`. Source: Luo et al. (2024), "MOREC", section 4.1: the
model's samples are the generator's, and discriminators from all of its history vote, because the
last one knows only the last mistakes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax

from jaxrl import normalise
from jaxrl.errors import require_positive
from jaxrl.layers import MLP, Tower, initialise
from jaxrl.models.dynamics import joined, vector_size
from jaxrl.models.ensemble import Score
from jaxrl.networks import blank, blank_action, flat
from jaxrl.normalise import Moments
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update


class Jury(NamedTuple):
    """The state of a discriminator, and of those it has been."""

    params: Tree
    opt: Tree
    past: Tree  # [H, ...] parameters, the newest over the oldest
    inputs: Moments  # [D + A + D]
    step: Array  # [] int32


def jury(
    spec: Spec,
    propose: Callable[[Tree, Transition, Key], Array],
    optimiser: optax.GradientTransformation,
    hidden: Sequence[int] = (64, 64),
    history: int = 8,
    period: int = 100,
) -> Update:
    """Learn from `(transitions [B, ...], view)` to tell successors from those of `propose` [B, D].

    Every `period`-th discriminator is kept, the latest `history` of them. What is judged is the
    change that a successor is, beside the observation and the action.
    """
    require_positive(history=history, period=period)
    size = vector_size(spec)
    net = Tower(MLP(tuple(hidden), "swish"), 1)
    width = joined(spec, blank(spec), blank_action(spec)).shape[-1] + size

    def init(key: Key, example: Transition) -> Jury:
        params = initialise(net, key, jnp.zeros(width))
        past = jax.tree.map(lambda x: jnp.broadcast_to(x, (history, *x.shape)), params)
        inputs = normalise.init(jax.ShapeDtypeStruct((width,), jnp.float32))
        return Jury(params, optimiser.init(params), past, inputs, jnp.zeros((), jnp.int32))

    def apply(state: Jury, batch: tuple[Transition, Tree], key: Key) -> tuple[Jury, dict]:
        data, view = batch
        fake = propose(view, data, key)
        real = flat(spec.observation, data.final)
        inputs = normalise.update(state.inputs, case(spec, data.obs, data.action, real))

        def loss(params: Tree) -> Array:
            logit = lambda x: verdict(params, inputs, case(spec, data.obs, data.action, x))
            return (jax.nn.softplus(-logit(real)) + jax.nn.softplus(logit(fake))).mean()

        error, gradient = jax.value_and_grad(loss)(state.params)
        change, opt = optimiser.update(gradient, state.opt, state.params)
        params, step = optax.apply_updates(state.params, change), state.step + 1
        slot = (step // period) % history
        kept = lambda old, new: jnp.where(step % period == 0, old.at[slot].set(new), old)
        past = jax.tree.map(kept, state.past, params)
        return Jury(params, opt, past, inputs, step), {"jury_loss": error}

    def verdict(params: Tree, inputs: Moments, x: Array) -> Array:
        return cast(Array, net.apply(params, normalise.standardise(inputs, x)))[..., 0]

    return Update(init, apply, lambda state: state)


def case(spec: Spec, obs: Tree, action: Array, final: Array) -> Array:
    """What is judged [..., D + A + D]."""
    return jnp.concatenate([joined(spec, obs, action), final - flat(spec.observation, obs)], -1)


def dynamics_reward(spec: Spec, state: Jury, hidden: Sequence[int] = (64, 64)) -> Score:
    """The mean probability [M, B] that the jury gives to candidates [M, B, D] of being real."""
    net = Tower(MLP(tuple(hidden), "swish"), 1)

    def score(obs: Tree, action: Array, final: Array) -> Array:
        one = lambda x: case(spec, obs, action, x)
        x = normalise.standardise(state.inputs, jax.vmap(one)(final))
        logits = jax.vmap(lambda params: cast(Array, net.apply(params, x))[..., 0])(state.past)
        return jax.nn.sigmoid(logits).mean(0)

    return score
