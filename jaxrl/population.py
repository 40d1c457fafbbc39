"""Many members at once: vmap over seeds and hyperparameters, spread over devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from jaxrl.errors import require
from jaxrl.types import Tree


def populate(
    fn: Callable[..., Any],
    in_axes: Sequence[Tree],
    out_axes: Tree,
    devices: Sequence[Any] | None = None,
) -> Callable[..., Any]:
    """`jax.vmap(fn)` over members, cut into equal shares for each of `devices`.

    Axes are 0 for what members have each of their own and None for what they share, as
    `population_axes` tells of a `Run`. Members never communicate, so the result does not depend
    on the devices. The number of members must be divisible by that of the devices.
    """
    batched = jax.vmap(fn, in_axes=tuple(in_axes), out_axes=out_axes)
    if devices is None or len(devices) < 2:
        return batched
    mesh = jax.make_mesh(
        (len(devices),), ("members",), axis_types=(AxisType.Auto,), devices=devices
    )
    return jax.shard_map(
        batched,
        mesh=mesh,
        in_specs=shares(tuple(in_axes)),
        out_specs=shares(out_axes),
        check_vma=False,
    )


def shares(axes: Tree) -> Tree:
    """The partition of arrays whose axes are 0 or None: by members, or a copy for every device."""
    spec = lambda axis: PartitionSpec() if axis is None else PartitionSpec("members")
    return jax.tree.map(spec, axes, is_leaf=lambda axis: axis is None)


def usable_devices(members: int) -> list[Any]:
    """As many of the local devices as divide `members` evenly."""
    require(members > 0, f"A population needs members, but there are {members}.")
    devices = jax.local_devices()
    return devices[: max(n for n in range(1, len(devices) + 1) if members % n == 0)]
