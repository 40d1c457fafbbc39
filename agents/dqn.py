"""Deep Q-learning on any return representation (Mnih et al. 2015).

Options are arguments or transforms: double (van Hasselt et al. 2016), dueling (Wang et al. 2016),
n-step and prioritised replay (Schaul et al. 2016). C51, QR-DQN, IQN and others are DQN with other
defaults: see `agents.AGENTS`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.action_values import ActionValues, action_values, epsilon_actors
from jaxrl.errors import require_discrete, require_fraction, require_positive
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import clipped, descend, every, n_step, polyak, prioritised, replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What DQN can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 2.5e-4
    """Step size of Adam."""
    decay_steps: float = 0.0
    """Environment steps over which the learning rate falls to zero; 0 keeps it constant."""
    discount: float = 0.99
    """Of rewards, per step."""
    epsilon: float = 0.05
    """Probability of a random action, once exploration has settled."""
    epsilon_updates: float = 10_000.0
    """Gradient steps over which epsilon falls from 1 to its final value."""
    target_rate: float = 1.0
    """How far the target network moves to the parameters when it moves."""
    max_gradient_norm: float = 10.0
    """Global norm at which gradients are clipped."""
    priority_exponent: float = 0.6
    """How much priorities matter, if replay is prioritised."""
    importance_exponent: float = 0.4
    """How much of the bias that priorities bring is corrected."""
    critic: values.Critic = values.Critic()
    """What the critic predicts of the return."""
    objective: values.Objective = values.Objective()
    """What of the return is to be maximised."""
    target_period: int = static(default=250)
    """Gradient steps between two moves of the target network."""
    num_envs: int = static(default=4)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=2)
    """Gradient steps in a round of learning."""
    batch_size: int = static(default=64)
    """Transitions in a gradient step."""
    buffer_size: int = static(default=20_000)
    """Transitions that are kept."""
    warmup: int = static(default=1_000)
    """Environment steps of random acting before learning."""
    n_step: int = static(default=1)
    """Steps of reward before the bootstrap."""
    double: bool = static(default=True)
    """Let the online network choose the action that the target network evaluates."""
    dueling: bool = static(default=False)
    """Split the network into a value and advantages."""
    prioritised: bool = static(default=False)
    """Replay what was predicted badly more often."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""


def bootstrap(
    q: ActionValues, params: Tree, target: Tree, batch: Transition, hp: Hyperparameters, key: Key
) -> values.ReturnDistribution:
    """What the return of each transition is expected to be [..., N]: the goal of DQN."""
    judge = q.outputs(params, batch.final) if hp.double else None
    theta = q.outputs(target, batch.final, key)
    future = values.greedy(q.representation, theta, q.objective(batch.final), judge)
    return values.push(future, batch.reward, hp.discount * batch.discount)


Goal = Callable[..., values.ReturnDistribution]
"""What to regress on, as `bootstrap`."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """The replay that the hyperparameters ask for."""
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
    goal: Goal = bootstrap,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
) -> Agent:
    """DQN with a critic of any representation, greedy in any statistic of the return.

    `representation` and `statistic` are those of `hp` unless given; `schedule` says when and from
    what it learns. Raises an InputError if the hyperparameters do not fit each other, or actions
    are continuous.
    """
    check(spec, hp)
    representation = values.critic(hp.critic) if representation is None else representation
    statistic = values.objective(hp.objective) if statistic is None else statistic
    network = hp.hidden, hp.activation, hp.encoder, hp.dueling
    q = action_values(spec, representation, statistic, *network)

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_goal, k_now = jax.random.split(key)
        aim = jax.lax.stop_gradient(goal(q, params, target, batch, hp, k_goal))
        theta = values.take(q.outputs(params, batch.obs, k_now), batch.action)
        error = representation.loss(theta, aim)
        value = values.mean(representation.decode(theta))
        surprise = jnp.abs(values.mean(aim) - value)
        metrics = {"loss": error.mean(), "value": value.mean(), "priority": surprise}
        return (batch.weight * error).mean(), metrics

    follow = every(hp.target_period, polyak(hp.target_rate))
    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.updates
    optimiser = clipped(optax.adam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(q.init, loss, optimiser, follow)
    return Agent(*epsilon_actors(q, hp.epsilon, hp.epsilon_updates), schedule(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "dqn")
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size, n_step=hp.n_step)
    require_positive(updates=hp.updates, target_period=hp.target_period, num_envs=hp.num_envs)
    require_positive(rollout_length=hp.rollout_length, buffer_size=hp.buffer_size)
    require_fraction(discount=hp.discount, epsilon=hp.epsilon, target_rate=hp.target_rate)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, hp.n_step, hp.warmup)
