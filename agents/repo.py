"""A world model that keeps only what is predictable or task-relevant (Zhu et al. 2023, "RePo").

Dreamer without reconstruction: latent states predict rewards and ends, under the constraint that
the divergence between posterior and prior is at most a number of nats. Irrelevant features that
cannot be predicted are dropped; those that can be predicted cost nothing and may stay.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp

from agents import dreamer
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record
from jaxrl.models.latent import World
from jaxrl.types import Agent, Array, Key, Spec, Tree, Update
from jaxrl.updates import descend, optimiser_for

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
        terms = mind.parts(params["world"], batch[0], key)
        weighted = lambda x: (batch[0].weight * x).mean()
        means = {name: weighted(x) for name, x in terms.items() if name != "image_loss"}
        weight, excess = jnp.exp(params["log_weight"]), means["divergence"] - hp.information
        total = means["reward_loss"] + means["end_loss"] + fixed(weight) * means["divergence"]
        total = total + means["mask_loss"] if "mask_loss" in means else total
        dual = -params["log_weight"] * fixed(excess)
        return total + dual, means | {"information_weight": weight}

    optimiser = optimiser_for(replace(hp, learning_rate=hp.model_learning_rate))
    update = descend(init, loss, optimiser)
    return update._replace(read=lambda state: state.params["world"])
