"""Many members at once: vmap over seeds and hyperparameters, spread over devices."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

from jaxrl.errors import require, require_known, require_positive
from jaxrl.sharding import DATA
from jaxrl.types import Tree

MEMBERS = "members"
"""The name of the axis of a mesh over whose devices members are spread."""


def populate(
    fn: Callable[..., Any],
    in_axes: Sequence[Tree],
    out_axes: Tree,
    devices: Sequence[Any] | Mesh | None = None,
    parts: tuple[Tree, Tree] = (None, None),
) -> Callable[..., Any]:
    """`jax.vmap(fn)` over members, cut into equal parts for each of `devices`.

    Axes are 0 for what members have each of their own and None for what they share, as
    `population_axes` tells of a `Run`. Members never communicate, so the result does not depend
    on the devices, whose number must divide that of the members.

    On a mesh of `mesh_of`, devices also share the shards of each member: `parts` are two trees,
    for the arguments and for the results, that are 0 where shards have each an array of their own,
    as `jaxrl.sharding.Sharded` tells, and None elsewhere; one None stands for all of an argument.
    """
    batched = jax.vmap(fn, in_axes=tuple(in_axes), out_axes=out_axes)
    mesh = devices if isinstance(devices, Mesh) or devices is None else mesh_of(devices)
    if mesh is None or mesh.size < 2:
        return batched
    return jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=shares(tuple(in_axes), parts[0]),
        out_specs=shares(out_axes, parts[1]),
        check_vma=False,
    )


def shares(axes: Tree, parts: Tree = None) -> Tree:
    """The partition of arrays whose axes are 0 or None: by members, or a copy for every device.

    Those that are 0 in `parts` are divided by shards as well, along the axis after the members'; of
    a tuple each entry has parts of its own, of which one None stands for a whole tree.
    """
    if type(axes) is tuple and type(parts) is tuple:
        return tuple(map(shares, axes, parts))

    def spec(axis: int | None, part: Any = None) -> PartitionSpec:
        names = [MEMBERS] if axis == 0 else []
        return PartitionSpec(*names, DATA) if part == 0 else PartitionSpec(*names)

    none = lambda axis: axis is None
    if parts is None:
        return jax.tree.map(spec, axes, is_leaf=none)
    return jax.tree.map(spec, axes, parts, is_leaf=none)


def mesh_of(devices: Sequence[Any], data: int = 1) -> Mesh:
    """A mesh of devices, `data` of which share the shards of the same members."""
    shape = (len(devices) // data, data)
    kinds = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, (MEMBERS, DATA), axis_types=kinds, devices=devices)


def usable_devices(members: int) -> list[Any]:
    """As many of the local devices as divide `members` evenly."""
    require(members > 0, f"A population needs members, but there are {members}.")
    devices = jax.local_devices()
    return devices[: largest_divisor(members, len(devices))]


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is at most `most`."""
    return max(n for n in range(1, most + 1) if number % n == 0)


def usable_mesh(members: int, shards: int = 1, asked: Mapping[str, int] | None = None) -> Mesh:
    """The devices for `members` of `shards` each, as a mesh with the axes `members` and `data`.

    They are as many as possible, members first: each axis divides what is spread along it. With
    `members` or `data` in `asked`, that axis has so many. Raises an InputError of one sentence if
    they do not divide, or if there are too few devices.
    """
    devices, there = jax.devices(), {MEMBERS: members, DATA: shards}
    asked = {} if asked is None else asked
    for name, number in asked.items():
        words = {MEMBERS: "members, which are seeds times points", DATA: "shards of each member"}
        require_known("axis of devices", name, there)
        require_positive(**{name: number})
        require(
            there[name] % number == 0,
            f"{number} devices do not divide the {there[name]} {words[name]}: try {name}="
            f"{largest_divisor(there[name], number)}.",
        )
    found = dict(asked)
    for name, other in ((MEMBERS, DATA), (DATA, MEMBERS)):
        most = max(1, len(devices) // found.get(other, 1))
        found.setdefault(name, largest_divisor(there[name], most))
    needed = found[MEMBERS] * found[DATA]
    require(
        needed <= len(devices),
        f"members={found[MEMBERS]} and data={found[DATA]} need {needed} devices, but there are "
        f"{len(devices)}: ask for fewer, or leave --devices out to use what is there.",
    )
    return mesh_of(devices[:needed], found[DATA])
