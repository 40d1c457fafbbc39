"""How a dynamics learns: its state, its statistics, its bootstrap and its holdout."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import normalise
from jaxrl.models.dynamics import Dynamics, Scales, View, empty_scales, targets
from jaxrl.networks import joined
from jaxrl.packing import layout, pack
from jaxrl.types import Array, Key, Transition, Tree, Update
from jaxrl.updates.gradient import Learner, descend

ModelLoss = Callable[[Dynamics, Tree, Scales, Any], Array]
"""(dynamics, params, scales, batch) -> the loss [M, ...] of each member on each transition."""


class Fit(NamedTuple):
    """The state of a dynamics that learns."""

    learner: Learner
    scales: Scales
    holdout: Array  # [M] running mean loss on transitions that are never trained on


def fitted(
    dynamics: Dynamics,
    loss: ModelLoss,
    optimiser: optax.GradientTransformation,
    elites: int | None = None,
    bootstrap: bool = True,
    holdout: float = 0.1,
    rate: float = 0.01,
) -> Update:
    """Learn a dynamics from batches `(transitions [..., *], context)`.

    Only losses that say so need the context. Each member counts a transition as often as a
    bootstrap sample would hold it, if `bootstrap`; a share `holdout` of transitions is used only
    to rank the members, of whom the best `elites` are believed. Both follow from what a transition
    says, so that they are the same whenever it is replayed. `rate` is how fast the ranking forgets.
    """
    members = dynamics.members
    elites = members if elites is None else elites

    def objective(params: Tree, target: Tree, seen: tuple, key: Key) -> tuple[Array, dict]:
        scales, weight, batch = seen
        each = loss(dynamics, params, scales, batch)
        # The sum over members: each has a gradient as if it was alone.
        mean = (weight * each).mean(tuple(range(1, weight.ndim))).sum()
        return mean + dynamics.penalty(params), {"each": each}

    descent = descend(dynamics.init, objective, optimiser)

    def init(key: Key, example: Transition) -> Fit:
        scales = observe(dynamics, empty_scales(dynamics.spec), example)
        return Fit(descent.init(key, example), scales, jnp.zeros(members))

    def apply(state: Fit, batch: tuple[Transition, Tree], key: Key) -> tuple[Fit, dict]:
        data = batch[0]
        scales = observe(dynamics, state.scales, data)
        code = fingerprint(data)
        held = uniform(code, 0) < holdout
        weight = copies(code, members) if bootstrap else jnp.ones((members, *code.shape))
        weight = weight * ~held * data.weight
        learner, seen = descent.apply(state.learner, (scales, weight, batch), key)
        each, count = seen["each"], held.sum()
        error = (each * held).sum(tuple(range(1, each.ndim))) / jnp.maximum(count, 1)
        pace = jnp.where(learner.step == 1, 1.0, rate) * (count > 0)
        score = state.holdout + pace * (error - state.holdout)
        metrics = {"model_loss": each.mean(), "model_holdout": score.mean()}
        return Fit(learner, scales, score), metrics

    def read(state: Fit) -> View:
        rank = jnp.argsort(jnp.argsort(state.holdout))
        return View(state.learner.params, state.scales, rank < elites)

    return Update(init, apply, read)


def observe(dynamics: Dynamics, scales: Scales, batch: Transition) -> Scales:
    """Merge transitions into the statistics."""
    spec = dynamics.spec
    return Scales(
        normalise.update(scales.inputs, joined(spec, batch.obs, batch.action)),
        normalise.update(scales.targets, targets(spec, batch)),
    )


def fingerprint(batch: Transition) -> Array:
    """A number [...], uint32, of what each transition [..., *] says, as good as random."""
    content = (batch.obs, batch.action, batch.reward, batch.final)
    words = pack(content, layout(content, batch.reward.ndim))
    place = jnp.arange(1, words.shape[-1] + 1, dtype=jnp.uint32) * jnp.uint32(0x9E3779B1)
    return scrambled(scrambled(words ^ place).sum(-1))


def scrambled(x: Array) -> Array:
    """The bits of uint32, mixed: the finaliser of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def uniform(code: Array, stream: int | Array) -> Array:
    """Numbers [...] in [0, 1) of codes [...]; those of two streams are unrelated."""
    mixed = scrambled(code + jnp.uint32(0x9E3779B9) * (jnp.asarray(stream, jnp.uint32) + 1))
    return (mixed >> 8).astype(jnp.float32) * 2.0**-24


def copies(code: Array, members: int) -> Array:
    """How often each member's bootstrap sample holds each of transitions [...]: [M, ...].

    Poisson of mean one, the limit of resampling (Oza and Russell 2001).
    """
    streams = 1 + jnp.arange(members).reshape(-1, *(1,) * code.ndim)
    u = uniform(code, streams)
    chances = np.cumsum(np.exp(-1) / np.cumprod([1, 1, 2, 3, 4, 5, 6]))
    return jnp.searchsorted(jnp.asarray(chances, jnp.float32), u, side="right").astype(float)
