"""Soft actor-critic that learns from short imagined rollouts (Janner et al. 2019).

Variants are options, each a transform of the model or of its loss: the penalties of MOPO (Yu et al.
2020), truncation where the model is uncertain, the value-gradient weights of VaGraM (Voelcker et
al. 2022). Zheng et al. (2023) replace the ensemble by one model (`--members 1`) with `--spectral`
or `--ascent-steps 3`. RAVL, COMBO and MOREC have their own files: they use another penalty of the
critics, or another choice among the model's proposals.

It differs from the papers in that imagined transitions are not stored: the current policy generates
new ones for each gradient step, from the states of the replayed batch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer

from agents import sac
from jaxrl import models, values
from jaxrl.errors import require, require_known
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.lipschitz import worst_nearby
from jaxrl.models import Dynamics, Model
from jaxrl.models.ensemble import Choice
from jaxrl.models.fitting import ModelLoss
from jaxrl.models.losses import Value
from jaxrl.normalise import remembering, shown
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import imagined, mixed, prolonged


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of MBPO: those of SAC, of which `updates` now counts the model's."""

    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of AdamW for the model."""
    model_weight_decay: float = number(1e-5, NOT_NEGATIVE)
    """Weight decay of AdamW for the model."""
    penalty: float = number(0.0, NOT_NEGATIVE)
    """Weight of the uncertainty that is subtracted from imagined rewards."""
    edge: float = number(1e6, NOT_NEGATIVE)
    """Uncertainty above which imagined rollouts are truncated."""
    robustness: float = number(1.0, NOT_NEGATIVE)
    """Weight of the squared difference between the values of observations and the worst nearby."""
    radius: float = number(0.05, NOT_NEGATIVE)
    """Largest distance of a nearby observation in each coordinate."""
    ascent_steps: int = static(0, NOT_NEGATIVE)
    """Steps of the search for the worst observation nearby; 0 disables robustness."""
    uncertainty: str = static("none")
    """Measure of uncertainty for penalty and edge: aleatoric, deviation, disagreement or none; see
    jaxrl.models.ensemble_model. Without one, a rollout costs no more than that of one member."""
    members: int = static(5, POSITIVE)
    """Number of networks in the ensemble that is the model."""
    elites: int = static(3, POSITIVE)
    """Number of members of least error that are used for imagined rollouts."""
    choice: str = static("random")
    """Rule that combines the elite members: average, median, random or trajectory."""
    model_loss: str = static("likelihood")
    """Loss of the model: iterative-value-aware, likelihood, squared-error or value-gradient."""
    model_hidden: tuple[int, ...] = static((128, 128), POSITIVE)
    """Units of each hidden layer of the model."""
    horizon: int = static(1, POSITIVE)
    """Steps of an imagined rollout."""
    dreams: int = static(20, POSITIVE)
    """Gradient steps of actor and critics for each gradient step of the model."""
    real_share: float = static(0.05, FRACTION)
    """Share of real transitions in a batch."""


CHOICES = {
    "average": models.average,
    "median": models.median,
    "random": models.random_member,
    "trajectory": models.trajectory_member,
}
UNCERTAINTIES = ("aleatoric", "deviation", "disagreement", "none")
LOSSES = ("iterative-value-aware", "likelihood", "squared-error", "value-gradient")


class World(NamedTuple):
    """How a model is learnt, and the model that results."""

    update: Update
    model: Callable[[Tree], Model]  # of what `update` reads


def mbpo(
    spec: Spec, hp: Hyperparameters, penalty: sac.Penalty | None = None, world: World | None = None
) -> Agent:
    """SAC on batches of imagined rollouts from replayed states, mixed with real transitions.

    The critics' `penalty` is added to that of `hp`; `world` overrides the model of `hp`.
    Raises an InputError as `sac` does, or if the model's hyperparameters do not fit.
    """
    check(hp)
    if hp.ascent_steps:
        steep = partial(steepness, hp)
        penalty = steep if penalty is None else both(penalty, steep)
    seen = shown(spec, hp.normalise_observations)
    base = sac.learner(seen, prolonged(hp, hp.dreams), penalty=penalty)
    world = world or world_of(seen, hp)

    def dream(view_of_world: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        count = hp.replay.batch_size // hp.horizon
        starts, weight = jax.tree.map(lambda x: x[:count], (batch.obs, batch.weight))
        model = world.model(view_of_world)
        return models.branched(model, base.explore, view, starts, key, hp.horizon, weight)[0]

    update = imagined(base.update, world.update, mixed(dream, hp.real_share), hp.dreams)
    return remembering(base._replace(update=update), spec, hp)


def both(one: sac.Penalty, other: sac.Penalty) -> sac.Penalty:
    """The sum of two penalties."""

    def total(judge: sac.Judgement, params: Tree, batch: Transition, key: Key) -> Array:
        k_one, k_other = jax.random.split(key)
        return one(judge, params, batch, k_one) + other(judge, params, batch, k_other)

    return total


def steepness(
    hp: Hyperparameters, judge: sac.Judgement, params: Tree, batch: Transition, key: Key
) -> Array:
    """The squared difference [B] of the values of observations and of the worst ones nearby."""
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
    """Whether the model is a distribution, from which imagined steps are sampled."""
    return hp.model_loss == "likelihood"


def dynamics_of(spec: Spec, hp: Hyperparameters) -> tuple[Dynamics, Update]:
    """The dynamics that the hyperparameters ask for, and its update."""
    make = models.gaussian_mlp if probabilistic(hp) else models.deterministic_mlp
    dynamics = make(spec, hp.members, hp.model_hidden)
    optimiser = optax.adamw(hp.model_learning_rate, weight_decay=hp.model_weight_decay)
    return dynamics, models.fitted(dynamics, loss_of(spec, hp), optimiser, hp.elites)


def loss_of(spec: Spec, hp: Hyperparameters) -> ModelLoss:
    """The loss of the model that the hyperparameters ask for."""
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
    """The model for imagination, by a choice among the members' proposals."""
    model = models.ensemble_model(dynamics, view, choice, probabilistic(hp))
    if hp.uncertainty == "none":
        return model
    uncertainty = lambda now: now.info[hp.uncertainty]
    model = models.penalised(model, uncertainty, hp.penalty)
    return models.truncated(model, lambda now: uncertainty(now) - hp.edge)


def check(hp: Hyperparameters) -> None:
    """Raise an InputError if the model's hyperparameters do not fit each other."""
    check_fields(hp)
    require_known("choice", hp.choice, CHOICES)
    require_known("uncertainty", hp.uncertainty, UNCERTAINTIES)
    require_known("model_loss", hp.model_loss, LOSSES)
    if hp.uncertainty == "none":
        for name, idle in (("penalty", 0.0), ("edge", Hyperparameters.edge)):
            value = getattr(hp, name)
            require(
                isinstance(value, Tracer) or bool(value == idle),
                f"{name} needs a measure of uncertainty: set uncertainty to aleatoric, deviation "
                "or disagreement.",
            )
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    require(
        hp.replay.batch_size % hp.horizon == 0,
        f"batch_size {hp.replay.batch_size} is not divisible by horizon {hp.horizon}.",
    )
