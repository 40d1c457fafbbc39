"""Agents: one file each, of hyperparameters, a network, a loss and the transforms it composes."""

from collections.abc import Callable
from typing import Any, NamedTuple

from agents import dqn, ppo, sac
from jaxrl.types import Agent, Spec


class AgentEntry(NamedTuple):
    """An agent as the shell finds it by name."""

    hyperparameters: type
    make: Callable[[Spec, Any], Agent]


AGENTS: dict[str, AgentEntry] = {
    "dqn": AgentEntry(dqn.Hyperparameters, dqn.dqn),
    "ppo": AgentEntry(ppo.Hyperparameters, ppo.ppo),
    "sac": AgentEntry(sac.Hyperparameters, sac.sac),
}
