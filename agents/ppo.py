"""Proximal policy optimisation (Schulman et al. 2017), feed-forward or recurrent."""

from functools import partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require
from jaxrl.fields import (
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_INFINITE,
    check_fields,
    number,
    static,
)
from jaxrl.networks import network
from jaxrl.normalise import normalise_observations, normalise_rewards
from jaxrl.policies import allowed, policy_family
from jaxrl.returns import gae
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree
from jaxrl.updates import clipped, decay_updates, descend, epochs, explained_variance, prepared
from jaxrl.updates.onpolicy import check_divisible, check_sequences, standardised


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of PPO; those that are not static can be swept by vmap."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam."""
    decay: float = number(0.0, FRACTION)
    """Share of the run over which the learning rate falls linearly to zero; 0 keeps it constant."""
    decay_steps: float = number(0.0, NOT_NEGATIVE)
    """Environment steps over which the learning rate falls linearly to zero, instead of a share."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    gae_lambda: float = number(0.95, FRACTION)
    """Trace decay (lambda) of generalised advantage estimation."""
    clip: float = number(0.2, POSITIVE)
    """Distance from 1 at which the policy's probability ratio is clipped."""
    entropy_coefficient: float = number(0.01, NOT_NEGATIVE)
    """Coefficient of the entropy bonus in the loss."""
    value_coefficient: float = number(0.5, NOT_NEGATIVE)
    """Coefficient of the critic's loss."""
    max_gradient_norm: float = number(0.5, POSITIVE_OR_INFINITE)
    """Global norm to which gradients are clipped."""
    critic: values.Critic = values.Critic(low=-10.0, high=10.0)
    """Critic's representation of the return; its range is that of normalised rewards."""
    num_envs: int = static(16, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(128, POSITIVE)
    """Steps in each environment between two updates."""
    epochs: int = static(4, POSITIVE)
    """Passes over each rollout."""
    minibatches: int = static(4, POSITIVE)
    """Minibatches in a pass, each of which is one gradient step."""
    sequence_length: int = static(1, POSITIVE)
    """Steps of backpropagation through time; more than 1 if there is a memory."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer; the memory is as wide as the last."""
    activation: str = static("tanh")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""
    encoder: str = static("auto")
    """Encoder of observations: mlp, cnn, or auto, which is cnn for images and mlp otherwise."""
    memory: str = static("none")
    """Recurrent memory of the network: none, gru or lstm."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics."""
    normalise_rewards: bool = static(True)
    """Divide rewards by the running standard deviation of the discounted return."""
    warmup: int = static(0, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""


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
    weight: Array


def ppo(
    spec: Spec, hp: Hyperparameters, representation: values.Representation | None = None
) -> Agent:
    """PPO for discrete or continuous actions, with a critic of any representation but implicit.

    Every mean over transitions is weighted by `Transition.weight`. `representation` overrides
    `hp.critic`. Raises an InputError if the hyperparameters do not fit each other or the spec.
    """
    check(spec, hp)
    representation = values.critic(hp.critic) if representation is None else representation
    values.require_explicit(representation, "ppo")
    family = policy_family(spec.action)
    sizes, scales = (family.size, representation.size), (0.01, 1.0)
    net = network(spec, sizes, scales, hp.hidden, hp.activation, hp.encoder, hp.memory)
    v = lambda theta: values.mean(representation.decode(theta))

    def pi(params: Tree, outputs: Array, obs: Tree) -> distrax.Distribution:
        return family.distribution(outputs, params["free"], allowed(spec, obs))

    def init(key: Key) -> Tree:
        return {"network": net.init(key), "free": family.free}

    def act(choose, view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Extras]:
        (outputs, theta), after = net.step(view.params["network"], memory, obs)
        action, log_prob = choose(pi(view.params, outputs, obs), key)
        return action, after, Extras(log_prob, v(theta), memory)

    def advantages(view: Tree, batch: Transition) -> Sample:
        params, (log_prob, value, memory) = view.params["network"], batch.extras
        _, after = net.step(params, memory, batch.obs)
        (_, theta), _ = net.step(params, after, batch.final)
        discount = hp.discount * batch.discount
        advantage = gae(batch.reward, discount, batch.last, value, v(theta), hp.gae_lambda)
        normal, target = standardised(advantage, batch.weight), advantage + value
        return Sample(
            batch.obs, batch.action, batch.last, memory, log_prob, normal, target, batch.weight
        )

    def fit(batch: Transition, sample: Sample) -> dict:
        explained = explained_variance(batch.extras.value, sample.target, batch.weight)
        return {"explained_variance": explained}

    def loss(params: Tree, target: Tree, batch: Sample, key: Key) -> tuple[Array, dict]:
        over = lambda x: (batch.weight * x).mean()
        memory = jax.tree.map(lambda x: x[0], batch.memory)
        (outputs, theta), _ = net.unroll(params["network"], memory, batch.obs, batch.last)
        policy = pi(params, outputs, batch.obs)
        log_ratio = policy.log_prob(batch.action) - batch.log_prob
        ratio = jnp.exp(log_ratio)
        near = jnp.clip(ratio, 1 - hp.clip, 1 + hp.clip)
        surrogate = over(jnp.minimum(ratio * batch.advantage, near * batch.advantage))
        error = over(representation.loss(theta, values.dirac(batch.target)))
        entropy = over(policy.entropy())
        total = hp.value_coefficient * error - surrogate - hp.entropy_coefficient * entropy
        return total, {
            "policy_loss": -surrogate,
            "value_loss": error,
            "entropy": entropy,
            # Schulman's estimate of KL(old, new): its terms are never negative.
            "approximate_kl": over(ratio - 1 - log_ratio),
            "clip_fraction": over(jnp.abs(ratio - 1) > hp.clip),
        }

    explore = partial(act, lambda policy, key: policy.sample_and_log_prob(seed=key))
    exploit = partial(act, lambda policy, key: (policy.mode(), jnp.zeros(())))
    steps = decay_updates(hp, hp.epochs * hp.minibatches)
    optimiser = clipped(
        partial(optax.adam, eps=1e-5), hp.learning_rate, steps, hp.max_gradient_norm
    )
    update = descend(init, loss, optimiser)
    update = epochs(update, hp.epochs, hp.minibatches, hp.sequence_length)
    update = prepared(update, advantages, fit)
    agent = Agent(Actor(net.memory, explore), Actor(net.memory, exploit), update)
    agent = normalise_observations(agent, spec) if hp.normalise_observations else agent
    return normalise_rewards(agent, hp.discount) if hp.normalise_rewards else agent


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    check_fields(hp)
    check_divisible(hp.rollout_length, hp.num_envs, hp.minibatches, hp.sequence_length)
    if hp.memory != "none":
        check_sequences(hp.rollout_length, hp.num_envs, hp.minibatches, hp.sequence_length)
    require(
        spec.mask is None or not hp.normalise_observations,
        "normalise_observations hides which actions are allowed: leave it off in this environment.",
    )
