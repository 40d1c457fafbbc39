"""Nested records as flat mappings: `critic.high` is the field `high` of the field `critic`.

The fields of groups, such as `collection`, have their own names: see `jaxrl.fields.group`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxrl.fields import prefix_of


def walked(
    record: Any, prefix: str = "", path: str = ""
) -> Iterator[tuple[str, str, type, dataclasses.Field, Any]]:
    """Each innermost field: its name, its path, the class that defines it, itself, its value.

    The name of a group's field is its own, and its path is whole: collection.num_envs of num_envs.
    """
    for field in dataclasses.fields(record):
        value, whole = getattr(record, field.name), path + field.name
        if dataclasses.is_dataclass(value):
            yield from walked(value, prefix + prefix_of(value, field.name), f"{whole}.")
        else:
            yield prefix + field.name, whole, type(record), field, value


def fields(record: Any) -> Iterator[tuple[str, type, dataclasses.Field, Any]]:
    """Each innermost field: its dotted name, the class that defines it, the field and its value."""
    return ((name, cls, field, value) for name, _, cls, field, value in walked(record))


def dotted(record: Any) -> dict[str, str]:
    """The whole path of each innermost field by its name."""
    return {name: path for name, path, *_ in walked(record)}


def flat(record: Any) -> dict[str, Any]:
    """The values of a record by dotted name."""
    return {name: value for name, _, _, value in fields(record)}


def replaced(record: Any, values: dict[str, Any]) -> Any:
    """A record with values replaced by dotted name; a TypeError for a name that does not exist.

    Fields of groups may also be given by their dotted names.
    """
    own = {name: value for name, value in values.items() if "." not in name}
    for outer in dict.fromkeys(name.partition(".")[0] for name in values if "." in name):
        inner = {k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{outer}.")}
        own[outer] = replaced(getattr(record, outer), inner) if hasattr(record, outer) else inner
    return dataclasses.replace(record, **own)


def numeric(record: Any) -> list[str]:
    """The dotted names of the fields that are not static, which vmap can sweep."""
    return [name for name, _, f, _ in fields(record) if f.metadata.get("pytree_node", True)]
