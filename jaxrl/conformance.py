"""What every environment must be before anything is compiled: types and shapes, without running it.

`assemble` asks for it, so that a wrong environment is told in one sentence; `envs.check` asks for
it too, and then looks at what the environment does.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.errors import require
from jaxrl.types import Array, Box, Discrete, Env, Key, Spec, TimeStep, Tree


def conforming(env: Env) -> Env:
    """The environment of one lane, with action bounds that are float32 arrays.

    Raises an InputError of one sentence unless its spec, and the types of what `init` and `step`
    return, are what training needs. Inside of a trace only the spec is checked, to trace once.
    """
    check_spec(env.spec)
    spec = env.spec._replace(action=plain(env.spec.action))
    env = env._replace(spec=spec)
    if not isinstance(jnp.zeros(()), Tracer):  # a tracer inside of a trace only
        check_types(env, jax.random.key(0))
    return env


def plain(action: Discrete | Box) -> Discrete | Box:
    """The same actions, with a number that is an int or bounds that are float32 arrays."""
    if isinstance(action, Discrete):
        return Discrete(int(action.num))
    return Box(*(jnp.asarray(x, jnp.float32) for x in action))


def check_spec(spec: Any) -> None:
    """Raise an InputError unless `spec` describes observations and actions."""
    require(isinstance(spec, Spec), "spec must be a jaxrl.types.Spec(observation, action).")
    leaves = jax.tree.leaves(spec.observation)
    require(
        bool(leaves) and all(isinstance(x, jax.ShapeDtypeStruct) for x in leaves),
        "spec.observation must hold one jax.ShapeDtypeStruct per array.",
    )
    number = lambda dtype: (
        jnp.issubdtype(dtype, jnp.bool_)
        or (jnp.issubdtype(dtype, jnp.number) and not jnp.issubdtype(dtype, jnp.complexfloating))
    )
    strange = [str(x.dtype) for x in leaves if not number(x.dtype)]
    require(not strange, f"spec.observation must be of real numbers or bools, not {strange}.")
    require(
        all(isinstance(x, jax.ShapeDtypeStruct) for x in jax.tree.leaves(spec.signals)),
        "spec.signals must hold one jax.ShapeDtypeStruct per array, or be () if there are none.",
    )
    sizes = [math.prod(x.shape) for x in leaves]
    require(sum(sizes) > 0, "spec.observation must hold at least one number, but it is empty.")
    action = spec.action
    require(
        isinstance(action, Discrete | Box), "spec.action must be a jaxrl.types.Discrete or Box."
    )
    require(
        spec.mask is None or isinstance(action, Discrete),
        "spec.mask forbids discrete actions, but spec.action is a Box: leave the mask out.",
    )
    if isinstance(action, Discrete):
        whole = isinstance(action.num, int | np.integer) and not isinstance(action.num, bool)
        require(whole and action.num >= 1, "spec.action.num must be an int of at least 1.")
        return
    shapes = [np.shape(x) for x in action]
    require(
        shapes[0] == shapes[1] and math.prod(shapes[0]) > 0,
        "spec.action must have low and high of one shape, and low <= high, for one number or more.",
    )
    if not any(isinstance(x, Tracer) for x in action):
        low, high = (np.asarray(x) for x in action)
        require(
            low.dtype.kind in "iuf" and high.dtype.kind in "iuf",
            f"spec.action must have bounds that are numbers, not {low.dtype} and {high.dtype}.",
        )
        require(
            bool((low <= high).all()),
            "spec.action must have low and high of one shape, and low <= high.",
        )


def check_types(env: Env, key: Key) -> None:
    """Raise an InputError unless `init` and `step` return what the spec says; runs nothing.

    Errors that the environment itself raises while it is traced are passed on.
    """
    begun = jax.eval_shape(env.init, key)
    check_output("init", begun, env.spec)
    action = blank_of(env.spec.action)
    stepped = jax.eval_shape(env.step, begun[0], action, key)
    check_output("step", stepped, env.spec)
    for part, old, new in zip(("state", "time step"), begun, stepped):
        old, new = types_of(old), types_of(new)
        require(
            old == new,
            f"step must return a {part} of the structure, shapes and dtypes that init returns "
            f"(scan needs it): init has {old[0]}, step has {new[0]}.",
        )
    if env.spec.mask is not None and isinstance(env.spec.action, Discrete):
        mask = jax.eval_shape(env.spec.mask, begun[1].obs)
        shape, dtype = jnp.shape(mask), getattr(mask, "dtype", type(mask))
        require(
            shape == (env.spec.action.num,) and dtype == jnp.bool_,
            f"spec.mask must return bools [{env.spec.action.num}] of an observation, one for each "
            f"action, not {shape} and {dtype}.",
        )


def blank_of(action: Discrete | Box) -> Array:
    """An action of zeros."""
    if isinstance(action, Discrete):
        return jnp.zeros((), jnp.int32)
    return jnp.zeros(action.shape, jnp.float32)


def check_output(name: str, output: Any, spec: Spec) -> None:
    """Raise an InputError unless what `init` or `step` returned is as in the spec."""
    require(
        isinstance(output, tuple) and len(output) == 2 and isinstance(output[1], TimeStep),
        f"{name} must return (state, jaxrl.types.TimeStep).",
    )
    ts = output[1]
    for field, dtype in (("reward", jnp.float32), ("discount", jnp.float32), ("last", bool)):
        value = getattr(ts, field)
        shape, found = getattr(value, "shape", None), getattr(value, "dtype", type(value))
        require(
            shape == () and found == dtype,
            f"{name} must return {field} of shape () and dtype {jnp.dtype(dtype)}, "
            f"not {shape} and {found}.",
        )
    wanted = {"obs": "observation", "final": "observation", "signals": "signals"}
    for field, declared in wanted.items():
        found, shown = types_of(getattr(ts, field)), types_of(getattr(spec, declared))
        require(
            found == shown,
            f"{name} must return {field} as in spec.{declared}, {shown[0]}, not {found[0]}.",
        )
    require(isinstance(ts.info, dict), f"{name} must return info as a dict.")


def types_of(tree: Tree) -> tuple[str, Any]:
    """A readable description of a tree's structure, shapes and dtypes; equal only if these are."""
    leaves, structure = jax.tree.flatten(tree)
    types = [(jnp.shape(x), str(getattr(x, "dtype", type(x).__name__))) for x in leaves]
    shown = ", ".join(f"{dtype}{list(shape)}" for shape, dtype in types)
    return (shown if len(types) == 1 else f"({shown})"), (structure, types)


def may_depend(fn: Callable[..., Tree], argument: Tree, *others: Tree) -> bool:
    """Whether `fn(argument, *others)` may depend on `argument`, as far as its program tells.

    Nothing is run, and False is sure.
    """
    program = jax.make_jaxpr(fn)(argument, *others).jaxpr
    wanted = {id(x) for x in program.outvars}
    for equation in reversed(program.eqns):
        if any(id(x) in wanted for x in equation.outvars):
            wanted |= {id(x) for x in equation.invars}
    return any(id(x) in wanted for x in program.invars[: len(jax.tree.leaves(argument))])
