"""A world model that keeps only what is predictable or task-relevant (Zhu et al. 2023, "RePo").

Dreamer without reconstruction: latent states predict rewards and ends, under the constraint that
the divergence between posterior and prior is at most a number of nats. Irrelevant features that
cannot be predicted are dropped; those that can be predicted cost nothing and may stay.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents import dreamer
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record
from jaxrl.models.latent import World
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(dreamer.Hyperparameters):
    """The hyperparameters of RePo: those of Dreamer, and of the constraint."""

    information: float = number(3.0, POSITIVE)
    """Upper bound of the divergence between posterior and prior per step, in nats."""
    initial_weight: float = number(1e-2, POSITIVE)
    """Initial Lagrange multiplier of the divergence; it grows while the bound is exceeded."""
    free: float = number(0.0, NOT_NEGATIVE)
    """Divergence in nats below which it is not penalised."""


def repo(spec: Spec, hp: Hyperparameters) -> Agent:
    """Dreamer with a model that need not reconstruct. Raises an InputError as `dreamer` does."""
    return dreamer.dreamer(spec, hp, predictive)


def predictive(mind: World, hp: Hyperparameters) -> Update:
    """The update of the world model from (sequences, view), by a Lagrangian.

    Source: the constrained objective of Zhu et al. (2023); the logarithm of the multiplier is
    learnt.
    """

    def init(key: Key) -> Tree:
        weight = jnp.log(jnp.asarray(hp.initial_weight, float))
        return {"world": mind.init(key), "log_weight": weight}

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        means = terms(mind, params, batch[0], key)
        weight, excess = jnp.exp(params["log_weight"]), means["divergence"] - hp.information
        total = told(means) + fixed(weight) * means["divergence"]
        dual = -params["log_weight"] * fixed(excess)
        return total + dual, means | {"information_weight": weight}

    return of_world(init, loss, hp)


def terms(mind: World, params: Tree, batch: Transition, key: Key) -> dict[str, Array]:
    """The terms [] of the loss of a model on sequences, all but that of reconstruction."""
    means = dreamer.terms(mind, params["world"], batch, key)
    return {name: x for name, x in means.items() if name != "image_loss"}


def told(means: dict[str, Array]) -> Array:
    """The sum [] of the terms that say what was predicted wrongly: rewards, ends and masks."""
    return means["reward_loss"] + means["end_loss"] + means.get("mask_loss", jnp.zeros(()))


def of_world(init: Callable[[Key], Tree], loss: Callable, hp: Any) -> Update:
    """The update of parameters of which those of "world" are read, with the model's rate."""
    update = dreamer.of_world(init, loss, hp)
    return update._replace(read=lambda state: state.params["world"])
