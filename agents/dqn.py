"""Deep Q-learning on any return representation (Mnih et al. 2015).

Options are arguments or transforms: double (van Hasselt et al. 2016), dueling (Wang et al. 2016),
n-step and prioritised replay (Schaul et al. 2016). C51, QR-DQN, IQN and others are DQN with other
defaults: see `agents.AGENTS`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.action_values import ActionValues, action_values, epsilon_actors
from jaxrl.errors import require_discrete
from jaxrl.fields import (
    ENTRIES,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_INFINITE,
    check_fields,
    number,
    static,
)
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import (
    clipped,
    decay_updates,
    descend,
    every,
    n_step,
    polyak,
    prioritised,
    replay,
)
from jaxrl.updates.offpolicy import check_buffer


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of DQN; those that are not static can be swept by vmap."""

    learning_rate: float = number(2.5e-4, POSITIVE)
    """Learning rate of Adam."""
    decay: float = number(0.0, FRACTION)
    """Share of the run over which the learning rate falls linearly to zero; 0 keeps it constant."""
    decay_steps: float = number(0.0, NOT_NEGATIVE)
    """Environment steps over which the learning rate falls linearly to zero, instead of a share."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    epsilon: float = number(0.05, FRACTION)
    """Final probability of a random action in epsilon-greedy exploration."""
    epsilon_updates: float = number(10_000.0, NOT_NEGATIVE)
    """Gradient steps over which epsilon falls linearly from 1 to its final value."""
    target_rate: float = number(1.0, FRACTION)
    """Step size with which the target network moves towards the parameters; 1 copies them."""
    max_gradient_norm: float = number(10.0, POSITIVE_OR_INFINITE)
    """Global norm to which gradients are clipped."""
    priority_exponent: float = number(0.6, NOT_NEGATIVE)
    """Exponent of priorities in prioritised replay; 0 samples uniformly."""
    importance_exponent: float = number(0.4, NOT_NEGATIVE)
    """Exponent of the importance weights that correct for prioritised sampling; 1 is exact."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    objective: values.Objective = values.Objective()
    """Statistic of the return that the agent maximises."""
    target_period: int = static(250, POSITIVE)
    """Gradient steps between two updates of the target network."""
    num_envs: int = static(4, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(1, POSITIVE)
    """Steps in each environment between two rounds of gradient steps."""
    updates: int = static(2, POSITIVE)
    """Gradient steps after each rollout."""
    batch_size: int = static(64, POSITIVE)
    """Transitions in a batch."""
    buffer_size: int = static(20_000, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    warmup: int = static(1_000, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""
    n_step: int = static(1, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    double: bool = static(True)
    """Use double Q-learning: the online network chooses actions, the target network values them."""
    dueling: bool = static(False)
    """Use a dueling network, which sums a state value and advantages."""
    prioritised: bool = static(False)
    """Sample transitions in proportion to their temporal-difference errors."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer."""
    activation: str = static("relu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static("auto")
    """Encoder of observations: mlp, cnn, or auto, which is cnn for images and mlp otherwise."""


def bootstrap(
    q: ActionValues, params: Tree, target: Tree, batch: Transition, hp: Hyperparameters, key: Key
) -> values.ReturnDistribution:
    """The target of (double) DQN: the distribution [..., N] of reward + discount * future."""
    judge = q.outputs(params, batch.final) if hp.double else None
    theta = q.outputs(target, batch.final, key)
    future = values.greedy(q.representation, theta, q.objective(batch.final), judge)
    return values.push(future, batch.reward, hp.discount * batch.discount)


Targets = Callable[..., values.ReturnDistribution]
"""The target of the critic, with the arguments of `bootstrap`."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """Replay uniformly or by priority, with n-step returns, as the hyperparameters say."""
    rows, length = hp.buffer_size // hp.num_envs, hp.n_step
    update = n_step(update, hp.discount)
    if hp.prioritised:
        exponents = hp.priority_exponent, hp.importance_exponent
        return prioritised(update, rows, hp.batch_size, hp.updates, length, *exponents)
    return replay(update, rows, hp.batch_size, hp.updates, length)


def dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    statistic: values.Statistic | None = None,
    targets: Targets = bootstrap,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
) -> Agent:
    """DQN with a critic of any representation, greedy in any statistic of the return.

    `representation` and `statistic` override those of `hp`; `targets` computes what the critic
    regresses on, and `schedule` decides when and on which batches it learns. Raises an InputError
    if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    representation = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    network = hp.hidden, hp.activation, hp.encoder, hp.dueling
    q = action_values(spec, representation, statistic, *network)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_target, k_now = jax.random.split(key)
        aim = jax.lax.stop_gradient(targets(q, params, target, batch, hp, k_target))
        theta = values.take(q.outputs(params, batch.obs, k_now), batch.action)
        error = representation.loss(theta, aim)
        value, target_value = values.mean(representation.decode(theta)), values.mean(aim)
        td_error = jnp.abs(target_value - value)
        metrics = {"loss": error.mean(), "value": value.mean(), "target_value": target_value.mean()}
        metrics |= {"td_error": td_error.mean(), "priority": td_error}
        return (batch.weight * error).mean(), metrics

    follow = every(hp.target_period, polyak(hp.target_rate))
    steps = decay_updates(hp, hp.updates)
    optimiser = clipped(optax.adam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(q.init, loss, optimiser, follow)
    return Agent(*epsilon_actors(q, hp.epsilon, hp.epsilon_updates), schedule(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "dqn")
    check_fields(hp)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, hp.n_step, hp.warmup)
