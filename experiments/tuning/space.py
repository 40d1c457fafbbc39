"""The search space of hyperparameters, of words such as `learning-rate=1e-4:1e-2:log`."""

import ast
from typing import Any, NamedTuple

from agents import AGENTS
from experiments import records
from experiments.arguments import meant
from jaxrl.errors import InputError, require, require_known, unknown
from jaxrl.evolution import Range


class Choice(NamedTuple):
    """The values of a hyperparameter of which one is chosen, such as sizes and names."""

    values: tuple[Any, ...]


Space = dict[str, Range | Choice]
"""The search space: an interval for a numeric hyperparameter, choices for any."""


def parsed(agent: str, words: tuple[str, ...]) -> Space:
    """The search space of an agent that words mean.

    `NAME=LOW:HIGH` is an interval of a numeric hyperparameter, `NAME=LOW:HIGH:log` one of its
    logarithm, and `NAME=A|B|C` are choices, of which lists are written with commas. Raises an
    InputError for anything else.
    """
    defaults = records.flat(AGENTS[agent].defaults)
    numeric, found = records.numeric(AGENTS[agent].defaults), {}
    require(
        bool(words),
        "--space needs at least one hyperparameter, such as learning-rate=1e-4:1e-2:log.",
    )
    for word in words:
        given, equals, text = word.partition("=")
        require(bool(equals and given and text), f"--space takes NAME=VALUES, not {word!r}.")
        name = named(agent, given)
        require(name not in found, f"--space gives {name} twice: leave one of them out.")
        parts = text.split(":")
        if len(parts) > 1:
            require(
                name in numeric,
                f"{name} is static, which means that the program depends on it: give choices, such "
                f"as {given}=A|B.",
            )
            found[name] = interval(word, parts)
        else:
            values = tuple(valued(name, defaults[name], part) for part in text.split("|"))
            require(len(set(values)) == len(values) > 1, f"{word} needs two different choices.")
            found[name] = Choice(values)
    return found


def named(agent: str, given: str) -> str:
    """The hyperparameter that a word means by its name, its whole path, or the last part of it.

    Raises an InputError that names the choices if there is none, or if several end with it.
    """
    paths = records.dotted(AGENTS[agent].defaults)
    name = meant(given, paths)
    if name is None:
        raise unknown("hyperparameter", given, paths)
    return name


def interval(word: str, parts: list[str]) -> Range:
    """The interval that the parts of a word mean."""
    log = len(parts) == 3 and parts[2] == "log"
    require(
        len(parts) == 2 or log,
        f"{word} is no interval: write NAME=LOW:HIGH or NAME=LOW:HIGH:log.",
    )
    try:
        low, high = float(parts[0]), float(parts[1])
    except ValueError:
        raise InputError(f"{word} needs two numbers around the colon.") from None
    require(low < high, f"{word} is empty: the first number must be below the second.")
    require(not log or low > 0, f"{word} is of logarithms: its numbers must be positive.")
    return Range(low, high, log)


def valued(name: str, default: Any, text: str) -> Any:
    """A choice as a value of the kind of the default; an InputError if it is of another kind."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(default, tuple) and not isinstance(value, tuple):
        value = (value,)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    require(
        type(value) is type(default),
        f"{name} takes values such as {default!r}, and {text!r} is none.",
    )
    return value


def static(space: Space, point: dict[str, Any], agent: str) -> tuple:
    """What a point has of hyperparameters on which the compiled program depends."""
    numeric = records.numeric(AGENTS[agent].defaults)
    return tuple(sorted((name, point[name]) for name in space if name not in numeric))


def require_floats(space: Space) -> dict[str, Range]:
    """The space, if it has intervals alone; an InputError names another entry."""
    found = {}
    for name, entry in space.items():
        if not isinstance(entry, Range):
            raise InputError(
                f"Population-based training changes {name} while it trains: give an interval, such "
                f"as {name}=LOW:HIGH."
            )
        found[name] = entry
    return found


def require_search(name: str, valid: tuple[str, ...]) -> None:
    """Raise an InputError for a search that does not exist."""
    require_known("search", name, valid)
