"""Policy gradients straight through a learnt model (Heess et al. 2015; Hafner et al. 2020).

A rollout of the policy in a model is a differentiable function of the policy: its lambda-return is
climbed by its own gradient, through actions, model and values. Where SAC asks critics of actions
which way is up, this asks the model.
"""

from functools import partial
from typing import cast

import distrax
import jax
import optax
from flax import struct

from jaxrl import models, values
from jaxrl.errors import require, require_continuous, require_fraction, require_positive
from jaxrl.networks import network
from jaxrl.policies import tanh_family
from jaxrl.returns import lambda_returns
from jaxrl.types import Agent, Array, Key, Spec, Tree, memoryless
from jaxrl.updates import clipped, descend, fitting, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What SVG can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam, of actor and critic."""
    model_learning_rate: float = 1e-3
    """Step size of Adam for the model."""
    discount: float = 0.99
    """Of rewards, per step."""
    trace_decay: float = 0.95
    """The lambda of imagined returns."""
    entropy_coefficient: float = 1e-3
    """Weight of the entropy bonus."""
    target_rate: float = 0.01
    """How fast the target critic follows the critic."""
    max_gradient_norm: float = 10.0
    """Global norm at which gradients are clipped: those through many steps can be large."""
    critic: values.Critic = values.Critic()
    """What the critic predicts of the return."""
    members: int = static(default=5)
    """Networks in the model."""
    elites: int = static(default=3)
    """Of them, those that are believed."""
    model_hidden: tuple[int, ...] = static(default=(128, 128))
    """Units of each hidden layer of the model."""
    horizon: int = static(default=5)
    """Steps of an imagined rollout."""
    num_envs: int = static(default=1)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=2)
    """Gradient steps in a round of learning, of the model and of actor and critic."""
    batch_size: int = static(default=128)
    """Transitions in a gradient step of the model, and rollouts in one of the actor."""
    buffer_size: int = static(default=100_000)
    """Transitions that are kept."""
    warmup: int = static(default=1_000)
    """Environment steps of random acting before learning."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="elu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""


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
        dreamt, _ = models.branched(model, memoryless(draw), params, data.obs, key, hp.horizon)
        discount = hp.discount * dreamt.discount
        goal = lambda_returns(
            dreamt.reward, discount, dreamt.last, v(target, dreamt.final), hp.trace_decay
        )
        # The actor climbs the return of each start; what follows is in it already.
        gain = goal[0].mean() - hp.entropy_coefficient * (dreamt.weight * dreamt.extras).mean()
        theta = net.step(params, (), fixed(dreamt.obs))[0][1]
        error = (dreamt.weight * representation.loss(theta, values.dirac(fixed(goal)))).mean()
        return error - gain, {"critic_loss": error, "imagined_return": goal.mean()}

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
    require_positive(learning_rate=hp.learning_rate, model_learning_rate=hp.model_learning_rate)
    require_positive(members=hp.members, elites=hp.elites, horizon=hp.horizon)
    require_positive(num_envs=hp.num_envs, rollout_length=hp.rollout_length, updates=hp.updates)
    require_fraction(discount=hp.discount, trace_decay=hp.trace_decay, target_rate=hp.target_rate)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
