"""Parallelised Q-network: Q(lambda) without replay or a target network (Gallici et al. 2024)."""

from typing import NamedTuple

import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.action_values import action_values, epsilon_actors
from jaxrl.errors import require_discrete
from jaxrl.fields import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_INFINITE,
    check_fields,
    number,
    static,
)
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import Learner, clipped, decay_updates, descend, epochs, prepared
from jaxrl.updates.onpolicy import check_divisible


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of PQN; those that are not static can be swept by vmap."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of RAdam."""
    decay: float = number(0.0, FRACTION)
    """Share of the run over which the learning rate falls linearly to zero; 0 keeps it constant."""
    decay_steps: float = number(0.0, NOT_NEGATIVE)
    """Environment steps over which the learning rate falls linearly to zero, instead of a share."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.9, FRACTION)
    """Trace decay (lambda) of the returns."""
    epsilon: float = number(0.05, FRACTION)
    """Final probability of a random action in epsilon-greedy exploration."""
    epsilon_updates: float = number(1_000.0, NOT_NEGATIVE)
    """Gradient steps over which epsilon falls linearly from 1 to its final value."""
    max_gradient_norm: float = number(10.0, POSITIVE_OR_INFINITE)
    """Global norm to which gradients are clipped."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective()
    """Statistic of the return that the agent maximises."""
    num_envs: int = static(32, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(32, POSITIVE)
    """Steps in each environment between two updates."""
    epochs: int = static(2, POSITIVE)
    """Passes over each rollout."""
    minibatches: int = static(8, POSITIVE)
    """Minibatches in a pass, each of which is one gradient step."""
    dueling: bool = static(False)
    """Use a dueling network, which sums a state value and advantages."""
    layer_norm: bool = static(True)
    """Use layer normalisation, which keeps training stable without a target network."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer."""
    activation: str = static("relu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static("auto")
    """Encoder of observations: mlp, cnn, or auto, which is cnn for images and mlp otherwise."""
    warmup: int = static(0, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    target: values.ReturnDistribution
    weight: Array


def pqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
) -> Agent:
    """PQN with a critic of any representation, greedy in any statistic of the return.

    `representation` and `statistic` override those of `hp`. The returns are Peng's: their traces
    are cut at episode boundaries only, and not where exploration took another action. The loss is
    weighted by `Transition.weight`. Raises an InputError if the hyperparameters do not fit each
    other, or actions are continuous.
    """
    check(spec, hp)
    family = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    network = hp.hidden, hp.activation, hp.encoder, hp.dueling, hp.layer_norm
    q = action_values(spec, family, statistic, *network)

    def returns(view: Learner, batch: Transition) -> Sample:
        theta = q.outputs(view.params, batch.final)
        following = values.greedy(family, theta, q.objective(batch.final))
        target = values.lambda_distributions(
            batch.reward, hp.discount * batch.discount, batch.last, following, hp.trace_decay,
            compress=lambda distribution: family.decode(family.project(distribution)),
        )  # fmt: skip
        return Sample(batch.obs, batch.action, target, batch.weight)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        theta = values.take(q.outputs(params, batch.obs, key), batch.action)
        over = lambda x: (batch.weight * x).mean()
        error = over(family.loss(theta, batch.target))
        value, aim = values.mean(family.decode(theta)), values.mean(batch.target)
        metrics = {"loss": error, "value": over(value), "target_value": over(aim)}
        return error, metrics | {"td_error": over(jnp.abs(aim - value))}

    steps = decay_updates(hp, hp.epochs * hp.minibatches)
    optimiser = clipped(optax.radam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(q.init, loss, optimiser)
    update = prepared(epochs(update, hp.epochs, hp.minibatches), returns)
    return Agent(*epsilon_actors(q, hp.epsilon, hp.epsilon_updates), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "pqn")
    check_fields(hp)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches)
