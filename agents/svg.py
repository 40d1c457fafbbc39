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

from jaxrl import models, values
from jaxrl.errors import require, require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.networks import network
from jaxrl.policies import tanh_family
from jaxrl.returns import lambda_returns
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Tree, memoryless
from jaxrl.updates import descend, fitting, optimiser_for, polyak, replayed, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of SVG; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(max_gradient_norm=10.0)
    """How parameters descend the gradient."""
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
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=2, batch_size=128)
    """How stored experience is learnt from."""
    network: Layers = Layers(activation="elu")
    """The network's layers."""


def svg(spec: Spec, hp: Hyperparameters) -> Agent:
    """An actor and a critic of states that learn from differentiable rollouts in a model.

    Raises an InputError if the hyperparameters do not fit each other, or actions are discrete.
    """
    check(spec, hp)
    family = tanh_family(require_continuous(spec, "svg"))
    representation = values.critic(hp.critic)
    sizes = (family.size, representation.size)
    net = network(spec, sizes, (0.01, 1.0), **vars(hp.network))
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
    update = fitting(descend(net.init, loss, optimiser_for(hp), polyak(hp.target_rate)), world)
    return Agent(memoryless(explore), memoryless(exploit), replayed(update, hp))


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "svg")
    values.require_explicit(values.critic(hp.critic), "svg")
    check_fields(hp)
    require(hp.elites <= hp.members, f"elites {hp.elites} must be at most members {hp.members}.")
    require_buffer(hp)
