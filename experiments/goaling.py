"""The option --goal: hindsight in environments with goals."""

from collections.abc import Callable
from typing import Any

from experiments import rewarding
from jaxrl.errors import InputError, require, require_known
from jaxrl.goals.hindsight import KINDS, Hindsight, check_hindsight, hindsighted
from jaxrl.types import Agent, Spec

WORDS = ("own", "hindsight")


def described(words: tuple[str, ...], parameters: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What the words after --goal mean: {} for each transition's own goal.

    `parameters` reads words like name=value. Raises an InputError for what there is not.
    """
    if not words:
        return {}
    kind, *rest = words
    require_known("goal", kind, WORDS)
    given = parameters(tuple(rest), "--goal")
    if kind == "own":
        require(not given, "--goal own takes no parameters.")
        return {}
    settings({"kind": kind} | given)  # raises
    return {"kind": kind} | given


def settings(goal: dict[str, Any]) -> Hindsight:
    """The settings of hindsight; where shares are given, those that are not are zero."""
    values = rewarding.filled(Hindsight, goal, "--goal hindsight")
    if any(kind in values for kind in KINDS):
        values = dict.fromkeys(KINDS, 0.0) | values
    found = Hindsight(**values)
    check_hindsight(found)
    return found


def maker(
    goal: dict[str, Any], make: Callable[..., Agent], agent: str, data: bool
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that learns with hindsight; an InputError if it cannot.

    `data` says whether it learns from a data set alone.
    """
    if not goal:
        return make
    try:
        return hindsighted(make, settings(goal), data)
    except InputError as error:
        raise InputError(f"{agent} with --goal hindsight: {error}") from None
