"""Fields of hyperparameters: which of them are static, and the range that each must lie in.

    @struct.dataclass
    class Hyperparameters:
        learning_rate: float = number(1e-3, POSITIVE)
        num_envs: int = static(16, POSITIVE)

Numbers can be traced, so that whole runs are vmapped over them. Static fields decide shapes or
programs. `check_fields` checks all of them at once, before anything is compiled.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import struct
from jax.core import Tracer

from jaxrl.errors import InputError, require


class Range(NamedTuple):
    """The values that a number may have."""

    words: str  # they follow the number's name in a sentence
    contains: Callable[[np.ndarray], Any]  # for values [...], bools [...]; False for nan
    infinite: bool = False  # whether infinity is among them


def between(low: float, high: float) -> Range:
    """The numbers from `low` to `high`, both included."""
    return Range(f"must lie between {low} and {high}", lambda x: (x >= low) & (x <= high))


ANY = Range("must be a finite number", np.isfinite)
POSITIVE = Range("must be above zero", lambda x: x > 0)
POSITIVE_OR_INFINITE = POSITIVE._replace(infinite=True)
NOT_NEGATIVE = Range("must not be negative", lambda x: x >= 0)
NOT_POSITIVE = Range("must not be positive", lambda x: x <= 0)
FRACTION = between(0, 1)
ENTRIES = between(1, 2**29)  # positions in a buffer are int32


def number(default: float, within: Range = ANY) -> Any:
    """A field for a number that can be swept by vmap and must lie in a range."""
    return struct.field(default=default, metadata={"range": within})


def static(default: Any, within: Range | None = None) -> Any:
    """A field for a value that decides shapes or programs; whole numbers may have a range."""
    return struct.field(pytree_node=False, default=default, metadata={"range": within})


def check_fields(settings: Any, prefix: str = "") -> None:
    """Raise an InputError that names the first field of a dataclass whose value it cannot have.

    Records within the record are checked too. Traced numbers are passed over: they come from a
    sweep whose points are checked before. Anything but a dataclass is passed over.
    """
    if not dataclasses.is_dataclass(settings):
        return
    for field in dataclasses.fields(settings):
        name, value = prefix + field.name, getattr(settings, field.name)
        within = field.metadata.get("range")
        if dataclasses.is_dataclass(value):
            check_fields(value, f"{name}.")
        elif not field.metadata.get("pytree_node", True):
            check_static(name, value, field.default)
            if within is not None or isinstance(field.default, float):
                check_range(name, value, within or ANY)
        elif isinstance(field.default, float):
            check_range(name, value, within or ANY)


def check_static(name: str, value: Any, default: Any) -> None:
    """Raise an InputError if a static field is traced, or is not of the type of its default."""
    require(
        not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)),
        f"{name} shapes the program and cannot be traced or mapped over by vmap: call the "
        "function once for each of its values.",
    )
    if isinstance(default, int) and not isinstance(default, bool):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        require(whole, f"{name} must be a whole number, but it is {value!r}.")
    elif isinstance(default, tuple) and all(isinstance(x, int) for x in default):
        whole = isinstance(value, tuple | list) and all(isinstance(x, int) for x in value)
        require(whole, f"{name} must be whole numbers, but it is {value!r}.")
    elif isinstance(default, bool | str):
        kind = "True or False" if isinstance(default, bool) else "a word"
        require(isinstance(value, type(default)), f"{name} must be {kind}, but it is {value!r}.")


def check_range(name: str, value: Any, within: Range) -> None:
    """Raise an InputError unless all of a number's values [...] lie in a range, or are traced."""
    if isinstance(value, Tracer):
        return
    try:
        given = np.asarray(value, float)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number, but it is {value!r}.") from None
    if not np.all(within.contains(given)):
        raise InputError(f"{name} {within.words}, but it is {value}.")
    if not within.infinite and not np.isfinite(given).all():
        raise InputError(f"{name} {within.words} and finite, but it is {value}.")
