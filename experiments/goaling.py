"""The option --goal: hindsight in environments with goals."""

from collections.abc import Callable
from typing import Any

from experiments import worded
from jaxrl.goals.hindsight import KINDS, Hindsight, check_hindsight, hindsighted
from jaxrl.types import Agent, Spec

WORDS = ("own", "hindsight")


def described(words: tuple[str, ...], parameters: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What the words after --goal mean, see `worded.described`."""
    return worded.described("goal", words, WORDS, settings, parameters)


def settings(goal: dict[str, Any]) -> Hindsight:
    """The settings of hindsight; where shares are given, those that are not are zero."""
    values = worded.filled(Hindsight, goal, "--goal hindsight")
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
    who = f"{agent} with --goal hindsight"
    return worded.blamed(who, lambda: hindsighted(make, settings(goal), data))
