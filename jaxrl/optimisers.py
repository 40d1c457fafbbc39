"""Optimisers by name, with a learning rate that falls by a schedule of a name."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike

from jaxrl.errors import require, require_known, unknown
from jaxrl.settings import Optimisation
from jaxrl.types import Array, Tree

Rate = Any
"""A learning rate, or a schedule of it."""


def adam_like(make: Callable[..., Any], **fixed: Any) -> Callable[[Rate, Optimisation], Any]:
    """An optimiser with the momentum and the small number of Adam."""
    return lambda rate, own: make(rate, b1=own.momentum, eps=own.eps, **fixed)


def decayed(make: Callable[..., Any]) -> Callable[[Rate, Optimisation], Any]:
    """An optimiser like Adam that also decays weights."""
    return lambda rate, own: make(rate, b1=own.momentum, eps=own.eps, weight_decay=own.weight_decay)


OPTIMISERS: dict[str, Callable[[Rate, Optimisation], optax.GradientTransformation]] = {
    "adam": adam_like(optax.adam),
    "adamw": decayed(optax.adamw),
    "amsgrad": adam_like(optax.amsgrad),
    "nadam": adam_like(optax.nadam),
    "radam": adam_like(optax.radam),
    "adabelief": adam_like(optax.adabelief),
    "adamax": adam_like(optax.adamax),
    "yogi": adam_like(optax.yogi),
    "novograd": decayed(optax.novograd),
    "lamb": decayed(optax.lamb),
    "lion": lambda rate, own: optax.lion(rate, b1=own.momentum, weight_decay=own.weight_decay),
    "rmsprop": lambda rate, own: optax.rmsprop(rate, eps=own.eps),
    "adagrad": lambda rate, own: optax.adagrad(rate, eps=own.eps),
    "sgd": lambda rate, own: optax.sgd(rate),
    "momentum": lambda rate, own: optax.sgd(rate, momentum=own.momentum),
    "nesterov": lambda rate, own: optax.sgd(rate, momentum=own.momentum, nesterov=True),
    # Matrices by their orthogonalised momentum, everything else by Adam.
    "muon": lambda rate, own: optax.contrib.muon(
        rate, beta=own.momentum, eps=own.eps, weight_decay=own.weight_decay
    ),
    "ademamix": decayed(optax.contrib.ademamix),
    "adopt": adam_like(optax.contrib.adopt),
}
DECAYING = ("adamw", "novograd", "lamb", "lion", "muon", "ademamix")
"""The optimisers that take a weight decay."""
BY_ARRAY = ("novograd", "lamb", "muon")
"""The optimisers that treat each array of the parameters as a whole; the others, each number."""


FEW = 20_000
"""The numbers of parameters up to which they are put into one vector."""


def merged(tree: Tree) -> Tree:
    """All numbers of a tree in one vector [N], array after array, if they are few; else the tree.

    What treats each number by itself, or all of them together as a norm does, then has one
    operation where it had one for each array, of which there are too many for small networks: the
    rounds of PPO and DQN take 0.95 of the time on a processor, and compile in 0.9 of it. Large
    arrays are better left alone: XLA may compute the sums and products of their gradients within
    the concatenation, one number at a time, for many times the rest of the update.

    Examples:
        >>> print(merged({"a": jnp.array(1.0), "b": jnp.array([2.0, 3.0])}))
        [1. 2. 3.]
    """
    leaves = jax.tree.leaves(tree)
    if not leaves or sum(x.size for x in leaves) > FEW:
        return tree
    return jnp.concatenate([jnp.reshape(x, -1) for x in leaves])


def on_vectors(rule: optax.GradientTransformation) -> optax.GradientTransformation:
    """The same optimiser, which sees gradients and parameters as `merged` has them.

    The rule treats each number by itself, or all of them together as clipping does. Its state is
    of vectors where they are merged.
    """

    def init(params: Tree) -> Tree:
        return rule.init(merged(params))

    def update(updates: Tree, state: Tree, params: Tree = None) -> tuple[Tree, Tree]:
        own, seen = None if params is None else merged(params), merged(updates)
        change, state = rule.update(seen, state, own)
        if seen is updates:
            return change, state
        leaves, structure = jax.tree.flatten(updates)
        ends = np.cumsum([x.size for x in leaves])
        parts = jnp.split(cast(Array, change), ends[:-1])
        shaped = [part.reshape(x.shape) for part, x in zip(parts, leaves)]
        return structure.unflatten(shaped), state

    return optax.GradientTransformation(init, update)


def share_left(step: ArrayLike, steps: ArrayLike) -> Array:
    """The share of `steps` that is left after `step`, from 1 to 0; 1 if `steps` is 0."""
    remaining = jnp.clip(1 - jnp.asarray(step) / jnp.maximum(steps, 1), 0, 1)
    return jnp.where(jnp.asarray(steps) > 0, remaining, 1.0)


SCHEDULES: dict[str, Callable[[Array], Array]] = {
    "linear": lambda left: left,
    "cosine": lambda left: (1 - jnp.cos(jnp.pi * left)) / 2,
    # To a hundredth at the end.
    "exponential": lambda left: 100.0 ** (left - 1.0),
}
"""The factor of the learning rate [], of the share that is left of the steps of its fall."""


def scheduled(name: str, rate: float | Array, steps: float | Array) -> Rate:
    """A learning rate that falls from `rate` over `steps` gradient steps; constant if they are 0.

    `name` is constant, or one of SCHEDULES. Raises an InputError for another name.
    """
    if name == "constant":
        return rate
    if name not in SCHEDULES:
        raise unknown("schedule", name, ("constant", *SCHEDULES))
    return lambda step: rate * SCHEDULES[name](share_left(step, steps))


def optimiser(settings: Optimisation, steps: float | Array = 0.0) -> optax.GradientTransformation:
    """The optax transformation that settings describe, of gradients clipped to a global norm.

    `steps` are the gradient steps over which the learning rate falls: see `decay_updates`. Raises
    an InputError as `check_optimisation` does.
    """
    check_optimisation(settings)
    rate = scheduled(settings.schedule, settings.learning_rate, steps)
    rule = OPTIMISERS[settings.optimiser](rate, settings)
    rule = optax.chain(clipped(settings.max_gradient_norm), rule)
    return rule if settings.optimiser in BY_ARRAY else on_vectors(rule)


def clipped(norm: float | Array) -> optax.GradientTransformation:
    """Clip gradients to a global norm; 0 does not clip them."""
    if not isinstance(norm, Tracer) and not np.any(norm):
        return optax.identity()
    return optax.clip_by_global_norm(jnp.where(jnp.asarray(norm) > 0, norm, jnp.inf))


def check_optimisation(settings: Optimisation) -> None:
    """Raise an InputError for an unknown name, or for a setting that would be ignored."""
    require_known("optimiser", settings.optimiser, OPTIMISERS)
    scheduled(settings.schedule, 0.0, 0.0)  # raises
    given = lambda x: not isinstance(x, Tracer) and bool((np.asarray(x) != 0).any())
    for name in ("decay", "decay_steps"):
        require(
            settings.schedule != "constant" or not given(getattr(settings, name)),
            f"{name} needs a schedule by which the learning rate falls: set schedule to "
            f"{', '.join(SCHEDULES)}.",
        )
    require(
        settings.optimiser in DECAYING or not given(settings.weight_decay),
        f"{settings.optimiser} takes no weight_decay: choose {', '.join(DECAYING)}.",
    )
