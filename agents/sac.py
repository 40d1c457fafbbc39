"""Soft actor-critic on any return representation (Haarnoja et al. 2018), learnt temperature.

REDQ and TQC are SAC with other ensembles of critics: see `agents.AGENTS`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import distrax
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxrl import values
from jaxrl.errors import require_continuous, require_fraction, require_positive
from jaxrl.lipschitz import bounded
from jaxrl.networks import critic_ensemble, network
from jaxrl.policies import tanh_family
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import delayed, descend, polyak, replay
from jaxrl.updates.offpolicy import check_buffer

static = partial(struct.field, pytree_node=False)
fixed = jax.lax.stop_gradient


@struct.dataclass
class Hyperparameters:
    """What SAC can be told; the numbers that are not static can be swept by vmap."""

    learning_rate: float = 1e-3
    """Step size of Adam, of actor, critics and temperature."""
    discount: float = 0.99
    """Of rewards, per step."""
    target_rate: float = 0.005
    """How fast the target critics follow the critics."""
    target_entropy: float = -1.0
    """Wanted entropy of the policy, per action dimension."""
    initial_temperature: float = 1.0
    """Weight of the entropy bonus at first."""
    critic: values.Critic = values.Critic()
    """What each critic predicts of the return."""
    ensemble: values.Ensemble = values.Ensemble()
    """How many critics, and what to believe where they disagree."""
    spectral_bound: float = 2.0
    """Largest spectral norm of the critics' kernels, if spectral holds."""
    spectral: bool = static(default=False)
    """Keep the spectral norm of the critics' kernels below a bound."""
    num_envs: int = static(default=1)
    """Environments that run side by side."""
    rollout_length: int = static(default=1)
    """Steps in each environment between two rounds of learning."""
    updates: int = static(default=1)
    """Gradient steps in a round of learning."""
    batch_size: int = static(default=256)
    """Transitions in a gradient step."""
    buffer_size: int = static(default=100_000)
    """Transitions that are kept."""
    warmup: int = static(default=1_000)
    """Environment steps of random acting before learning."""
    actor_reduction: str = static(default="minimum")
    """What the actor believes of all critics: one of the names that ensemble.reduction takes."""
    actor_period: int = static(default=1)
    """Gradient steps of the critics for one of the actor and the temperature."""
    hidden: tuple[int, ...] = static(default=(64, 64))
    """Units of each hidden layer."""
    activation: str = static(default="relu")
    """Of hidden layers: elu, gelu, relu, swish or tanh."""


def remember(update: Update, hp: Hyperparameters) -> Update:
    """The replay that the hyperparameters ask for."""
    return replay(update, hp.buffer_size // hp.num_envs, hp.batch_size, hp.updates)


def sac(
    spec: Spec, hp: Hyperparameters, representation: values.Representation | None = None
) -> Agent:
    """SAC for continuous actions in [-1, 1], with an ensemble of critics of any representation.

    `representation` is that of `hp` unless given. Raises an InputError if the hyperparameters do
    not fit each other, or actions are discrete.
    """
    agent = learner(spec, hp, representation)
    return agent._replace(update=remember(agent.update, hp))


class Networks(NamedTuple):
    """What SAC learns: a policy, critics and a temperature."""

    init: Callable[[Key], Tree]
    pi: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs [..., *]) -> of actions
    q: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> outputs [..., E * K]
    each: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> values [..., E]


def networks(spec: Spec, hp: Hyperparameters, representation: values.Representation) -> Networks:
    """The networks that the hyperparameters ask for, with critics of a representation."""
    box = require_continuous(spec, "sac")
    family, layers = tanh_family(box), (hp.hidden, hp.activation)
    actor = network(spec, (family.size,), (0.01,), *layers)
    critics = critic_ensemble(spec, representation.size, hp.ensemble.members, *layers)

    def init(key: Key) -> Tree:
        k_actor, k_critics = jax.random.split(key)
        temperature = jnp.log(jnp.asarray(hp.initial_temperature, float))
        return {
            "actor": actor.init(k_actor),
            "critics": critics.init(k_critics),
            "log_temperature": temperature,
        }

    def q(params: Tree, obs: Tree, action: Array) -> Array:
        weights = params["critics"]
        weights = bounded(weights, hp.spectral_bound) if hp.spectral else weights
        return critics.apply(weights, obs, action)

    def each(params: Tree, obs: Tree, action: Array) -> Array:
        theta = q(params, obs, action)
        theta = theta.reshape(*theta.shape[:-1], hp.ensemble.members, representation.size)
        return values.mean(representation.decode(theta))

    pi = lambda params, obs: family.distribution(actor.step(params["actor"], (), obs)[0][0], ())
    return Networks(init, pi, q, each)


def soft_target(
    future: values.ReturnDistribution, cost: Array, batch: Transition, discount: float | Array
) -> values.ReturnDistribution:
    """What critics regress on [B, N], where the next action's certainty costs [B] something."""
    future = values.push(future, -cost, jnp.ones_like(cost))
    return fixed(values.push(future, batch.reward, discount * batch.discount))


class Judgement(NamedTuple):
    """What critics say, to those who punish them for it."""

    value: Callable[[Tree, Tree], Array]  # (params, obs [B, *]) -> [B] of the most likely actions
    each: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> values [B, E]


Penalty = Callable[[Judgement, Tree, Transition, Key], Array]
"""(judgement, params, batch, key) -> what is added to the critics' loss [B]."""


def no_penalty(judge: Judgement, params: Tree, batch: Transition, key: Key) -> Array:
    """Nothing is added [B] to the loss."""
    return jnp.zeros_like(batch.reward)


def both(one: Penalty, other: Penalty) -> Penalty:
    """The sum of two penalties."""

    def total(judge: Judgement, params: Tree, batch: Transition, key: Key) -> Array:
        k_one, k_other = jax.random.split(key)
        return one(judge, params, batch, k_one) + other(judge, params, batch, k_other)

    return total


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty = no_penalty,
) -> Agent:
    """SAC without a memory: it learns from the batches [B, ...] that it is given.

    The critics' loss has a `penalty` of what they say.
    """
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    representation = values.critic(hp.critic) if representation is None else representation
    init, pi, q, each = networks(spec, hp, representation)
    ensemble = partial(values.ensemble, representation, hp.ensemble.members)
    judged = ensemble(values.reduction(replace(hp.ensemble, reduction=hp.actor_reduction)))
    wanted = hp.target_entropy * spec.action.low.size

    def value(params: Tree, obs: Tree) -> Array:
        return values.mean(judged.decode(q(params, obs, pi(fixed(params), obs).mode())))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        k_now, k_next = jax.random.split(key)
        temperature = jnp.exp(params["log_temperature"])
        # Critics: the pessimistic future of the next action, less the cost of its certainty.
        believed = ensemble(values.reduction(hp.ensemble, jax.random.fold_in(key, 1)))
        action, log_prob = pi(fixed(params), batch.final).sample_and_log_prob(seed=k_next)
        future = believed.decode(q(target, batch.final, action))
        goal = soft_target(future, temperature * log_prob, batch, hp.discount)
        error = believed.loss(q(params, batch.obs, batch.action), goal)
        error = error + penalty(Judgement(value, each), params, batch, jax.random.fold_in(key, 2))
        # The actor, through critics that it cannot change; then the temperature.
        action, log_prob = pi(params, batch.obs).sample_and_log_prob(seed=k_now)
        scores = values.mean(judged.decode(q(fixed(params), batch.obs, action)))
        policy = fixed(temperature) * log_prob - scores
        balance = -params["log_temperature"] * fixed(log_prob + wanted)
        total = (batch.weight * (error + policy + balance)).mean()
        metrics = {"critic_loss": error.mean(), "policy_loss": policy.mean()}
        return total, metrics | {"temperature": temperature, "entropy": -log_prob.mean()}

    explore = lambda view, obs, key: (pi(view.params, obs).sample(seed=key), ())
    exploit = lambda view, obs, key: (pi(view.params, obs).mode(), ())
    slower = ("actor", "log_temperature")
    optimiser = delayed(optax.adam(hp.learning_rate), hp.actor_period, slower)
    update = descend(init, loss, optimiser, polyak(hp.target_rate))
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "sac")
    values.reduction(hp.ensemble)  # raises
    require_positive(learning_rate=hp.learning_rate, batch_size=hp.batch_size)
    require_positive(updates=hp.updates, num_envs=hp.num_envs, actor_period=hp.actor_period)
    require_positive(initial_temperature=hp.initial_temperature)
    require_fraction(discount=hp.discount, target_rate=hp.target_rate)
    check_buffer(hp.buffer_size, hp.num_envs, hp.rollout_length, 1, hp.warmup)
