"""A world model that keeps first what actions control (Bharadhwaj et al. 2022, "InfoPower").

Dreamer without reconstruction. Latent classes are learnt for their empowerment, the information
I(A; Z' | Z) that two of them in a row have of the action between them, under the constraint that
they tell enough of the observation which the past does not tell of them. What an agent does not
influence has no empowerment, however long it lasts, and is kept only if there is room for it.
"""

from functools import partial

import jax
import jax.numpy as jnp

from agents import dreamer
from agents.repo import of_world, terms, told
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record
from jaxrl.models.latent import World, straight_through
from jaxrl.representations import Encoder, instance_contrast, inverse_dynamics
from jaxrl.types import Agent, Array, Key, Spec, Tree, Update

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(dreamer.Hyperparameters):
    """The hyperparameters of InfoPower: those of Dreamer, and of its two kinds of information."""

    empowerment: float = number(1.0, NOT_NEGATIVE)
    """Weight of the empowerment in the loss of the world model."""
    information: float = number(1.0, NOT_NEGATIVE)
    """Lower bound of what classes tell of the observation, less what the past tells of them, in
    nats per step."""
    initial_weight: float = number(1.0, POSITIVE)
    """Initial Lagrange multiplier of that information; it grows while the bound is not reached."""
    free: float = number(0.0, NOT_NEGATIVE)
    """Divergence in nats below which it is not penalised."""


def info_power(spec: Spec, hp: Hyperparameters) -> Agent:
    """Dreamer with a model that prefers what actions control.

    Raises an InputError as `dreamer` does, or if classes depend on the history.
    """
    return dreamer.dreamer(spec, hp, prioritised)


def prioritised(mind: World, hp: Hyperparameters) -> Update:
    """The update of the world model from (sequences, view), by a Lagrangian.

    With the contrastive bound I of what two draws of the classes of an observation tell of each
    other, which is at most what classes tell of the observation, the loss is

        reward and end - empowerment E log q(a | z, z') - weight (I - KL(posterior, prior)),

    and the weight grows while I - KL is below its bound. Source: the objective of Bharadhwaj et al.
    (2022), https://arxiv.org/abs/2204.08585; that the empowerment is the objective and the
    information the constraint was not looked up.
    """
    require(
        hp.posterior == "observation",
        "InfoPower compares classes of observations: its posterior must be observation, not "
        f"{hp.posterior}.",
    )
    size = mind.blank(1).classes.shape[-1]
    drawn = lambda key, log_probs: straight_through(log_probs, key).reshape(1, -1, size)
    # What is compared are classes: two draws of an observation's, and those of two in a row.
    same = Encoder(lambda key: (), lambda params, classes: classes, size)
    contrast = instance_contrast(same, lambda key, log_probs: drawn(key, log_probs)[0])
    inverse = inverse_dynamics(same, mind.spec, 1, hp.network)

    def init(key: Key) -> Tree:
        k_world, k_contrast, k_inverse = jax.random.split(key, 3)
        heads = {"contrast": contrast.init(k_contrast), "inverse": inverse.init(k_inverse)}
        weight = jnp.log(jnp.asarray(hp.initial_weight, float))
        return {"world": mind.init(k_world), "log_weight": weight} | heads

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        k_terms, k_contrast, k_inverse, k_now, k_next = jax.random.split(key, 5)
        means = terms(mind, params, batch[0], k_terms)
        steps = jax.tree.map(lambda x: x.reshape(1, -1, *x.shape[2:]), batch[0])
        likely = partial(mind.posterior, params["world"], jnp.zeros(()))
        now, after = likely(steps.obs), likely(steps.final)
        among = contrast.loss((), (), params["contrast"], steps._replace(obs=now), k_contrast)
        pairs = steps._replace(obs=drawn(k_now, now), final=drawn(k_next, after))
        unknown = inverse.loss((), (), params["inverse"], pairs, k_inverse)
        information = -among - means["divergence"]
        weight = jnp.exp(params["log_weight"])
        total = told(means) + hp.empowerment * unknown - fixed(weight) * information
        dual = -params["log_weight"] * fixed(hp.information - information)
        more = {"inverse_loss": unknown, "information": information, "information_weight": weight}
        return total + dual, means | more

    return of_world(init, loss, hp)
