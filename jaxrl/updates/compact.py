"""Replay that stores observations in fewer bits than they are learnt from."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_known
from jaxrl.types import Key, Transition, Tree, Update

STORAGES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
"""The types in which real-valued observations can be stored."""


def require_storage(storage: str) -> None:
    """Raise an InputError unless a name is one of `STORAGES`."""
    require_known("storage", storage, STORAGES)


def compact(update: Update, kept: Callable[[Update], Update], storage: str = "bfloat16") -> Update:
    """`kept(update)`, a replay, whose stored observations are of the type `storage`.

    Float32 numbers in observations and successors are rounded when they are stored, to 8 bits of
    precision in bfloat16, and are float32 again in what is learnt from. Bytes, whole numbers and
    everything else of a transition stay as they are. With float32 it is `kept(update)` itself.
    Raises an InputError for another name.

    Examples:
        >>> seen = lambda state, batch, key: (batch.obs.sum(), {})
        >>> fine = batch._replace(obs=jnp.full((2, 2), 1.001))
        >>> kept = lambda update: updates.replay(update, rows=2, batch_size=4)
        >>> update = updates.compact(Update(start, seen, read), kept)
        >>> print(update.apply(update.init(key, fine), fine, key)[0].inner)
        4.0
    """
    require_storage(storage)
    if storage == "float32":
        return kept(update)
    few = STORAGES[storage]
    full = lambda batch: stored_as(batch, few, jnp.float32)
    half = lambda batch: stored_as(batch, jnp.float32, few)
    return _of(kept(_of(update, full)), half)


def _of(update: Update, change: Callable[[Transition], Transition]) -> Update:
    """An update of changed transitions."""

    def init(key: Key, example: Transition) -> Tree:
        return update.init(key, change(example))

    def apply(state: Tree, batch: Transition, key: Key) -> tuple[Tree, dict]:
        return update.apply(state, change(batch), key)

    return Update(init, apply, update.read)


def stored_as(batch: Transition, old: type, new: type) -> Transition:
    """Transitions whose observations of one type are of another one."""
    one = lambda x: x.astype(new) if x.dtype == old else x
    obs, final = (jax.tree.map(one, x) for x in (batch.obs, batch.final))
    return batch._replace(obs=obs, final=final)
