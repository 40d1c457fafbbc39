"""Planning at every step in a learnt ensemble, without a policy (Chua et al. 2018).

It differs from the paper in that each candidate plan is evaluated in one rollout, not in several
particles, and in learning rewards and ends.
"""

from functools import partial

import optax
from flax import struct

from jaxrl import models, planning
from jaxrl.errors import require, require_continuous, unknown
from jaxrl.fields import (
    ENTRIES,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    check_fields,
    number,
    static,
)
from jaxrl.models.fitting import Fit
from jaxrl.types import Agent, Key, Spec, Transition, Update
from jaxrl.updates import replay
from jaxrl.updates.offpolicy import check_buffer


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of PETS; those that are not static can be swept by vmap."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of AdamW for the model."""
    weight_decay: float = number(1e-4, NOT_NEGATIVE)
    """Weight decay of AdamW for the model."""
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
    num_envs: int = static(1, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(1, POSITIVE)
    """Steps in each environment between two rounds of gradient steps."""
    updates: int = static(4, POSITIVE)
    """Gradient steps of the model after each rollout."""
    batch_size: int = static(256, POSITIVE)
    """Transitions in a batch."""
    buffer_size: int = static(100_000, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    warmup: int = static(500, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""
    hidden: tuple[int, ...] = static((128, 128), POSITIVE)
    """Units of each hidden layer."""


def pets(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a probabilistic ensemble, and plan in it: each rollout follows one member.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    dynamics = models.gaussian_mlp(spec, hp.members, hp.hidden)
    optimiser = optax.adamw(hp.learning_rate, weight_decay=hp.weight_decay)
    world = models.fitted(dynamics, models.likelihood, optimiser, hp.elites)
    model = lambda view: models.ensemble_model(dynamics, view, models.trajectory_member())
    improve = {
        "cem": partial(planning.cross_entropy, hp.candidates, -(-hp.candidates // 8)),
        "mppi": partial(planning.path_integral, hp.candidates, hp.temperature),
    }[hp.planner](rounds=hp.rounds)
    plans = partial(planning.planner, model, spec, improve, hp.horizon, hp.discount)

    def apply(state: Fit, batch: Transition, key: Key) -> tuple[Fit, dict]:
        return world.apply(state, (batch, ()), key)

    rows = hp.buffer_size // hp.num_envs
    update: Update = replay(world._replace(apply=apply), rows, hp.batch_size, hp.updates)
    return Agent(plans(noise=hp.exploration_noise), plans(), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "pets")
    if hp.planner not in ("cem", "mppi"):
        raise unknown("planner", hp.planner, ("cem", "mppi"))
    check_fields(hp)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
