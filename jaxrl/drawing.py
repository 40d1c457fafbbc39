"""Draws of classes by one random number each."""

import jax
import jax.numpy as jnp

from jaxrl.types import Array, Key


def one_hot_draw(probabilities: Array, key: Key) -> Array:
    """One-hot samples [..., C] by probabilities [..., C], which need not sum to one.

    A sample is the first class whose cumulative sum is above a uniform number times the total, so
    that a class of probability zero is never drawn; if all of them are zero, none is. It has no
    gradient. `jax.random.categorical` draws a number for each class, and takes up to six times as
    long on a CPU.

    Examples:
        >>> from jaxrl.drawing import one_hot_draw
        >>> print(one_hot_draw(jnp.array([[0.0, 2.0], [1.0, 0.0]]), key))
        [[0. 1.]
         [1. 0.]]
    """
    columns = jnp.moveaxis(probabilities, -1, 0)
    # One after another: sums in another order may differ by rounding where a class has none.
    add = lambda total, p: (total + p, total + p)
    ends = jax.lax.scan(add, jnp.zeros_like(columns[0]), columns, unroll=8)[1]
    at = jax.random.uniform(key, columns.shape[1:], columns.dtype) * ends[-1]
    return jax.nn.one_hot((at >= ends).sum(0), len(columns), dtype=probabilities.dtype)
