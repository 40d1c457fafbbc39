"""Optimistic actor-critic whose policy begins anew when its critic is replaced, which is rare."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.errors import require_non_negative, require_positive
from jaxrl.optimism.counts import Counts, Steps, counted, empirical, no_counts
from jaxrl.optimism.learning import Learner
from jaxrl.optimism.planning import Critic
from jaxrl.types import Array, Key


class ActorCritic(NamedTuple):
    """What an actor-critic knows before an episode."""

    counts: Counts
    critic: Array  # [H, S, A] the values that the actor follows
    logits: Array  # [H, S, A] of the policy
    switches: Array  # [] int32 how often the critic was replaced


def excess_loss(counts: Counts, critic: Array) -> Array:
    """Return the excess [H] of the squared loss of a critic [H, S, A] over the least one.

    For targets r + max_a f_{h+1} the loss of f_h exceeds the least of any table by the sum over
    pairs of N (f_h - r - P max_a f_{h+1})^2, with the empirical rewards r and kernel P.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.excess_loss(seen, jnp.zeros((1, 2, 2))))  # of a reward of 8
        [64.]
    """
    model = empirical(counts)
    future = jnp.concatenate([critic[1:].max(-1), jnp.zeros_like(critic[:1, :, 0])])  # [H, S]
    target = jax.vmap(lambda v: model.reward[..., 0] + model.discount[..., 0] * dp.expect(model, v))
    return (counts.visits * (critic - target(future)) ** 2).sum((1, 2))


def actor_critic(
    critic: Critic,
    states: int,
    actions: int,
    step_size: float | Array,
    radius: float | Array,
    start: Counts | None = None,
    reset: bool = True,
) -> Learner:
    """Return an actor-critic by mirror ascent, whose critic targets the optimal values.

    After each episode the policy is multiplied by exp(step_size f) and normalised. The critic f is
    replaced only when its `excess_loss` at some time is above `radius`, and the policy then begins
    anew as the uniform one, unless not to `reset` it. With an `optimistic` critic this is the
    strategy of the paper for a table, where a bonus stands for its confidence set. `start` are
    counts of offline data, with which an optimistic critic is the hybrid variant and `certain` the
    one without optimism. For bonuses scale / sqrt(N) a radius of 2 S A scale^2 is twice the excess
    of a new critic. Raises `InputError` unless the step size is above zero and the radius is not
    negative. Source: Tan, Fan and Wei (2025), "Actor-critics can achieve optimal sample
    efficiency", https://proceedings.mlr.press/v267/tan25c.html.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> critic = lambda counts: optimism.certain(counts, 1)
        >>> learner = optimism.actor_critic(critic, 2, 2, step_size=1.0, radius=2.0, start=seen)
        >>> print(learner.observe(learner.init(), steps).logits[0])
        [[ 0.  0.]
         [ 0. -8.]]
    """
    require_positive(step_size=step_size)
    require_non_negative(radius=radius)

    def init() -> ActorCritic:
        counts = no_counts(states, actions) if start is None else start
        values = critic(counts)
        return ActorCritic(counts, values, jnp.zeros_like(values), jnp.int32(0))

    def plan(state: ActorCritic, key: Key) -> tuple[ActorCritic, Array]:
        stale = excess_loss(state.counts, state.critic).max() > radius
        values = jnp.where(stale, critic(state.counts), state.critic)
        logits = jnp.where(stale & reset, 0.0, state.logits)
        state = ActorCritic(state.counts, values, logits, state.switches + stale)
        return state, jax.nn.softmax(logits)

    def observe(state: ActorCritic, steps: Steps) -> ActorCritic:
        logits = state.logits + step_size * state.critic
        # Only differences matter; without this the numbers would grow for ever.
        logits = logits - logits.max(-1, keepdims=True)
        return state._replace(counts=counted(state.counts, steps), logits=logits)

    return Learner(init, plan, observe)
