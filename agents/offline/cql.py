"""Conservative Q-learning (Kumar et al. 2020): SAC with low values where there are no data.

A penalty pushes values down at all actions, the more the higher they are, and up at those of the
data. Source: "Conservative Q-learning for offline reinforcement learning",
https://arxiv.org/abs/2006.04779.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from agents import sac
from jaxrl import returns, values
from jaxrl.continuing import faded
from jaxrl.fields import FRACTION, NOT_NEGATIVE, POSITIVE, number, record, static
from jaxrl.networks import Own
from jaxrl.normalise import replaying, shown
from jaxrl.settings import Layers, Optimisation
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import enriched, optimiser_for, replayed, separate

fixed = jax.lax.stop_gradient


@record
class Hyperparameters(sac.Hyperparameters):
    """The hyperparameters of CQL: those of SAC, and of the penalty."""

    conservatism: float = number(2.5, NOT_NEGATIVE)
    """Weight of the penalty in each critic's loss; half of that of the authors' code, whose squared
    errors are not halved."""
    conservatism_steps: float = static(0.0, NOT_NEGATIVE)
    """Environment steps over which the weight of the penalty falls linearly to 0, beginning anew in
    a run that goes on from another one; 0 keeps it."""
    actor_learning_rate: float = number(1e-4, POSITIVE)
    """Learning rate of the actor, beside that of the critics and the temperature."""
    samples: int = static(10, POSITIVE)
    """Actions of each of three kinds that the penalty compares with the data's: uniform ones, and
    those of the policy for the observation and for its successor."""
    calibrated: bool = static(False)
    """Push no value of the policy's actions below the return that the data earned from there."""
    return_discount: float = static(0.99, FRACTION)
    """Discount factor of the data's returns, if values are calibrated; that of the values."""
    entropy_backup: bool = static(False)
    """Count the entropy bonus of the next action in targets."""
    optimisation: Optimisation = Optimisation(learning_rate=3e-4, schedule="constant")
    """How parameters descend the gradient, but for the actor's learning rate."""
    network: Layers = Layers(hidden=(256, 256, 256))
    """The network's layers."""


def cql(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None = None,
    *,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """SAC with conservative critics, for continuous actions in [-1, 1]; see `conservative`.

    If they are calibrated, they learn from a data set whose steps have their `returns_to_go`. The
    other arguments are those of `sac.sac`. Raises an InputError as it does.
    """
    sac.check(spec, hp)
    own = partial(learner, network=network, critic_encoder=critic_encoder, optimiser=optimiser)
    make = partial(own, shown(spec, hp.normalise_observations), hp, representation)
    return fading(lambda weight: remembering(make(weight), spec, hp), hp)


def fading(make: Callable[[Any], Agent], hp: Any) -> Agent:
    """The agent `make(weight)`, whose weight falls from `conservatism` as `hp` says, if it does."""
    steps = hp.collection.num_envs * hp.collection.rollout_length
    rounds = hp.conservatism_steps / steps
    return faded(make, hp.conservatism, rounds) if rounds else make(hp.conservatism)


def learner(
    spec: Spec,
    hp: Hyperparameters,
    representation: values.Representation | None,
    weight: float | Array,
    *,
    network: Own = None,
    critic_encoder: nn.Module | None = None,
    optimiser: optax.GradientTransformation | None = None,
) -> Agent:
    """CQL without a replay buffer, whose penalty has a weight."""
    slower = replace(hp.optimisation, learning_rate=hp.actor_learning_rate)
    own = separate(optimiser_for(hp), actor=optimiser_for(replace(hp, optimisation=slower)))
    return sac.learner(
        spec, hp, representation, partial(conservative, weight, hp.samples, hp.calibrated),
        network=network, critic_encoder=critic_encoder,
        optimiser=own if optimiser is None else optimiser,
    )  # fmt: skip


def remembering(agent: Agent, spec: Spec, hp: Hyperparameters) -> Agent:
    """A learner with the replay, of returns if values are calibrated, that `hp` asks for."""

    def remember(update: Update) -> Update:
        stored, earned = replayed(update, hp), partial(returns_to_go, hp.return_discount)
        return enriched(stored, earned, unknown_returns) if hp.calibrated else stored

    return replaying(agent, spec, remember, hp.normalise_observations)


def returns_to_go(discount: float, data: Transition) -> Transition:
    """The data set [T, B, ...] with the discounted returns from each step on as `extras`.

    The sum ends where an episode does, truncated or not.
    """
    none = jnp.zeros_like(data.reward)
    factor = discount * data.discount
    earned = returns.lambda_returns(data.reward, factor, data.last, none, 1.0)
    return data._replace(extras=earned)


def unknown_returns(steps: Transition) -> Transition:
    """Steps that are not of the data set, with -inf as their returns, which are not known."""
    return steps._replace(extras=jnp.full_like(steps.reward, -jnp.inf))


def conservative(
    weight: float | Array,
    samples: int,
    calibrated: bool,
    judge: sac.Judgement,
    params: Tree,
    batch: Transition,
    key: Key,
) -> Array:
    """The penalty weight (log integral exp Q(s, a') da' - Q(s, a)) [B], summed over critics.

    The integral over actions a' in [-1, 1]^d is estimated by the mean of exp(Q) / density over
    `samples` of each of three densities: the uniform one, 2^-d, and the policy at the observation
    and at its successor, of which the values are those at the observation. Actions and
    densities have no gradient. Source: CQL(H) of Kumar et al. (2020), with importance weights.
    """
    k_uniform, k_now, k_next = jax.random.split(key, 3)
    shape = (samples, *batch.action.shape)
    uniform = jax.random.uniform(k_uniform, shape, minval=-1.0, maxval=1.0)
    flat = jnp.full((samples, len(batch.reward)), -batch.action[0].size * math.log(2))

    def drawn(obs: Tree, key: Key) -> tuple[Array, Array]:
        policy = judge.policy(fixed(params), obs)
        action, density = policy.sample_and_log_prob(seed=key, sample_shape=(samples,))
        return fixed(action), jnp.asarray(fixed(density))

    kinds = [(uniform, flat), drawn(batch.obs, k_now), drawn(batch.final, k_next)]
    density = jnp.concatenate([density for _, density in kinds])
    # Batches of one kind each fit in caches better than one of all, and vmap over samples would sum
    # as many gradients of the weights.
    obs = jax.tree.map(lambda x: jnp.broadcast_to(x, (samples, *x.shape)), batch.obs)
    value = jnp.concatenate([judge.each(params, obs, action) for action, _ in kinds])
    if calibrated:
        bounded = jnp.maximum(value[samples:], batch.extras[:, None])
        value = jnp.concatenate([value[:samples], bounded])
    soft = jax.nn.logsumexp(value - density[..., None], 0) - math.log(3 * samples)
    return weight * (soft - judge.each(params, batch.obs, batch.action)).sum(-1)
