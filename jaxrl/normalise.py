"""Running statistics of observations and returns, and agents that see standardised ones."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import sharding
from jaxrl.errors import require
from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates.configured import replayed
from jaxrl.updates.offpolicy import Beside

# Beyond this many samples the statistics become a slow moving average: a float32 count stops
# growing at 2^24, and the sampling error is negligible by then.
MEMORY = 1e7


class Moments(NamedTuple):
    """The mean and variance of all samples so far, for each element of a tree."""

    count: Array  # [] of samples, limited to little more than `MEMORY`
    mean: Tree  # [*observation]
    variance: Tree  # [*observation]
    mean_rest: Tree  # [*observation] rounding error of the mean
    variance_rest: Tree  # [*observation] rounding error of the variance


def init(spec: Tree) -> Moments:
    """Moments of no samples, for leaves with a shape: they leave observations unchanged."""
    # Each leaf is an array of its own, since a buffer can be donated only once.
    full = lambda value: jax.tree.map(lambda leaf: jnp.full(leaf.shape, value), spec)
    return Moments(jnp.zeros(()), full(0.0), full(1.0), full(0.0), full(0.0))


def add(total: Array, rest: Array, step: Array) -> tuple[Array, Array]:
    """The rounded sum of all three, and its rounding error: compensated summation.

    Late steps are smaller than the rounding of the total and would otherwise all be lost. Source:
    Kahan (1965).
    """
    step = step + rest
    after = total + step
    return after, step - (after - total)


def update(moments: Moments, batch: Tree, weight: Array | None = None) -> Moments:
    """Merge a batch [..., *observation], of all shards together where there are several.

    Samples count as often as their `weight` [...] says, once by default. Source: Chan, Golub and
    LeVeque (1979), equation 2.1.
    """
    example, one = jax.tree.leaves(batch)[0], jax.tree.leaves(moments.mean)[0]
    lead = example.shape[: example.ndim - one.ndim]
    axes, size = tuple(range(len(lead))), math.prod(lead)
    if size == 0:
        return moments
    over = sharding.average
    size = size * sharding.count()
    count = jnp.minimum(moments.count, MEMORY)
    if weight is None:
        average = lambda x: over(x.mean(axes))
    else:
        # A mean over samples of weight / (mean weight) is the weighted mean.
        typical = over(weight.mean())
        relative = weight / jnp.maximum(typical, 1e-30)
        size = size * typical

        def average(x: Array) -> Array:
            wide = relative.reshape(*relative.shape, *(1,) * (x.ndim - relative.ndim))
            # A sample without weight may be anything, not a number included.
            return over(jnp.where(wide > 0, wide * x, 0.0).mean(axes))

    share = size / jnp.maximum(count + size, 1e-12)

    def merge(mean: Array, variance: Array, mean_rest: Array, variance_rest: Array, x: Array):
        x = x.astype(mean.dtype)
        centre = average(x)
        away = x - centre
        bias = average(away)  # the rounding error of the centre, for a large mean
        spread = jnp.maximum(average(jnp.square(away)) - jnp.square(bias), 0.0)
        gap = (centre - mean) + (bias - mean_rest)
        # Before any data the old variance is a placeholder.
        variance = jnp.where((count > 0) | (share == 0), variance, 0.0)
        step = share * (spread - variance) + share * (1 - share) * jnp.square(gap)
        mean, mean_rest = add(mean, mean_rest, share * gap)
        return mean, *add(variance, variance_rest, step), mean_rest

    merged = jax.tree.map(merge, *moments[1:], batch)
    mean, variance, variance_rest, mean_rest = jax.tree.transpose(
        jax.tree.structure(moments.mean), jax.tree.structure((0, 0, 0, 0)), merged
    )
    return Moments(count + size, mean, variance, mean_rest, variance_rest)


def standardise(moments: Moments, obs: Tree, clip: float = 10.0) -> Tree:
    """Observations [..., *observation] with mean zero and variance one, within +-`clip`."""

    def one(mean: Array, variance: Array, rest: Array, x: Array) -> Array:
        scaled = ((x - mean) - rest) * jax.lax.rsqrt(variance + 1e-8)
        return jnp.where(moments.count > 0, jnp.clip(scaled, -clip, clip), x)

    return jax.tree.map(one, moments.mean, moments.variance, moments.mean_rest, obs)


class ReturnScale(NamedTuple):
    """Running statistics of the discounted return."""

    moments: Moments  # of a scalar
    running: Array  # [B] the discounted return of each lane so far


def init_scale(lanes: int) -> ReturnScale:
    """Statistics of no returns, for a number of lanes: they leave rewards unchanged."""
    return ReturnScale(init(jax.ShapeDtypeStruct((), jnp.float32)), jnp.zeros(lanes))


def update_scale(
    scale: ReturnScale,
    reward: Array,
    last: Array,
    discount: float | Array,
    weight: Array | None = None,
) -> ReturnScale:
    """Merge the returns along rewards [T, B], which start again after each boundary [T, B].

    Returns count as often as their `weight` [T, B] says, once by default.
    """

    def step(running: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        total = discount * running + now[0]
        return jnp.where(now[1], 0.0, total), total

    running, totals = jax.lax.scan(step, scale.running, (reward, last))
    return ReturnScale(update(scale.moments, totals, weight), running)


def scaled(scale: ReturnScale, reward: Array) -> Array:
    """Rewards [...] divided by the deviation of the discounted return, unless it is zero."""
    variance = scale.moments.variance
    return reward * jnp.where(variance > 0, jax.lax.rsqrt(variance + 1e-8), 1.0)


class Standardised(NamedTuple):
    """The state of a learner that sees standardised observations; also its view."""

    moments: Moments
    inner: Tree


def normalise_observations(agent: Agent, spec: Spec) -> Agent:
    """Let an agent see standardised observations.

    The statistics are part of the update's state. The agent learns from a batch with the
    statistics under which it was collected; then they are updated with it. Actors only read them,
    also in evaluation. This is for learning from fresh trajectories; for learning from stored ones
    see `replaying`.
    """

    def start(key: Key, example: Transition) -> Standardised:
        moments = update(init(spec.observation), example.obs, example.weight)
        return Standardised(moments, agent.update.init(key, seen(moments, example)))

    def apply(state: Standardised, batch: Transition, key: Key) -> tuple[Standardised, dict]:
        inner, metrics = agent.update.apply(state.inner, seen(state.moments, batch), key)
        moments = update(state.moments, batch.obs, batch.weight)
        return Standardised(moments, inner), metrics

    def read(state: Standardised) -> Standardised:
        return Standardised(state.moments, agent.update.read(state.inner))

    actors = seeing(agent.explore), seeing(agent.exploit)
    return Agent(*actors, Update(start, apply, read))


Schedule = Callable[[Update, Any, int | None], Update]
"""(update, hyperparameters, length of the sequences it learns from) -> the update with replay."""


def remembering(
    agent: Agent,
    spec: Spec,
    hp: Any,
    length: int | None = None,
    beside: Beside | None = None,
    schedule: Schedule | None = None,
) -> Agent:
    """An agent with the replay and the standardised observations that `hp` asks for.

    `length` and `beside` are those of `jaxrl.updates.replayed`, in place of which a `schedule` may
    decide when and on which batches the agent learns.
    """

    def remember(inner: Update) -> Update:
        if schedule is not None:
            return schedule(inner, hp, length)
        return replayed(inner, hp, length, beside)

    return replaying(agent, spec, remember, hp.normalise_observations)


def replaying(
    agent: Agent,
    spec: Spec,
    remember: Callable[[Update], Update],
    normalise: bool,
) -> Agent:
    """An agent that learns from what `remember` replays, with standardised observations if asked.

    If `normalise`, stored observations are raw. The statistics are updated with each new rollout,
    before learning from it, and never with what is replayed; all that is replayed, in targets too,
    is seen under them, and so is what actors see next. Otherwise nothing is added to the state.
    """
    if not normalise:
        return agent._replace(update=remember(agent.update))

    def learner(moments: Moments) -> Update:
        def init(key: Key, example: Transition) -> Tree:
            return agent.update.init(key, seen(moments, example))

        def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
            return agent.update.apply(state, seen(moments, batch), key)

        return remember(Update(init, apply, agent.update.read))

    def start(key: Key, example: Transition) -> Standardised:
        moments = update(init(spec.observation), example.obs, example.weight)
        return Standardised(moments, learner(moments).init(key, example))

    def apply(state: Standardised, new: Transition, key: Key) -> tuple[Standardised, dict]:
        moments = update(state.moments, new.obs, new.weight)
        inner, metrics = learner(moments).apply(state.inner, new, key)
        return Standardised(moments, inner), metrics

    def read(state: Standardised) -> Standardised:
        return Standardised(state.moments, learner(state.moments).read(state.inner))

    actors = seeing(agent.explore), seeing(agent.exploit)
    return Agent(*actors, Update(start, apply, read))


def seen(moments: Moments, batch: Transition) -> Transition:
    """Transitions [..., *] with standardised observations, also in extras that are transitions."""
    obs, final = (standardise(moments, x) for x in (batch.obs, batch.final))
    more = batch.extras
    more = seen(moments, more) if isinstance(more, Transition) else more
    return batch._replace(obs=obs, final=final, extras=more)


def seeing(actor: Actor) -> Actor:
    """An actor that sees standardised observations, for views that are `Standardised`."""

    def step(view: Standardised, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        return actor.step(view.inner, memory, standardise(view.moments, obs), key)

    return Actor(actor.init, step)


def shown(spec: Spec, normalise: bool) -> Spec:
    """The spec for which an agent is made that may see standardised observations.

    Standardised bytes are floats, which networks must not scale as bytes. Raises an InputError if
    observations tell which actions are allowed, which they would not once standardised.
    """
    if not normalise:
        return spec
    require(
        spec.mask is None,
        "normalise_observations hides which actions are allowed: leave it off in this environment.",
    )
    number = jnp.result_type(float)
    one = lambda x: jax.ShapeDtypeStruct(x.shape, number) if x.dtype == jnp.uint8 else x
    return spec._replace(observation=jax.tree.map(one, spec.observation))


class Scaled(NamedTuple):
    """The state of a learner that sees scaled rewards."""

    scale: ReturnScale
    inner: Tree


def normalise_rewards(agent: Agent, discount: float | Array) -> Agent:
    """Let an agent learn from rewards divided by the deviation of the discounted return.

    The return continues across rollouts and starts again at each boundary; rewards are not
    centred, because that would change the task. Source: Engstrom et al. (2020), section 3.
    """

    def start(key: Key, example: Transition) -> Scaled:
        return Scaled(init_scale(example.reward.shape[1]), agent.update.init(key, example))

    def apply(state: Scaled, batch: Transition, key: Key) -> tuple[Scaled, dict]:
        scale = update_scale(state.scale, batch.reward, batch.last, discount, batch.weight)
        batch = batch._replace(reward=scaled(scale, batch.reward))
        inner, metrics = agent.update.apply(state.inner, batch, key)
        return Scaled(scale, inner), metrics

    read = lambda state: agent.update.read(state.inner)
    return agent._replace(update=Update(start, apply, read))
