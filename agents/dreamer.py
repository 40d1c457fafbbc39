"""An actor and a critic that learn in rollouts of a latent world model (Hafner et al. 2025).

It has the parts of DreamerV3 at a small scale: categorical latents, symlog and two-hot heads, KL
balancing and free bits, lambda-returns, weights that are products of discounts and continuations,
and advantages divided by a running range of returns. The world model reads sequences at once, with
a recurrent, a state-space or a transformer backbone; or step by step with `--posterior history`,
which makes it an RSSM.

It differs from the paper in size and learning rates; the critic bootstraps from its moving average,
which in the paper only regularises it; the critic does not learn from replayed rewards; one
coefficient balances the divergence; the actor's probabilities are not mixed with uniform ones; the
running range is corrected for its start at zero.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from jaxrl import models, spaces, values
from jaxrl.errors import require, require_one_player
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.models import latent
from jaxrl.models.latent import Outlook, State, World, latent_model, world
from jaxrl.networks import Heads
from jaxrl.networks.backbones import backbone
from jaxrl.networks.layers import MLP, initialise
from jaxrl.policies import policy_family
from jaxrl.returns import lambda_returns
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.sharding import gathered
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update, listed, memoryless
from jaxrl.updates import (
    Learner,
    descend,
    imagined,
    optimiser_for,
    polyak,
    replayed,
    require_buffer,
)

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of Dreamer; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(learning_rate=3e-4, max_gradient_norm=100.0)
    """How parameters descend the gradient."""
    model_learning_rate: float = number(1e-3, POSITIVE)
    """Learning rate of Adam for the world model."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    trace_decay: float = number(0.95, FRACTION)
    """Trace decay (lambda) of imagined returns."""
    entropy_coefficient: float = number(3e-3, NOT_NEGATIVE)
    """Coefficient of the entropy bonus in the loss."""
    target_rate: float = number(0.02, FRACTION)
    """Step size with which the target critic moves towards the critic; 1 copies it."""
    balance: float = number(0.8, FRACTION)
    """Weight of the prior in the balanced divergence; the posterior has the rest."""
    free: float = number(1.0, NOT_NEGATIVE)
    """Divergence in nats below which it is not penalised."""
    critic: values.Critic = values.Critic(
        "two-hot", atoms=101, low=-500.0, high=500.0, spacing="symlog"
    )
    """Critic's representation of the return."""
    backbone: str = static("gru")
    """Sequence model of the world model: gru, lstm, state-space or transformer."""
    posterior: str = static("observation")
    """Inputs of the posterior of latent classes: observation alone, or history as well."""
    size: int = static(128, POSITIVE)
    """Size of the output of the backbone."""
    groups: int = static(8, POSITIVE)
    """Number of groups of latent classes."""
    classes: int = static(8, POSITIVE)
    """Number of classes in a group."""
    horizon: int = static(15, POSITIVE)
    """Steps of an imagined rollout."""
    sequence_length: int = static(16, POSITIVE)
    """Steps of a replayed sequence."""
    collection: Collection = Collection(num_envs=4, rollout_length=4, warmup=1_024)
    """How experience is collected."""
    replay: Replay = Replay(updates=2, batch_size=16, buffer_size=51_200)
    """How stored experience is learnt from."""
    network: Layers = Layers(hidden=(128,), activation="swish")
    """The network's layers."""


RANGE_DECAY = 0.99
"""Decay of the running range of returns. Source: Hafner et al. (2025), equation 7."""


class Behaviour(NamedTuple):
    """The state of actor and critic."""

    learner: Learner
    spread: Array  # [] running range of returns, from their 5th to their 95th percentile


class View(NamedTuple):
    """The state that acting in the environment needs."""

    behaviour: Tree  # of actor and critic
    world: Tree  # parameters of the world model


def terms(mind: World, params: Tree, batch: Transition, key: Key) -> dict[str, Array]:
    """The terms [] of the loss of a world model on sequences, which their weights multiply."""
    parts = mind.parts(params, batch, key)
    return {name: (batch.weight * x).mean() for name, x in parts.items()}


def of_world(init: Callable[[Key], Tree], loss: Callable, hp: Any) -> Update:
    """The update of a world model's parameters, with its own learning rate."""
    optimiser = optimiser_for(replace(hp, learning_rate=hp.model_learning_rate))
    return descend(init, loss, optimiser)._replace(read=lambda state: state.params)


def reconstructive(mind: World, hp: Hyperparameters) -> Update:
    """The update of the world model from (sequences, view), by all of its predictions."""

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        means = terms(mind, params, batch[0], key)
        return jnp.asarray(sum(means.values())), means

    return of_world(mind.init, loss, hp)


def dreamer(
    spec: Spec, hp: Hyperparameters, learn: Callable[[World, Any], Update] = reconstructive
) -> Agent:
    """Learn a world model from replayed sequences, and a policy from rollouts in it.

    `learn` makes the update of the model, which reads its parameters. Raises an InputError if the
    hyperparameters do not fit each other.
    """
    check(hp)
    require_one_player(spec, "dreamer")
    carry = partial(backbone, hp.backbone, size=hp.size, window=hp.sequence_length + hp.horizon)
    mind = world(
        spec, carry, hp.groups, hp.classes, hp.network.hidden,
        balance=hp.balance, free=hp.free, posterior=hp.posterior,
    )  # fmt: skip
    inner, act = actor_critic(spec, hp)
    dream, model = partial(dreamt, mind, act, hp), learn(mind, hp)
    update = imagined(inner, model, dream)
    read = lambda state: View(inner.read(state.inner), model.read(state.model))
    update = replayed(update._replace(read=read), hp, hp.sequence_length)

    def actor(choose: Actor) -> Actor:
        def step(view: View, state: State, obs: Tree, key: Key) -> tuple[Array, State, tuple]:
            k_see, k_act = jax.random.split(key)
            state = mind.see(view.world, state, obs, k_see)
            seen = outlook(spec, state, obs)
            action, _, _ = choose.step(view.behaviour, (), seen, k_act)
            return action, mind.move(view.world, state, action), ()

        return Actor(mind.blank, step)

    explore, exploit = act
    return Agent(actor(explore), actor(exploit), update)


def outlook(spec: Spec, state: State, obs: Tree) -> Tree:
    """What the actor sees of a state [B, ...] at observations [B, *]: features, and a mask if any.

    The mask is that of the observation; the model predicts those of imagined states.
    """
    return state.features if spec.mask is None else Outlook(state.features, spec.mask(obs))


def dreamt(
    mind: World, act: tuple[Actor, Actor], hp: Hyperparameters, params: Tree, view: Tree,
    batch: Transition, key: Key,
) -> Transition:  # fmt: skip
    """Rollouts [horizon, L * B, ...] of the policy in the model, from each replayed step."""
    k_see, k_roll = jax.random.split(key)
    states = latent.replayed(mind, params, batch, k_see)
    model = latent_model(mind, params, states)
    weight, steps = batch.weight.reshape(-1), listed(batch)
    start = outlook(mind.spec, states, steps.obs)
    data, _ = models.branched(model, act[0], view, start, k_roll, hp.horizon, weight)
    decay = jnp.asarray(hp.discount) ** jnp.arange(hp.horizon, dtype=float)
    return data._replace(weight=decay[:, None] * data.weight)


def actor_critic(spec: Spec, hp: Hyperparameters):
    """The update from imagined rollouts, and the actors on features: advantage actor-critic."""
    representation, family = values.critic(hp.critic), policy_family(spec.action)
    values.require_explicit(representation, "dreamer")
    make = lambda: MLP(hp.network.hidden, hp.network.activation)
    heads = Heads(make, (family.size, representation.size), (0.01, 0.01))
    features = hp.size + hp.groups * hp.classes
    v = lambda theta: values.mean(representation.decode(theta))

    def outputs(params: Tree, x: Tree) -> tuple:
        seen, mask = x, None
        if isinstance(x, Outlook):
            seen, mask = x.features, spaces.some_allowed(spec.action, x.mask)
        logits, theta = cast(tuple, heads.apply(params["heads"], seen))
        return family.distribution(logits, params["free"], mask), theta

    def init(key: Key) -> Tree:
        return {"heads": initialise(heads, key, jnp.zeros(features)), "free": family.free}

    def loss(params: Tree, target: Tree, batch: tuple, key: Key) -> tuple[Array, dict]:
        data, returns, advantage = batch
        policy, theta = outputs(params, data.obs)
        gain, entropy = advantage * policy.log_prob(data.action), policy.entropy()
        error = representation.loss(theta, values.dirac(returns))
        total = error - gain - hp.entropy_coefficient * entropy
        metrics = {"critic_loss": error, "policy_loss": -gain, "entropy": entropy}
        mean = {name: (data.weight * x).mean() for name, x in metrics.items()}
        return (data.weight * total).mean(), mean | {"imagined_return": returns.mean()}

    descent = descend(init, loss, optimiser_for(hp), polyak(hp.target_rate))

    def start(key: Key, example: Transition) -> Behaviour:
        return Behaviour(descent.init(key, example), jnp.zeros(()))

    def apply(state: Behaviour, batch: Transition, key: Key) -> tuple[Behaviour, dict]:
        target = state.learner.target
        value, next_value = (v(outputs(target, x)[1]) for x in (batch.obs, batch.final))
        discount = hp.discount * batch.discount
        returns = lambda_returns(batch.reward, discount, batch.last, next_value, hp.trace_decay)
        low, high = values.sample_quantiles(gathered(returns), jnp.array([0.05, 0.95]))
        spread = RANGE_DECAY * state.spread + (1 - RANGE_DECAY) * (high - low)
        unbiased = spread / (1 - RANGE_DECAY ** (state.learner.step + 1.0))
        advantage = (returns - value) / jnp.maximum(unbiased, 1.0)
        learner, metrics = descent.apply(state.learner, (batch, returns, advantage), key)
        return Behaviour(learner, spread), metrics | {"return_range": unbiased}

    update = Update(start, apply, lambda state: state.learner)
    explore = lambda view, x, key: (outputs(view.params, x)[0].sample(seed=key), ())
    exploit = lambda view, x, key: (outputs(view.params, x)[0].mode(), ())
    return update, (memoryless(explore), memoryless(exploit))


def check(hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other."""
    check_fields(hp)
    family = hp.critic.family
    require("implicit" not in family, f"dreamer cannot have an {family} critic: try quantile.")
    require_buffer(hp, hp.sequence_length)
