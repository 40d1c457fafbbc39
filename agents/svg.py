"""Policy gradients straight through a learnt model (Heess et al. 2015; Hafner et al. 2020).

A rollout of the policy in a model is a differentiable function of the policy: the gradient of its
lambda-return passes through actions, model and values. No critic of actions is needed. The model is
an ensemble with reparametrised noise; states are the observations themselves, as in the first paper
and unlike the second.
"""

from typing import cast

import distrax
import jax
import optax
from flax import struct

from jaxrl import models, values
from jaxrl.errors import require, require_continuous
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
from jaxrl.networks import network
from jaxrl.policies import tanh_family
from jaxrl.returns import lambda_returns
from jaxrl.types import Agent, Array, Key, Spec, Tree, memoryless
from jaxrl.updates import clipped, descend, fitting, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """The hyperparameters of SVG; those that are not static can be swept by vmap."""

    learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for actor and critic."""
    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the model."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.95, FRACTION)
    """Trace decay (lambda) of imagined returns."""
    entropy_coefficient: float = number(1e-3, NOT_NEGATIVE)
    """Coefficient of the entropy bonus in the loss."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target critic moves towards the critic; 1 copies it."""
    max_gradient_norm: float = number(10.0, POSITIVE_OR_INFINITE)
    """Global norm to which gradients are clipped; those through many steps can be large."""
    critic: values.Critic = values.Critic()
    """Critic's representation of the return."""
    members: int = static(5, POSITIVE)
    """Number of networks in the ensemble that is the model."""
    elites: int = static(3, POSITIVE)
    """Number of members of least error that are used for imagined rollouts."""
    model_hidden: tuple[int, ...] = static((128, 128), POSITIVE)
    """Units of each hidden layer of the model."""
    horizon: int = static(5, POSITIVE)
    """Steps of an imagined rollout."""
    num_envs: int = static(1, POSITIVE)
    """Number of environments that run in parallel."""
    rollout_length: int = static(1, POSITIVE)
    """Steps in each environment between two rounds of gradient steps."""
    updates: int = static(2, POSITIVE)
    """Gradient steps after each rollout, of the model and of actor and critic."""
    batch_size: int = static(128, POSITIVE)
    """Transitions in a batch, each of which is the start of one imagined rollout."""
    buffer_size: int = static(100_000, ENTRIES)
    """Capacity of the replay buffer, in transitions."""
    warmup: int = static(1_000, NOT_NEGATIVE)
    """Environment steps of random actions before the first update."""
    hidden: tuple[int, ...] = static((64, 64), POSITIVE)
    """Units of each hidden layer."""
    activation: str = static("elu")
    """Activation function of the hidden layers: elu, gelu, relu, swish or tanh."""


def svg(spec: Spec, hp: Hyperparameters) -> Agent:
    """An actor and a critic of states that learn from differentiable rollouts in a model.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    family = tanh_family(require_continuous(spec, "svg"))
    representation = values.critic(hp.critic)
    sizes = (family.size, representation.size)
    net = network(spec, sizes, (0.01, 1.0), hp.hidden, hp.activation)
    dynamics = models.gaussian_mlp(spec, hp.members, hp.model_hidden)
    adam = optax.adam(hp.model_learning_rate)
    world = models.fitted(dynamics, models.likelihood, adam, hp.elites)

    def pi(params: Tree, obs: Tree) -> distrax.Distribution:
        return family.distribution(net.step(params, (), obs)[0][0], ())

    def v(params: Tree, obs: Tree) -> Array:
        return values.mean(representation.decode(net.step(params, (), obs)[0][1]))

    def draw(params: Tree, obs: Tree, key: Key) -> tuple[Array, Array]:
        return cast(tuple, pi(params, obs).sample_and_log_prob(seed=key))

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        view, data = batch
        model = models.dispersed(dynamics, view, hp.elites)
        dreamt, _ = models.branched(
            model, memoryless(draw), params, data.obs, key, hp.horizon, data.weight
        )
        discount = hp.discount * dreamt.discount
        returns = lambda_returns(
            dreamt.reward, discount, dreamt.last, v(target, dreamt.final), hp.trace_decay
        )
        # The actor maximises the return of each start, which includes those of later steps.
        entropy = -(fixed(dreamt.weight) * dreamt.extras).mean()
        gain = (data.weight * returns[0]).mean() + hp.entropy_coefficient * entropy
        theta = net.step(params, (), fixed(dreamt.obs))[0][1]
        error = representation.loss(theta, values.dirac(fixed(returns)))
        error = (fixed(dreamt.weight) * error).mean()
        return error - gain, {"critic_loss": error, "imagined_return": returns.mean()}

    explore = lambda view, obs, key: (draw(view.params, obs, key)[0], ())
    exploit = lambda view, obs, key: (pi(view.params, obs).mode(), ())
    optimiser = clipped(optax.adam, hp.learning_rate, 0.0, hp.max_gradient_norm)
    update = fitting(descend(net.init, loss, optimiser, polyak(hp.target_rate)), world)
    update = replay(update, hp.buffer_size // hp.num_envs, hp.batch_size, hp.updates)
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "svg")
    values.require_explicit(values.critic(hp.critic), "svg")
    check_fields(hp)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
