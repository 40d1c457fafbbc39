"""Reach-aware values: diverse critics that disagree where nothing is learnt (Sims et al. 2024).

Short rollouts of a model, even a perfect one, bootstrap from states where critics never learn. The
minimum of an ensemble is low there, particularly if its members are kept diverse (An et al. 2021).
No measure of the model's uncertainty is used.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax

from agents import mbpo, sac
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree


@record
class Hyperparameters(mbpo.Hyperparameters):
    """The hyperparameters of RAVL: those of MBPO, and of the diversity of critics."""

    diversity: float = number(1.0, NOT_NEGATIVE)
    """Weight of the mean cosine of the critics' gradients in the critics' loss."""
    ensemble: values.Ensemble = values.Ensemble(10)
    """Number of critics, and the reduction of their predictions to a target."""
    horizon: int = static(4, POSITIVE)
    """Steps of an imagined rollout."""


def ravl(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO with many diverse critics. Raises an InputError as `mbpo` does, or for one critic."""
    mbpo.check(hp)
    members = hp.ensemble.members
    require(members > 1, f"ensemble.members must be at least 2 for ravl, but it is {members}.")
    return mbpo.mbpo(spec, hp, penalty=partial(alike, hp.diversity))


def alike(
    weight: float | Array, judge: sac.Judgement, params: Tree, batch: Transition, key: Key
) -> Array:
    """The mean cosine [B] over all pairs of the critics' gradients with respect to the action.

    A gradient that is zero has no direction: its cosines are zero, without a gradient. Source: the
    diversity term of An et al. (2021), "EDAC", summed over critics as their losses are.
    """
    one = lambda obs, action: judge.each(params, obs[None], action[None])[0]
    slopes = jax.vmap(jax.jacrev(one, 1))(batch.obs, batch.action)  # [B, E, *action]
    slopes = slopes.reshape(*slopes.shape[:2], -1)
    length = optax.safe_norm(slopes, 0.0, axis=-1, keepdims=True)
    slopes = slopes * jnp.where(length > 1e-8, 1 / jnp.maximum(length, 1e-8), 0.0)
    cosines = jnp.einsum("bia,bja->bij", slopes, slopes)
    members = slopes.shape[1]
    return weight * (cosines.sum((-1, -2)) - jnp.trace(cosines, 0, -2, -1)) / (members - 1)
