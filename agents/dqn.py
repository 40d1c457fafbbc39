"""Deep Q-learning on any return representation (Mnih et al. 2015).

Options are arguments or transforms: double (van Hasselt et al. 2016), dueling (Wang et al. 2016),
n-step and prioritised replay (Schaul et al. 2016).
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.networks import dueling, network
from jaxrl.policies import epsilon_greedy
from jaxrl.types import Agent, Array, Discrete, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import (
    Learner,
    descend,
    every,
    linear_decay,
    n_step,
    polyak,
    prioritised,
    replay,
)
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


def dqn(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation = values.scalar(),
    statistic: values.Statistic = values.mean,
) -> Agent:
    """DQN with a critic of any representation, greedy in any statistic of the return.

    Raises a ValueError if the hyperparameters do not fit each other, or actions are continuous.
    """
    check(spec, hp)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    actions, size = spec.action.num, representation.size
    sizes = (actions * size, size) if hp.dueling else (actions * size,)
    net = network(spec, sizes, (1.0,) * len(sizes), hp.hidden, hp.activation, hp.encoder)

    def q(params: Tree, obs: Tree) -> Array:  # [..., A, K]
        outputs, _ = net.step(params, (), obs)
        advantages = outputs[0].reshape(*outputs[0].shape[:-1], actions, size)
        return dueling(advantages, outputs[1]) if hp.dueling else advantages

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        judge = q(params, batch.final) if hp.double else None
        future = values.greedy(representation, q(target, batch.final), statistic, judge)
        goal = values.push(future, batch.reward, hp.discount * batch.discount)
        theta = values.take(q(params, batch.obs), batch.action)
        error = representation.loss(theta, jax.lax.stop_gradient(goal))
        value = values.mean(representation.decode(theta))
        surprise = jnp.abs(values.mean(goal) - value)
        metrics = {"loss": error.mean(), "value": value.mean(), "priority": surprise}
        return (batch.weight * error).mean(), metrics

    def preferences(view: Learner, obs: Tree) -> Array:
        return statistic(representation.decode(q(view.params, obs)))

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        progress = jnp.clip(view.step / jnp.maximum(hp.epsilon_updates, 1.0), 0, 1)
        epsilon = 1 + progress * (hp.epsilon - 1)
        return epsilon_greedy(preferences(view, obs), epsilon).sample(seed=key), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        return preferences(view, obs).argmax(-1), ()

    follow = every(hp.target_period, polyak(hp.target_rate))
    update = descend(net.init, loss, optimiser(hp), follow)
    return Agent(memoryless(explore), memoryless(exploit), remember(update, hp))


def remember(update: Update, hp: Hyperparameters) -> Update:
    """The replay that the hyperparameters ask for."""
    rows, length = hp.buffer_size // hp.num_envs, hp.n_step
    update = n_step(update, hp.discount)
    if hp.prioritised:
        exponents = hp.priority_exponent, hp.importance_exponent
        return prioritised(update, rows, hp.batch_size, hp.updates, length, *exponents)
    return replay(update, rows, hp.batch_size, hp.updates, length)


def optimiser(hp: Hyperparameters) -> optax.GradientTransformation:
    """Adam on clipped gradients, with a learning rate that may decay."""
    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.updates
    return optax.chain(
        optax.clip_by_global_norm(hp.max_gradient_norm),
        optax.adam(linear_decay(hp.learning_rate, steps)),
    )


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise a ValueError if the hyperparameters do not fit each other or the spec."""
    require(
        isinstance(spec.action, Discrete),
        "dqn needs discrete actions, but this environment's are continuous: try ppo or sac.",
    )
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size, n_step=hp.n_step)
    require_positive(updates=hp.updates, target_period=hp.target_period, num_envs=hp.num_envs)
    require_positive(rollout_length=hp.rollout_length, buffer_size=hp.buffer_size)
    require_fraction(discount=hp.discount, epsilon=hp.epsilon, target_rate=hp.target_rate)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, hp.n_step, hp.warmup)
