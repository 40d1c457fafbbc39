"""Transforms `Env -> Env` of one lane: apply them below `vectorize`."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike

from jaxrl import spaces
from jaxrl.environments import composed, require_box
from jaxrl.errors import InputError
from jaxrl.types import Array, Box, Env, Key, TimeStep, Tree, select


def flatten_observation(env: Env) -> Env:
    """Make of each observation, of any structure, one float32 vector [n]."""
    sizes = [math.prod(leaf.shape) for leaf in jax.tree.leaves(env.spec.observation)]

    def flat(obs: Tree) -> Array:
        return jnp.concatenate([jnp.ravel(x).astype(jnp.float32) for x in jax.tree.leaves(obs)])

    leaves, structure = jax.tree.flatten(env.spec.observation)

    def unflat(vector: Array) -> Tree:
        parts = jnp.split(vector, np.cumsum(sizes)[:-1], axis=-1)
        return structure.unflatten(
            part.reshape(*part.shape[:-1], *leaf.shape).astype(leaf.dtype)
            for part, leaf in zip(parts, leaves)
        )

    return _observe(env, flat, jax.ShapeDtypeStruct((sum(sizes),), jnp.float32), unflat)


def cast_observation(env: Env, dtype: DTypeLike) -> Env:
    """Give each array of the observation another type, such as bool for an image of 0 and 1."""
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), env.spec.observation)
    back = lambda obs: jax.tree.map(lambda x, y: x.astype(y.dtype), obs, env.spec.observation)
    return _observe(env, lambda obs: jax.tree.map(lambda x: x.astype(dtype), obs), shapes, back)


def mask_observation(env: Env, indices: Sequence[int]) -> Env:
    """Drop the features at `indices` of the last axis: what is left is partially observed.

    CartPole without its velocities is `mask_observation(make("CartPole-v1"), (1, 3))`. Raises
    `InputError` if the observation is not one array or has no such feature.
    """
    obs = _array_observation(env, "mask_observation")
    _require_no_mask(env, "mask_observation", "it may read the features that are dropped")
    size = obs.shape[-1]
    wrong = [i for i in indices if not -size <= i < size]
    if wrong:
        raise InputError(f"mask_observation has no features {wrong} among {size}.")
    keep = np.delete(np.arange(size), list(indices))
    if not keep.size:
        raise InputError(f"mask_observation leaves none of the {size} features.")
    shape = jax.ShapeDtypeStruct((*obs.shape[:-1], len(keep)), obs.dtype)
    return _observe(env, lambda x: x[..., keep], shape, lambda x: x)


def distracted(env: Env, size: int, persistence: float = 0.9) -> Env:
    """Add `size` features that mean nothing: each its own first-order autoregression.

    z' = persistence z + sqrt(1 - persistence^2) noise, standard normal at any time; persistence 0
    is white noise, and with 1 they stay what they are in an episode. Raises `InputError` if the
    observation is not one vector, or for numbers that are out of range.
    """
    obs = _array_observation(env, "distracted")
    if len(obs.shape) != 1:
        raise InputError(f"distracted needs a vector, not observations of shape {obs.shape}.")
    if size < 0 or not 0 <= persistence <= 1:
        raise InputError(
            "distracted needs a size that is not negative and a persistence between 0 and 1, not "
            f"{size} and {persistence}."
        )

    def show(state: Tree, noise: Array, ts: TimeStep) -> tuple[Tree, TimeStep]:
        join = lambda x: jnp.concatenate([x, noise.astype(obs.dtype)])
        return (state, noise), ts._replace(obs=join(ts.obs), final=join(ts.final))

    def init(key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_noise = jax.random.split(key)
        state, ts = env.init(k_env)
        return show(state, jax.random.normal(k_noise, (size,)), ts)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        k_env, k_noise = jax.random.split(key)
        state, noise = state
        state, ts = env.step(state, action, k_env)
        fresh = jax.random.normal(k_noise, (size,))
        return show(state, persistence * noise + math.sqrt(1 - persistence**2) * fresh, ts)

    shape = jax.ShapeDtypeStruct((obs.shape[0] + size,), obs.dtype)
    return _showing(env, init, step, shape, lambda seen: seen[..., : obs.shape[0]])


def frame_stack(env: Env, num: int) -> Env:
    """Show the last `num` observations, the latest last: a vector [n] becomes [num * n].

    Images [h, w, c] become [h, w, num * c]. An episode begins with `num` copies of its first
    observation. Source: Mnih et al. (2015). Raises `InputError` if the observation is not one
    array, or if `num` is not positive.
    """
    obs = _array_observation(env, "frame_stack")
    _require_positive("frame_stack", num)
    size = obs.shape[-1]

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        frames = jnp.concatenate([ts.obs] * num, axis=-1)
        return (state, frames), ts._replace(obs=frames, final=frames)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, frames = state
        state, ts = env.step(state, action, key)
        frames = jnp.concatenate([frames[..., size:], ts.obs], axis=-1)
        return (state, frames), ts._replace(obs=frames, final=frames)

    shape = jax.ShapeDtypeStruct((*obs.shape[:-1], num * size), obs.dtype)
    return _showing(env, init, step, shape, lambda frames: frames[..., -size:])


def sticky_actions(env: Env, probability: float | Array) -> Env:
    """Repeat the action executed before, with `probability`, instead of the one chosen.

    The first action of an episode is never replaced. Source: Machado et al. (2018), section 5.2.
    Raises `InputError` if `probability` is not in [0, 1].
    """
    if not isinstance(probability, Tracer) and not 0 <= probability <= 1:
        raise InputError(f"sticky_actions needs a probability in [0, 1], not {probability}.")
    _require_no_mask(env, "sticky_actions", "an action that is repeated may be forbidden")

    blank = lambda: spaces.blank(env.spec.action, dtype=jnp.float32)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return (state, blank(), jnp.zeros((), bool)), ts

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, previous, begun = state
        step_key, stick_key = jax.random.split(key)
        sticks = begun & (jax.random.uniform(stick_key) < probability)
        one = lambda old, new: jax.lax.select(sticks, old, jnp.asarray(new, old.dtype))
        action = jax.tree.map(one, previous, action)
        state, ts = env.step(state, action, step_key)
        return (state, action, jnp.ones((), bool)), ts

    return env._replace(init=init, step=step)


def action_repeat(env: Env, num: int) -> Env:
    """Take each action `num` times, or until the episode ends; rewards are added up.

    Raises `InputError` if `num` is not positive.
    """
    _require_positive("action_repeat", num)
    _require_no_mask(env, "action_repeat", "an action that is repeated may be forbidden")

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        first_key, *_ = keys = jax.random.split(key, num)
        first = env.step(state, action, first_key)

        def again(carry: tuple[Tree, TimeStep], key: Key) -> tuple[tuple[Tree, TimeStep], None]:
            state, ts = carry
            new_state, new = env.step(state, action, key)
            new = new._replace(reward=ts.reward + new.reward)
            # An episode that has ended stays as it is: what follows its end is undefined.
            return select(ts.last, carry, (new_state, new)), None

        return jax.lax.scan(again, first, keys[1:])[0]

    return env._replace(step=step)


def clip_actions(env: Env) -> Env:
    """Clip actions to the action box, which then is unbounded: any real action is allowed.

    For actors of one's own; agents need finite bounds, which `bound_actions` gives back. Raises
    `InputError` if the actions are not a `Box`.
    """
    box = require_box(env, "clip_actions")

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return env.step(state, jnp.clip(action, box.low, box.high), key)

    infinite = jnp.full(box.shape, jnp.inf, jnp.float32)
    return env._replace(step=step, spec=env.spec._replace(action=Box(-infinite, infinite)))


def reward_transform(env: Env, fn: Callable[[Array], Array]) -> Env:
    """Replace each reward [] by `fn(reward)` [], such as its sign, or a multiple of it."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.step(state, action, key)
        return state, ts._replace(reward=jnp.asarray(fn(ts.reward), jnp.float32))

    return env._replace(step=step)


def _observe(
    env: Env, fn: Callable[[Tree], Tree], shape: Tree, inverse: Callable[[Tree], Tree]
) -> Env:
    """Show `fn(obs)`, of the given shape, instead of `obs = inverse(fn(obs))`."""

    def show(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        return state, ts._replace(obs=fn(ts.obs), final=fn(ts.final))

    init = lambda key: show(*env.init(key))
    step = lambda state, action, key: show(*env.step(state, action, key))
    return _showing(env, init, step, shape, inverse)


def _showing(
    env: Env, init: Callable, step: Callable, shape: Tree, inverse: Callable[[Tree], Tree]
) -> Env:
    """An environment that shows observations of another shape; `inverse` gives back the old."""
    spec = env.spec._replace(observation=shape, mask=composed(env.spec.mask, inverse))
    return env._replace(init=init, step=step, spec=spec)


def _require_no_mask(env: Env, who: str, why: str) -> None:
    if env.spec.mask is not None:
        raise InputError(
            f"{who} does not work where spec.mask forbids actions, because {why}: drop the mask "
            "with env._replace(spec=env.spec._replace(mask=None))."
        )


def _array_observation(env: Env, who: str) -> jax.ShapeDtypeStruct:
    obs = env.spec.observation
    if not isinstance(obs, jax.ShapeDtypeStruct) or not obs.shape:
        raise InputError(f"{who} needs an observation of one array: flatten_observation first.")
    return obs


def _require_positive(who: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise InputError(f"{who} needs a positive number, not {value!r}.")
