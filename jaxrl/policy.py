"""Trained policies as files: a StableHLO program with its parameters inside, by `jax.export`.

Such a file needs neither the agent nor the environment that it comes from. `load` reads it; so does
a process that has only jax:

    policy = jax.export.deserialize(bytearray(open("policy.jaxexport", "rb").read()))
    action, memory = policy.call(obs, memory, key)

There `obs` is a batch [B, ...], `key` is the data [2] of a key, and `memory` is a tuple of arrays
[B, ...], () for a policy without a memory. A memory of zeros is that of a new episode.
"""

import contextlib
import dataclasses
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

from jaxrl import spaces
from jaxrl.errors import InputError, require
from jaxrl.types import Actor, Array, Key, Spec, Tree, is_key

SUFFIX = ".jaxexport"
PLATFORMS = ("cpu", "cuda", "tpu")


@dataclasses.dataclass(frozen=True, eq=False)
class Policy:
    """A trained rule for acting, in the units of the environment.

    `policy(obs)` is the action for one observation, or the actions [B, ...] for a batch of them.
    A policy with a memory is used by `init` and `act` instead.
    """

    init: Callable[[int], Tree]  # (B) -> the memory of B new episodes, () if there is none
    act: Callable[[Tree, Tree, Key], tuple[Tree, Tree]]  # (obs [B, ...], memory, key)
    observation: Tree  # one jax.ShapeDtypeStruct per array, without a batch axis

    def __call__(self, obs: Tree, key: Key | None = None) -> Any:
        """The action for an observation [...], or the actions for a batch of them [B, ...].

        The key matters only for policies that plan with random numbers. Raises an InputError if the
        policy has a memory, or for observations of another shape.
        """
        require(
            not jax.tree.leaves(jax.eval_shape(partial(self.init, 1))),
            "This policy has a memory: call init(batch_size), then act(obs, memory, key).",
        )
        single = _axes(obs, self.observation) == 0
        batch = jax.tree.map(lambda x: jnp.asarray(x)[None], obs) if single else obs
        action, _ = self.act(batch, (), jax.random.key(0) if key is None else key)
        return jax.tree.map(lambda x: x[0], action) if single else action


def serialise(
    actor: Actor, view: Tree, spec: Spec, action: Any, platforms: tuple[str, ...] = PLATFORMS
) -> bytes:
    """The contents of a policy file: `actor` with what it sees of its learner, `view`.

    `spec` is what the actor was made for, with continuous actions in [-1, 1]; `action` are the
    actions of the environment itself, in whose units the policy acts. The batch size stays free.
    Raises an InputError if the policy cannot be lowered.
    """
    require_flatbuffers()
    # On one device, whatever the mesh on which the agent was trained.
    view = jax.tree.map(lambda x: x if is_key(x) else jnp.asarray(np.asarray(x)), view)
    blank = jax.tree.leaves(jax.device_get(_plain_keys(actor.init(1))))
    structure = jax.tree.structure(actor.init(1))
    keyed = [is_key(x) for x in jax.tree.leaves(actor.init(1))]

    def one(obs: Tree, memory: tuple, data: Array) -> tuple[Tree, tuple]:
        """Act in one lane; memory is told as the difference from that of a new episode."""
        batched = jax.tree.map(lambda x: x[None], obs)
        leaves = [_shifted(x[None], first, 1) for x, first in zip(memory, blank)]
        leaves = [jax.random.wrap_key_data(x) if k else x for x, k in zip(leaves, keyed)]
        memory_in = jax.tree.unflatten(structure, leaves)
        key = jax.random.wrap_key_data(data)
        chosen, after, _ = actor.step(view, memory_in, batched, key)
        after = jax.tree.leaves(_plain_keys(after))
        told = tuple(_shifted(x, first, -1)[0] for x, first in zip(after, blank))
        one = jax.tree.map(lambda x: x[0], chosen)
        return spaces.from_unit(action, one), told

    def policy(obs: Tree, memory: tuple, key: Array) -> tuple[Tree, tuple]:
        lanes = jax.tree.leaves(obs)[0].shape[0]
        fold = lambda lane: jax.random.key_data(
            jax.random.fold_in(jax.random.wrap_key_data(key), lane)
        )
        keys = jax.vmap(fold)(jnp.arange(lanes))
        return jax.vmap(one)(unpack(obs, spec.observation), memory, keys)

    (size,) = jax_export.symbolic_shape("batch")
    batch = lambda x: jax.ShapeDtypeStruct((size, *x.shape), x.dtype)
    obs = jax.tree.map(batch, plain(spec.observation))
    memory = tuple(jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype) for x in blank)
    data = jax.ShapeDtypeStruct((2,), jnp.uint32)
    failure: Exception | None = None
    for names in dict.fromkeys((platforms, (jax.default_backend(),))):
        try:
            lowered = jax_export.export(jax.jit(policy), platforms=names)(obs, memory, data)
            return bytes(lowered.serialize())
        except (NotImplementedError, ValueError, TypeError) as error:
            failure = error
    reason = str(failure).strip().splitlines()[0]
    raise InputError(f"This policy cannot be exported: {reason}")


def deserialise(content: bytes) -> Policy:
    """The policy in the contents of a file; a ValueError if they are none."""
    exported = jax_export.deserialize(bytearray(content))
    (obs, memory, _), _ = jax.tree.unflatten(exported.in_tree, exported.in_avals)
    one = lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    observation, memory = jax.tree.map(one, obs), jax.tree.map(one, memory)
    call = jax.jit(exported.call)

    def init(batch_size: int) -> Tree:
        return jax.tree.map(lambda x: jnp.zeros((batch_size, *x.shape), x.dtype), memory)

    def act(obs: Tree, memory: Tree, key: Key) -> tuple[Tree, Tree]:
        axes = _axes(obs, observation)
        require(axes == 1, "act takes a batch of observations [B, ...]: give it one more axis.")
        obs = jax.tree.map(lambda x, like: jnp.asarray(x, like.dtype), plain(obs), observation)
        return call(obs, memory, jax.random.key_data(key) if is_key(key) else key)

    return Policy(init, act, observation)


def load(path: str | Path, seed: int | None = None) -> Policy:
    """The trained policy in a results folder, or in a file that `jaxrl export` wrote.

    Of a results folder it is the best member's; with `seed` it is that of the member trained with
    this seed, which `jaxrl export FOLDER --seed SEED` must have written. Neither the environment
    nor a data set is needed. Raises an InputError of one sentence if there is no policy.

        policy = jaxrl.load("runs/ppo-CartPole-v1")
        action = policy(obs)  # one observation, or a batch of them
    """
    path = Path(path)
    file = path / "policy" / f"{name_of(seed)}{SUFFIX}" if path.is_dir() else path
    require(path.exists(), f"{path} does not exist: jaxrl.load takes a results folder or a file.")
    option = "" if seed is None else f" --seed {seed}"
    require(file.is_file(), f"{path} has no exported policy: run jaxrl export {path}{option}.")
    content = file.read_bytes()
    require_flatbuffers()
    with contextlib.suppress(Exception):  # the many kinds that flatbuffers and MLIR raise
        return deserialise(content)
    raise InputError(f"{file} cannot be read as a policy: write it anew by jaxrl export.")


def require_flatbuffers() -> None:
    """Raise an InputError if the package with which `jax.export` writes and reads is missing."""
    if find_spec("flatbuffers") is None:
        raise InputError("Exported policies need the package flatbuffers: pip install flatbuffers.")


def name_of(seed: int | None) -> str:
    """The name of a policy file in a results folder, without its ending."""
    return "best" if seed is None else f"seed-{seed}"


def plain(tree: Tree) -> Tree:
    """A tree of dictionaries in place of records, which a process without their classes can read.

    Containers that are neither tuples, lists nor dictionaries become tuples of their arrays.
    """
    if isinstance(tree, dict):
        return {name: plain(value) for name, value in tree.items()}
    if hasattr(tree, "_asdict"):
        return {name: plain(value) for name, value in tree._asdict().items()}
    if isinstance(tree, tuple | list):
        return tuple(plain(value) for value in tree)
    number = isinstance(tree, bool | int | float)
    return tree if number or hasattr(tree, "shape") else tuple(jax.tree.leaves(tree))


def unpack(tree: Tree, like: Tree) -> Tree:
    """A tree of the structure of `like`, of what `plain` made of one."""
    if isinstance(like, dict):
        return {name: unpack(tree[name], value) for name, value in like.items()}
    if hasattr(like, "_asdict"):
        fields = {name: unpack(tree[name], value) for name, value in like._asdict().items()}
        return type(like)(**fields)
    if isinstance(like, tuple | list):
        return type(like)(unpack(value, part) for value, part in zip(tree, like))
    if hasattr(like, "shape"):
        return tree
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(tree))


def _axes(obs: Tree, observation: Tree) -> int:
    """How many leading axes observations have, 0 or 1; an InputError if they are others."""
    obs = plain(obs)
    same = jax.tree.structure(obs) == jax.tree.structure(observation)
    shapes = [(np.shape(x), y.shape) for x, y in zip(jax.tree.leaves(obs),
                                                     jax.tree.leaves(observation))]  # fmt: skip
    for axes in (0, 1):
        if same and all(x[axes:] == y and len(x) == len(y) + axes for x, y in shapes):
            return axes
    wanted = ", ".join(str(y.shape) for y in jax.tree.leaves(observation))
    given = ", ".join(str(np.shape(x)) for x in jax.tree.leaves(obs))
    raise InputError(
        f"The policy takes observations of shape {wanted}, or a batch of them with one axis more, "
        f"but it was given {given}."
    )


def _shifted(x: Array, first: Array, sign: int) -> Array:
    """`x + sign * first`, for bits exclusive or: zeros stand for the memory of a new episode."""
    if not np.any(first):
        return x
    first = jnp.asarray(first)
    return x ^ first if x.dtype == bool else x + first if sign > 0 else x - first


def _plain_keys(tree: Tree) -> Tree:
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)
