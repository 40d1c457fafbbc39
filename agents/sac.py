"""Soft actor-critic on any return representation, with a learnt temperature (Haarnoja et al. 2018).

REDQ, DroQ and TQC are SAC with other critics: see `agents.AGENTS`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl import values
from jaxrl.errors import require_continuous
from jaxrl.fields import BELOW_ONE, FRACTION, POSITIVE, check_fields, number, record, static
from jaxrl.lipschitz import bounded
from jaxrl.networks import Own, See, critic_ensemble, network, partly
from jaxrl.normalise import Schedule, remembering, shown
from jaxrl.policies import tanh_family
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, Update, memoryless
from jaxrl.updates import delayed, descend, optimiser_for, polyak, require_buffer
from jaxrl.updates.gradient import Late, Loss

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of SAC; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.005, FRACTION)
    """Step size with which the target critics move towards the critics; 1 copies them."""
    target_entropy: float = number(-1.0)
    """Target entropy of the policy per action dimension, in nats."""
    initial_temperature: float = number(1.0, POSITIVE)
    """Initial temperature, the coefficient of the entropy bonus."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics, and the reduction of their predictions to a target."""
    spectral_bound: float = number(2.0, POSITIVE)
    """Upper bound of the spectral norm of the critics' kernels, if spectral is set."""
    spectral: bool = static(False)
    """Bound the spectral norm of the critics' kernels."""
    dropout: float = static(0.0, BELOW_ONE)
    """Share of the critics' hidden units that are dropped, in targets too (Hiraoka et al. 2022)."""
    actor_reduction: str = static("minimum")
    """Reduction of all critics for the actor: one of the names that ensemble.reduction takes."""
    actor_period: int = static(1, POSITIVE)
    """Gradient steps of the critics for each update of the actor and the temperature."""
    entropy_backup: bool = static(True)
    """Count the entropy bonus of the next action in targets."""
    actor_sees: tuple[int, ...] = static(())
    """Indices of the features of the observation that the actor sees; none means all of them. The
    critic sees them all."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics of what was collected."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers()
    """The network's layers."""


class Judgement(NamedTuple):
    """The critics' values, as a penalty sees them."""

    value: Callable[[Tree, Tree], Array]  # (params, obs [B, *]) -> [B] of the policy's mode
    each: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> values [B, E]
    policy: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs) -> of actions


Penalty = Callable[[Judgement, Tree, Transition, Key], Array]
"""(judgement, params, batch, key) -> a term of the critics' loss [B]."""


Regulariser = Callable[[distrax.Distribution, Array, Transition], Array]
"""(policy at the observations of a batch, its actions, batch) -> a term of the actor's loss [B]."""


def sac(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    penalty: Penalty | None = None,
    regulariser: Regulariser | None = None,
    actor_sees: See | None = None,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """SAC for continuous actions in [-1, 1], with an ensemble of critics of any representation.

    `representation`, `actor_sees`, which may be a function of the observation, `network`, which is
    the policy's and sees what it does, `critic_encoder`, see `jaxrl.networks.critic_ensemble`,
    `optimiser` and `schedule`, by which it replays, take the place of what `hp` describes. A
    `penalty` is added to the critics' loss and a `regulariser` to the actor's. Raises an InputError
    if the hyperparameters do not fit each other, or actions are discrete.
    """
    seen = shown(spec, hp.normalise_observations)
    own = partial(learner, network=network, critic_encoder=critic_encoder, optimiser=optimiser)
    agent = own(seen, hp, representation, penalty, regulariser, actor_sees=actor_sees)
    return remembering(agent, spec, hp, schedule=schedule)


class Networks(NamedTuple):
    """The networks of SAC: a policy, critics and a temperature."""

    init: Callable[[Key], Tree]
    pi: Callable[[Tree, Tree], distrax.Distribution]  # (params, obs [..., *]) -> of actions
    q: Callable[..., Array]
    # q: (params, obs, action, key=None) -> outputs [..., E * K]; the key draws what is dropped
    each: Callable[[Tree, Tree, Array], Array]  # (params, obs, action) -> values [..., E]


def networks(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation,
    own: Own = None,
    actor_sees: See | None = None,
    critic_encoder: nn.Module | None = None,
) -> Networks:
    """The networks that the hyperparameters ask for, with critics of a representation.

    A person's `own` network takes the place of the policy's, `critic_encoder` that of the critics'
    layers, and `actor_sees` that of `hp`.
    """
    box = require_continuous(spec, "sac")
    family, layers = tanh_family(box), hp.network
    make = lambda part: network(part, (family.size,), (0.01,), **vars(layers), own=own)
    actor = partly(hp.actor_sees if actor_sees is None else actor_sees, spec, make)
    members = hp.ensemble.members
    critics = critic_ensemble(
        spec, representation.size, members, layers, critic_encoder, hp.dropout
    )

    def init(key: Key) -> Tree:
        return initial(actor.init, critics.init, hp, key)

    def q(params: Tree, obs: Tree, action: Array, key: Key | None = None) -> Array:
        return critics.apply(weights_of(params, hp), obs, action, key)

    def each(params: Tree, obs: Tree, action: Array) -> Array:
        theta = q(params, obs, action)
        theta = theta.reshape(*theta.shape[:-1], hp.ensemble.members, representation.size)
        return values.mean(representation.decode(theta))

    pi = lambda params, obs: family.distribution(actor.step(params["actor"], (), obs)[0][0], ())
    return Networks(init, pi, q, each)


def initial(
    actor: Callable[[Key], Tree], critics: Callable[[Key], Tree], hp: Hyperparameters, key: Key
) -> Tree:
    """The first parameters: those of the `actor`, the `critics` and the `log_temperature`."""
    k_actor, k_critics = jax.random.split(key)
    temperature = jnp.log(jnp.asarray(hp.initial_temperature, float))
    return {
        "actor": actor(k_actor),
        "critics": critics(k_critics),
        "log_temperature": temperature,
    }


def weights_of(params: Tree, hp: Hyperparameters) -> Tree:
    """The critics' parameters, with kernels of bounded norms if the hyperparameters say so."""
    weights = params["critics"]
    return bounded(weights, hp.spectral_bound) if hp.spectral else weights


def soft_target(
    future: values.ReturnDistribution, cost: Array, batch: Transition, discount: float | Array
) -> values.ReturnDistribution:
    """The critics' target [B, N]: reward + discount * (future - cost), for an entropy cost [B]."""
    future = values.push(future, -cost, jnp.ones_like(cost))
    return fixed(values.push(future, batch.reward, discount * batch.discount))


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty | None = None,
    regulariser: Regulariser | None = None,
    network: Own = None,
    optimiser: optax.GradientTransformation | None = None,
    actor_sees: See | None = None,
    critic_encoder: nn.Module | None = None,
) -> Agent:
    """SAC without a replay buffer: it learns from the batches [B, ...] that it is given.

    The arguments are those of `sac`.
    """
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    representation = values.critic(hp.critic) if representation is None else representation
    net = networks(spec, hp, representation, network, actor_sees, critic_encoder)
    losses = objectives(spec.action, hp, representation, net, penalty, regulariser)

    def look(params: Tree, target: Tree, batch: Transition) -> tuple[Transition, Sight]:
        return batch, Sight(batch.obs, batch.obs, batch.final, batch.final)

    explore = lambda view, obs, key: (net.pi(view.params, obs).sample(seed=key), ())
    exploit = lambda view, obs, key: (net.pi(view.params, obs).mode(), ())
    update = descent(net.init, look, losses, hp, optimiser)
    return Agent(memoryless(explore), memoryless(exploit), update)


class Sight(NamedTuple):
    """What the networks of SAC see of a batch: observations [..., *], or features of them."""

    now: Tree  # what the critics see
    acting: Tree  # what the actor sees at the same time
    following: Tree  # what the actor sees of the successor
    judged: Tree  # what the target critics see of the successor


Look = Callable[[Tree, Tree, Transition], tuple[Transition, Sight]]
"""(params, target, batch) -> what is learnt from, and what the networks see of it."""
Seeing = Callable[[Tree, Tree, Transition, Sight, Key], tuple[Array, dict]]
"""(params, target, batch, sight, key) -> (loss [], metrics)."""
LATE = ("actor", "log_temperature")
"""The parameters that wait where the actor has a period."""


def descent(
    init: Callable[[Key], Tree],
    look: Look,
    losses: tuple[Seeing, Seeing],
    hp: Hyperparameters,
    optimiser: optax.GradientTransformation | None = None,
) -> Update:
    """Descend the losses of `objectives`, the actor's with a delay; targets follow."""

    def of(*losses: Seeing) -> Loss:
        def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
            batch, sight = look(params, target, batch)
            keys = jax.random.split(key, len(losses))
            found = [one(params, target, batch, sight, k) for one, k in zip(losses, keys)]
            total = sum((error for error, _ in found), jnp.zeros(()))
            return total, {name: x for _, told in found for name, x in told.items()}

        return loss

    rule, follow = optimiser_for(hp, optimiser), polyak(hp.target_rate)
    if hp.actor_period == 1:  # what is seen is computed once
        return descend(init, of(*losses), rule, follow)
    late = Late(of(losses[1]), LATE, hp.actor_period)
    return delayed(init, of(losses[0]), late, rule, follow)


def objectives(
    space: Box,
    hp: Hyperparameters,
    representation: values.Representation,
    networks: Networks,
    penalty: Penalty | None = None,
    regulariser: Regulariser | None = None,
) -> tuple[Seeing, Seeing]:
    """The losses of SAC's critics, and of its actor and temperature, of any leading axes.

    No gradient of the actor's loss reaches what the critics see. Raises an InputError for an
    ensemble that does not fit.
    """
    _, pi, q, each = networks
    ensemble = partial(values.ensemble_critic, representation)
    ensemble(hp.ensemble)  # raises
    judged = ensemble(replace(hp.ensemble, reduction=hp.actor_reduction))
    target_entropy = hp.target_entropy * space.low.size

    def value(params: Tree, obs: Tree) -> Array:
        return values.mean(judged.decode(q(params, obs, pi(fixed(params), obs).mode())))

    def judge(
        params: Tree, target: Tree, batch: Transition, sight: Sight, key: Key
    ) -> tuple[Array, dict]:
        """Of the critics: the pessimistic value of the next action, with its entropy bonus."""
        keys = jax.random.split(key, 5) if hp.dropout else (*jax.random.split(key, 3), None, None)
        k_next, k_subset, k_penalty, k_later, k_now = keys
        temperature = fixed(jnp.exp(params["log_temperature"]))
        reduced = ensemble(hp.ensemble, k_subset)
        action, log_prob = pi(fixed(params), sight.following).sample_and_log_prob(seed=k_next)
        future = reduced.decode(q(target, sight.judged, action, k_later))
        cost = temperature * log_prob * hp.entropy_backup
        targets = soft_target(future, cost, batch, hp.discount)
        error = reduced.loss(q(params, sight.now, batch.action, k_now), targets)
        if penalty is not None:
            error = error + penalty(Judgement(value, each, pi), params, batch, k_penalty)
        metrics = {"critic_loss": error.mean(), "target_value": values.mean(targets).mean()}
        return (batch.weight * error).mean(), metrics

    def act(
        params: Tree, target: Tree, batch: Transition, sight: Sight, key: Key
    ) -> tuple[Array, dict]:
        """Of the actor, through critics whose parameters are fixed, and of the temperature."""
        k_action, k_now = jax.random.split(key) if hp.dropout else (key, None)
        temperature = jnp.exp(params["log_temperature"])
        now = pi(params, sight.acting)
        action, log_prob = now.sample_and_log_prob(seed=k_action)
        scores = values.mean(judged.decode(q(fixed(params), fixed(sight.now), action, k_now)))
        policy = fixed(temperature) * log_prob - scores
        if regulariser is not None:
            policy = policy + regulariser(now, action, batch)
        balance = -params["log_temperature"] * fixed(log_prob + target_entropy)
        metrics = {"policy_loss": policy.mean(), "value": scores.mean()}
        metrics |= {"temperature": temperature, "entropy": -log_prob.mean()}
        return (batch.weight * (policy + balance)).mean(), metrics

    return judge, act


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "sac")
    check_fields(hp)
    require_buffer(hp)
