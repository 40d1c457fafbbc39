"""SAC with many critics whose gradients are kept apart (An et al. 2021, "EDAC").

Without the term of diversity it is SAC-N: see `agents.AGENTS`. Source: "Uncertainty-based offline
reinforcement learning with diversified Q-ensemble", https://arxiv.org/abs/2110.01548.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents import sac
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, number, record
from jaxrl.settings import Layers, Optimisation
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of EDAC: those of SAC, and of the diversity of critics."""

    diversity: float = number(0.5, NOT_NEGATIVE)
    """Weight of the mean cosine of the critics' gradients in the critics' loss; half of that of the
    authors, whose squared errors are not halved."""
    ensemble: values.Ensemble = values.Ensemble(10)
    """Number of critics, and the reduction of their predictions to a target."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    network: Layers = Layers(hidden=(256, 256, 256))
    """The network's layers."""


def edac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """SAC with diverse critics, for continuous actions in [-1, 1].

    The arguments are those of `sac.sac`. Raises an InputError as it does, or for one critic.
    """
    members = hp.ensemble.members
    require(members > 1, f"ensemble.members must be at least 2 for edac, but it is {members}.")
    penalty = partial(alike, hp.diversity)
    return sac.sac(spec, hp, representation, penalty=penalty, optimiser=optimiser)


def alike(
    weight: float | Array, judge: sac.Judgement, params: Tree, batch: Transition, key: Key
) -> Array:
    """The mean cosine [B] over all pairs of the critics' gradients with respect to the action.

    It is weight / (E - 1) times the sum over i != j of cos(dQ_i/da, dQ_j/da), at the actions of the
    batch, which lies between -weight E / (E - 1) and weight E. A gradient that is zero has no
    direction: its cosines are zero, without a gradient. Source: the diversity term of An et al.
    (2021), "EDAC", summed over critics as their losses are.
    """
    one = lambda obs, action: judge.each(params, obs[None], action[None])[0]
    slopes = jax.vmap(jax.jacrev(one, 1))(batch.obs, batch.action)  # [B, E, *action]
    slopes = slopes.reshape(*slopes.shape[:2], -1)
    length = optax.safe_norm(slopes, 0.0, axis=-1, keepdims=True)
    slopes = slopes * jnp.where(length > 1e-8, 1 / jnp.maximum(length, 1e-8), 0.0)
    cosines = jnp.einsum("bia,bja->bij", slopes, slopes)
    members = slopes.shape[1]
    return weight * (cosines.sum((-1, -2)) - jnp.trace(cosines, 0, -2, -1)) / (members - 1)
