"""Spaces of Gymnasium as specs, and their observations and actions as arrays."""

from typing import Any

import jax
import numpy as np

from jaxrl.errors import InputError
from jaxrl.types import Box, Discrete, MultiDiscrete, Product, Space, Spec, Tree


def spec_of(observation: Any, action: Any, name: str) -> Spec:
    """The spec of an environment with a space of observations and one of actions.

    Discrete observations are one-hot vectors, bytes and bools stay what they are, and other numbers
    are float32. Raises an InputError, in the name of the environment, for spaces of other kinds.
    """
    return Spec(observed(observation, name), space_of(action, name))


def observed(space: Any, name: str) -> Tree:
    """The shapes and types of the observations of a space."""
    kind = type(space).__name__
    if kind == "Dict":
        return {key: observed(part, name) for key, part in space.spaces.items()}
    if kind == "Tuple":
        return tuple(observed(part, name) for part in space.spaces)
    if kind == "Discrete":
        return jax.ShapeDtypeStruct((int(space.n),), np.float32)
    if kind in ("Box", "MultiBinary", "MultiDiscrete"):
        own = space.dtype if space.dtype in (np.uint8, np.bool_) else np.dtype(np.float32)
        return jax.ShapeDtypeStruct(tuple(space.shape), own)
    raise InputError(f"{name} has observations of a space {kind}, which no network here reads.")


def stacked(space: Any, obs: Any) -> Tree:
    """Observations [N, *] of a space as arrays of the types of `observed`."""
    kind = type(space).__name__
    if kind == "Dict":
        return {key: stacked(part, obs[key]) for key, part in space.spaces.items()}
    if kind == "Tuple":
        return tuple(stacked(part, x) for part, x in zip(space.spaces, obs))
    if kind == "Discrete":
        places = np.asarray(obs, np.int64) - int(space.start)
        return np.eye(int(space.n), dtype=np.float32)[places]
    own = space.dtype if space.dtype in (np.uint8, np.bool_) else np.float32
    return np.array(obs, own)


def space_of(space: Any, name: str) -> Space:
    """The actions of a space; an InputError for those that no agent here takes."""
    kind = type(space).__name__
    if kind == "Discrete":
        return Discrete(int(space.n))
    if kind == "Box":
        # By numpy: a spec that is kept must not hold what a trace makes of numbers.
        bound = lambda x: np.broadcast_to(np.asarray(x, np.float32), space.shape)
        return Box(bound(space.low), bound(space.high))
    if kind == "MultiDiscrete":
        return MultiDiscrete(tuple(int(n) for n in np.asarray(space.nvec).reshape(-1)))
    if kind == "MultiBinary":
        return MultiDiscrete((2,) * int(np.prod(space.shape)))
    if kind == "Tuple":
        return Product(tuple(space_of(part, name) for part in space.spaces))
    raise InputError(f"{name} has actions of a space {kind}, which no agent here takes.")


def acted(space: Any, action: Tree) -> Any:
    """Actions [N, *] as a batch of actions of a space."""
    kind = type(space).__name__
    if kind == "Tuple":
        return tuple(acted(part, x) for part, x in zip(space.spaces, action))
    action = np.asarray(action)
    if kind == "Discrete":
        return action.astype(np.int64) + int(space.start)
    if kind == "Box":
        return action.astype(space.dtype)
    start = getattr(space, "start", 0)
    return action.reshape(len(action), *space.shape).astype(space.dtype) + start
