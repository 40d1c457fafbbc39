"""The option --reward: rewards that are learnt, instead of those of the environment."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxrl.errors import InputError, require, require_known
from jaxrl.rewards.learnt import Preferences, check_preferences, preferring
from jaxrl.types import Agent, Spec

KINDS = ("environment", "preferences")


def described(words: tuple[str, ...], parameters: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What the words after --reward mean: {} for the environment's own reward.

    `parameters` reads words like name=value. Raises an InputError for what there is not.
    """
    if not words:
        return {}
    kind, *rest = words
    require_known("reward", kind, KINDS)
    given = parameters(tuple(rest), "--reward")
    if kind == "environment":
        require(not given, "--reward environment takes no parameters.")
        return {}
    settings({"kind": kind} | given)  # raises
    return {"kind": kind} | given


def settings(reward: dict[str, Any]) -> Preferences:
    """The settings of preferences with the values that were given; an InputError for others."""
    found = Preferences(**filled(Preferences, reward, "--reward preferences"))
    check_preferences(found)
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


def maker(
    reward: dict[str, Any], make: Callable[..., Agent], agent: str
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that learns from a reward; an InputError if it cannot."""
    if not reward:
        return make
    try:
        return preferring(make, settings(reward))
    except InputError as error:
        raise InputError(f"{agent} with --reward preferences: {error}") from None
