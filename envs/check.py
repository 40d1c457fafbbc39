"""Does an environment keep its promises? Checks for anybody's `Env` of one lane."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.conformance import alike, blank_of, check_spec, check_types, may_depend
from jaxrl.environments import vectorize
from jaxrl.errors import InputError, typed_key
from jaxrl.policies import allowed
from jaxrl.types import Array, Box, Env, Key, Product, Space, Spec, TimeStep, Tree, costs_of, select

LANES = 4


def check(env: Env, *, key: Key | None = None, steps: int = 100) -> None:
    """Check that `env`, of one lane, behaves as an `Env` must; return nothing if so.

    Random actions are taken in 4 lanes for `steps` steps, each lane begun anew where its episode
    ends: take enough of them for episodes to end. Checked are shapes and dtypes against the
    spec; that states keep their structure; that it works under jit, vmap and scan; that equal
    keys give equal results, with nothing remembered on the side; that rewards and observations
    are finite, and costs in [0, 1]; that `discount` is in [0, 1], or in [-1, 1] if `spec.players`
    is 2, and 0 only where `last` holds; that `final` is the successor, never the observation of a
    reset; that `spec.mask` always allows an action; and that no clock which the observation does
    not show makes `discount` 0, as a time limit must not. `env.trial` is checked too.

    Raises `InputError`, one sentence that says what to fix, at the first fault.
    """
    key = jax.random.key(0) if key is None else typed_key(key)
    check_spec(env.spec)
    env = env._replace(spec=env.spec._replace(action=spaces.plain(env.spec.action)))
    _trace("jit", lambda: check_types(env, key))
    _check_pure(env, key)
    run = jax.jit(lambda k: _run(env, k, steps))
    first, ts, ticks = _trace("vmap and scan", lambda: run(key))
    _require(
        _same((first, ts), run(key)[:2]), "step and init must give equal results for equal keys."
    )
    _check_first(first)
    _check_run(env.spec, jax.tree.map(lambda x: x[:, 0], ts))
    _check_final(first, ts)
    _check_mask(env.spec, first, ts)
    _check_clock(env, key, steps, ticks)
    if env.trial is not None:
        _require(
            alike(env.trial.env.spec, env.spec),
            "trial.env must have the observations and actions of the environment.",
        )
        check(env.trial.env, key=key, steps=steps)


def _check_pure(env: Env, key: Key) -> None:
    """Trace twice, and expect the same program; and a state that is left alone."""

    def program(key: Key) -> tuple[Tree, Tree]:
        state, first = env.init(key)
        before, structure = jax.tree.flatten(state)
        output = env.step(state, _random_action(env.spec, key, first.obs), key)
        after, now = jax.tree.flatten(state)
        _require(
            structure == now and all(x is y for x, y in zip(before, after)),
            "step must not change the state that it is given: copy dictionaries before writing.",
        )
        return first, output

    # A new function each time, for JAX remembers what it has traced.
    once, twice = (jax.make_jaxpr(lambda key: program(key))(key) for _ in range(2))
    texts = [re.sub(r"0x[0-9a-f]+", "", str(jaxpr.jaxpr)) for jaxpr in (once, twice)]
    _require(
        texts[0] == texts[1] and _same(once.consts, twice.consts),
        "init and step must be pure: traced twice they differ, so something outside of their "
        "arguments changes (a counter, numpy's random numbers); keep it in the state or the key.",
    )


def _check_first(ts: TimeStep) -> None:
    """Check what `init` returned in all lanes [B]."""
    _require(not bool(ts.last.any()), "init must return last=False: an episode begins there.")
    _require(bool((ts.reward == 0).all()), "init must return reward 0: nothing was done yet.")
    _require(bool((ts.discount == 1).all()), "init must return discount 1: nothing has ended.")
    _require(_close(ts.obs, ts.final), "init must return final = obs.")


def _check_run(spec: Spec, ts: TimeStep) -> None:
    """Check a run [T, B] of lanes, of which every step is of a live episode."""
    for name in ("reward", "obs", "final"):
        finite = all(
            bool(jnp.isfinite(x).all())
            for x in jax.tree.leaves(getattr(ts, name))
            if jnp.issubdtype(x.dtype, jnp.inexact)
        )
        _require(finite, f"{name} must be finite, but a NaN or an infinity came up.")
    for name, cost in costs_of(ts.signals).items():
        low, high = float(jnp.min(cost)), float(jnp.max(cost))
        within = low >= 0 and high <= 1
        _require(within, f"The cost {name} must lie in [0, 1], but {low} to {high} came up.")
    discount, least = np.asarray(ts.discount), 1 - spec.players
    _require(
        bool(((discount >= least) & (discount <= 1)).all()),
        f"discount must lie in [{least}, 1], but {discount.min()} to {discount.max()} came up"
        + (": set spec.players to 2 if two players take turns." if discount.min() < least else "."),
    )
    _require(
        bool((np.asarray(ts.last) | (discount != 0)).all()),
        "discount is 0 where last is False: a termination must set last as well.",
    )
    _require(
        _close(ts.obs, ts.final),
        "final must equal obs in an environment of one lane: it must not reset itself, so that "
        "final is the true successor (auto_reset adds resets, and keeps final).",
    )


def _check_final(first: TimeStep, ts: TimeStep) -> None:
    """Look for resets hidden in `final`: in ts [T, 2, B] each step is taken with two keys."""
    last, discount = np.asarray(ts.last), np.asarray(ts.discount)
    one, other = np.moveaxis(_rows(ts.final, 3), 1, 0)  # [T, B, n] each
    varies = (one != other).any(-1)
    both, none = last.all(1), ~last.any(1)
    # Where the reward varies too, chance has decided the step itself, as an opponent's move does.
    one_reward, other_reward = np.moveaxis(np.asarray(ts.reward), 1, 0)
    both &= one_reward == other_reward
    _require(
        not (none.any() and not varies[none].any() and varies[both].any()),
        "final depends on the key only where an episode ends: it seems to be the observation of "
        "a reset, and must be the true successor.",
    )
    starts = _rows(first.obs, 1)
    if (starts != starts[0]).any():
        return
    reset, dead = (one == starts[0]).all(-1), discount[:, 0] == 0
    _require(
        not (dead.any() and reset[dead].all() and not reset[~last[:, 0]].all()),
        "final is the observation that init gives wherever an episode terminates: it seems to be "
        "that of a reset, and must be the true successor.",
    )


def _check_mask(spec: Spec, first: TimeStep, ts: TimeStep) -> None:
    """Check that some action is allowed wherever one is to be chosen."""
    mask = spec.mask
    if mask is not None:
        live = ~np.asarray(ts.last)
        some = lambda obs: np.asarray(spaces.allows_some(spec.action, mask(obs)))
        _require(
            bool(some(first.obs).all() and (some(ts.obs) | ~live).all()),
            "spec.mask must allow at least one action while an episode lasts.",
        )


def _check_clock(env: Env, key: Key, steps: int, ticks: Array) -> None:
    """Look for a time limit that is reported as a termination, by turning the clocks of a state.

    A clock is an integer of the state to which every step adds 1: `ticks` [T, n, B] says so of
    each leaf. Where to set it far ahead ends an episode with discount 0, or to set it back prevents
    that, and `final` is always the same with either, time alone has ended the episode, and the
    observation does not tell it.
    """
    leaves, structure = jax.tree.flatten(jax.eval_shape(env.init, key)[0])
    always = np.asarray(ticks).all((0, 2))
    clocks = [i for i in np.flatnonzero(always) if _matters(env, leaves, structure, int(i))]
    if not clocks:
        return
    lanes, (init_key, run_key) = vectorize(env, LANES), jax.random.split(key)

    def turned(state: Tree, settings: Array) -> Tree:
        """The state with each clock of which the setting [clocks] is not negative set to it."""
        leaves, structure = jax.tree.flatten(state)
        for clock, value in zip(clocks, settings):
            top = jnp.iinfo(leaves[clock].dtype).max - 1
            value = jnp.minimum(value, top).astype(leaves[clock].dtype)
            leaves[clock] = jnp.where(value < 0, leaves[clock], value)
        return structure.unflatten(leaves)

    def advance(carry: tuple[Tree, Tree], key: Key) -> tuple[tuple[Tree, Tree], Array]:
        state, obs = carry
        action_key, reset_key, step_key = jax.random.split(key, 3)
        keys = jax.random.split(action_key, LANES)
        action = jax.vmap(lambda key, obs: _random_action(env.spec, key, obs))(keys, obs)
        states = jax.vmap(lambda setting: turned(state, setting))(settings)
        all_new, all_ts = jax.vmap(lambda state: lanes.step(state, action, step_key))(states)
        new, ts = jax.tree.map(lambda x: x[0], (all_new, all_ts))
        equal = lambda x: (x == x[0]).reshape(*x.shape[:2], -1).all(-1)
        same = jnp.array([equal(x) for x in jax.tree.leaves(all_ts.final)]).all(0)
        changed = ((all_ts.discount == 0) == ahead) & ((ts.discount == 0) != ahead)
        found = jnp.stack([changed.any(1), (same | ~changed).all(1)])
        fresh, begun = lanes.init(reset_key)
        return select(ts.last, (fresh, begun.obs), (new, ts.obs)), found

    # One row that turns nothing, and for each clock one ahead and one back.
    one = jnp.eye(len(clocks), dtype=jnp.int32)
    settings = jnp.concatenate([0 * one[:1] - 1, 1_000_001 * one - 1, one - 1])
    ahead = settings.max(1, keepdims=True) > 0

    @jax.jit
    def run(init_key: Key, run_key: Key) -> Array:
        state, first = lanes.init(init_key)
        return jax.lax.scan(advance, (state, first.obs), jax.random.split(run_key, steps))[1]

    # [T, settings] each
    changed, hidden = np.moveaxis(np.asarray(run(init_key, run_key)), 1, 0)
    _require(
        not (changed.any(0) & hidden.all(0)).any(),
        "discount becomes 0 because a clock runs out that the observation does not show: a "
        "time limit must set last and leave discount at 1, as envs.time_limit does, or else "
        "the observation must tell the time.",
    )


def _matters(env: Env, leaves: list, structure: Any, clock: int) -> bool:
    """Whether the discount may depend on a leaf of the state."""

    def discount(value: Array, others: list, action: Array, key: Key) -> Array:
        state = structure.unflatten([*others[:clock], value, *others[clock:]])
        return jnp.asarray(env.step(state, action, key)[1].discount)

    others = leaves[:clock] + leaves[clock + 1 :]
    return may_depend(discount, leaves[clock], others, blank_of(env.spec.action), jax.random.key(0))


def _run(env: Env, key: Key, steps: int) -> tuple[TimeStep, TimeStep, Array]:
    """What `init` returns [B], and the steps [T, 2, B] of random actions, each with two keys.

    And, of each leaf of the state, whether it is a number to which the step added 1 [T, n, B].
    """
    lanes = vectorize(env, LANES)
    init_key, run_key = jax.random.split(key)

    def advance(carry: tuple[Tree, Tree], key: Key) -> tuple[Tree, tuple]:
        state, obs = carry
        action_key, reset_key, step_key = jax.random.split(key, 3)
        keys = jax.random.split(action_key, LANES)
        action = jax.vmap(lambda k, obs: _random_action(env.spec, k, obs))(keys, obs)
        both = jax.vmap(lambda k: lanes.step(state, action, k))(jax.random.split(step_key))
        before, (state, ts) = state, jax.tree.map(lambda x: x[0], both)
        counts = zip(jax.tree.leaves(before), jax.tree.leaves(state))
        ticks = jnp.array([_ticks(old, new) for old, new in counts]).reshape(-1, LANES)
        fresh, begun = lanes.init(reset_key)
        return select(ts.last, (fresh, begun.obs), (state, ts.obs)), (both[1], ticks)

    state, first = lanes.init(init_key)
    keys = jax.random.split(run_key, steps)
    return first, *jax.lax.scan(advance, (state, first.obs), keys)[1]


def _ticks(old: Array, new: Array) -> Array:
    """Whether an integer [B] of the state has grown by 1; no other leaf ever does."""
    if old.ndim != 1 or not jnp.issubdtype(old.dtype, jnp.integer):
        return jnp.zeros(LANES, bool)
    return new == old + 1


def _random_action(spec: Spec, key: Key, obs: Tree) -> Tree:
    """A random action that the mask allows; 10 beyond the finite bound where one is infinite."""
    return _drawn(spec.action, key, allowed(spec, obs))


def _drawn(space: Space, key: Key, mask: Tree) -> Tree:
    """A random action of a space that a mask allows."""
    if isinstance(space, Product):
        keys = jax.random.split(key, len(space.parts))
        parts = zip(space.parts, keys, spaces.masks_of(space, mask))
        return tuple(_drawn(*part) for part in parts)
    if not isinstance(space, Box):
        one = None if mask is None else mask[None]
        return spaces.random(space, 1, key, one)[0]
    low, high = space
    below = jnp.where(jnp.isfinite(high), high - 10.0, -10.0)
    low = jnp.where(jnp.isfinite(low), low, below)
    high = jnp.where(jnp.isfinite(high), high, jnp.maximum(low + 10.0, 10.0))
    unit = jax.random.uniform(key, low.shape, jnp.float32)
    return low * (1.0 - unit) + high * unit


def _rows(tree: Tree, axes: int) -> np.ndarray:
    """The leaves [*axes, ...] of observations as one array [*axes, n]."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(tree)]
    return np.concatenate([x.reshape(*x.shape[:axes], -1) for x in leaves], axis=-1)


def _same(a: Tree, b: Tree) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f") for x, y in pairs)


def _close(a: Tree, b: Tree) -> bool:
    """Whether arrays are equal but for rounding: what is computed twice may be rounded twice."""

    def near(x: Any, y: Any) -> bool:
        if not jnp.issubdtype(x.dtype, jnp.floating):
            return np.array_equal(x, y)
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        return np.allclose(x, y, rtol=1e-5, atol=1e-6, equal_nan=True)

    return all(map(near, jax.tree.leaves(a), jax.tree.leaves(b)))


def _trace(what: str, run: Any) -> Any:
    try:
        return run()
    except (jax.errors.JAXTypeError, TypeError, jax.errors.UnexpectedTracerError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(
            f"The environment does not work under {what}: write it with jax.numpy, lax.cond or "
            f"where, and return arrays ({first})."
        ) from error


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InputError(sentence)
