"""Grids of symbols as planes of bools, one for each value that a symbol may have."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxrl.types import Array


def planes(symbols: Array, sizes: Sequence[int]) -> Array:
    """The symbols [..., C], the c-th one of 0, ..., sizes[c] - 1, as bools [..., sum(sizes)].

    A symbol is a name, not a quantity: networks learn from one plane for each of its values. A
    value outside of its range is in no plane.
    """
    parts = [jax.nn.one_hot(symbols[..., c], n, dtype=jnp.bool_) for c, n in enumerate(sizes)]
    return jnp.concatenate(parts, -1)
