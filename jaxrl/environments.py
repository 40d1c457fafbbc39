"""Transforms `Env -> Env` that a training loop needs: batching, resets, limits, statistics.

The usual chain, from the inside out:

    auto_reset(vectorize(episode_statistics(env), num))

A batched environment is what `vectorize` returns, and what the transforms make of it. Its `init`
takes one key, for the number of lanes that `vectorize` was given, or a vector of keys [n], for
n lanes: pools of initial states are made, and refreshed, a few lanes at a time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import InputError
from jaxrl.types import Array, Box, Counter, Env, Key, TimeStep, Tree, count, select


def vectorize(env: Env, num: int) -> Env:
    """Run `num` independent lanes: all arrays gain a leading axis [num], the spec does not.

    Raises `InputError` if `num` is not a positive integer.
    """
    _require_positive("vectorize needs a positive number of lanes", num)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        return jax.vmap(env.init)(key if key.ndim else jax.random.split(key, num))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return jax.vmap(env.step)(state, action, jax.random.split(key, num))

    return env._replace(init=init, step=step)


def auto_reset(env: Env) -> Env:
    """Begin a new, independently drawn episode in each lane whose episode has just ended.

    The time step is that of the step that ended, `final` included; only `obs` is of the new
    episode. A fresh initial state is computed for every lane at every step: where that is
    dear, use `auto_reset_from_pool`. Works on one lane as well as on a batch.
    """

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        step_key, init_key = jax.random.split(key)
        state, ts = env.step(state, action, step_key)
        fresh, first = env.init(init_key)
        obs = select(ts.last, first.obs, ts.obs)
        return select(ts.last, fresh, state), ts._replace(obs=obs)

    return env._replace(step=step)


def auto_reset_from_pool(env: Env, *, size: int = 256, refresh: int = 1) -> Env:
    """Restart the lanes that end from a random entry of a pool of initial states.

    The pool holds `size` of them, made at `init`; each step replaces the `refresh` oldest by
    fresh ones, so that resets cost `refresh` initial states a step instead of one a lane.
    `refresh=0` keeps the first pool for ever. Takes a batched environment.

    Entries are drawn with replacement, so lanes may share an initial state: the law of one
    episode is exact, but episodes that restart from one pool are not independent.

    Raises `InputError` if `size` is not positive, if `refresh` does not divide it, or if the
    environment is not batched.
    """
    _require_positive("auto_reset_from_pool needs a positive size", size)
    if refresh < 0 or (refresh and size % refresh):
        raise InputError(
            f"auto_reset_from_pool needs a refresh that divides the size {size}, not {refresh}."
        )

    def initial(keys: Key) -> tuple[Tree, Tree]:
        state, ts = env.init(keys)
        return state, ts.obs

    def init(key: Key) -> tuple[Tree, TimeStep]:
        if key.ndim:
            raise InputError("auto_reset_from_pool goes outside every other pool, and once only.")
        lanes_key, pool_key = jax.random.split(key)
        state, ts = env.init(lanes_key)
        if ts.last.ndim != 1:
            raise InputError(
                "auto_reset_from_pool takes a batched environment: vectorize it first."
            )
        return (state, initial(jax.random.split(pool_key, size)), count()), ts

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, pool, oldest = state
        # One derivation for all purposes: beside a small environment, keys are what is dear. The
        # words of a key that is used for nothing else are as random as any.
        keys = jax.random.split(key, 1 + refresh + jax.tree.leaves(action)[0].shape[0])
        state, ts = env.step(state, action, keys[0])
        if refresh:
            pool = _write(pool, initial(keys[1 : 1 + refresh]), oldest.value)
            oldest = Counter((oldest.value + refresh) % size)
        # One draw a lane; the bias of the remainder is at most size / 2**32.
        pick = jax.random.key_data(keys[1 + refresh :])[:, 0] % jnp.uint32(size)
        fresh, first = jax.tree.map(lambda x: x[pick], pool)
        obs = select(ts.last, first, ts.obs)
        return (select(ts.last, fresh, state), pool, oldest), ts._replace(obs=obs)

    return env._replace(init=init, step=step)


def time_limit(env: Env, steps: int | Array) -> Env:
    """Truncate episodes after `steps` steps: sets `last`, and never touches `discount`.

    Works on one lane and on a batch, inside auto-reset. Raises `InputError` if `steps` is a
    number that is not positive.
    """
    if not isinstance(steps, Tracer) and steps <= 0:
        raise InputError(f"time_limit needs a positive number of steps, not {steps}.")

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        return (state, jnp.zeros(ts.last.shape, jnp.int32)), ts

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, elapsed = state
        state, ts = env.step(state, action, key)
        elapsed = elapsed + 1
        return (state, elapsed), ts._replace(last=ts.last | (elapsed >= steps))

    return env._replace(init=init, step=step)


def episode_statistics(env: Env) -> Env:
    """Report the return and the length of the episode so far, this step included.

    `info` gains `episode_return` (float32) and `episode_length` (int32), of the shape of the
    reward: of a whole episode where `last` holds. Works on one lane and on a batch, inside
    auto-reset and outside it.
    """

    def report(ts: TimeStep, total: Array, length: Array) -> TimeStep:
        return ts._replace(info={**ts.info, "episode_return": total, "episode_length": length})

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        total = jnp.zeros(ts.last.shape, jnp.float32)
        length = jnp.zeros(ts.last.shape, jnp.int32)
        return (state, total, length), report(ts, total, length)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, total, length = state
        state, ts = env.step(state, action, key)
        total, length = total + ts.reward, length + 1
        # Start again after a boundary, for when no reset of this very state will do so.
        state = state, jnp.where(ts.last, 0.0, total), jnp.where(ts.last, 0, length)
        return state, report(ts, total, length)

    return env._replace(init=init, step=step)


def scale_actions(env: Env) -> Env:
    """Let actions in [-1, 1] stand for the whole of the action box; others are clipped.

    Works on one lane and on a batch. Raises `InputError` if the actions are not a `Box` with
    finite bounds.
    """
    box = require_box(env, "scale_actions")
    bounds = [x for x in box if not isinstance(x, Tracer)]
    if not all(np.isfinite(x).all() for x in bounds):
        raise InputError("scale_actions needs finite bounds: clip_actions or set the action box.")

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        unit = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
        return env.step(state, box.low + unit * (box.high - box.low), key)

    ones = jnp.ones_like(box.low)
    return env._replace(step=step, spec=env.spec._replace(action=Box(-ones, ones)))


class Revealed(NamedTuple):
    """An observation, and the whole state of the environment that shows it."""

    obs: Tree
    state: Tree


def revealed(env: Env) -> Env:
    """Show the state with each observation, `Revealed(obs, state)`: for who plans in the simulator.

    Works on one lane, inside auto-reset.
    """

    def show(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        obs, final = Revealed(ts.obs, state), Revealed(ts.final, state)
        return state, ts._replace(obs=obs, final=final)

    state = jax.eval_shape(env.init, jax.random.key(0))[0]
    return Env(
        lambda key: show(*env.init(key)),
        lambda state, action, key: show(*env.step(state, action, key)),
        env.spec._replace(observation=Revealed(env.spec.observation, state)),
    )


def require_box(env: Env, who: str) -> Box:
    """The action box of an environment; `InputError`, in the name of `who`, if it has none."""
    if not isinstance(env.spec.action, Box):
        raise InputError(f"{who} needs continuous actions (a Box), not {env.spec.action}.")
    return env.spec.action


def _write(pool: Tree, entries: Tree, position: Array) -> Tree:
    """Write `entries` [n, ...] into `pool` [size, ...] from `position` [] on, as one slice."""

    def write(old: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(old, new, position, axis=0)

    return jax.tree.map(write, pool, entries)


def _require_positive(sentence: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise InputError(f"{sentence}, not {value!r}.")
