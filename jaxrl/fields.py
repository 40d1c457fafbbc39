"""Fields of hyperparameters: which of them are static, and the range that each must lie in.

    @record
    class Hyperparameters:
        discount: float = number(0.99, FRACTION)
        n_step: int = static(1, POSITIVE)
        collection: Collection = Collection(num_envs=16)

Numbers can be traced, so that whole runs are vmapped over them. Static fields decide shapes or
programs. `check_fields` checks all of them at once, before anything is compiled.
"""

import dataclasses
import functools
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from flax import struct
from jax.core import Tracer

from jaxrl.errors import InputError, require

T = typing.TypeVar("T")


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
NOT_NEGATIVE = Range("must not be negative", lambda x: x >= 0)
NOT_NEGATIVE_OR_INFINITE = NOT_NEGATIVE._replace(infinite=True)
NOT_POSITIVE = Range("must not be positive", lambda x: x <= 0)
FRACTION = between(0, 1)
BELOW_ONE = Range("must be at least 0 and below 1", lambda x: (x >= 0) & (x < 1))
ENTRIES = between(1, 2**29)  # positions in a buffer are int32


@typing.dataclass_transform(field_specifiers=(struct.field,))
def record(cls: type[T]) -> type[T]:
    """A frozen dataclass that is a pytree, and that takes fields of its records by their names.

    `cls(num_envs=8)` and `.replace(num_envs=8)` set the field `num_envs` of the record within that
    has one. Where several have it, an InputError tells which they are. Raises a TypeError for a
    class that has a field of the name of one in a group, since that goes by its own name too.
    """
    made = struct.dataclass(cls)
    own = {field.name: field.default for field in dataclasses.fields(made)}  # pyright: ignore[reportArgumentType]
    for name, value in own.items():
        for twice in own.keys() & (vars(value) if getattr(value, "is_group", False) else {}):
            raise TypeError(f"{cls.__name__} and its group {name} both have a field {twice}.")
    plain = made.__init__

    @functools.wraps(plain)
    def init(self: Any, *args: Any, **values: Any) -> None:
        plain(self, *args, **routed(made, values))

    made.__init__ = init
    return made


@typing.dataclass_transform(field_specifiers=(struct.field,))
def group(cls: type[T]) -> type[T]:
    """A `record` that is part of others, whose fields go by their own names there.

    The field `num_envs` of the group `collection` is called `num_envs` in messages, files and
    options, and that of a record which is no group has the name of the record before it.
    """
    made = record(cls)
    made.is_group = True  # pyright: ignore[reportAttributeAccessIssue]
    return made


def prefix_of(record: Any, name: str) -> str:
    """What comes before the names of the fields of a record that is the field `name`."""
    return "" if getattr(record, "is_group", False) else f"{name}."


def routed(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a record's own fields, of which some are given as fields of records within."""
    own = {field.name: field for field in dataclasses.fields(cls)}
    inner = {name: value for name, value in values.items() if name not in own}
    kept = {name: value for name, value in values.items() if name in own}
    for name, value in inner.items():
        homes = [
            field.name
            for field in own.values()
            if dataclasses.is_dataclass(field.default) and hasattr(field.default, name)
        ]
        if len(homes) > 1:
            raise ambiguous(name, [f"{home}.{name}" for home in homes])
        if not homes:
            kept[name] = value  # the dataclass says that there is no such field
            continue
        before = kept.get(homes[0], own[homes[0]].default)
        kept[homes[0]] = dataclasses.replace(before, **{name: value})
    return kept


def takes(record: Any, name: str) -> bool:
    """Whether a record has a field of that name, itself or in a group within it."""
    within = [getattr(record, field.name) for field in dataclasses.fields(record)]
    holders = [record, *(x for x in within if getattr(x, "is_group", False))]
    return any(name == field.name for one in holders for field in dataclasses.fields(one))


def ambiguous(name: str, choices: list[str]) -> InputError:
    """The error for a name that several fields have."""
    return InputError(f"{name} could be {' or '.join(choices)}: say which.")


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
            check_fields(value, prefix + prefix_of(value, field.name))
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
    elif isinstance(default, str) and name.endswith("encoder"):
        fits = isinstance(value, str | nn.Module)
        require(fits, f"{name} must be a word or a flax module, but it is {value!r}.")
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
