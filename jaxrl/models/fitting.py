"""The update that fits a dynamics: its state, statistics, bootstrap and holdout."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import normalise
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.models.dynamics import Dynamics, Scales, View, empty_scales, targets
from jaxrl.models.losses import likelihood, require_noise
from jaxrl.networks import joined
from jaxrl.packing import layout, pack
from jaxrl.sharding import total
from jaxrl.types import Array, Key, Transition, Tree, Update
from jaxrl.updates.gradient import Learner, descend

ModelLoss = Callable[[Dynamics, Tree, Scales, Any], Array]
"""(dynamics, params, scales, batch) -> the loss [M, ...] of each member on each transition."""


class Fit(NamedTuple):
    """The state of a dynamics that learns."""

    learner: Learner
    scales: Scales
    holdout: Array  # [M] running mean loss on transitions that are not trained on


def fitted(
    dynamics: Dynamics,
    loss: ModelLoss,
    optimiser: optax.GradientTransformation,
    elites: int | None = None,
    bootstrap: bool = True,
    holdout: float = 0.1,
    rate: float = 0.01,
) -> Update:
    """Fit a dynamics to batches `(transitions [..., *], context)`.

    Only losses that say so need the context. With `bootstrap`, each member weighs a transition by
    the number of its copies in a bootstrap sample. A share `holdout` of transitions is used only
    to rank the members; the best `elites` of them are the elite. Both are functions of the content
    of a transition, so that they are the same whenever it is replayed. `rate` is the step size of
    the running errors in the ranking. Raises an InputError if the numbers do not fit, or for the
    likelihood of a deterministic dynamics.
    """
    members = dynamics.members
    elites = members if elites is None else elites
    require_positive(elites=elites)
    require(elites <= members, f"elites {elites} must be at most members {members}.")
    require_fraction(holdout=holdout, rate=rate)
    if loss is likelihood:
        require_noise(dynamics)

    def objective(params: Tree, target: Tree, seen: tuple, key: Key) -> tuple[Array, dict]:
        scales, weight, batch = seen
        each = loss(dynamics, params, scales, batch)
        # The sum over members gives each of them the gradient of its own loss.
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
        each, held = seen["each"], held * data.weight
        count, wrong = total((held.sum(), (each * held).sum(tuple(range(1, each.ndim)))))
        error = wrong / jnp.where(count > 0, count, 1)
        pace = jnp.where(learner.step == 1, 1.0, rate) * (count > 0)
        score = state.holdout + pace * (error - state.holdout)
        metrics = {"model_loss": each.mean(), "model_holdout": score.mean()}
        return Fit(learner, scales, score), metrics

    def read(state: Fit) -> View:
        rank = jnp.argsort(jnp.argsort(state.holdout))
        return View(state.learner.params, state.scales, rank < elites)

    return Update(init, apply, read)


def observe(dynamics: Dynamics, scales: Scales, batch: Transition) -> Scales:
    """Merge transitions into the statistics, by their weights."""
    spec = dynamics.spec
    return Scales(
        normalise.update(scales.inputs, joined(spec, batch.obs, batch.action), weight=batch.weight),
        normalise.update(scales.targets, targets(spec, batch), weight=batch.weight),
    )


def fingerprint(batch: Transition) -> Array:
    """A hash [...], uint32, of the content of each transition [..., *]."""
    content = (batch.obs, batch.action, batch.reward, batch.final)
    words = pack(content, layout(content, batch.reward.ndim))
    place = jnp.arange(1, words.shape[-1] + 1, dtype=jnp.uint32) * jnp.uint32(0x9E3779B1)
    return scrambled(scrambled(words ^ place).sum(-1))


def scrambled(x: Array) -> Array:
    """Mix the bits of uint32 numbers: the finaliser of MurmurHash3 (Appleby 2011)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def uniform(code: Array, stream: int | Array) -> Array:
    """Pseudo-random numbers [...] in [0, 1) of codes [...], independent between streams."""
    mixed = scrambled(code + jnp.uint32(0x9E3779B9) * (jnp.asarray(stream, jnp.uint32) + 1))
    return (mixed >> 8).astype(jnp.float32) * 2.0**-24


def copies(code: Array, members: int) -> Array:
    """The number of copies [M, ...] of transitions [...] in each member's bootstrap sample.

    They are Poisson of mean one, the limit of resampling (Oza and Russell 2001).
    """
    streams = 1 + jnp.arange(members).reshape(-1, *(1,) * code.ndim)
    u = uniform(code, streams)
    chances = np.cumsum(np.exp(-1) / np.cumprod([1, 1, 2, 3, 4, 5, 6]))
    return jnp.searchsorted(jnp.asarray(chances, jnp.float32), u, side="right").astype(float)
