"""Does an environment keep its promises? Checks for anybody's `Env` of one lane."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.environments import vectorize
from jaxrl.errors import InputError
from jaxrl.types import Array, Box, Discrete, Env, Key, Spec, TimeStep, Tree, select

LANES = 4


def check(env: Env, *, key: Key | None = None, steps: int = 100) -> None:
    """Check that `env`, of one lane, behaves as an `Env` must; return nothing if so.

    Random actions are taken in 4 lanes for `steps` steps, each lane begun anew where its episode
    ends: take enough of them for episodes to end. Checked are shapes and dtypes against the
    spec; that states keep their structure; that it works under jit, vmap and scan; that equal
    keys give equal results, with nothing remembered on the side; that rewards and observations
    are finite; that `discount` is in [0, 1], and 0 only where `last` holds; and that `final` is
    the successor, never the observation of a reset.

    Raises `InputError`, one sentence that says what to fix, at the first fault.
    """
    key = jax.random.key(0) if key is None else key
    _check_spec(env.spec)
    _check_types(env, key)
    _check_pure(env, key)
    run = jax.jit(lambda k: _run(env, k, steps))
    first, ts = _trace("vmap and scan", lambda: run(key))
    _require(_same((first, ts), run(key)), "step and init must give equal results for equal keys.")
    _check_first(first)
    _check_run(jax.tree.map(lambda x: x[:, 0], ts))
    _check_final(first, ts)


def _check_spec(spec: Any) -> None:
    _require(isinstance(spec, Spec), "spec must be a jaxrl.types.Spec(observation, action).")
    leaves = jax.tree.leaves(spec.observation)
    _require(
        bool(leaves) and all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves),
        "spec.observation must hold one jax.ShapeDtypeStruct per array.",
    )
    action = spec.action
    _require(
        isinstance(action, Discrete | Box), "spec.action must be a jaxrl.types.Discrete or Box."
    )
    if isinstance(action, Discrete):
        _require(
            isinstance(action.num, int) and action.num >= 1,
            "spec.action.num must be an int of at least 1.",
        )
    else:
        low, high = jnp.asarray(action.low), jnp.asarray(action.high)
        _require(
            low.shape == high.shape and bool((low <= high).all()),
            "spec.action must have low and high of one shape, and low <= high.",
        )


def _check_types(env: Env, key: Key) -> None:
    """Compare, without running anything, what `init` and `step` return with the spec."""
    action = _random_action(env.spec, key)
    begun = _trace("jit", lambda: jax.eval_shape(env.init, key))
    _check_output("init", begun, env.spec)
    stepped = _trace("jit", lambda: jax.eval_shape(env.step, begun[0], action, key))
    _check_output("step", stepped, env.spec)
    for part, old, new in zip(("state", "time step"), begun, stepped):
        old, new = _types(old), _types(new)
        _require(
            old == new,
            f"step must return a {part} of the structure, shapes and dtypes that init returns "
            f"(scan needs it): init has {old[0]}, step has {new[0]}.",
        )


def _check_output(name: str, output: Any, spec: Spec) -> None:
    _require(
        isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], TimeStep),
        f"{name} must return (state, jaxrl.types.TimeStep).",
    )
    ts = output[1]
    for field, dtype in (("reward", jnp.float32), ("discount", jnp.float32), ("last", bool)):
        value = getattr(ts, field)
        shape, found = getattr(value, "shape", None), getattr(value, "dtype", type(value))
        _require(
            shape == () and found == dtype,
            f"{name} must return {field} of shape () and dtype {jnp.dtype(dtype)}, "
            f"not {shape} and {found}.",
        )
    for field in ("obs", "final"):
        found, shown = _types(getattr(ts, field)), _types(spec.observation)
        _require(
            found == shown,
            f"{name} must return {field} as in spec.observation, {shown[0]}, not {found[0]}.",
        )
    _require(isinstance(ts.info, dict), f"{name} must return info as a dict.")


def _check_pure(env: Env, key: Key) -> None:
    """Trace twice, and expect the same program; and a state that is left alone."""

    def program(key: Key) -> tuple[Tree, Tree]:
        state, first = env.init(key)
        before, structure = jax.tree.flatten(state)
        output = env.step(state, _random_action(env.spec, key), key)
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
    _require(_same(ts.obs, ts.final), "init must return final = obs.")


def _check_run(ts: TimeStep) -> None:
    """Check a run [T, B] of lanes, of which every step is of a live episode."""
    for name in ("reward", "obs", "final"):
        finite = all(
            bool(jnp.isfinite(x).all())
            for x in jax.tree.leaves(getattr(ts, name))
            if jnp.issubdtype(x.dtype, jnp.inexact)
        )
        _require(finite, f"{name} must be finite, but a NaN or an infinity came up.")
    discount = np.asarray(ts.discount)
    _require(
        bool(((discount >= 0) & (discount <= 1)).all()),
        f"discount must lie in [0, 1], but {discount.min()} to {discount.max()} came up.",
    )
    _require(
        bool((np.asarray(ts.last) | (discount > 0)).all()),
        "discount is 0 where last is False: a termination must set last as well.",
    )
    _require(
        _same(ts.obs, ts.final),
        "final must equal obs in an environment of one lane: it must not reset itself, so that "
        "final is the true successor (auto_reset adds resets, and keeps final).",
    )


def _check_final(first: TimeStep, ts: TimeStep) -> None:
    """Look for resets hidden in `final`: in ts [T, 2, B] each step is taken with two keys."""
    last, discount = np.asarray(ts.last), np.asarray(ts.discount)
    one, other = np.moveaxis(_rows(ts.final, 3), 1, 0)  # [T, B, n] each
    varies = (one != other).any(-1)
    both, none = last.all(1), ~last.any(1)
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


def _run(env: Env, key: Key, steps: int) -> tuple[TimeStep, TimeStep]:
    """What `init` returns [B], and the steps [T, 2, B] of random actions, each with two keys."""
    lanes = vectorize(env, LANES)
    init_key, run_key = jax.random.split(key)

    def advance(state: Tree, key: Key) -> tuple[Tree, TimeStep]:
        action_key, reset_key, step_key = jax.random.split(key, 3)
        keys = jax.random.split(action_key, LANES)
        action = jax.vmap(lambda k: _random_action(env.spec, k))(keys)
        both = jax.vmap(lambda k: lanes.step(state, action, k))(jax.random.split(step_key))
        state, ts = jax.tree.map(lambda x: x[0], both)
        return select(ts.last, lanes.init(reset_key)[0], state), both[1]

    state, first = lanes.init(init_key)
    return first, jax.lax.scan(advance, state, jax.random.split(run_key, steps))[1]


def _random_action(spec: Spec, key: Key) -> Array:
    if isinstance(spec.action, Discrete):
        return jax.random.randint(key, (), 0, spec.action.num, jnp.int32)
    low, high = (jnp.clip(jnp.asarray(x, jnp.float32), -10.0, 10.0) for x in spec.action)
    return jax.random.uniform(key, low.shape, jnp.float32, low, high)


def _types(tree: Tree) -> tuple[str, Any]:
    """A readable description of a tree's structure, shapes and dtypes; equal only if these are."""
    leaves, structure = jax.tree.flatten(tree)
    types = [(jnp.shape(x), str(getattr(x, "dtype", type(x).__name__))) for x in leaves]
    shown = ", ".join(f"{dtype}{list(shape)}" for shape, dtype in types)
    return (shown if len(types) <= 1 else f"({shown})"), (structure, types)


def _rows(tree: Tree, axes: int) -> np.ndarray:
    """The leaves [*axes, ...] of observations as one array [*axes, n]."""
    leaves = [np.asarray(x) for x in jax.tree.leaves(tree)]
    return np.concatenate([x.reshape(*x.shape[:axes], -1) for x in leaves], axis=-1)


def _same(a: Tree, b: Tree) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f") for x, y in pairs)


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
