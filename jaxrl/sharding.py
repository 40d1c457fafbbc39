"""Data parallelism: one learner whose lanes, replay and minibatches are divided into shards.

Each shard has an equal part of the lanes, a replay buffer of its own and an equal part of each
batch; parameters, target networks, optimisers and running statistics are one for all of them. The
shards are a named axis. What learns calls `average`, `total` or `highest` where a number of the
whole batch is meant, which do nothing where there are no shards, so that an agent is written for
one device and knows nothing of several. The axis is of `jax.vmap`, on one device, or of
`jax.vmap` inside `jax.shard_map`, whose mesh axis `data` then has an equal part of the shards on
each device: a run depends on the number of its shards, and not on that of the devices.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError, require, require_positive
from jaxrl.types import Agent, Array, Experiment, Key, Run, Tree, is_key

SHARDS = "shards"
"""The name of the axis of shards on one device."""
DATA = "data"
"""The name of the axis of a mesh over whose devices shards are spread."""


def bound(name: str) -> bool:
    """Whether a named axis exists where this is called."""
    try:
        jax.lax.axis_size(name)
    except NameError:
        return False
    return True


def axes() -> tuple[str, ...]:
    """The names of the axes over which shards are spread, () where there are none."""
    if not bound(SHARDS):
        return ()
    return (DATA, SHARDS) if bound(DATA) else (SHARDS,)


def count() -> int:
    """The number of shards, 1 where there are none."""
    return jax.lax.axis_size(axes()) if axes() else 1


def average(tree: Tree) -> Tree:
    """The mean of arrays over all shards.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxrl import sharding
        >>> print(jax.vmap(sharding.average, axis_name=sharding.SHARDS)(jnp.array([1.0, 3.0])))
        [2. 2.]
        >>> print(sharding.average(jnp.array([1.0, 3.0])))  # there are no shards
        [1. 3.]
    """
    return jax.lax.pmean(tree, axes()) if axes() else tree


def total(tree: Tree) -> Tree:
    """The sum of arrays over all shards."""
    return jax.lax.psum(tree, axes()) if axes() else tree


def highest(tree: Tree) -> Tree:
    """The greatest of arrays, element by element, over all shards."""
    return jax.lax.pmax(tree, axes()) if axes() else tree


def gathered(tree: Tree) -> Tree:
    """The arrays of all shards, one after another along the first axis; as they are without shards.

    It is for statistics that are no sum, such as quantiles.

    Examples:
        >>> import jax, jax.numpy as jnp
        >>> from jaxrl import sharding
        >>> x = jnp.arange(4.0).reshape(2, 2)
        >>> print(jax.vmap(sharding.gathered, axis_name=sharding.SHARDS)(x))
        [[0. 1. 2. 3.]
         [0. 1. 2. 3.]]
    """
    for name in reversed(axes()):
        tree = jax.tree.map(lambda x, name=name: jax.lax.all_gather(x, name, tiled=True), tree)
    return tree


def relative(x: Array) -> float | Array:
    """Positive numbers divided by their mean over all shards; 1 where there are no shards."""
    return x / average(x) if axes() else 1.0


def own(key: Key) -> Key:
    """A key of each shard's own; the same key where there are no shards."""
    if not axes():
        return key
    index = jax.lax.axis_index(SHARDS)
    if bound(DATA):
        index = index + jax.lax.axis_index(DATA) * jax.lax.axis_size(SHARDS)
    return jax.random.fold_in(key, index)


DIVIDED = {
    "collection": ("num_envs",),
    "replay": ("buffer_size", "batch_size"),
}
"""The hyperparameters that shards have equal parts of, by their records."""


def divided(hp: Any, shards: int) -> Any:
    """The hyperparameters of one shard: those in `DIVIDED` are an equal part.

    So are the warm-up and the steps over which a learning rate falls, since a shard counts its own.
    Raises an InputError that names the first number that does not divide.
    """
    require_positive(shards=shards)
    if shards == 1:
        return hp
    changed = {}
    for group, names in DIVIDED.items():
        record = getattr(hp, group, None)
        if record is None:
            continue
        for name in names:
            value = getattr(record, name)
            require(
                value % shards == 0,
                f"{name} {value} does not divide into {shards} equal shards: try "
                f"{-(-value // shards) * shards}.",
            )
        parts = {name: getattr(record, name) // shards for name in names}
        if group == "collection":  # whole rollouts are taken, as many as without shards
            parts["warmup"] = -(-record.warmup // shards)
        changed[group] = dataclasses.replace(record, **parts)
    rule = getattr(hp, "optimisation", None)
    if rule is not None:
        steps = rule.decay_steps / shards
        changed["optimisation"] = dataclasses.replace(rule, decay_steps=steps)
    return dataclasses.replace(hp, **changed)


class Sharded(NamedTuple):
    """An experiment on shards, and how they share its runs."""

    experiment: Experiment
    parts: Callable[[], Run]
    # parts: 0 for the arrays [shards, ...] of a run that shards have each of their own, and None
    # for those that are one for all of them. A function, because it traces the experiment


def sharded(exp: Experiment, shards: int, agent: Agent | None = None) -> Sharded:
    """An experiment of `shards` shards, each of which is `exp`, that learn as one.

    Gradients and statistics are averaged, so that a step with S shards of B / S lanes each has the
    expected gradient of a step with B lanes; shards draw keys of their own for everything but the
    first parameters. Which arrays are one for all shards is found by tracing: what was averaged no
    longer varies along the axis, and stays one array. Raises an InputError, when a run is made, if
    what the actors of `agent` see is not among them: then the agent learns by other means than
    those that are averaged.

    With one shard it is `exp` itself.
    """
    require_positive(shards=shards)
    found: list[Run] = []

    def parts() -> Run:
        if not found:
            found.append(parts_of(exp, shards, agent))
        return found[0]

    if shards == 1:
        none = lambda: jax.tree.map(lambda _: None, jax.eval_shape(exp.init, jax.random.key(0)))
        return Sharded(exp, none)

    def spread(fn: Callable, in_axes: Any, out_axes: Any) -> Callable:
        devices = jax.lax.axis_size(DATA) if bound(DATA) else 1
        size = shards // devices
        return jax.vmap(fn, in_axes, out_axes, axis_name=SHARDS, axis_size=size)

    def init(key: Key) -> Run:
        return spread(exp.init, None, parts())(key)

    def step(run: Run) -> tuple[Run, dict]:
        return spread(exp.step, (parts(),), (parts(), None))(run)

    return Sharded(Experiment(init, step), parts)


def parts_of(exp: Experiment, shards: int, agent: Agent | None = None) -> Run:
    """The arrays of a run that vary between shards, 0, and those that do not, None."""
    key = jax.random.key(0)
    axes = varying(exp.init, (None,), shards, key)
    while True:
        start = jax.vmap(exp.init, None, axes, axis_name=SHARDS, axis_size=shards)
        run = jax.eval_shape(start, key)
        after = varying(lambda run: exp.step(run)[0], (axes,), shards, run)
        either = lambda a, b: None if a is None and b is None else 0
        merged = jax.tree.map(either, axes, after, is_leaf=lambda x: x is None)
        if same(merged, axes):
            break
        axes = merged
    if agent is not None:
        view = varying(agent.update.read, (axes.learner,), shards, run.learner)
        apart = [
            jax.tree_util.keystr(path, simple=True, separator=".")
            for path, axis in jax.tree_util.tree_leaves_with_path(view)
            if axis == 0
        ]
        if apart:
            raise InputError(
                "This agent cannot be trained in shards, because it does not learn by averaged "
                f"gradients and statistics: {apart[0] or 'its state'} would differ between them."
            )
    return axes


def same(one: Tree, other: Tree) -> bool:
    """Whether two trees of axes are the same."""
    leaves = lambda tree: jax.tree.leaves(tree, is_leaf=lambda x: x is None)
    return leaves(one) == leaves(other)


def varying(fn: Callable, in_axes: tuple, shards: int, *args: Any) -> Tree:
    """0 for each array of `fn(*args)` that varies along the axis of shards, None for the others.

    `in_axes` says which of the arguments vary, as in `jax.vmap`. Nothing is computed.
    """
    seen: list[list[bool]] = []

    @jax.custom_batching.custom_vmap
    def note(index: Array, leaves: list[Array]) -> Array:
        return index

    @note.def_vmap
    def noted(size: int, batched: list, index: Array, leaves: list[Array]) -> tuple[Array, bool]:
        seen.append(batched[1])
        return index, True

    plain = lambda x: jax.random.key_data(x) if is_key(x) else jnp.asarray(x)

    def watched(index: Array, *args: Any) -> tuple[Array, Tree]:
        out = fn(*args)
        return note(index, [plain(jnp.asarray(x)) for x in jax.tree.leaves(out)]), out

    each = jax.vmap(watched, (0, *in_axes), axis_name=SHARDS, axis_size=shards)
    _, out = jax.eval_shape(each, jnp.arange(shards), *args)
    flags = [0 if flag else None for flag in seen[-1]]
    return jax.tree.unflatten(jax.tree.structure(out), flags)
