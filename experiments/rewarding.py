"""The option --reward: rewards that are learnt, instead of those of the environment."""

from collections.abc import Callable
from typing import Any

from experiments import worded
from jaxrl.rewards.learnt import Preferences, check_preferences, preferring
from jaxrl.types import Agent, Spec

KINDS = ("environment", "preferences")


def described(words: tuple[str, ...], parameters: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What the words after --reward mean, see `worded.described`."""
    return worded.described("reward", words, KINDS, settings, parameters)


def settings(reward: dict[str, Any]) -> Preferences:
    """The settings of preferences with the values that were given; an InputError for others."""
    found = Preferences(**worded.filled(Preferences, reward, "--reward preferences"))
    check_preferences(found)
    return found


def maker(
    reward: dict[str, Any], make: Callable[..., Agent], agent: str
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that learns from a reward; an InputError if it cannot."""
    if not reward:
        return make
    who = f"{agent} with --reward preferences"
    return worded.blamed(who, lambda: preferring(make, settings(reward)))
