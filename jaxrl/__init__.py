"""Reinforcement learning as compositions of pure functions."""

from jaxrl.loop import advance, assemble, evaluate, make_train, rollout

__all__ = ["advance", "assemble", "evaluate", "make_train", "rollout"]
