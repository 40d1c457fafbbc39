"""Soft actor-critic that learns from short imagined rollouts (Janner et al. 2019).

Variants are options, each a transform of the model or of its loss: penalties of MOPO (Yu et al.
2020), ends where a model does not know, value-gradient weights of VaGraM (Voelcker et al. 2022).
One model (`--members 1`) with `--spectral` or `--ascent-steps 3` is what Zheng et al. (2023) put in
place of an ensemble. RAVL, COMBO and MOREC have files of their own: another penalty of the critics,
or another choice among what the model proposes.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.core import Tracer

from agents import sac
from jaxrl import models, values
from jaxrl.errors import require, require_fraction, require_positive, unknown
from jaxrl.lipschitz import worst_nearby
from jaxrl.models import Dynamics, Model
from jaxrl.models.ensemble import Choice
from jaxrl.models.fitting import ModelLoss
from jaxrl.models.losses import Value
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import imagined, mixed

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters(sac.Hyperparameters):
    """What MBPO can be told, beyond SAC; `updates` are now those of the model."""

    model_learning_rate: float = 1e-3
    """Step size of AdamW for the model."""
    model_weight_decay: float = 1e-5
    """Of the model's weights, per step and learning rate."""
    penalty: float = 0.0
    """Weight of the uncertainty that is subtracted from imagined rewards."""
    edge: float = 1e6
    """Uncertainty beyond which imagined rollouts end; their value there is believed."""
    robustness: float = 1.0
    """Weight of the squared change of values between observations and the worst ones nearby."""
    radius: float = 0.05
    """How far nearby is, in each coordinate of an observation."""
    ascent_steps: int = static(default=0)
    """Steps of the search for the worst observation nearby; 0 leaves robustness out."""
    uncertainty: str = static(default="none")
    """What penalty and edge are of: aleatoric, deviation or disagreement, see
    jaxrl.models.ensemble_model. With none, rollouts of random members cost as those of one."""
    members: int = static(default=5)
    """Networks in the model."""
    elites: int = static(default=3)
    """Of them, those that are believed."""
    choice: str = static(default="random")
    """What is believed of the members: average, median, random or trajectory."""
    model_loss: str = static(default="likelihood")
    """iterative-value-aware, likelihood, squared-error or value-gradient."""
    model_hidden: tuple[int, ...] = static(default=(128, 128))
    """Units of each hidden layer of the model."""
    horizon: int = static(default=1)
    """Steps of an imagined rollout."""
    dreams: int = static(default=20)
    """Gradient steps of actor and critics for one of the model."""
    real_share: float = static(default=0.05)
    """How much of a batch is real experience."""


CHOICES = {
    "average": models.average,
    "median": models.median,
    "random": models.random_member,
    "trajectory": models.trajectory_member,
}
UNCERTAINTIES = ("aleatoric", "deviation", "disagreement", "none")
LOSSES = ("iterative-value-aware", "likelihood", "squared-error", "value-gradient")


class World(NamedTuple):
    """How a model is learnt, and what it then is."""

    update: Update
    model: Callable[[Tree], Model]  # of what `update` reads


def mbpo(
    spec: Spec,
    hp: Hyperparameters,
    penalty: sac.Penalty = sac.no_penalty,
    world: World | None = None,
) -> Agent:
    """SAC on batches of a learnt model's rollouts from replayed states, and some that are real.

    The critics' `penalty` is added to that of `hp`, and the `world` is that of `hp` unless given.
    Raises an InputError as `sac` does, or if the model's hyperparameters do not fit.
    """
    check(hp)
    if hp.ascent_steps:
        penalty = sac.both(penalty, partial(steepness, hp))
    base = sac.learner(spec, hp, penalty=penalty)
    world = world or world_of(spec, hp)

    def dream(view_of_world: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        starts = jax.tree.map(lambda x: x[: hp.batch_size // hp.horizon], batch.obs)
        model = world.model(view_of_world)
        return models.branched(model, base.explore, view, starts, key, hp.horizon)[0]

    update = imagined(base.update, world.update, mixed(dream, hp.real_share), hp.dreams)
    return base._replace(update=sac.remember(update, hp))


def steepness(
    hp: Hyperparameters, judge: sac.Judgement, params: Tree, batch: Transition, key: Key
) -> Array:
    """What values change [B] between where they are asked for and the worst place nearby."""
    here = partial(judge.value, params)
    other = worst_nearby(here, batch.obs, hp.radius, key, hp.ascent_steps)
    return hp.robustness * jnp.square(here(batch.obs) - here(other))


def world_of(spec: Spec, hp: Hyperparameters) -> World:
    """The model that the hyperparameters ask for."""
    dynamics, update = dynamics_of(spec, hp)
    if hp.choice == "random" and hp.uncertainty == "none":
        draws = probabilistic(hp)
        return World(update, lambda view: models.dispersed(dynamics, view, hp.elites, draws))
    return World(update, lambda view: model_of(dynamics, view, hp, CHOICES[hp.choice]()))


def probabilistic(hp: Hyperparameters) -> bool:
    """Whether the model is a distribution, of which imagined steps are draws."""
    return hp.model_loss == "likelihood"


def dynamics_of(spec: Spec, hp: Hyperparameters) -> tuple[Dynamics, Update]:
    """The dynamics that the hyperparameters ask for, and how it learns."""
    make = models.gaussian_mlp if probabilistic(hp) else models.deterministic_mlp
    dynamics = make(spec, hp.members, hp.model_hidden)
    optimiser = optax.adamw(hp.model_learning_rate, weight_decay=hp.model_weight_decay)
    return dynamics, models.fitted(dynamics, loss_of(spec, hp), optimiser, hp.elites)


def loss_of(spec: Spec, hp: Hyperparameters) -> ModelLoss:
    """What the model is to be good at."""
    if probabilistic(hp):
        return models.likelihood
    if hp.model_loss == "squared-error":
        return models.squared_error
    value = critics_of(spec, hp)
    if hp.model_loss == "value-gradient":
        return models.value_gradient_weighted(value)
    return models.iterative_value_aware(value)


def critics_of(spec: Spec, hp: Hyperparameters) -> Value:
    """The values [2 E, ...] of the most likely action: of all critics, and their targets."""
    net = sac.networks(spec, hp, values.critic(hp.critic))

    def value(view: Tree, obs: Tree) -> Array:
        action = jax.lax.stop_gradient(net.pi(view.params, obs).mode())
        found = (net.each(params, obs, action) for params in (view.params, view.target))
        return jnp.moveaxis(jnp.concatenate([*found], -1), -1, 0)

    return value


def model_of(dynamics: Dynamics, view: Tree, hp: Hyperparameters, choice: Choice) -> Model:
    """The model to dream in, by a choice among what the members propose."""
    model = models.ensemble_model(dynamics, view, choice, probabilistic(hp))
    if hp.uncertainty == "none":
        return model
    uncertainty = lambda now: now.info[hp.uncertainty]
    model = models.penalised(model, uncertainty, hp.penalty)
    return models.truncated(model, lambda now: uncertainty(now) > hp.edge)


def check(hp: Hyperparameters) -> None:
    """Raise an InputError if the model's hyperparameters do not fit each other."""
    for kind, name, valid in (
        ("choice", hp.choice, CHOICES),
        ("uncertainty", hp.uncertainty, UNCERTAINTIES),
        ("model_loss", hp.model_loss, LOSSES),
    ):
        if name not in valid:
            raise unknown(kind, name, valid)
    require_positive(members=hp.members, elites=hp.elites, horizon=hp.horizon, dreams=hp.dreams)
    require_positive(model_learning_rate=hp.model_learning_rate)
    require_fraction(real_share=hp.real_share)
    if hp.uncertainty == "none":
        for name, idle in (("penalty", 0.0), ("edge", Hyperparameters.edge)):
            value = getattr(hp, name)
            require(
                isinstance(value, Tracer) or bool(value == idle),
                f"{name} is of an uncertainty: choose aleatoric, deviation or disagreement.",
            )
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    require(
        hp.batch_size % hp.horizon == 0,
        f"batch_size {hp.batch_size} is not divisible by horizon {hp.horizon}.",
    )
