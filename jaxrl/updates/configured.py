"""Updates as an agent's settings describe them, and what settings must be for that.

`hp` are hyperparameters with the records of `jaxrl.settings` as the fields `collection`, `replay`,
`priorities`, `passes` and `optimisation`, as far as a function needs them.

Examples:
    >>> from types import SimpleNamespace
    >>> from jaxrl import settings
    >>> hp = SimpleNamespace(
    ...     collection=settings.Collection(num_envs=2, rollout_length=2, warmup=4),
    ...     replay=settings.Replay(buffer_size=4, batch_size=3, updates=2),
    ...     priorities=settings.Priorities(),
    ...     passes=settings.Passes(epochs=3, minibatches=2),
    ...     optimisation=settings.Optimisation("sgd", 0.5, decay_steps=8.0),
    ... )
"""

from dataclasses import replace
from typing import Any

import optax

from jaxrl.errors import require
from jaxrl.optimisers import optimiser
from jaxrl.remote import require_memory
from jaxrl.types import Array, Update
from jaxrl.updates.compact import compact, require_storage
from jaxrl.updates.offpolicy import Beside, check_buffer, prioritised, replay
from jaxrl.updates.onpolicy import check_divisible, epochs


def decay_updates(hp: Any) -> float | Array:
    """The number of gradient steps over which the learning rate falls.

    They are those in `hp.optimisation.decay_steps` environment steps after the warm-up.

    Examples:
        >>> print(updates.decay_updates(hp))  # 8 steps are 2 rollouts of 6 gradient steps
        12.0
    """
    learnt = hp.replay.updates if hasattr(hp, "replay") else 1
    learnt = hp.passes.epochs * hp.passes.minibatches if hasattr(hp, "passes") else learnt
    per_rollout = hp.collection.num_envs * hp.collection.rollout_length
    return hp.optimisation.decay_steps / per_rollout * learnt


def prolonged(hp: Any, times: float | Array) -> Any:
    """Hyperparameters of a learner that takes `times` as many gradient steps as it would by itself.

    Its learning rate falls over all of them, such as those in the rollouts of a model between two
    of the environment.

    Examples:
        >>> from agents import sac
        >>> falling = sac.Hyperparameters(decay_steps=100.0)
        >>> print(updates.decay_updates(updates.prolonged(falling, 3)))
        300.0
    """
    return replace(hp, decay_steps=hp.optimisation.decay_steps * times)


def optimiser_for(
    hp: Any, own: optax.GradientTransformation | None = None
) -> optax.GradientTransformation:
    """The optimiser that `hp.optimisation` describes, or a person's `own` in its place.

    Examples:
        >>> rule = updates.optimiser_for(hp)
        >>> print(rule.update(jnp.array(1.0), rule.init(jnp.array(1.0)))[0])
        -0.5
    """
    return optimiser(hp.optimisation, decay_updates(hp)) if own is None else own


def replayed(
    update: Update, hp: Any, length: int | None = None, beside: Beside | None = None
) -> Update:
    """`replay`, as `hp.replay` and `hp.collection` say.

    Examples:
        >>> update = updates.replayed(total, hp)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        6.0
    """
    rows, own = hp.replay.buffer_size // hp.collection.num_envs, hp.replay
    kept = lambda update: replay(
        update, rows, own.batch_size, own.updates, length, own.data_share, beside,
        own.buffer_memory,
    )  # fmt: skip
    return compact(update, kept, own.storage)


def replayed_by_priority(update: Update, hp: Any, length: int) -> Update:
    """`prioritised`, as `hp.replay`, `hp.priorities` and `hp.collection` say.

    Raises an InputError if batches should have a share of a data set, or the buffer be on the host.

    Examples:
        >>> update = updates.replayed_by_priority(judged, hp, length=1)
        >>> print(update.apply(update.init(key, batch), batch, key)[0].inner)
        6.0
    """
    rows = hp.replay.buffer_size // hp.collection.num_envs
    own, exponents = hp.replay, hp.priorities
    words = "data_share needs a uniform replay: leave prioritised off, or data_share at 0."
    require(own.data_share == 0, words)
    words = "Priorities are kept on the device: leave prioritised off, or buffer_memory at device."
    require(own.buffer_memory == "device", words)
    kept = lambda update: prioritised(
        update, rows, own.batch_size, own.updates, length,
        exponents.priority_exponent, exponents.importance_exponent,
    )  # fmt: skip
    return compact(update, kept, own.storage)


def in_passes(update: Update, hp: Any, length: int = 1) -> Update:
    """`epochs` of sequences of a length, as `hp.passes` says.

    Examples:
        >>> print(updates.in_passes(total, hp).apply(zero, batch, key)[0])
        12.0
    """
    return epochs(update, hp.passes.epochs, hp.passes.minibatches, length)


def require_buffer(hp: Any, length: int = 1) -> None:
    """Raise an InputError unless the buffer suits sequences of `length`, see `check_buffer`.

    Examples:
        >>> updates.require_buffer(hp)
        >>> updates.require_buffer(hp, length=2)
        Traceback (most recent call last):
        jaxrl.errors.InputError: buffer_size 4 holds 2 steps of each of 2 environments, ...
    """
    own = hp.collection
    require_storage(hp.replay.storage)
    require_memory(hp.replay.buffer_memory)
    check_buffer(hp.replay.buffer_size, own.num_envs, own.rollout_length, length, own.warmup)


def require_passes(hp: Any, length: int = 1) -> None:
    """Raise an InputError unless rollouts divide into minibatches of sequences of `length`.

    Examples:
        >>> updates.require_passes(hp)
        >>> updates.require_passes(hp, length=4)
        Traceback (most recent call last):
        jaxrl.errors.InputError: rollout_length 2 is not divisible by sequence_length 4.
    """
    own = hp.collection
    check_divisible(own.rollout_length, own.num_envs, hp.passes.minibatches, length)
