"""Values that do not change abruptly: bounds on the slope of a network, and of what it says nearby.

With one model in place of an ensemble, a value that is steep makes much of the model's errors: for
values with Lipschitz constant L, |T V - T' V| is at most gamma L W1(P, P'). Source: Zheng et al.
(2023), "Is model ensemble necessary?".
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxrl.types import Array, Key, Tree


def spectral_norm(matrix: Array, iterations: int = 8) -> Array:
    """The largest singular value [...] of matrices [..., N, M], nearly, by power iteration.

    It begins with the column sums, and has no state. Source: Miyato et al. (2018), algorithm 1.
    """
    unit = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    times = lambda a, x: jnp.einsum("...nm,...m->...n", a, x)
    transposed = jnp.swapaxes(matrix, -1, -2)

    def step(x: Array, _: None) -> tuple[Array, None]:
        return unit(times(transposed, times(matrix, x))), None

    start = unit(matrix.sum(-2) + 1e-3)
    x = jax.lax.stop_gradient(jax.lax.scan(step, start, None, iterations)[0])
    return jnp.linalg.norm(times(matrix, x), axis=-1)


def bounded(params: Tree, bound: float | Array, iterations: int = 8) -> Tree:
    """The parameters with every kernel [..., N, M] scaled to a spectral norm of at most `bound`.

    Smaller ones are left. A network of K such layers, with activations of slope at most one, has a
    Lipschitz constant of at most `bound`^K.
    """
    flat: dict[Any, Any] = dict(flatten_dict(params))

    def scaled(path: tuple, x: Array) -> Array:
        if path[-1] != "kernel":
            return x
        norm = spectral_norm(x, iterations)
        return x / jnp.maximum(norm / bound, 1.0)[..., None, None]

    return unflatten_dict({path: scaled(path, x) for path, x in flat.items()})


def worst_nearby(
    value: Callable[[Array], Array], obs: Array, radius: float | Array, key: Key, steps: int = 3
) -> Array:
    """Observations [B, D] within `radius` in each coordinate whose values [B] differ much.

    Projected ascent along the signs of the gradient, from a random point. Source: Madry et al.
    (2018), section 2.1.
    """
    here = jax.lax.stop_gradient(value(obs))
    gap = lambda shift: jnp.square(value(obs + shift) - here).sum()

    def step(shift: Array, _: None) -> tuple[Array, None]:
        moved = shift + 2.5 * radius / steps * jnp.sign(jax.grad(gap)(shift))
        return jnp.clip(moved, -radius, radius), None

    start = jax.random.uniform(key, obs.shape, minval=-1, maxval=1) * radius
    shift, _ = jax.lax.scan(step, start, None, steps)
    return jax.lax.stop_gradient(obs + shift)


def slope(value: Callable[[Array], Array], obs: Array) -> Array:
    """The length [B] of the gradient of values [B] at observations [B, D]: a local diagnosis."""
    gradient = jax.grad(lambda x: value(x).sum())(obs)
    return jnp.linalg.norm(gradient, axis=-1)
