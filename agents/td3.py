"""Deterministic policy gradients with critics of any return representation.

The default is TD3 (Fujimoto et al. 2018). D4PG (Barth-Maron et al. 2018) is the same with one
distributional critic, n-step returns, no noise in targets and no delay: see `agents.AGENTS`.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxrl import networks, values
from jaxrl.errors import require_continuous
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, check_fields, number, record, static
from jaxrl.networks import Critics, critic_ensemble
from jaxrl.normalise import Schedule, remembering, shown
from jaxrl.settings import Collection, Layers, Optimisation, Replay
from jaxrl.types import Agent, Array, Box, Key, Spec, Transition, Tree, memoryless
from jaxrl.updates import (
    Late,
    delayed,
    every,
    n_step,
    optimiser_for,
    polyak,
    require_buffer,
)

fixed = jax.lax.stop_gradient


@record
class Hyperparameters:
    """The hyperparameters of TD3; those that are not static can be swept by vmap."""

    optimisation: Optimisation = Optimisation(schedule="constant")
    """How parameters descend the gradient."""
    discount: float = number(0.99, FRACTION)
    """Discount factor per environment step."""
    target_rate: float = number(0.01, FRACTION)
    """Step size with which the target networks move towards the parameters; 1 copies them."""
    exploration_noise: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of exploration noise on actions in [-1, 1]."""
    target_noise: float = number(0.2, NOT_NEGATIVE)
    """Standard deviation of the noise on the next action in targets."""
    noise_clip: float = number(0.5, NOT_NEGATIVE)
    """Largest absolute noise on the next action in targets."""
    critic: values.Critic = values.Critic()
    """Representation of the return in each critic."""
    ensemble: values.Ensemble = values.Ensemble()
    """Number of critics, and the reduction of their predictions to a target."""
    actor_reduction: str = static("first")
    """Critics that the actor climbs: the first, or a reduction of all, a name of
    ensemble.reduction."""
    actor_period: int = static(2, POSITIVE)
    """Gradient steps of the critics for each update of the actor and the target networks."""
    n_step: int = static(1, POSITIVE)
    """Number of rewards in an n-step return before it bootstraps."""
    normalise_observations: bool = static(False)
    """Standardise observations with running statistics of what was collected."""
    collection: Collection = Collection(warmup=1_000)
    """How experience is collected."""
    replay: Replay = Replay()
    """How stored experience is learnt from."""
    network: Layers = Layers()
    """The network's layers."""


Penalty = Callable[[Critics, Tree, Tree, Transition, Array], Array]
"""(critics, params, target, batch, next action) -> a term of the critics' loss [B]."""


ActorLoss = Callable[[Array, Array, Transition], Array]
"""(values [B] of the actor's actions, these actions, batch) -> the actor's loss [B]."""


Cost = Callable[[Transition, Array], Array]
"""(batch, next action) -> what is subtracted from the next value in targets [B]."""


class Judged(NamedTuple):
    """What critics see in place of an observation and the agent's action."""

    spec: Spec
    of: Callable[[Tree, Array], tuple[Tree, Array]]  # (observation, action) -> both as they see it


def td3(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty | None = None,
    *,
    actor_loss: ActorLoss | None = None,
    network: networks.Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """TD3 for continuous actions in [-1, 1], with an ensemble of critics of any representation.

    `representation`, `network`, which is the policy's, `critic_encoder`, see
    `jaxrl.networks.critic_ensemble`, `optimiser` and `schedule`, by which it replays, take the
    place of what `hp` describes; a `penalty` is added to the critics' loss, and `actor_loss` takes
    the place of the negative value. Raises an InputError if the hyperparameters do not fit each
    other, or actions are discrete.
    """
    check(spec, hp)
    seen = shown(spec, hp.normalise_observations)
    own = partial(learner, network=network, critic_encoder=critic_encoder, optimiser=optimiser)
    agent = own(seen, hp, representation, penalty, actor_loss)
    agent = agent._replace(update=n_step(agent.update, hp.discount))
    return remembering(agent, spec, hp, hp.n_step, schedule=schedule)


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    penalty: Penalty | None = None,
    actor_loss: ActorLoss | None = None,
    *,
    cost: Cost | None = None,
    critic_layers: Layers | None = None,
    critic_encoder: nn.Module | None = None,
    seen: Judged | None = None,
    network: networks.Own = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """TD3 without a replay buffer: it learns from the batches [B, ...] that it is given.

    A `cost` is subtracted from next values in targets, `critic_layers` are those of the critics if
    they differ from the actor's, and `seen` is what critics see, if that is not what the actor sees
    and does; the other arguments are those of `td3`.
    """
    check(spec, hp)
    assert isinstance(spec.action, Box)  # checked above; for the type checker
    representation = values.critic(hp.critic) if representation is None else representation
    space, layers, size = spec.action, hp.network, representation.size
    actor = networks.network(spec, (space.low.size,), (0.01,), **vars(layers), own=network)
    seen = Judged(spec, lambda obs, action: (obs, action)) if seen is None else seen
    members, dense = hp.ensemble.members, critic_layers or layers
    critics = critic_ensemble(seen.spec, size, members, dense, critic_encoder)
    ensemble = partial(values.ensemble_critic, representation)
    ensemble(hp.ensemble)  # raises
    judged, judges = representation, size
    if hp.actor_reduction != "first":
        judged = ensemble(replace(hp.ensemble, reduction=hp.actor_reduction))
        judges = judged.size

    def q(params: Tree, obs: Tree, action: Array) -> Array:  # [..., E * K]
        return critics.apply(params["critics"], *seen.of(obs, action))

    def mu(params: Tree, obs: Tree) -> Array:
        outputs = actor.step(params["actor"], (), obs)[0][0]
        return jnp.tanh(outputs).reshape(*outputs.shape[:-1], *space.shape)

    def near(action: Array, deviation: float | Array, clip: float | Array, key: Key) -> Array:
        noise = jnp.clip(deviation * jax.random.normal(key, action.shape), -clip, clip)
        return jnp.clip(action + noise, -1.0, 1.0)

    def init(key: Key) -> Tree:
        k_actor, k_critics = jax.random.split(key)
        return {"actor": actor.init(k_actor), "critics": critics.init(k_critics)}

    def loss(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        """Of the critics: the pessimistic value of an action close to the policy's next one."""
        k_noise, k_subset = jax.random.split(key)
        reduced = ensemble(hp.ensemble, k_subset)
        action = near(mu(target, batch.final), hp.target_noise, hp.noise_clip, k_noise)
        future = reduced.decode(q(target, batch.final, action))
        if cost is not None:
            future = values.shift(future, -cost(batch, action))
        targets = fixed(values.push(future, batch.reward, hp.discount * batch.discount))
        error = reduced.loss(q(params, batch.obs, batch.action), targets)
        metrics = {"critic_loss": error.mean(), "target_value": values.mean(targets).mean()}
        if penalty is not None:
            extra = penalty(critics, params["critics"], target["critics"], batch, action)
            error, metrics = error + extra, metrics | {"penalty": extra.mean()}
        return (batch.weight * error).mean(), metrics

    def climb(params: Tree, target: Tree, batch: Transition, key: Key) -> tuple[Array, dict]:
        """Of the actor: its gradient passes through critics whose parameters are fixed."""
        own = mu(params, batch.obs)
        value = values.mean(judged.decode(q(fixed(params), batch.obs, own)[..., :judges]))
        policy = -value if actor_loss is None else actor_loss(value, own, batch)
        metrics = {"policy_loss": policy.mean(), "value": value.mean()}
        return (batch.weight * policy).mean(), metrics

    def explore(view: Tree, obs: Tree, key: Key) -> tuple[Array, tuple]:
        return near(mu(view.params, obs), hp.exploration_noise, jnp.inf, key), ()

    exploit = lambda view, obs, key: (mu(view.params, obs), ())
    late = Late(climb, ("actor",), hp.actor_period)
    follow = every(hp.actor_period, polyak(hp.target_rate))
    update = delayed(init, loss, late, optimiser_for(hp, optimiser), follow)
    return Agent(memoryless(explore), memoryless(exploit), update)


def check(spec: Spec, hp: Hyperparameters) -> None:
    """Raise an InputError if the hyperparameters do not fit each other or the spec."""
    require_continuous(spec, "td3")
    check_fields(hp)
    require_buffer(hp, hp.n_step)
