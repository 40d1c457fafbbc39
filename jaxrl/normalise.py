"""Running statistics of observations and returns, and agents that see what they standardise."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.types import Actor, Agent, Array, Key, Spec, Transition, Tree, Update

# Beyond this many samples the statistics become a slow moving average: a float32 count stops
# growing at 2^24, and by then no statistic still moves by sampling error alone.
MEMORY = 1e7


class Moments(NamedTuple):
    """The mean and variance of everything seen, for each element of a tree."""

    count: Array  # []
    mean: Tree  # [*observation]
    variance: Tree  # [*observation]


def init(spec: Tree) -> Moments:
    """Moments of nothing yet, for leaves with a shape: they leave observations as they are."""
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), spec)
    return Moments(jnp.zeros(()), zeros, jax.tree.map(jnp.ones_like, zeros))


def update(moments: Moments, batch: Tree, axis_name: str | None = None) -> Moments:
    """Merge a batch [..., *observation], of all devices along `axis_name` if one is given.

    Source: Chan, Golub and LeVeque (1979), equation 2.1.
    """
    lead = jax.tree.leaves(batch)[0].ndim - jax.tree.leaves(moments.mean)[0].ndim
    axes = tuple(range(lead))
    size = float(jnp.size(jax.tree.leaves(batch)[0]) / jnp.size(jax.tree.leaves(moments.mean)[0]))
    if size == 0:
        return moments
    over = (lambda x: x) if axis_name is None else (lambda x: jax.lax.pmean(x, axis_name))
    devices = 1 if axis_name is None else jax.lax.axis_size(axis_name)
    size = size * devices
    count = jnp.minimum(moments.count, MEMORY)
    share = size / (count + size)

    def merge(mean: Array, variance: Array, x: Array) -> tuple[Array, Array]:
        x = x.astype(float)
        fresh = over(x.mean(axes))
        spread = over(jnp.square(x - fresh).mean(axes))
        gap = fresh - mean
        # Before any data the old variance is a placeholder without weight.
        merged = (1 - share) * variance + share * spread + share * (1 - share) * jnp.square(gap)
        return mean + share * gap, merged

    pairs = jax.tree.map(merge, moments.mean, moments.variance, batch)
    mean, variance = jax.tree.transpose(
        jax.tree.structure(moments.mean), jax.tree.structure((0, 0)), pairs
    )
    return Moments(count + size, mean, variance)


def standardise(moments: Moments, obs: Tree, clip: float = 10.0) -> Tree:
    """Observations [..., *observation] with mean zero and variance one, within +-`clip`."""

    def one(mean: Array, variance: Array, x: Array) -> Array:
        scaled = (x - mean) * jax.lax.rsqrt(variance + 1e-8)
        return jnp.where(moments.count > 0, jnp.clip(scaled, -clip, clip), x)

    return jax.tree.map(one, moments.mean, moments.variance, obs)


class Standardised(NamedTuple):
    """The state of a learner that sees standardised observations; also the view of it."""

    moments: Moments
    inner: Tree


def normalise_observations(agent: Agent, spec: Spec, axis_name: str | None = None) -> Agent:
    """Let an agent see standardised observations.

    The statistics live in the update's state. A batch is learnt from with those under which it
    was collected, then they are updated with it; actors, also in evaluation, read them only.
    For learning from fresh trajectories: around a replay, what is stored is standardised for ever
    with the statistics of its time, so put this inside the replay instead.
    """

    def seen(moments: Moments, batch: Transition) -> Transition:
        obs, final = (standardise(moments, x) for x in (batch.obs, batch.final))
        return batch._replace(obs=obs, final=final)

    def start(key: Key, example: Transition) -> Standardised:
        moments = update(init(spec.observation), example.obs, axis_name)
        return Standardised(moments, agent.update.init(key, seen(moments, example)))

    def apply(state: Standardised, batch: Transition, key: Key) -> tuple[Standardised, dict]:
        inner, metrics = agent.update.apply(state.inner, seen(state.moments, batch), key)
        return Standardised(update(state.moments, batch.obs, axis_name), inner), metrics

    def read(state: Standardised) -> Standardised:
        return Standardised(state.moments, agent.update.read(state.inner))

    def actor(inner: Actor) -> Actor:
        def step(view: Standardised, memory: Tree, obs: Tree, key: Key):
            return inner.step(view.inner, memory, standardise(view.moments, obs), key)

        return Actor(inner.init, step)

    return Agent(actor(agent.explore), actor(agent.exploit), Update(start, apply, read))


class Scaled(NamedTuple):
    """The state of a learner that sees scaled rewards."""

    moments: Moments  # of the discounted return
    running: Array  # [B] the discounted return of each lane so far
    inner: Tree


def normalise_rewards(agent: Agent, discount: float | Array, axis_name: str | None = None) -> Agent:
    """Let an agent learn from rewards divided by the deviation of the discounted return.

    The return runs on across rollouts and starts again at each boundary; rewards are not
    centred, which would change the task. Source: Engstrom et al. (2020), section 3.
    """

    def start(key: Key, example: Transition) -> Scaled:
        moments = init(jax.ShapeDtypeStruct((), jnp.float32))
        lanes = example.reward.shape[1]
        return Scaled(moments, jnp.zeros(lanes), agent.update.init(key, example))

    def apply(state: Scaled, batch: Transition, key: Key) -> tuple[Scaled, dict]:
        def step(running: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            reward, last = now
            total = discount * running + reward
            return jnp.where(last, 0.0, total), total

        running, totals = jax.lax.scan(step, state.running, (batch.reward, batch.last))
        moments = update(state.moments, totals, axis_name)
        reward = batch.reward * jax.lax.rsqrt(moments.variance + 1e-8)
        inner, metrics = agent.update.apply(state.inner, batch._replace(reward=reward), key)
        return Scaled(moments, running, inner), metrics

    read = lambda state: agent.update.read(state.inner)
    return agent._replace(update=Update(start, apply, read))
