"""Transforms `Env -> Env` that a training loop needs: batching, resets, limits, statistics.

The usual chain, from the inside out:

    auto_reset(vectorize(episode_statistics(env), num))

A batched environment is what `vectorize` returns, and what the transforms make of it. Its `init`
takes one key, for the number of lanes that `vectorize` was given, or a vector of keys [n], for
n lanes: pools of initial states are made, and refreshed, a few lanes at a time.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl import spaces
from jaxrl.errors import InputError, typed_key
from jaxrl.types import Array, Box, Counter, Env, Key, TimeStep, Tree, Trial, count, select


def vectorize(env: Env, num: int) -> Env:
    """Run `num` independent lanes: all arrays gain a leading axis [num], the spec does not.

    Python numbers and weakly typed arrays become arrays of their dtypes. Raises `InputError` if
    `num` is not a positive integer.
    """
    _require_positive("vectorize needs a positive number of lanes", num)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        key = typed_key(key)
        keys = key if key.ndim else jax.random.split(key, num)
        return jax.vmap(lambda key: strong(env.init(key)))(keys)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        keys = jax.random.split(typed_key(key), num)
        return jax.vmap(lambda *inputs: strong(env.step(*inputs)))(state, action, keys)

    return env._replace(init=init, step=step)


def strong(tree: Tree) -> Tree:
    """The same arrays, none of a weak type: what a loop carries must keep its types."""

    def one(x: Any) -> Array:
        x = jnp.asarray(x)
        return x if jnp.issubdtype(x.dtype, jax.dtypes.extended) else jnp.asarray(x, x.dtype)

    return jax.tree.map(one, tree)


def retyped(new: Tree, old: Tree) -> Tree:
    """The arrays of `new` with the types of those of `old`, none of a weak type."""

    def one(x: Any, like: Any) -> Array:
        dtype = jnp.asarray(like).dtype
        key = jnp.issubdtype(dtype, jax.dtypes.extended)
        return jnp.asarray(x) if key else jnp.asarray(x, dtype)

    return jax.tree.map(one, new, old)


def begun(obs: Tree) -> TimeStep:
    """The time step of one lane at the start of an episode that begins with `obs`."""
    zero = jnp.zeros((), jnp.float32)
    return TimeStep(obs, zero, zero + 1.0, zero > 0, obs, {})


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


class Pool(NamedTuple):
    """Initial states from which lanes restart, in a ring, each used once while there are enough."""

    entries: Tree  # [size, ...] states and their observations
    oldest: Counter  # where the next ones are written
    unread: Array  # [] how many of the last written were never used
    again: Array  # [] the next to be used once more


def auto_reset_from_pool(env: Env, *, size: int = 256, refresh: int = 1) -> Env:
    """Restart the lanes that end from a pool of initial states, each used once if possible.

    The pool holds `size` of them, made at `init`; each step replaces the `refresh` oldest by
    fresh ones, so that resets cost `refresh` initial states a step instead of one a lane. No two
    episodes share an initial state unless more of them end than `refresh` a step, on average and
    in bursts longer than `size`; then entries are used again, in turn. `info["episode_repeats"]`
    is True where a lane goes on from an initial state that was used before. `refresh=0` keeps the
    first pool for ever. Takes a batched environment.

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
        key = typed_key(key)
        if key.ndim:
            raise InputError("auto_reset_from_pool goes outside every other pool, and once only.")
        lanes_key, pool_key = jax.random.split(key)
        state, ts = env.init(lanes_key)
        if jnp.ndim(ts.last) != 1:
            raise InputError(
                "auto_reset_from_pool takes a batched environment: vectorize it first."
            )
        entries = initial(jax.random.split(pool_key, size))
        pool = Pool(entries, count(), jnp.int32(size), jnp.int32(0))
        return (state, pool), marked(ts, jnp.zeros_like(ts.last))

    def marked(ts: TimeStep, repeats: Array) -> TimeStep:
        return ts._replace(info={**ts.info, "episode_repeats": repeats})

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, (entries, oldest, unread, again) = state
        keys = jax.random.split(typed_key(key), 1 + refresh)
        state, ts = env.step(state, action, keys[0])
        if refresh:
            entries = _write(entries, initial(keys[1:]), oldest.value)
            oldest = Counter((oldest.value + refresh) % size)
            unread = jnp.minimum(unread + refresh, size)
        # Lanes that end take the entries that were never used, from the oldest of these on.
        ended = jnp.cumsum(ts.last.astype(jnp.int32))
        rank, number = ended - 1, ended[-1]
        repeats = ts.last & (rank >= unread)
        # Indices stay below twice the size, as far as lanes are no more than entries.
        new = oldest.value + size - unread + rank
        pick = jax.lax.select(repeats, again + rank - unread, new) % size
        again = (again + jnp.maximum(number - unread, 0)) % size
        pool = Pool(entries, oldest, jnp.maximum(unread - number, 0), again)
        fresh, first = jax.tree.map(lambda x: x[pick], entries)
        obs = select(ts.last, first, ts.obs)
        return (select(ts.last, fresh, state), pool), marked(ts._replace(obs=obs), repeats)

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
        return (state, jnp.zeros(jnp.shape(ts.last), jnp.int32)), ts

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, elapsed = state
        state, ts = env.step(state, action, key)
        elapsed = elapsed + 1
        return (state, elapsed), ts._replace(last=ts.last | (elapsed >= steps))

    # Short episodes need more initial states: at least one for each that lasts to the limit.
    shortest = 0.0 if isinstance(steps, Tracer) else min(1.0, 1.0 / float(np.min(steps)))
    trial = env.trial
    if trial is not None:
        within = trial.within
        trial = Trial(time_limit(trial.env, steps), lambda state: (within(state[0]), state[1]))
    return env._replace(init=init, step=step, fresh=max(env.fresh, shortest), trial=trial)


def trial_of(env: Env) -> Trial:
    """The environment in which agents of `env` are evaluated: `env` itself, if it names none."""
    return env.trial or Trial(env, lambda state: state)


def episode_statistics(env: Env) -> Env:
    """Report the return and the length of the episode so far, this step included.

    `info` gains `episode_return` (float32) and `episode_length` (int32), of the shape of the
    reward: of a whole episode where `last` holds. With two players the return is that of the one
    who moves first. Works on one lane and on a batch, inside auto-reset and outside it.
    """
    both = env.spec.players == 2

    def report(ts: TimeStep, total: Array, length: Array) -> TimeStep:
        return ts._replace(info={**ts.info, "episode_return": total, "episode_length": length})

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.init(key)
        total = jnp.zeros(jnp.shape(ts.last), jnp.float32)
        length = jnp.zeros(jnp.shape(ts.last), jnp.int32)
        sign = jnp.ones_like(total) if both else ()  # of the player who moves
        return (state, total, length, sign), report(ts, total, length)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, total, length, sign = state
        state, ts = env.step(state, action, key)
        total, length = total + (sign * ts.reward if both else ts.reward), length + 1
        if both:
            sign = jnp.where(ts.last, 1.0, jnp.where(ts.discount < 0, -sign, sign))
        # Start again after a boundary, for when no reset of this very state will do so.
        state = state, jnp.where(ts.last, 0.0, total), jnp.where(ts.last, 0, length), sign
        return state, report(ts, total, length)

    return env._replace(init=init, step=step)


def scale_actions(env: Env) -> Env:
    """Let continuous actions in [-1, 1] stand for the whole of their box; others are clipped.

    The discrete parts of a `Product` stay as they are. Works on one lane and on a batch. Raises
    `InputError` if no part of the actions is continuous, or if bounds are not finite.
    """
    space = spaces.plain(env.spec.action)
    if not spaces.has_continuous(space):
        require_box(env, "scale_actions")
    numbers = [x for x in jax.tree.leaves(space) if not isinstance(x, int)]
    bounds = [x for x in numbers if not isinstance(x, Tracer)]
    if not all(np.isfinite(x).all() for x in bounds):
        raise InputError(
            "Training needs actions with finite bounds, but those of this environment are "
            "infinite: choose a range with envs.bound_actions(env, low, high)."
        )

    def step(state: Tree, action: Tree, key: Key) -> tuple[Tree, TimeStep]:
        return env.step(state, spaces.from_unit(space, action), key)

    return env._replace(step=step, spec=env.spec._replace(action=spaces.unit(space)))


def bound_actions(env: Env, low: float | Array, high: float | Array) -> Env:
    """Restrict actions to those between `low` and `high`; others are clipped.

    Makes an environment with unbounded actions trainable. Works on one lane and on a batch.
    Raises `InputError` if the actions are not a `Box`, or for bounds that are not finite, not in
    order or outside of its own.
    """
    box = require_box(env, "bound_actions")
    low, high = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), box.shape) for x in (low, high))
    if not any(isinstance(x, Tracer) for x in (low, high, *box)):
        finite = np.isfinite(low) & np.isfinite(high)
        fits = finite & (low <= high) & (box.low <= low) & (high <= box.high)
        if not fits.all():
            raise InputError(
                f"bound_actions needs finite bounds, low <= high, within {box.low} to {box.high}, "
                f"not {low} and {high}."
            )

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return env.step(state, jnp.clip(action, low, high), key)

    return env._replace(step=step, spec=env.spec._replace(action=Box(low, high)))


class Revealed(NamedTuple):
    """An observation, and the whole state of the environment that shows it."""

    obs: Tree
    state: Tree


def revealed(env: Env, within: Callable[[Tree], Tree] = lambda state: state) -> Env:
    """Show the state with each observation, `Revealed(obs, state)`: for who plans in the simulator.

    `within(state)` is what is shown of the state. Works on one lane, inside auto-reset.
    """

    def show(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        shown = within(state)
        return state, ts._replace(obs=Revealed(ts.obs, shown), final=Revealed(ts.final, shown))

    state = jax.eval_shape(lambda key: within(env.init(key)[0]), jax.random.key(0))
    spec = env.spec._replace(
        observation=Revealed(env.spec.observation, state),
        mask=composed(env.spec.mask, lambda seen: seen.obs),
    )
    trial = env.trial
    return env._replace(
        init=lambda key: show(*env.init(key)),
        step=lambda state, action, key: show(*env.step(state, action, key)),
        spec=spec,
        trial=trial and trial._replace(env=revealed(trial.env, trial.within)),
    )


def composed(mask: Callable | None, inverse: Callable[[Tree], Tree]) -> Callable | None:
    """The mask of a transformed observation, from which `inverse` recovers the one it reads."""
    return None if mask is None else lambda obs: mask(inverse(obs))


def require_box(env: Env, who: str) -> Box:
    """The action box of an environment; `InputError`, in the name of `who`, if it has none."""
    if not isinstance(env.spec.action, Box):
        raise InputError(f"{who} needs continuous actions (a Box), not {env.spec.action}.")
    return Box(*(jnp.asarray(x, jnp.float32) for x in env.spec.action))


def _write(pool: Tree, entries: Tree, position: Array) -> Tree:
    """Write `entries` [n, ...] into `pool` [size, ...] from `position` [] on, as one slice."""

    def write(old: Array, new: Array) -> Array:
        return jax.lax.dynamic_update_slice_in_dim(old, new, position, axis=0)

    return jax.tree.map(write, pool, entries)


def _require_positive(sentence: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise InputError(f"{sentence}, not {value!r}.")
