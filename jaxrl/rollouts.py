"""Interaction: an actor, trained or random, in a batch of lanes."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxrl import spaces
from jaxrl.errors import require, require_fraction, require_non_negative, typed_key
from jaxrl.policies import allowed
from jaxrl.types import (
    Actor,
    Agent,
    Array,
    Box,
    Env,
    Key,
    Spec,
    Transition,
    Tree,
    is_key,
    lanes,
    select,
)


def rollout(
    env: Env, actor: Actor, view: Tree, start: tuple, key: Key, length: int
) -> tuple[tuple, Transition, dict]:
    """Interact for `length` steps from `start = (state, timestep, memory)`.

    `env` is a batch of B lanes, a simulator or a learnt model, and `view` is what the actor sees
    of its learner. Returns the end, from which to go on, the transitions [T, B, ...] and the
    environment's info [T, B, ...].
    """
    fresh = actor.init(start[1].reward.shape[0])

    def step(carry: tuple, keys: Array) -> tuple[tuple, tuple]:
        state, now, memory = carry
        with jax.named_scope("act"):
            action, memory, extras = actor.step(view, memory, now.obs, keys[0])
        with jax.named_scope("environment"):
            state, new = env.step(state, action, keys[1])
        record = Transition(
            obs=now.obs,
            action=action,
            reward=new.reward,
            discount=new.discount,
            last=new.last,
            final=new.final,
            extras=extras,
            weight=jnp.ones_like(new.reward),
            signals=new.signals,
        )
        return (state, new, select(new.last, fresh, memory)), (record, new.info)

    keys = jax.random.split(typed_key(key), (max(length, 1), 2))
    if not length:  # a scan of no steps is not one under `jax.disable_jit`
        return start, *jax.tree.map(none_of, jax.eval_shape(step, start, keys[0])[1])
    end, (trajectory, info) = jax.lax.scan(step, start, keys)
    return end, trajectory, info


def none_of(shape: jax.ShapeDtypeStruct) -> Array:
    """No arrays of a shape: one of length 0, [0, *shape]."""
    if is_key(shape):
        return jax.random.split(jax.random.key(0), (1, *shape.shape))[:0]
    return jnp.zeros((0, *shape.shape), shape.dtype)


def random_actions(spec: Spec, batch_size: int, key: Key, obs: Tree = None) -> Any:
    """Uniformly random actions [B, ...] of a space, among those that `spec.mask` allows if any.

    The mask is asked about observations [B, *], which are not needed if there is none. Raises an
    InputError if they are missing.
    """
    require(
        spec.mask is None or obs is not None,
        "random_actions needs the observations, because spec.mask forbids some actions.",
    )
    return spaces.random(spec.action, batch_size, key, allowed(spec, obs))


def random_policy(spec: Spec, agent: Agent) -> Actor:
    """Act at random, and report extras that are zeros of the shapes that `explore` reports."""

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        batch_size = lanes(obs)

        def explore(key: Key) -> Tree:
            action = random_actions(spec, batch_size, key, obs)
            zero = jnp.zeros(batch_size)
            told = jax.tree.map(lambda x: jnp.zeros((batch_size, *x.shape), x.dtype), spec.signals)
            row = Transition(obs, action, zero, zero, zero > 0, obs, (), zero, told)
            example = jax.tree.map(lambda x: x[None][:0], row)
            seen = agent.update.read(agent.update.init(key, example))
            return agent.explore.step(seen, agent.explore.init(batch_size), obs, key)[2]

        extras = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(explore, key))
        return random_actions(spec, batch_size, key, obs), memory, extras

    return Actor(lambda batch_size: (), step)


def with_noise(actor: Actor, spec: Spec, amount: float | Array) -> Actor:
    """The same actor, whose actions in a space are disturbed by noise.

    Discrete actions are replaced, with the probability `amount`, by uniformly random ones that the
    mask allows. Continuous actions a between low and high become a + amount (high - low) / 2 N,
    where N is standard normal in each dimension, and are clipped. Raises an InputError if the
    amount is negative, if it is no probability, or if actions have both kinds of parts.
    """
    mixed = spaces.has_continuous(spec.action) and not isinstance(spec.action, Box)
    require(not mixed, "Noise needs actions that are discrete or continuous, and not both at once.")
    require_non_negative(noise=amount)
    if not isinstance(spec.action, Box):
        require_fraction(noise=amount)

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        k_act, k_which, k_noise = jax.random.split(key, 3)
        action, memory, extras = actor.step(view, memory, obs, k_act)
        if isinstance(spec.action, Box):
            low, high = spec.action
            noise = jax.random.normal(k_noise, action.shape)
            return jnp.clip(action + amount * (high - low) / 2 * noise, low, high), memory, extras
        chosen = jax.random.uniform(k_which, (lanes(obs),)) < amount
        other = random_actions(spec, lanes(obs), k_noise, obs)
        return select(chosen, other, action), memory, extras

    return Actor(actor.init, step)
