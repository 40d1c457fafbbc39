"""Rows of 32-bit words that hold the leaves of a tree, bit for bit.

One array instead of one per leaf makes storing a step a single write, and sampling a batch a
single gather. Packing is not differentiable.
"""

from collections.abc import Hashable
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require
from jaxrl.types import Array, Tree

STORED_AS = {"bool": np.uint8, "complex64": np.float32, "complex128": np.float64}


class Layout(NamedTuple):
    """What a row holds: static, and no part of the data."""

    structure: Hashable  # a PyTreeDef
    shapes: tuple[tuple[int, ...], ...]  # of each leaf, without the leading axes
    dtypes: tuple[str, ...]


def layout(tree: Tree, leading: int) -> Layout:
    """The layout of a tree whose leaves share `leading` axes.

    Raises an InputError if there is no leaf, if they do not share them, or if a leaf is of a type
    without a fixed number of bytes.
    """
    leaves, structure = jax.tree.flatten(tree)
    require(bool(leaves), "Nothing to store: the example has no arrays.")
    leads = sorted({x.shape[:leading] for x in leaves})
    require(
        len(leads) == 1 and len(leads[0]) == leading,
        f"All arrays to be stored must share their first {leading} axes, but they are {leads}.",
    )
    for x in leaves:
        numeric = not jnp.issubdtype(x.dtype, jax.dtypes.extended) and x.dtype.itemsize <= 16
        require(numeric, f"Arrays of type {x.dtype} cannot be stored: store numbers.")
    return Layout(
        structure, tuple(x.shape[leading:] for x in leaves), tuple(str(x.dtype) for x in leaves)
    )


def pack(tree: Tree, form: Layout) -> Array:
    """Leaves [..., *shape] as rows of words [..., width], uint32."""
    lead = len(jax.tree.leaves(tree)[0].shape) - len(form.shapes[0])

    def words(x: Array) -> Array:
        x = x.astype(jnp.uint8) if x.dtype == bool else x
        x = jnp.stack([x.real, x.imag], -1) if jnp.iscomplexobj(x) else x
        # Sizes are given in full, because -1 is ambiguous where there is no row.
        x = x.reshape(*x.shape[:lead], prod(x.shape[lead:]))
        if x.dtype.itemsize < 4:  # several to a word, the last one filled up with zeros
            each = 4 // x.dtype.itemsize
            x = jnp.pad(x, [(0, 0)] * lead + [(0, -x.shape[-1] % each)])
            x = x.reshape(*x.shape[:-1], x.shape[-1] // each, each)
        x = jax.lax.bitcast_convert_type(x, jnp.uint32)
        return x.reshape(*x.shape[:lead], prod(x.shape[lead:]))

    return jnp.concatenate([words(x) for x in jax.tree.leaves(tree)], -1)


def unpack(rows: Array, form: Layout) -> Tree:
    """The inverse of `pack`."""
    leaves, offset = [], 0
    for shape, name in zip(form.shapes, form.dtypes):
        dtype, split = jnp.dtype(STORED_AS.get(name, name)), name.startswith("complex")
        shape = (*shape, 2) if split else shape
        width = -(-prod(shape) * dtype.itemsize // 4)
        words = rows[..., offset : offset + width]
        words = words.reshape(*rows.shape[:-1], -1, 2) if dtype.itemsize == 8 else words
        x = jax.lax.bitcast_convert_type(words, dtype)
        x = x.reshape(*rows.shape[:-1], -1)[..., : prod(shape)]
        x = x.reshape(*rows.shape[:-1], *shape)
        x = jax.lax.complex(x[..., 0], x[..., 1]) if split else x.astype(name)
        leaves.append(x)
        offset += width
    structure: Any = form.structure
    return jax.tree.unflatten(structure, leaves)
