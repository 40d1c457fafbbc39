"""R2D2, recurrent Q-learning from stored memories, on one machine (Kapturowski et al. 2019).

Sequences are replayed from the memory that was stored when they were lived through, after some
steps that only bring it up to date. Instead of the paper's rescaling of values, give the critic
warped atoms: `family="two-hot", spacing="symlog"`.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.action_values import annealed, value_heads
from jaxrl.errors import require, require_discrete, require_fraction, require_positive
from jaxrl.networks import network
from jaxrl.policies import epsilon_greedy
from jaxrl.types import Actor, Agent, Array, Discrete, Key, Spec, Transition, Tree, Update, select
from jaxrl.updates import Learner, clipped, descend, every, polyak, prioritised
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What R2D2 can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    decay_steps: float = 0.0
    """Environment steps over which the learning rate falls to zero; 0 keeps it constant."""
    discount: float = 0.99
    """Of rewards, per step."""
    epsilon: float = 0.05
    """Probability of a random action, once exploration has settled."""
    epsilon_updates: float = 2_000.0
    """Gradient steps over which epsilon falls from 1 to its final value."""
    target_rate: float = 0.01
    """How far the target network moves to the parameters when it moves."""
    max_gradient_norm: float = 10.0
    """Global norm at which gradients are clipped."""
    priority_exponent: float = 0.6
    """How much priorities matter; 0 replays uniformly."""
    importance_exponent: float = 0.4
    """How much of the bias that priorities bring is corrected."""
    priority_peak: float = 0.9
    """Share of a sequence's largest error in its priority; the rest is their mean."""
    critic: values.Critic = values.Critic()
    """What the critic predicts of the return."""
    objective: values.Objective = values.Objective()
    """What of the return is to be maximised."""
    target_period: int = static(default=1)
    """Gradient steps between two moves of the target network."""
    num_envs: int = static(default=16)
    """Environments that run side by side."""
    rollout_length: int = static(default=8)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=4)
    """Gradient steps in a round of learning."""
    batch_size: int = static(default=32)
    """Sequences in a gradient step."""
    burn_in: int = static(default=4)
    """Steps at the start of a sequence that only refresh its memory; 0 trusts what was stored."""
    sequence_length: int = static(default=16)
    """Steps of a sequence that are learnt from."""
    buffer_size: int = static(default=65_536)
    """Transitions that are kept."""
    warmup: int = static(default=1_024)
    """Environment steps of random acting before learning."""
    n_step: int = static(default=3)
    """Steps of reward before the bootstrap."""
    dueling: bool = static(default=True)
    """Split the network into a value and advantages."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer; the memory is as wide as the last."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""
    memory: str = static(default="lstm")
    """gru or lstm; none makes it DQN on sequences."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """Prioritised replay of sequences, whose first steps are the burn-in."""
    rows, length = hp.buffer_size // hp.num_envs, hp.burn_in + hp.sequence_length
    exponents = hp.priority_exponent, hp.importance_exponent
    return prioritised(update, rows, hp.batch_size, hp.updates, length, *exponents)


def r2d2(
    spec: Spec,
    hp: Hyperparameters,
    schedule: Callable[[Update, Hyperparameters], Update] = remember,
) -> Agent:
    """R2D2 with a critic of any representation but implicit, greedy in any statistic.

    `schedule` says from which sequences it learns. Raises an InputError if the hyperparameters do
    not fit each other, or actions are continuous.
    """
    check(spec, hp)
    assert isinstance(spec.action, Discrete)  # checked above; for the type checker
    family, statistic = values.critic(hp.critic), values.objective(hp.objective)
    require(not family.fractions, "r2d2 cannot have an implicit critic: try quantile.")
    sizes, theta = value_heads(spec.action.num, family.size, hp.dueling)
    layers = hp.hidden, hp.activation, hp.encoder, hp.memory
    net = network(spec, sizes, (1.0,) * len(sizes), *layers)
    scores = lambda theta: statistic(family.decode(theta))  # of each action

    def refreshed(params: Tree, stored: Tree, early: Transition) -> Tree:
        """The memory with which each sequence goes on after the burn-in."""
        if not hp.burn_in:
            return stored
        _, memories = net.unroll(params, stored, early.obs, early.last)
        after = jax.tree.map(lambda x: x[-1], memories)
        return fixed(select(early.last[-1], net.memory(early.last.shape[1]), after))

    def unrolled(params: Tree, memory: Tree, late: Transition) -> tuple[Array, Array]:
        """Theta at each step that is learnt from, and at its successor."""
        now, after = net.unroll(params, memory, late.obs, late.last)
        return theta(now), theta(net.step(params, after, late.final)[0])

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        stored = jax.tree.map(lambda x: x[0], batch.extras)
        early = jax.tree.map(lambda x: x[: hp.burn_in], batch)
        late = jax.tree.map(lambda x: x[hp.burn_in :], batch)
        now, judge = unrolled(params, refreshed(params, stored, early), late)
        _, following = unrolled(target, refreshed(target, stored, early), late)
        future = values.greedy(family, following, statistic, judge)
        discount = hp.discount * late.discount
        goal = fixed(
            values.n_step_distributions(late.reward, discount, late.last, future, hp.n_step)
        )
        taken = values.take(now, late.action)
        error = family.loss(taken, goal)
        value = values.mean(family.decode(taken))
        surprise = jnp.abs(values.mean(goal) - value)
        peak, mean = surprise.max(0), surprise.mean(0)
        priority = hp.priority_peak * peak + (1 - hp.priority_peak) * mean
        metrics = {"loss": error.mean(), "value": value.mean(), "priority": priority}
        return (batch.weight[0] * error).mean(), metrics

    def act(choose, view: Learner, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        heads, after = net.step(view.params, memory, obs)
        return choose(view, scores(theta(heads)), key), after, memory

    def explore(view: Learner, value: Array, key: Key) -> Array:
        epsilon = annealed(hp.epsilon, hp.epsilon_updates, view.step)
        return epsilon_greedy(value, epsilon).sample(seed=key)

    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.updates
    optimiser = clipped(optax.adam, hp.learning_rate, steps, hp.max_gradient_norm)
    update = descend(net.init, loss, optimiser, every(hp.target_period, polyak(hp.target_rate)))
    exploit = partial(act, lambda view, value, key: value.argmax(-1))
    actors = Actor(net.memory, partial(act, explore)), Actor(net.memory, exploit)
    return Agent(*actors, schedule(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "r2d2")
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size, n_step=hp.n_step)
    require_positive(updates=hp.updates, target_period=hp.target_period, num_envs=hp.num_envs)
    require_positive(rollout_length=hp.rollout_length, buffer_size=hp.buffer_size)
    require_positive(sequence_length=hp.sequence_length)
    require_fraction(discount=hp.discount, epsilon=hp.epsilon, target_rate=hp.target_rate)
    require_fraction(priority_peak=hp.priority_peak)
    require(hp.burn_in >= 0, f"burn_in must not be negative, but it is {hp.burn_in}.")
    length = hp.burn_in + hp.sequence_length
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, length, hp.warmup)
