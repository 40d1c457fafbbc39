"""SAC that learns a half of each batch from a corrector's interventions (Luo et al. 2024).

It is for environments of `jaxrl.steering.intervened`, whose corrector replaces some actions. What
was executed is stored, and counts twice: among all steps and among the corrected ones.
Source: "Precise and dexterous robotic manipulation via human-in-the-loop reinforcement learning",
https://arxiv.org/abs/2410.21845.
"""

from typing import Any

from agents import sac
from jaxrl.environments import require_box
from jaxrl.errors import require
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.settings import Collection, Layers, Optimisation
from jaxrl.steering import Executed, Frozen, disagreeing, executed, intervened
from jaxrl.types import Agent, Env, Spec, Transition
from jaxrl.updates import symmetric
from jaxrl.values import Ensemble


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of SAC, with the defaults of RLPD and a share of corrected steps."""

    corrected_share: float = static(0.5, FRACTION)
    """Share of each batch that is drawn from the steps at which the corrector acted."""
    tolerance: float = number(0.5, NOT_NEGATIVE)
    """Root mean squared difference from the corrector's action in [-1, 1] that it tolerates."""
    attention: float = number(0.2, FRACTION)
    """Probability that the corrector begins to act at a step with a larger difference."""
    spell: int = static(5, POSITIVE)
    """Steps for which the corrector acts once it has begun."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient."""
    ensemble: Ensemble = Ensemble(10, subset=2)
    """Number of critics, and the reduction of their predictions to a target."""
    actor_reduction: str = static("average")
    """Reduction of all critics for the actor: one of the names that ensemble.reduction takes."""
    collection: Collection = Collection(warmup=500)
    """How experience is collected."""
    network: Layers = Layers(hidden=(256, 256), layer_norm=True)
    """The network's layers."""


def hil_serl(spec: Spec, hp: Hyperparameters) -> Agent:
    """SAC for continuous actions in [-1, 1] of an environment with a corrector.

    It reports `intervention_rate`. Raises an InputError as `sac.sac` does, and if the environment
    does not tell what was executed.
    """
    require(
        isinstance(spec.signals, Executed),
        "hil-serl needs an environment with a corrector: transform it by "
        "`jaxrl.steering.intervened`.",
    )
    require(not hp.normalise_observations, "hil-serl standardises nothing: leave it off.")
    require(hp.replay.data_share == 0, "hil-serl has no data set: leave data_share at 0.")
    words = "hil-serl replays marked steps on the device: leave buffer_memory at device."
    require(hp.replay.buffer_memory == "device", words)
    agent, own = sac.learner(spec, hp), hp.replay
    rows = own.buffer_size // hp.collection.num_envs
    corrected = lambda steps: steps.signals.corrected
    update = symmetric(
        agent.update, rows, own.batch_size, own.updates, corrected, hp.corrected_share
    )
    return executed(agent._replace(update=update))


def beside(policy: Frozen) -> dict[str, Any]:
    """How it sees an environment that a trained policy corrects, see `jaxrl.steering.disagreeing`.

    Elsewhere the hyperparameters of when it is corrected do nothing.
    """

    def world(env: Env, hp: Hyperparameters) -> Env:
        require_box(env, "hil-serl")
        return intervened(env, disagreeing(policy.act, hp.tolerance, hp.attention, hp.spell))

    def told(data: Transition, hp: Hyperparameters) -> Transition:
        require(False, "hil-serl learns beside its corrector, without data: leave --dataset out.")
        return data

    return {"world": world, "told": told}
