"""Soft actor-critic for discrete actions, on any return representation (Christodoulou 2019).

The critics value all actions at once, so that the expectations of the targets, of the actor's loss
and of the entropy are sums over actions and not samples. Source: https://arxiv.org/abs/1910.07207.
"""

from dataclasses import replace
from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import optax

from agents import sac
from jaxrl import values
from jaxrl.action_values import action_values, ensembled
from jaxrl.errors import require, require_discrete
from jaxrl.fields import FRACTION, check_fields, number, record, static
from jaxrl.networks import Own, partly
from jaxrl.networks import network as network_of
from jaxrl.normalise import Schedule, remembering, shown
from jaxrl.policies import Categorical, allowed, categorical
from jaxrl.settings import Collection, Optimisation, Replay
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import Late, Learner, delayed, optimiser_for, polyak, require_buffer

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of discrete SAC: those of SAC, with another target entropy."""

    optimisation: Optimisation = Optimisation(schedule="constant")
    """How parameters descend the gradient."""
    target_entropy: float = number(0.89, FRACTION)
    """Target entropy of the policy, as a share of that of random allowed actions; 0.98 in the
    paper."""
    learn_temperature: bool = static(True)
    """Learn the temperature; otherwise it keeps its initial value."""
    collection: Collection = Collection(num_envs=4, warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay(updates=2, batch_size=64, buffer_size=20_000)
    """How stored experience is learnt from."""


def discrete_sac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """SAC for discrete actions, with an ensemble of critics of any representation but implicit.

    `representation`, `network`, which is the policy's, `optimiser` and `schedule`, by which it
    replays, take the place of what `hp` describes. Actions that `spec.mask` forbids have
    probability 0, also in targets. Raises an InputError if the hyperparameters do not fit each
    other, or actions are not discrete.
    """
    seen = shown(spec, hp.normalise_observations)
    agent = learner(seen, hp, representation, network, optimiser)
    return remembering(agent, spec, hp, schedule=schedule)


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """Discrete SAC without a replay buffer: it learns from the batches [B, ...] that it is given.

    The parameters are those of the `actor`, the `critics` and the `log_temperature`.
    """
    check(spec, hp)
    actions, layers = require_discrete(spec, "discrete-sac").num, vars(hp.network)
    representation = values.critic(hp.critic) if representation is None else representation
    ensemble = partial(values.ensemble_critic, representation)
    judged = ensemble(replace(hp.ensemble, reduction=hp.actor_reduction))
    critics = ensembled(action_values(spec, representation, **layers), ensemble(hp.ensemble))
    make = lambda part: network_of(part, (actions,), (0.01,), **layers, own=network)
    actor = partly(hp.actor_sees, spec, make)

    def init(key: Key) -> Tree:
        return sac.initial(actor.init, critics.init, hp, key)

    def pi(params: Tree, obs: Tree) -> Categorical:
        return categorical(actor.step(params["actor"], (), obs)[0][0], allowed(spec, obs))

    def q(params: Tree, obs: Tree) -> Array:
        return critics.outputs(sac.weights_of(params, hp), obs)

    def aim(obs: Tree) -> Array:
        """The target entropy [...] at obs [..., *]."""
        mask = allowed(spec, obs)
        count = jnp.asarray(actions) if mask is None else mask.sum(-1)
        return hp.target_entropy * jnp.log(count.astype(float))

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        """Of the critics: the pessimistic value of each next action, with its entropy bonus."""
        temperature = fixed(jnp.exp(params["log_temperature"]))
        reduced = ensemble(hp.ensemble, key)
        log_policy = cast(Array, pi(fixed(params), batch.final).logits)
        bonus = temperature * hp.entropy_backup
        future = values.entropic(reduced, q(target, batch.final), log_policy, bonus)
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = reduced.loss(values.take(q(params, batch.obs), batch.action), targets)
        metrics = {"critic_loss": error.mean(), "target_value": values.mean(targets).mean()}
        return (batch.weight * error).mean(), metrics

    def act(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        """Of the actor, the expectation over all actions, and of the temperature."""
        temperature, policy = jnp.exp(params["log_temperature"]), pi(params, batch.obs)
        scores = fixed(values.mean(judged.decode(q(params, batch.obs))))
        entropy = policy.entropy()
        value = (policy.probs * scores).sum(-1)
        cost = -value - fixed(temperature) * entropy
        balance = params["log_temperature"] * fixed(entropy - aim(batch.obs))
        total = cost + balance * hp.learn_temperature
        metrics = {"policy_loss": cost.mean(), "value": value.mean()}
        metrics |= {"temperature": temperature, "entropy": entropy.mean()}
        return (batch.weight * total).mean(), metrics

    def explore(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        return cast(Array, pi(view.params, obs).sample(seed=key)), ()

    def exploit(view: Learner, obs: Tree, key: Key) -> tuple[Array, Tree]:
        return cast(Array, pi(view.params, obs).mode()), ()

    late, rule = Late(act, sac.LATE, hp.actor_period), optimiser_for(hp, optimiser)
    update = delayed(init, loss, late, rule, polyak(hp.target_rate))
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_discrete(spec, "discrete-sac")
    check_fields(hp)
    require(not hp.dropout, "discrete-sac's critics have no dropout: set dropout to 0.")
    require_buffer(hp)
