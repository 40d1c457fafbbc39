"""An actor and a critic that learn in the dreams of a latent world model (Hafner et al. 2025).

In small: categorical latents, symlog and two-hot heads, KL balancing and free bits, lambda-returns
and advantages divided by the range of returns. The world model reads sequences at once, on a
recurrent, a state-space or a transformer backbone; or with `--posterior history`, which makes it an
RSSM, step by step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import models, values
from jaxrl.errors import require_fraction, require_positive
from jaxrl.layers import MLP, initialise
from jaxrl.models.backbones import backbone
from jaxrl.models.latent import State, World, latent_model, replayed, world
from jaxrl.networks import Heads
from jaxrl.policies import policy_family
from jaxrl.returns import lambda_returns
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import clipped, descend, imagined, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What Dreamer can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 3e-4
    """Step size of Adam, of actor and critic."""
    model_learning_rate: float = 1e-3
    """Step size of Adam, of the world model."""
    discount: float = 0.99
    """Of rewards, per step."""
    trace_decay: float = 0.95
    """The lambda of imagined returns."""
    entropy_coefficient: float = 3e-3
    """Weight of the entropy bonus."""
    target_rate: float = 0.02
    """How fast the target critic follows the critic."""
    max_gradient_norm: float = 100.0
    """Global norm at which gradients are clipped."""
    balance: float = 0.8
    """How much of the divergence moves the prior, and not the posterior."""
    free: float = 1.0
    """Nats of divergence that cost nothing."""
    critic: values.Critic = values.Critic(
        "two-hot", atoms=101, low=-500.0, high=500.0, spacing="symlog"
    )
    """What the critic predicts of the return."""
    backbone: str = static(default="gru")
    """gru, state-space or transformer."""
    posterior: str = static(default="observation")
    """What latent classes are drawn from when it sees: observation, or history as well."""
    size: int = static(default=128)
    """Numbers that the backbone puts out."""
    groups: int = static(default=8)
    """Groups of latent classes."""
    classes: int = static(default=8)
    """Classes in a group."""
    hidden: tuple[int, ...] = static(default=(128,))
    """Units of each hidden layer."""
    horizon: int = static(default=15)
    """Steps of a dream."""
    num_envs: int = static(default=4)
    """Environments that run side by side."""
    rollout_length: int = static(default=4)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=2)
    """Gradient steps in a round of learning, of the model and of actor and critic."""
    batch_size: int = static(default=16)
    """Sequences in a gradient step."""
    sequence_length: int = static(default=16)
    """Steps of a sequence."""
    buffer_size: int = static(default=51_200)
    """Transitions that are kept."""
    warmup: int = static(default=1_024)
    """Environment steps of random acting before learning."""


class View(NamedTuple):
    """What acting in the environment needs."""

    behaviour: Tree  # of actor and critic
    world: Tree  # parameters


def reconstructive(mind: World, hp: Hyperparameters) -> Update:
    """How the world model learns from (sequences, view): by all that it predicts."""

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        parts = mind.parts(params, batch[0], key)
        means = {name: x.mean() for name, x in parts.items()}
        return jnp.asarray(sum(means.values())), means

    optimiser = clipped(optax.adam, hp.model_learning_rate, 0.0, hp.max_gradient_norm)
    update = descend(mind.init, loss, optimiser)
    return update._replace(read=lambda state: state.params)


def dreamer(
    spec: Spec, hp: Hyperparameters, learn: Callable[[World, Any], Update] = reconstructive
) -> Agent:
    """Learn a world model from replayed sequences, and to act from what it dreams.

    `learn` says how the model learns; what it reads are the model's parameters. Raises an
    InputError if the hyperparameters do not fit each other.
    """
    check(hp)
    carry = partial(backbone, hp.backbone, size=hp.size, window=hp.sequence_length + hp.horizon)
    mind = world(
        spec, carry, hp.groups, hp.classes, hp.hidden,
        balance=hp.balance, free=hp.free, posterior=hp.posterior,
    )  # fmt: skip
    inner, act = actor_critic(spec, hp)
    dream, model = partial(dreamt, mind, act, hp), learn(mind, hp)
    update = imagined(inner, model, dream)
    read = lambda state: View(inner.read(state.inner), model.read(state.model))
    rows = hp.buffer_size // hp.num_envs
    update = replay(update._replace(read=read), rows, hp.batch_size, hp.updates, hp.sequence_length)

    def actor(choose: Actor) -> Actor:
        def step(view: View, state: State, obs: Tree, key: Key) -> tuple[Array, State, tuple]:
            k_see, k_act = jax.random.split(key)
            state = mind.see(view.world, state, obs, k_see)
            action, _, _ = choose.step(view.behaviour, (), state.features, k_act)
            return action, mind.move(view.world, state, action), ()

        return Actor(mind.blank, step)

    explore, exploit = act
    return Agent(actor(explore), actor(exploit), update)


def dreamt(
    mind: World, act: tuple[Actor, Actor], hp: Hyperparameters, params: Tree, view: Tree,
    batch: Transition, key: Key,
) -> Transition:  # fmt: skip
    """Rollouts [horizon, L * B, ...] of the policy in the model, from each replayed step."""
    k_see, k_roll = jax.random.split(key)
    states = replayed(mind, params, batch, k_see)
    model = latent_model(mind, params, states)
    return models.branched(model, act[0], view, states.features, k_roll, hp.horizon)[0]


def actor_critic(spec: Spec, hp: Hyperparameters):
    """How to act on features, and to learn it from dreams: advantage actor-critic."""
    representation, family = values.critic(hp.critic), policy_family(spec.action)
    values.require_explicit(representation, "dreamer")
    make = lambda: MLP(hp.hidden, "swish")
    heads = Heads(make, (family.size, representation.size), (0.01, 0.01))
    features = hp.size + hp.groups * hp.classes
    v = lambda theta: values.mean(representation.decode(theta))

    def outputs(params: Tree, x: Array) -> tuple:
        logits, theta = cast(tuple, heads.apply(params["heads"], x))
        return family.distribution(logits, params["free"]), theta

    def init(key: Key) -> Tree:
        return {"heads": initialise(heads, key, jnp.zeros(features)), "free": family.free}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        policy, theta = outputs(params, batch.obs)
        value, next_value = (v(outputs(target, x)[1]) for x in (batch.obs, batch.final))
        discount = hp.discount * batch.discount
        goal = lambda_returns(batch.reward, discount, batch.last, next_value, hp.trace_decay)
        low, high = jnp.quantile(goal, jnp.array([0.05, 0.95]))
        advantage = fixed((goal - value) / jnp.maximum(high - low, 1.0))
        gain = advantage * policy.log_prob(batch.action)
        entropy = policy.entropy()
        error = representation.loss(theta, values.dirac(fixed(goal)))
        total = error - gain - hp.entropy_coefficient * entropy
        metrics = {"critic_loss": error, "policy_loss": -gain, "entropy": entropy}
        mean = {name: (batch.weight * x).mean() for name, x in metrics.items()}
        return (batch.weight * total).mean(), mean | {"imagined_return": goal.mean()}

    optimiser = clipped(optax.adam, hp.learning_rate, 0.0, hp.max_gradient_norm)
    update = descend(init, loss, optimiser, polyak(hp.target_rate))
    explore = lambda view, x, key: (outputs(view.params, x)[0].sample(seed=key), ())
    exploit = lambda view, x, key: (outputs(view.params, x)[0].mode(), ())
    return update, (memoryless(explore), memoryless(exploit))


def check(hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other."""
    require_positive(learning_rate=hp.learning_rate, model_learning_rate=hp.model_learning_rate)
    require_positive(size=hp.size, groups=hp.groups, classes=hp.classes, horizon=hp.horizon)
    require_positive(num_envs=hp.num_envs, rollout_length=hp.rollout_length, updates=hp.updates)
    require_positive(batch_size=hp.batch_size, sequence_length=hp.sequence_length)
    require_fraction(discount=hp.discount, trace_decay=hp.trace_decay, balance=hp.balance)
    require_fraction(target_rate=hp.target_rate)
    length = hp.sequence_length
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, length, hp.warmup)
