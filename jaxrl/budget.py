"""How a run spends environment steps, and what its hyperparameters make of that."""

import dataclasses
import itertools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.fields import check_fields


class Budget(NamedTuple):
    """How a number of environment steps is spent: warm-up, then blocks of updates."""

    warmup: int  # environment steps before the first update, in all lanes
    per_update: int  # environment steps of one update, in all lanes
    blocks: tuple[int, ...]  # updates before each evaluation

    @property
    def updates(self) -> int:
        """The number of updates."""
        return sum(self.blocks)

    @property
    def steps(self) -> int:
        """The environment steps that are taken, warm-up included."""
        return self.steps_at(len(self.blocks))

    def steps_at(self, evaluation: int) -> int:
        """The environment steps taken before an evaluation; 0 is before the first update."""
        return self.warmup + self.per_update * sum(self.blocks[:evaluation])


def budget(hp: Any, steps: float, evaluations: int) -> Budget:
    """Spend at least `steps` environment steps, with as few updates as that takes, at least one.

    The warm-up counts, rounded up to whole rollouts. Evaluation i of n comes after i / n of the
    updates, rounded; there are no more evaluations than updates. Raises an InputError for numbers
    that are not positive.
    """
    check_collection(hp)
    require_positive(steps=steps, evaluations=evaluations)
    require(math.isfinite(steps), f"steps must be a finite number, but it is {steps}.")
    per_update = hp.collection.num_envs * hp.collection.rollout_length
    warmup = -(-hp.collection.warmup // per_update) * per_update
    updates = max(1, -(-(math.ceil(steps) - warmup) // per_update))
    number = min(int(evaluations), updates)
    ends = [(2 * i * updates + number) // (2 * number) for i in range(number + 1)]
    return Budget(warmup, per_update, tuple(b - a for a, b in itertools.pairwise(ends)))


def check_collection(hp: Any) -> None:
    """Raise an InputError unless the hyperparameters say how experience is collected."""
    check_fields(hp)
    own: Any = getattr(hp, "collection", None)
    require(
        all(hasattr(own, name) for name in ("num_envs", "rollout_length", "warmup")),
        "Hyperparameters need a field collection, such as jaxrl.settings.Collection(num_envs=8).",
    )
    require_positive(num_envs=own.num_envs, rollout_length=own.rollout_length)
    require(own.warmup >= 0, f"warmup must not be negative, but it is {own.warmup}.")


def resolve_decay(hp: Any, steps: float | None) -> Any:
    """Hyperparameters whose `decay_steps` follows from `decay`, a share of a run of `steps`.

    The share is of the environment steps after the warm-up, since the learning rate falls with
    each update. A `decay_steps` that is not 0 stays, and so do hyperparameters that have no field
    `optimisation`, or a constant learning rate.
    """
    if steps is None or not schedules(hp):
        return hp
    spent = budget(hp, steps, 1)
    return decay_over(hp, spent.steps - spent.warmup)


def decay_over(hp: Any, steps: float) -> Any:
    """`resolve_decay` for a number of environment steps after the warm-up."""
    if not schedules(hp):
        return hp
    own = hp.optimisation
    share, given = own.decay * steps, own.decay_steps
    if isinstance(given, int | float):
        share = share if given == 0 else given
    else:  # [members], or traced
        share = jnp.where(given == 0, share, given)
    return dataclasses.replace(hp, optimisation=own.replace(decay_steps=share))


def schedules(hp: Any) -> bool:
    """Whether a learning rate depends on the length of the run."""
    own = getattr(hp, "optimisation", None)
    return own is not None and own.schedule != "constant"
