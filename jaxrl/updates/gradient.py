"""Gradient descent as an Update, and the ways in which a target network follows."""

from collections.abc import Callable, Collection, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxrl.types import Array, Key, Tree, Update

Loss = Callable[[Tree, Tree, Tree, Key], tuple[Array, dict]]
"""(params, target, batch, key) -> (loss [], metrics)."""
Follow = Callable[[Tree, Tree, Array], Tree]
"""(params, target, step []) -> target: how a target network follows the parameters."""


class Learner(NamedTuple):
    """The state of a gradient learner."""

    params: Tree
    target: Tree  # () if nothing follows the parameters
    opt: Tree
    step: Array  # [] int32, gradient steps taken


def descend(
    init: Callable[[Key], Tree],
    loss: Loss,
    optimiser: optax.GradientTransformation,
    follow: Follow | None = None,
) -> Update:
    """Descend the gradient of `loss`, and let a target network `follow` the new parameters.

    Rates per module, delays, clipping and averaging over devices are properties of `optimiser`.
    The metrics are those of the loss and the gradient's global norm, `gradient_norm`.

    Examples:
        >>> square = lambda params, target, batch, key: (params**2, {})
        >>> update = updates.descend(lambda key: jnp.array(1.0), square, optax.sgd(0.25))
        >>> print(update.apply(update.init(key, batch), batch, key)[0].params)
        0.5
    """

    def start(key: Key, example: Any) -> Learner:
        params = init(key)
        target = () if follow is None else params
        return Learner(params, target, optimiser.init(params), jnp.zeros((), jnp.int32))

    def apply(state: Learner, batch: Tree, key: Key) -> tuple[Learner, dict]:
        gradient, metrics = jax.grad(loss, has_aux=True)(state.params, state.target, batch, key)
        change, opt = optimiser.update(gradient, state.opt, state.params)
        params = optax.apply_updates(state.params, change)
        step = state.step + 1
        target = () if follow is None else follow(params, state.target, step)
        metrics = {"gradient_norm": optax.tree.norm(gradient)} | metrics
        return Learner(params, target, opt, step), metrics

    return Update(start, apply, lambda state: state)


def polyak(rate: float | Array) -> Follow:
    """Exponential moving average of the parameters: target <- target + rate (params - target).

    Examples:
        >>> print(updates.polyak(0.25)(jnp.array(4.0), jnp.array(0.0), jnp.array(1)))
        1.0
    """

    def follow(params: Tree, target: Tree, step: Array) -> Tree:
        return optax.incremental_update(params, target, rate)

    return follow


def every(period: int, follow: Follow) -> Follow:
    """Update the target network at every `period`-th gradient step only.

    Examples:
        >>> follow = updates.every(2, updates.polyak(0.25))
        >>> at = lambda step: follow(jnp.array(4.0), jnp.array(0.0), jnp.array(step))
        >>> print(at(1), at(2))
        0.0 1.0
    """

    def periodic(params: Tree, target: Tree, step: Array) -> Tree:
        # Not lax.cond: under vmap it would become this select, and a copy beside it.
        moved = follow(params, target, step)
        return jax.tree.map(lambda new, old: jnp.where(step % period == 0, new, old), moved, target)

    return periodic


def delayed(
    optimiser: optax.GradientTransformation, period: int, slower: Collection[str]
) -> optax.GradientTransformation:
    """Update the entries `slower` of the parameters, a mapping, at every `period`-th step only.

    Their gradients are not used at the other steps. Source: the delayed policy updates of Fujimoto
    et al. (2018), section 5.2.

    Examples:
        >>> params = {"actor": jnp.array(1.0), "critic": jnp.array(1.0)}
        >>> rule = updates.delayed(optax.sgd(0.5), period=2, slower=["actor"])
        >>> change = rule.update(params, rule.init(params), params)[0]
        >>> print(change["actor"], change["critic"])  # of the first step
        0.0 -0.5
    """
    if period == 1:
        return optimiser

    # The first step is number 0, and is skipped like the next period - 2.
    def due(step: ArrayLike, **extra_args: Any) -> Array:
        return (jnp.asarray(step) + 1) % period == 0

    later = optax.transforms.conditionally_mask(optimiser, due)
    label = lambda params: {name: "slow" if name in slower else "fast" for name in params}
    return optax.partition({"slow": later, "fast": optimiser}, label)


def separate(
    optimiser: optax.GradientTransformation, **own: optax.GradientTransformation
) -> optax.GradientTransformation:
    """Update some entries of the parameters, a mapping, by optimisers of their own.

    Examples:
        >>> params = {"actor": jnp.array(1.0), "critic": jnp.array(1.0)}
        >>> rule = updates.separate(optax.sgd(0.5), actor=optax.sgd(0.25))
        >>> change = rule.update(params, rule.init(params), params)[0]
        >>> print(change["actor"], change["critic"])
        -0.25 -0.5
    """
    rules: dict[Hashable, optax.GradientTransformation] = {"": optimiser, **own}
    return optax.partition(rules, lambda params: {name: name * (name in own) for name in params})
