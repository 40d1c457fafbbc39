"""Conservative offline model-based reinforcement learning (Yu et al. 2021, "COMBO").

MBPO for data sets whose critics are pushed down on imagined pairs and up on real ones; no measure
of the model's uncertainty is needed.
"""

from functools import partial

import jax.numpy as jnp

from agents import mbpo, sac
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates.imagined import real_ones


@record
class Hyperparameters(mbpo.Hyperparameters):
    """The hyperparameters of COMBO: those of MBPO, and of the conservative penalty."""

    conservatism: float = number(1.0, NOT_NEGATIVE)
    """Weight of the gap between the values of imagined and real pairs in the critics' loss."""
    horizon: int = static(4, POSITIVE)
    """Steps of an imagined rollout."""
    real_share: float = static(0.5, FRACTION)
    """Share of real transitions in a batch."""


def combo(spec: Spec, hp: Hyperparameters) -> Agent:
    """MBPO with conservative critics. Raises an InputError as `mbpo` does, or without real data."""
    mbpo.check(hp)
    real = real_ones(hp.real_share, hp.replay.batch_size)
    require(
        0 < real < hp.replay.batch_size,
        f"combo compares real with imagined pairs: real_share {hp.real_share} leaves one out of a "
        f"batch of {hp.replay.batch_size}; try 0.5.",
    )
    return mbpo.mbpo(spec, hp, penalty=partial(conservative, hp.conservatism, real))


def conservative(
    weight: float | Array, real: int, judge: sac.Judgement, params: Tree, batch: Transition,
    key: Key,
) -> Array:  # fmt: skip
    """The penalty [B] whose mean is E_imagined Q - E_real Q, summed over critics.

    The first `real` pairs of the batch are real. Source: conservative policy evaluation of Yu et
    al. (2021).
    """
    size = batch.reward.shape[0]
    sign = jnp.where(jnp.arange(size) < real, -size / real, size / (size - real))
    return weight * sign * judge.each(params, batch.obs, batch.action).sum(-1)
