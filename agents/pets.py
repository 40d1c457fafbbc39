"""Planning at every step in a learnt ensemble, without a policy (Chua et al. 2018).

It differs from the paper in that each candidate plan is evaluated in one rollout, not in several
particles, and in learning rewards and ends.
"""

from functools import partial

from jaxrl import models, planning
from jaxrl.errors import require, require_continuous, unknown
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.models.fitting import Fit
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Key, Spec, Transition
from jaxrl.updates import optimiser_for, replayed, require_buffer


@record
class Hyperparameters:
    """The hyperparameters of PETS; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(
        optimiser="adamw", weight_decay=1e-4, schedule="constant"
    )
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per step of a plan."""
    exploration_noise: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of the noise that is added to actions in training."""
    temperature: float = number(0.3, POSITIVE)
    """Temperature of MPPI, in standard deviations of the return."""
    members: int = static(5, POSITIVE)
    """Number of networks in the ensemble that is the model."""
    elites: int = static(5, POSITIVE)
    """Number of members of least error that are used for planning."""
    planner: str = static("cem")
    """Planning algorithm: cem or mppi."""
    horizon: int = static(15, POSITIVE)
    """Steps of a plan."""
    candidates: int = static(128, POSITIVE)
    """Candidate plans in a round."""
    rounds: int = static(4, POSITIVE)
    """Rounds of improvement of a plan."""
    collection: Collection = Collection(warmup=500)
    """How experience is collected."""
    replay: Replay = Replay(updates=4)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(128, 128), activation="swish")
    """The network's layers."""


def pets(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a probabilistic ensemble, and plan in it: each rollout follows one member.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    dynamics = models.gaussian_mlp(spec, hp.members, hp.network.hidden)
    world = models.fitted(dynamics, models.likelihood, optimiser_for(hp), hp.elites)
    model = lambda view: models.ensemble_model(dynamics, view, models.trajectory_member())
    improve = {
        "cem": partial(planning.cross_entropy, hp.candidates, -(-hp.candidates // 8)),
        "mppi": partial(planning.path_integral, hp.candidates, hp.temperature),
    }[hp.planner](rounds=hp.rounds)
    plans = partial(planning.planner, model, spec, improve, hp.horizon, hp.discount)

    def apply(state: Fit, batch: Transition, key: Key) -> tuple[Fit, dict]:
        return world.apply(state, (batch, ()), key)

    update = replayed(world._replace(apply=apply), hp)
    return Agent(plans(noise=hp.exploration_noise), plans(), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "pets")
    if hp.planner not in ("cem", "mppi"):
        raise unknown("planner", hp.planner, ("cem", "mppi"))
    check_fields(hp)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    require_buffer(hp)
