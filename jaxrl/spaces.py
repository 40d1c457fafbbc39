"""What every action space can do: blank and random actions, vectors, units and masks."""

import math
from functools import reduce
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.types import Array, Box, Discrete, Key, MultiDiscrete, Product, Space, Tree


def blank(space: Space, *lead: int, dtype: Any = float) -> Tree:
    """An action of zeros with leading axes, none by default; real numbers have a `dtype`."""
    if isinstance(space, Discrete):
        return jnp.zeros(lead, jnp.int32)
    if isinstance(space, Box):
        return jnp.zeros((*lead, *space.shape), dtype)
    if isinstance(space, MultiDiscrete):
        return jnp.zeros((*lead, len(space.nums)), jnp.int32)
    return tuple(blank(part, *lead, dtype=dtype) for part in space.parts)


def plain(space: Space) -> Space:
    """The same actions, with numbers that are ints or bounds that are float32 arrays."""
    if isinstance(space, Discrete):
        return Discrete(int(space.num))
    if isinstance(space, Box):
        return Box(*(jnp.asarray(x, jnp.float32) for x in space))
    if isinstance(space, MultiDiscrete):
        return MultiDiscrete(tuple(map(int, space.nums)))
    return Product(tuple(map(plain, space.parts)))


def random(space: Space, batch_size: int, key: Key, mask: Tree = None) -> Tree:
    """Uniformly random actions [B, *], among those that a mask allows if there is one."""
    if isinstance(space, Box):
        low, high = space
        return jax.random.uniform(key, (batch_size, *low.shape), minval=low, maxval=high)
    if isinstance(space, Product):
        keys = jax.random.split(key, len(space.parts))
        parts = zip(space.parts, keys, masks_of(space, mask))
        return tuple(random(part, batch_size, k, m) for part, k, m in parts)
    if mask is not None:
        return jax.random.categorical(key, jnp.where(mask, 0.0, -jnp.inf)).astype(jnp.int32)
    if isinstance(space, Discrete):
        return jax.random.randint(key, (batch_size,), 0, space.num)
    return jax.random.randint(key, (batch_size, len(space.nums)), 0, np.asarray(space.nums))


def size(space: Space) -> int:
    """The length A of an action as a vector."""
    if isinstance(space, Discrete):
        return space.num
    if isinstance(space, Box):
        return math.prod(space.shape)
    return sum(space.nums if isinstance(space, MultiDiscrete) else map(size, space.parts))


def flat(space: Space, action: Tree) -> Array:
    """Actions [..., *] as vectors [..., A]; discrete ones are one-hot."""
    if isinstance(space, Discrete):
        return jax.nn.one_hot(action, space.num)
    if isinstance(space, Box):
        lead = action.shape[: action.ndim - len(space.shape)]
        return action.reshape(*lead, size(space))
    if isinstance(space, MultiDiscrete):
        hot = jax.nn.one_hot(action, max(space.nums))
        return hot.reshape(*hot.shape[:-2], -1)[..., np.flatnonzero(existing(space))]
    return jnp.concatenate([flat(part, x) for part, x in zip(space.parts, action)], -1)


def has_continuous(space: Space) -> bool:
    """Whether actions have a continuous part."""
    if isinstance(space, Product):
        return any(map(has_continuous, space.parts))
    return isinstance(space, Box)


def has_discrete(space: Space) -> bool:
    """Whether actions have a discrete part, which a mask may restrict."""
    if isinstance(space, Product):
        return any(map(has_discrete, space.parts))
    return not isinstance(space, Box)


def unit(space: Space) -> Space:
    """The same space with continuous actions in [-1, 1]."""
    if isinstance(space, Product):
        return Product(tuple(map(unit, space.parts)))
    if isinstance(space, Box):
        ones = jnp.ones_like(space.low)
        return Box(-ones, ones)
    return space


def from_unit(space: Space, action: Tree) -> Tree:
    """Actions of a space, of those in which continuous ones are in [-1, 1], and clipped to it."""
    if isinstance(space, Product):
        return tuple(from_unit(part, x) for part, x in zip(space.parts, action))
    if not isinstance(space, Box):
        return action
    share = (jnp.clip(action, -1.0, 1.0) + 1.0) / 2.0
    # Two products, for the difference of two large bounds may overflow.
    return space.low * (1.0 - share) + space.high * share


def existing(space: MultiDiscrete) -> np.ndarray:
    """Which entries [n, max(nums)] of a table of all actions are actions."""
    return np.arange(max(space.nums)) < np.asarray(space.nums)[:, None]


def masks_of(space: Product, mask: Tree) -> tuple:
    """The masks of the parts of a product, None for those that have none."""
    return (None,) * len(space.parts) if mask is None else tuple(mask)


def mask_shapes(space: Space) -> Tree:
    """The shapes and types of the mask of one observation; None for a continuous part."""
    if isinstance(space, Discrete):
        return jax.ShapeDtypeStruct((space.num,), jnp.bool_)
    if isinstance(space, MultiDiscrete):
        return jax.ShapeDtypeStruct((len(space.nums), max(space.nums)), jnp.bool_)
    return tuple(map(mask_shapes, space.parts)) if isinstance(space, Product) else None


def allows_some(space: Space, mask: Tree) -> Any:
    """Whether a mask [..., *] allows an action of every part that it restricts [...]."""
    if isinstance(space, Product):
        parts = zip(space.parts, masks_of(space, mask))
        return reduce(jnp.logical_and, (allows_some(*part) for part in parts), jnp.asarray(True))
    if isinstance(space, MultiDiscrete):
        return (mask & existing(space)).any(-1).all(-1)
    return True if mask is None else mask.any(-1)


def some_allowed(space: Space, mask: Tree) -> Any:
    """A mask that allows all actions where the given one allows none."""
    if isinstance(space, Product):
        parts = zip(space.parts, masks_of(space, mask))
        return tuple(None if m is None else some_allowed(part, m) for part, m in parts)
    if isinstance(space, MultiDiscrete):
        real = existing(space)
        mask = mask & real
        return mask | (real & ~mask.any(-1, keepdims=True))
    return cast(Array, mask | ~mask.any(-1, keepdims=True))
