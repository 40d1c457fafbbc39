"""Learning rules and the transforms that decide what they learn from, and when.

`descend` turns a loss into an Update; every other function here is `Update -> Update`.

Examples:
    The examples of this package share a `batch` of two steps in two lanes, each with a reward of 1,
    and updates that learn nothing: `total` adds up the rewards that it is given, `judged` reports
    priorities too, and `counted` counts batches. A `dream` makes ten times the reward.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import optax
    >>> from jaxrl import updates
    >>> from jaxrl.types import Transition, Update
    >>> key, zero, ones = jax.random.key(0), jnp.zeros(()), jnp.ones((2, 2))
    >>> batch = Transition(ones, ones, ones, ones, ones < 0, ones, (), ones)
    >>> start, read = lambda key, example: jnp.zeros(()), lambda state: state
    >>> add = lambda state, batch, key: (state + batch.reward.sum(), {})
    >>> judge = lambda state, batch, key: (state + batch.reward.sum(), {"priority": jnp.ones(3)})
    >>> total, judged = Update(start, add, read), Update(start, judge, read)
    >>> counted = Update(start, lambda state, batch, key: (state + 1, {}), read)
    >>> dream = lambda model, view, batch, key: batch._replace(reward=10 * batch.reward)
"""

from jaxrl.updates.compact import compact
from jaxrl.updates.configured import (
    decay_updates,
    in_passes,
    optimiser_for,
    prolonged,
    replayed,
    replayed_by_priority,
    require_buffer,
    require_passes,
)
from jaxrl.updates.gradient import Late, Learner, delayed, descend, every, polyak, separate
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
    without_context,
)
from jaxrl.updates.marked import symmetric
from jaxrl.updates.offpolicy import (
    enriched,
    folded,
    n_step,
    prioritised,
    replay,
    with_next_actions,
)
from jaxrl.updates.onpolicy import epochs, explained_variance, prepared, standardised
from jaxrl.updates.residual import (
    GRADIENTS,
    cosine,
    half_gradients,
    orthogonal,
    residual_loss,
)

__all__ = [
    "GRADIENTS",
    "Dream",
    "Late",
    "Learner",
    "compact",
    "cosine",
    "decay_updates",
    "delayed",
    "descend",
    "dreaming",
    "enriched",
    "epochs",
    "every",
    "explained_variance",
    "fitting",
    "folded",
    "half_gradients",
    "imagined",
    "in_passes",
    "in_turn",
    "mixed",
    "n_step",
    "optimiser_for",
    "orthogonal",
    "polyak",
    "prepared",
    "prioritised",
    "prolonged",
    "repeated",
    "replay",
    "replayed",
    "replayed_by_priority",
    "require_buffer",
    "require_passes",
    "residual_loss",
    "separate",
    "standardised",
    "symmetric",
    "together",
    "waking",
    "with_next_actions",
    "without_context",
]
