"""Reinforcement learning as compositions of pure functions."""

from jaxrl.loop import advance, assemble, budget, evaluate, make_train, rollout, summarise
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
