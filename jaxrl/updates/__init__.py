"""Learning rules and the transforms that decide what they learn from, and when.

`descend` turns a loss into an Update; every other function here is `Update -> Update`.
"""

from jaxrl.updates.gradient import (
    Learner,
    clipped,
    decay_updates,
    delayed,
    descend,
    every,
    linear_decay,
    polyak,
)
from jaxrl.updates.imagined import (
    Dream,
    dreaming,
    fitting,
    imagined,
    in_turn,
    mixed,
    repeated,
    together,
    waking,
)
from jaxrl.updates.offpolicy import n_step, prioritised, replay
from jaxrl.updates.onpolicy import epochs, explained_variance, prepared, standardised

__all__ = [
    "Dream",
    "Learner",
    "clipped",
    "decay_updates",
    "delayed",
    "descend",
    "dreaming",
    "epochs",
    "every",
    "explained_variance",
    "fitting",
    "imagined",
    "in_turn",
    "linear_decay",
    "mixed",
    "n_step",
    "polyak",
    "prepared",
    "prioritised",
    "repeated",
    "replay",
    "standardised",
    "together",
    "waking",
]
