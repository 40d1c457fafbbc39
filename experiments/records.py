"""Nested records as flat mappings: `critic.high` is the field `high` of the field `critic`."""

import dataclasses
from collections.abc import Iterator
from typing import Any


def fields(record: Any, prefix: str = "") -> Iterator[tuple[str, type, dataclasses.Field, Any]]:
    """Each innermost field: its dotted name, the class that defines it, the field and its value."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, type(record), field, value


def flat(record: Any) -> dict[str, Any]:
    """The values of a record by dotted name."""
    return {name: value for name, _, _, value in fields(record)}


def replaced(record: Any, values: dict[str, Any]) -> Any:
    """A record with values replaced by dotted name; a TypeError for a name that does not exist."""
    own = {name: value for name, value in values.items() if "." not in name}
    for outer in dict.fromkeys(name.partition(".")[0] for name in values if "." in name):
        inner = {k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{outer}.")}
        own[outer] = replaced(getattr(record, outer), inner) if hasattr(record, outer) else inner
    return dataclasses.replace(record, **own)


def numeric(record: Any) -> list[str]:
    """The dotted names of the fields that are not static, which vmap can sweep."""
    return [name for name, _, f, _ in fields(record) if f.metadata.get("pytree_node", True)]
