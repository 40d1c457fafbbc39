"""Parallelised Q-network: Q(lambda) without replay or a target network (Gallici et al. 2024)."""

from functools import partial
from typing import NamedTuple

import optax
from flax import struct

from jaxrl import values
from jaxrl.action_values import action_values, epsilon_actors
from jaxrl.errors import require_discrete, require_fraction, require_positive
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import Learner, clipped, descend, epochs, prepared
from jaxrl.updates.onpolicy import check_divisible

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What PQN can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of RAdam."""
    decay_steps: float = 0.0
    """Environment steps over which the learning rate falls to zero; 0 keeps it constant."""
    discount: float = 0.99
    """Of rewards, per step."""
    trace_decay: float = 0.9
    """The lambda of the returns."""
    epsilon: float = 0.05
    """Probability of a random action, once exploration has settled."""
    epsilon_updates: float = 1_000.0
    """Gradient steps over which epsilon falls from 1 to its final value."""
    max_gradient_norm: float = 10.0
    """Global norm at which gradients are clipped."""
    critic: values.Critic = values.Critic()
    """What the critic predicts of the return."""
    objective: values.Objective = values.Objective()
    """What of the return is to be maximised."""
    num_envs: int = static(default=32)
    """Environments that run side by side."""
    rollout_length: int = static(default=32)
    """Steps in each environment between two updates."""
    epochs: int = static(default=2)
    """Passes over each rollout."""
    minibatches: int = static(default=8)
    """Gradient steps in a pass."""
    dueling: bool = static(default=False)
    """Split the network into a value and advantages."""
    layer_norm: bool = static(default=True)
    """Normalise each hidden layer: what keeps it stable without a target network."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""
    warmup: int = static(default=0)
    """Environment steps of random acting before learning."""


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    goal: values.ReturnDistribution


def pqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
) -> Agent:
    """PQN with a critic of any representation, greedy in any statistic of the return.

    `representation` and `statistic` are those of `hp` unless given. The returns are Peng's: their
    traces are cut at boundaries, and not where exploration took another action. Raises a
    InputError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    family = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    network = hp.hidden, hp.activation, hp.encoder, hp.dueling, hp.layer_norm
    q = action_values(spec, family, statistic, *network)

    def returns(view: Learner, batch: Transition) -> Sample:
        theta = q.outputs(view.params, batch.final)
        following = values.greedy(family, theta, q.objective(batch.final))
        goal = values.lambda_distributions(
            batch.reward, hp.discount * batch.discount, batch.last, following, hp.trace_decay,
            compress=lambda distribution: family.decode(family.project(distribution)),
        )  # fmt: skip
        return Sample(batch.obs, batch.action, goal)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        theta = values.take(q.outputs(params, batch.obs, key), batch.action)
        error = family.loss(theta, batch.goal).mean()
        return error, {"loss": error, "value": values.mean(family.decode(theta)).mean()}

    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.epochs * hp.minibatches
    optimiser = clipped(optax.radam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(q.init, loss, optimiser)
    update = prepared(epochs(update, hp.epochs, hp.minibatches), returns)
    return Agent(*epsilon_actors(q, hp.epsilon, hp.epsilon_updates), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "pqn")
    require_positive(learning_rate=hp.learning_rate, num_envs=hp.num_envs)
    require_positive(rollout_length=hp.rollout_length, epochs=hp.epochs)
    require_positive(minibatches=hp.minibatches)
    require_fraction(discount=hp.discount, trace_decay=hp.trace_decay, epsilon=hp.epsilon)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches)
