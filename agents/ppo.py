"""Proximal policy optimisation (Schulman et al. 2017), feed-forward or recurrent."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require, require_fraction, require_positive
from jaxrl.networks import network
from jaxrl.normalise import normalise_observations, normalise_rewards
from jaxrl.policies import policy_family
from jaxrl.returns import gae
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import clipped, descend, epochs, prepared
from jaxrl.updates.onpolicy import check_divisible

static = partial(struct.field, pytree_node=False)


@struct.dataclass
class Hyperparameters:
    """What PPO can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam."""
    decay_steps: float = 0.0
    """Environment steps over which the learning rate falls to zero; 0 keeps it constant."""
    discount: float = 0.99
    """Of rewards, per step."""
    gae_lambda: float = 0.95
    """Trace decay of the advantages."""
    clip: float = 0.2
    """How far the policy's probability ratio may move."""
    entropy_coefficient: float = 0.01
    """Weight of the entropy bonus."""
    value_coefficient: float = 0.5
    """Weight of the critic's loss."""
    max_gradient_norm: float = 0.5
    """Global norm at which gradients are clipped."""
    critic: values.Critic = values.Critic(low=-10.0, high=10.0)
    """What the critic predicts of the return; its range is that of normalised rewards."""
    num_envs: int = static(default=16)
    """Environments that run side by side."""
    rollout_length: int = static(default=128)
    """Steps in each environment between two updates."""
    epochs: int = static(default=4)
    """Passes over each rollout."""
    minibatches: int = static(default=4)
    """Gradient steps in a pass."""
    sequence_length: int = static(default=1)
    """Steps through which gradients flow: 1 without a memory."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer; the memory is as wide as the last."""
    activation: str = static(default="tanh")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static(default="auto")
    """mlp, cnn, or auto: a cnn for images and an mlp for anything else."""
    memory: str = static(default="none")
    """none, gru or lstm."""
    normalise_observations: bool = static(default=False)
    """Standardise observations with running statistics."""
    normalise_rewards: bool = static(default=True)
    """Divide rewards by the running deviation of the discounted return."""
    warmup: int = static(default=0)
    """Environment steps of random acting before learning."""


class Extras(NamedTuple):
    """What the actor reports of each step."""

    log_prob: Array
    value: Array
    memory: Tree  # before the step


class Sample(NamedTuple):
    """What the loss sees of each step."""

    obs: Tree
    action: Array
    last: Array
    memory: Tree
    log_prob: Array
    advantage: Array
    target: Array


def ppo(
    spec: Spec, hp: Hyperparameters, representation: values.Representation | None = None
) -> Agent:
    """PPO for discrete or continuous actions, with a critic of any representation but implicit.

    The representation is that of `hp` unless given. Raises an InputError if the hyperparameters do
    not fit each other or the spec.
    """
    check(hp)
    representation = values.critic(hp.critic) if representation is None else representation
    require(not representation.fractions, "ppo cannot have an implicit critic: try quantile.")
    family = policy_family(spec.action)
    sizes, scales = (family.size, representation.size), (0.01, 1.0)
    net = network(spec, sizes, scales, hp.hidden, hp.activation, hp.encoder, hp.memory)
    pi = lambda params, outputs: family.distribution(outputs, params["free"])
    v = lambda theta: values.mean(representation.decode(theta))

    def init(key: Key) -> Tree:
        return {"network": net.init(key), "free": family.free}

    def act(choose, view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Extras]:
        (outputs, theta), after = net.step(view.params["network"], memory, obs)
        action, log_prob = choose(pi(view.params, outputs), key)
        return action, after, Extras(log_prob, v(theta), memory)

    def advantages(view: Tree, batch: Transition) -> Sample:
        params, (log_prob, value, memory) = view.params["network"], batch.extras
        _, after = net.step(params, memory, batch.obs)
        (_, theta), _ = net.step(params, after, batch.final)
        discount = hp.discount * batch.discount
        advantage = gae(batch.reward, discount, batch.last, value, v(theta), hp.gae_lambda)
        normal = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        target = advantage + value
        return Sample(batch.obs, batch.action, batch.last, memory, log_prob, normal, target)

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        memory = jax.tree.map(lambda x: x[0], batch.memory)
        (outputs, theta), _ = net.unroll(params["network"], memory, batch.obs, batch.last)
        policy = pi(params, outputs)
        ratio = jnp.exp(policy.log_prob(batch.action) - batch.log_prob)
        near = jnp.clip(ratio, 1 - hp.clip, 1 + hp.clip)
        surrogate = jnp.minimum(ratio * batch.advantage, near * batch.advantage).mean()
        error = representation.loss(theta, values.dirac(batch.target)).mean()
        entropy = policy.entropy().mean()
        total = hp.value_coefficient * error - surrogate - hp.entropy_coefficient * entropy
        return total, {"policy_loss": -surrogate, "value_loss": error, "entropy": entropy}

    explore = partial(act, lambda policy, key: policy.sample_and_log_prob(seed=key))
    exploit = partial(act, lambda policy, key: (policy.mode(), jnp.zeros(())))
    steps = hp.decay_steps / (hp.num_envs * hp.rollout_length) * hp.epochs * hp.minibatches
    optimiser = clipped(
        partial(optax.adam, eps=1e-5), hp.learning_rate, steps, hp.max_gradient_norm
    )
    update = descend(init, loss, optimiser)
    update = epochs(update, hp.epochs, hp.minibatches, hp.sequence_length)
    update = prepared(update, advantages)
    agent = Agent(Actor(net.memory, explore), Actor(net.memory, exploit), update)
    agent = normalise_observations(agent, spec) if hp.normalise_observations else agent
    return normalise_rewards(agent, hp.discount) if hp.normalise_rewards else agent


def check(hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other."""
    require_positive(learning_rate=hp.learning_rate, clip=hp.clip)
    require_positive(num_envs=hp.num_envs, rollout_length=hp.rollout_length)
    require_fraction(discount=hp.discount, gae_lambda=hp.gae_lambda)
    require_positive(epochs=hp.epochs, minibatches=hp.minibatches)
    require_positive(sequence_length=hp.sequence_length)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches, hp.sequence_length)
