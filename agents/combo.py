"""Values that are low where only a model has been: conservative model-based RL (Yu et al. 2021).

MBPO for data sets, whose critics are pushed down on imagined pairs and up on real ones. Nothing
says how uncertain the model is.
"""

from functools import partial

import jax.numpy as jnp
from flax import struct

from agents import mbpo, sac
from jaxrl.errors import require
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates.imagined import real_ones

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(mbpo.Hyperparameters):
    """What COMBO can be told, beyond MBPO."""

    conservatism: float = 1.0
    """Weight of the values of imagined pairs, less those of real ones, in the critics' loss."""
    horizon: int = static(default=4)
    """Steps of an imagined rollout."""
    real_share: float = static(default=0.5)
    """How much of a batch is real experience."""


def combo(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO with conservative critics. Raises an InputError as `mbpo` does, or without real data."""
    real = real_ones(hp.real_share, hp.batch_size)
    require(
        0 < real < hp.batch_size,
        f"combo compares real with imagined pairs: real_share {hp.real_share} leaves one out.",
    )
    return mbpo.mbpo(spec, hp, penalty=partial(conservative, hp.conservatism, real))


def conservative(
    weight: float | Array, real: int, judge: sac.Judgement, params: Tree, batch: Transition,
    key: Key,
) -> Array:  # fmt: skip
    """What is added [B] so that on the mean it is E_imagined Q - E_real Q, summed over critics.

    The first `real` pairs of the batch are real. Source: conservative policy evaluation of Yu et
    al. (2021).
    """
    size = batch.reward.shape[0]
    sign = jnp.where(jnp.arange(size) < real, -size / real, size / (size - real))
    return weight * sign * judge.each(params, batch.obs, batch.action).sum(-1)
