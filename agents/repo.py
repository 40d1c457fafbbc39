"""A world model that keeps only what it can foretell and what pays (Zhu et al. 2023, "RePo").

Dreamer without reconstruction: latent states predict rewards and ends, under the constraint that
what an observation adds to what was foretold is at most some nats. Features that mean nothing and
cannot be foretold are too dear to keep; those that can be foretold cost nothing, and may stay.
"""

import jax
import jax.numpy as jnp
import optax
from flax import struct

from agents import dreamer
from jaxrl.errors import require_positive
from jaxrl.models.latent import World
from jaxrl.types import Agent, Array, Key, Spec, Tree, Update
from jaxrl.updates import clipped, descend

fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters(dreamer.Hyperparameters):
    """What RePo can be told, beyond Dreamer."""

    information: float = 3.0
    """Nats of divergence that are allowed in a step."""
    initial_weight: float = 1e-2
    """Weight of the divergence at first; it grows while there is too much, and falls after."""
    free: float = 0.0
    """Nats of divergence that cost nothing."""


def repo(spec: Spec, hp: Hyperparameters) -> Agent:
    """Dreamer in a world of what pays. Raises an InputError as `dreamer` does."""
    require_positive(information=hp.information, initial_weight=hp.initial_weight)
    return dreamer.dreamer(spec, hp, predictive)


def predictive(mind: World, hp: Hyperparameters) -> Update:
    """How the world model learns from (sequences, view), by a Lagrangian.

    Source: Zhu et al. (2023), the constrained objective; the multiplier is learnt by its logarithm.
    """

    def init(key: Key) -> Tree:
        weight = jnp.log(jnp.asarray(hp.initial_weight, float))
        return {"world": mind.init(key), "log_weight": weight}

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        terms = mind.parts(params["world"], batch[0], key)
        means = {name: x.mean() for name, x in terms.items() if name != "image_loss"}
        weight, excess = jnp.exp(params["log_weight"]), means["divergence"] - hp.information
        total = means["reward_loss"] + means["end_loss"] + fixed(weight) * means["divergence"]
        dual = -params["log_weight"] * fixed(excess)
        return total + dual, means | {"information_weight": weight}

    optimiser = clipped(optax.adam, hp.model_learning_rate, 0.0, hp.max_gradient_norm)
    update = descend(init, loss, optimiser)
    return update._replace(read=lambda state: state.params["world"])
