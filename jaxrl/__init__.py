"""Reinforcement learning as compositions of pure functions."""

from jaxrl.budget import budget
from jaxrl.loop import advance, assemble, evaluate, make_train, rollout, summarise
from jaxrl.policy import load

__all__ = [
    "advance",
    "assemble",
    "budget",
    "evaluate",
    "load",
    "make_train",
    "rollout",
    "summarise",
]
