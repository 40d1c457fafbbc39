"""Learning rules and the transforms that decide what they learn from, and when.

`descend` turns a loss into an Update; every other function here is `Update -> Update`.
"""

from jaxrl.updates.configured import (
    decay_updates,
    in_passes,
    optimiser_for,
    replayed,
    replayed_by_priority,
    require_buffer,
    require_passes,
)
from jaxrl.updates.gradient import Learner, delayed, descend, every, polyak
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
    "decay_updates",
    "delayed",
    "descend",
    "dreaming",
    "epochs",
    "every",
    "explained_variance",
    "fitting",
    "imagined",
    "in_passes",
    "in_turn",
    "mixed",
    "n_step",
    "optimiser_for",
    "polyak",
    "prepared",
    "prioritised",
    "repeated",
    "replay",
    "replayed",
    "replayed_by_priority",
    "require_buffer",
    "require_passes",
    "standardised",
    "together",
    "waking",
]
