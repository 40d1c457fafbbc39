"""Reinforcement learning as compositions of pure functions."""

from jaxrl.loop import advance, assemble, budget, evaluate, make_train, rollout, summarise

__all__ = [
    "advance",
    "assemble",
    "budget",
    "evaluate",
    "make_train",
    "rollout",
    "summarise",
]
