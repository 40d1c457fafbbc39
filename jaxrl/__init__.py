"""Reinforcement learning as compositions of pure functions."""

from jaxrl.budget import budget
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble, make_train, summarise
from jaxrl.policy import load
from jaxrl.rollouts import rollout

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
