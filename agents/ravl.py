"""Reach-aware values: diverse critics that disagree where nothing is learnt (Sims et al. 2024).

Short rollouts of a model, even a perfect one, bootstrap from states where critics never learn. The
minimum of an ensemble is low there, particularly if its members are kept diverse (An et al. 2021).
No measure of the model's uncertainty is used.
"""

from functools import partial

from agents import mbpo
from agents.offline.edac import alike
from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.types import Agent, Spec


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
