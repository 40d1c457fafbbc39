"""Many critics that disagree where nothing is learnt: reach-aware values (Sims et al. 2024).

Short rollouts of a model, even a perfect one, bootstrap from states where critics never learn. The
minimum of an ensemble is low there, the more so if its members are kept diverse (An et al. 2021);
the model itself is believed, however uncertain it is.
"""

from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from agents import mbpo, sac
from jaxrl import values
from jaxrl.errors import require
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(mbpo.Hyperparameters):
    """What RAVL can be told, beyond MBPO."""

    diversity: float = 1.0
    """Weight of the likeness of the critics' gradients in the critics' loss."""
    ensemble: values.Ensemble = values.Ensemble(10)
    """How many critics, and what to believe where they disagree."""
    horizon: int = static(default=4)
    """Steps of an imagined rollout."""


def ravl(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO with many diverse critics. Raises an InputError as `mbpo` does, or for one critic."""
    members = hp.ensemble.members
    require(members > 1, f"ravl needs critics that can differ, not {members}: ensemble.members.")
    return mbpo.mbpo(spec, hp, penalty=partial(alike, hp.diversity))


def alike(
    weight: float | Array, judge: sac.Judgement, params: Tree, batch: Transition, key: Key
) -> Array:
    """How alike [B] the critics' gradients in the action are: the mean cosine over all pairs.

    Source: the diversity term of An et al. (2021), "EDAC", summed over critics as their losses are.
    """
    one = lambda obs, action: judge.each(params, obs[None], action[None])[0]
    slopes = jax.vmap(jax.jacrev(one, 1))(batch.obs, batch.action)  # [B, E, *action]
    slopes = slopes.reshape(*slopes.shape[:2], -1)
    slopes = slopes / (jnp.linalg.norm(slopes, axis=-1, keepdims=True) + 1e-8)
    cosines = jnp.einsum("bia,bja->bij", slopes, slopes)
    members = slopes.shape[1]
    return weight * (cosines.sum((-1, -2)) - members) / (members - 1)
