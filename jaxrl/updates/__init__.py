"""Learning rules and the transforms that decide what they learn from, and when.

`descend` turns a loss into an Update; every other function here is `Update -> Update`.
"""

from jaxrl.updates.gradient import Learner, clipped, delayed, descend, every, linear_decay, polyak
from jaxrl.updates.offpolicy import n_step, prioritised, replay
from jaxrl.updates.onpolicy import epochs, prepared

__all__ = [
    "Learner",
    "clipped",
    "delayed",
    "descend",
    "epochs",
    "every",
    "linear_decay",
    "n_step",
    "polyak",
    "prepared",
    "prioritised",
    "replay",
]
