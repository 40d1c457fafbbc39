"""A random data set, and its episodes by a loop in numpy."""

import numpy as np

from jaxrl.types import Transition

STEPS, LANES = 41, 3


def made(seed=0, steps=STEPS, lanes=LANES, actions=None):
    """Random steps whose episodes terminate or are truncated; some lanes end in the middle."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(size=(steps, lanes, *shape)).astype(np.float32)
    last = rng.random((steps, lanes)) < 0.2
    last[-1] = np.arange(lanes) == 0  # of the first lane alone the end is known
    discount = 1 - (last & (rng.random(last.shape) < 0.5)).astype(np.float32)
    action = normal(2) if actions is None else rng.integers(0, actions, (steps, lanes))
    obs = {"a": normal(3), "b": normal()}
    final = {name: x + normal(*x.shape[2:]) for name, x in obs.items()}
    return Transition(obs, action, normal(), discount, last, final, (), np.ones_like(discount))


def walked(data):
    """The episodes, lane after lane: lists of the steps (time, lane)."""
    found = []
    steps, lanes = data.reward.shape
    for lane in range(lanes):
        found.append([])
        for time in range(steps):
            found[-1].append((time, lane))
            if data.last[time, lane] and time + 1 < steps:
                found.append([])
    return found
