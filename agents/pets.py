"""Planning at every step in a learnt ensemble, without a policy (Chua et al. 2018)."""

from functools import partial

import optax
from flax import struct

from jaxrl import models, planning
from jaxrl.errors import require_continuous, require_fraction, require_positive, unknown
from jaxrl.models.fitting import Fit
from jaxrl.types import Agent, Key, Spec, Transition, Update
from jaxrl.updates import replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What PETS can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of AdamW."""
    weight_decay: float = 1e-4
    """Of the model's weights, per step and learning rate."""
    discount: float = 0.99
    """Of rewards, per step of a plan."""
    exploration_noise: float = 0.1
    """Standard deviation of what is added to actions, to explore."""
    temperature: float = 0.3
    """Of MPPI's weights, in deviations of the return."""
    members: int = static(default=5)
    """Networks in the model."""
    elites: int = static(default=5)
    """Of them, those that are believed."""
    planner: str = static(default="cem")
    """cem or mppi."""
    horizon: int = static(default=15)
    """Steps of a plan."""
    candidates: int = static(default=128)
    """Plans that are tried in a round."""
    rounds: int = static(default=4)
    """Rounds of improving a plan."""
    num_envs: int = static(default=1)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=4)
    """Gradient steps of the model in a round of learning."""
    batch_size: int = static(default=256)
    """Transitions in a gradient step."""
    buffer_size: int = static(default=100_000)
    """Transitions that are kept."""
    warmup: int = static(default=500)
    """Environment steps of random acting before learning."""
    hidden: tuple[int, ...] = static(default=(128, 128))
    """Units of each hidden layer."""


def pets(spec: Spec, hp: Hyperparameters) -> Agent:
    """Learn a probabilistic ensemble, and act by plans in it: each rollout believes one member.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    dynamics = models.gaussian_mlp(spec, hp.members, hp.hidden)
    optimiser = optax.adamw(hp.learning_rate, weight_decay=hp.weight_decay)
    world = models.fitted(dynamics, models.likelihood, optimiser, hp.elites)
    model = lambda view: models.ensemble_model(dynamics, view, models.trajectory_member())
    improve = {
        "cem": planning.cross_entropy(hp.candidates, hp.candidates // 8, hp.rounds),
        "mppi": planning.path_integral(hp.candidates, hp.temperature, hp.rounds),
    }[hp.planner]
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
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size)
    require_positive(members=hp.members, elites=hp.elites, horizon=hp.horizon, rounds=hp.rounds)
    require_positive(updates=hp.updates, num_envs=hp.num_envs)
    require_fraction(discount=hp.discount)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
