"""What `config.json` says, checked by name before anything is made of it."""

import dataclasses
import json
import typing
from pathlib import Path
from typing import Any

from jaxrl.errors import InputError, require, unknown

RECORDED = ("environment_steps", "versions", "provenance", "sessions")  # beside the fields


def whole(folder: Path) -> dict[str, Any]:
    """Everything that `config.json` in a results folder says, as it was written."""
    path = folder / "config.json"
    require(path.is_file(), f"{folder} is not a results folder: it has no config.json.")
    try:
        values = json.loads(path.read_text())
    except ValueError as error:  # of JSON, or of UTF-8
        raise InputError(f"{path} cannot be read as a configuration: {error}.") from None
    require(isinstance(values, dict), f"{path} cannot be read as a configuration: no mapping.")
    return values


def read(folder: Path) -> dict[str, Any]:
    """The fields of the configuration in a results folder as they were written."""
    return {name: value for name, value in whole(folder).items() if name not in RECORDED}


def recorded(folder: Path) -> dict[str, Any]:
    """What is recorded beside the configuration: steps, versions, provenance, earlier sessions."""
    return {name: value for name, value in whole(folder).items() if name in RECORDED}


def require_fields(path: Path, values: dict[str, Any], cls: type) -> None:
    """Raise an InputError unless values read from JSON are the fields of a dataclass.

    Fields that have a default may be missing.
    """
    kinds = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        optional = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        require(optional or field.name in values, f"{path} lacks {field.name}.")
    for name, value in values.items():
        if name not in kinds:
            raise InputError(f"{path}: {unknown('field', name, kinds)}")
        kind = typing.get_origin(kinds[name]) or kinds[name]
        right = isinstance(value, kind) and not (kind is int and isinstance(value, bool))
        require(right, f"{path}: {name} must be {NAMES[kind]}, but it is {value!r}.")


NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
    tuple: "a list",
}


def require_kind(name: str, value: Any, default: Any) -> None:
    """Raise an InputError unless a value read from JSON is of the kind of a default."""
    if default is None:
        return
    kind = type(default)
    accepted = {float: (int, float), tuple: (list, tuple)}.get(kind, kind)
    right = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    require(right, f"{name} must be {NAMES.get(kind, kind.__name__)}, but it is {value!r}.")
    if kind is tuple and default:
        for part in value:
            require_kind(name, part, default[0])
