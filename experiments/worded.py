"""Options that are a word with parameters, such as --reward preferences labels=200."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxrl.errors import InputError, require, require_known


def described(
    option: str,
    words: tuple[str, ...],
    kinds: tuple[str, ...],
    settings: Callable[[dict[str, Any]], Any],
    parameters: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """What the words after an option mean: {} for the first of `kinds`, which changes nothing.

    `parameters` reads words like name=value, and `settings` raises for a description that is not
    valid. Raises an InputError for what there is not.
    """
    if not words:
        return {}
    kind, *rest = words
    require_known(option, kind, kinds)
    given = parameters(tuple(rest), f"--{option}")
    if kind == kinds[0]:
        require(not given, f"--{option} {kind} takes no parameters.")
        return {}
    found = {"kind": kind} | given
    settings(found)
    return found


def filled(cls: type, described: dict[str, Any], option: str) -> dict[str, Any]:
    """The values of a record's fields in a description, of the types of the defaults.

    Raises an InputError for names that are no fields.
    """
    known = {field.name: field.default for field in dataclasses.fields(cls)}
    values = {name: value for name, value in described.items() if name != "kind"}
    for name, value in values.items():
        require_known(f"parameter of {option}", name, known)
        if isinstance(known[name], float) and type(value) is int:
            values[name] = float(value)
        if isinstance(known[name], tuple):
            values[name] = tuple(value) if isinstance(value, list | tuple) else (value,)
    return values


def words(described: dict[str, Any]) -> tuple[str, ...]:
    """The words after an option, such as --reward, that a description came from."""
    given = (f"{name}={value!r}" for name, value in described.items() if name != "kind")
    return (described["kind"], *given) if described else ()


def blamed(who: str, make: Callable[[], Any]) -> Any:
    """What `make()` returns; an InputError that it raises begins with `who`."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{who}: {error}") from None
