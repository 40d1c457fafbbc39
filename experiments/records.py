"""Nested records as flat mappings: `critic.high` is the field `high` of the field `critic`.

The fields of groups, such as `collection`, have their own names: see `jaxrl.fields.group`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxrl.fields import ambiguous, prefix_of


def fields(record: Any, prefix: str = "") -> Iterator[tuple[str, type, dataclasses.Field, Any]]:
    """Each innermost field: its dotted name, the class that defines it, the field and its value."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, prefix + prefix_of(value, field.name))
        else:
            yield prefix + field.name, type(record), field, value


def dotted(record: Any, prefix: str = "", path: str = "") -> dict[str, str]:
    """The whole path of each innermost field by its name: collection.num_envs of num_envs."""
    found = {}
    for field in dataclasses.fields(record):
        value, whole = getattr(record, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            found |= dotted(value, prefix + prefix_of(value, field.name), f"{whole}.")
        else:
            found[prefix + field.name] = whole
    return found


def resolved(record: Any, name: str) -> str | None:
    """The name of the field that a name, its path, or the end of its name means; None if none.

    Raises an InputError where several fields end with it.
    """
    paths = dotted(record)
    whole = [known for known, path in paths.items() if name in (known, path)]
    ends = whole or [known for known in paths if known.rpartition(".")[2] == name]
    if len(ends) > 1:
        raise ambiguous(name, ends)
    return ends[0] if ends else None


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
