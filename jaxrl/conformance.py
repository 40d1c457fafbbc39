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

from jaxrl import spaces
from jaxrl.errors import require
from jaxrl.types import (
    Discrete,
    Env,
    Key,
    MultiDiscrete,
    Product,
    Space,
    Spec,
    TimeStep,
    Tree,
)


def conforming(env: Env) -> Env:
    """The environment of one lane, with action bounds that are float32 arrays.

    Raises an InputError of one sentence unless its spec, and the types of what `init` and `step`
    return, are what training needs. Inside of a trace only the spec is checked, to trace once.
    """
    check_spec(env.spec)
    spec = env.spec._replace(action=spaces.plain(env.spec.action))
    env = env._replace(spec=spec)
    if not isinstance(jnp.zeros(()), Tracer):  # a tracer inside of a trace only
        check_types(env, jax.random.key(0))
    return env


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
    check_action(spec.action)
    require(spec.players in (1, 2), f"spec.players must be 1 or 2, but it is {spec.players}.")
    require(
        spec.mask is None or spaces.has_discrete(spec.action),
        "spec.mask forbids discrete actions, but spec.action has none: leave the mask out.",
    )


def check_action(action: Any, name: str = "spec.action") -> None:
    """Raise an InputError, with the name of the field, unless it is a space of actions."""
    require(
        isinstance(action, Space),
        f"{name} must be a jaxrl.types.Discrete, Box, MultiDiscrete or Product.",
    )
    if isinstance(action, Product):
        parts = action.parts
        require(
            isinstance(parts, tuple) and len(parts) > 0,
            f"{name}.parts must be a tuple of one space or more.",
        )
        for i, part in enumerate(parts):
            check_action(part, f"{name}.parts[{i}]")
        return
    whole = lambda x: isinstance(x, int | np.integer) and not isinstance(x, bool) and x >= 1
    if isinstance(action, Discrete):
        require(bool(whole(action.num)), f"{name}.num must be an int of at least 1.")
        return
    if isinstance(action, MultiDiscrete):
        nums = action.nums
        require(
            isinstance(nums, tuple) and len(nums) > 0 and all(map(whole, nums)),
            f"{name}.nums must be a tuple of one or more ints of at least 1.",
        )
        return
    shapes = [np.shape(x) for x in action]
    require(
        shapes[0] == shapes[1] and math.prod(shapes[0]) > 0,
        f"{name} must have low and high of one shape, and low <= high, for one number or more.",
    )
    if not any(isinstance(x, Tracer) for x in action):
        low, high = (np.asarray(x) for x in action)
        require(
            low.dtype.kind in "iuf" and high.dtype.kind in "iuf",
            f"{name} must have bounds that are numbers, not {low.dtype} and {high.dtype}.",
        )
        require(
            bool((low <= high).all()),
            f"{name} must have low and high of one shape, and low <= high.",
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
    if env.spec.mask is not None:
        check_mask(env.spec.action, jax.eval_shape(env.spec.mask, begun[1].obs))


def check_mask(action: Space, mask: Tree) -> None:
    """Raise an InputError unless the mask of one observation is one of the actions' shape."""
    if isinstance(action, Discrete):
        shape, dtype = jnp.shape(mask), getattr(mask, "dtype", type(mask))
        require(
            shape == (action.num,) and dtype == jnp.bool_,
            f"spec.mask must return bools [{action.num}] of an observation, one for each "
            f"action, not {shape} and {dtype}.",
        )
        return
    wanted, found = types_of(spaces.mask_shapes(action)), types_of(mask)
    require(
        wanted == found,
        f"spec.mask must return {wanted[0]} of an observation, one for each discrete part of the "
        f"action and None for a continuous one, not {found[0]}.",
    )


def blank_of(action: Space) -> Tree:
    """An action of zeros."""
    return spaces.blank(action, dtype=jnp.float32)


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


def alike(a: Spec, b: Spec) -> bool:
    """Whether two specs have observations of the same shapes and actions of the same kind."""
    blanks = [types_of((spec.observation, blank_of(spec.action))) for spec in (a, b)]
    kinds = [(type(spec.action), spaces.size(spec.action)) for spec in (a, b)]
    return blanks[0] == blanks[1] and kinds[0] == kinds[1]


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
