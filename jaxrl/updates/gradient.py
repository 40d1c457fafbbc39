"""Gradient descent as an Update, and the ways in which a target network follows."""

from collections.abc import Callable, Collection, Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.optimisers import merged
from jaxrl.sharding import average
from jaxrl.types import Array, Counter, Key, Tree, Update, count

Loss = Callable[[Tree, Tree, Tree, Key], tuple[Array, dict]]
"""(params, target, batch, key) -> (loss [], metrics)."""
Follow = Callable[[Tree, Tree, Array], Tree]
"""(params, target, step []) -> target: how a target network follows the parameters."""


class Learner(NamedTuple):
    """The state of a gradient learner."""

    params: Tree
    target: Tree  # () if nothing follows the parameters
    opt: Tree
    taken: Counter  # gradient steps

    @property
    def step(self) -> Array:
        """The number [] of gradient steps taken."""
        return self.taken.value


class Late(NamedTuple):
    """A loss that some entries of the parameters descend at every `period`-th step only."""

    loss: Loss
    entries: Collection[str]
    period: int = 2


def descend(
    init: Callable[[Key], Tree],
    loss: Loss,
    optimiser: optax.GradientTransformation,
    follow: Follow | None = None,
) -> Update:
    """Descend the gradient of `loss`, and let a target network `follow` the new parameters.

    Rates per module and clipping are properties of `optimiser`; gradients are averaged over shards
    before, where there are several. The metrics are those of the loss and the gradient's global
    norm, `gradient_norm`.

    Examples:
        >>> square = lambda params, target, batch, key: (params**2, {})
        >>> update = updates.descend(lambda key: jnp.array(1.0), square, optax.sgd(0.25))
        >>> print(update.apply(update.init(key, batch), batch, key)[0].params)
        0.5
    """

    def start(key: Key, example: Any) -> Learner:
        params = init(key)
        target = () if follow is None else params
        return Learner(params, target, optimiser.init(params), count())

    def apply(state: Learner, batch: Tree, key: Key) -> tuple[Learner, dict]:
        with jax.named_scope("gradient"):
            gradient, metrics = jax.grad(loss, has_aux=True)(state.params, state.target, batch, key)
            gradient = average(gradient)
        with jax.named_scope("optimiser"):
            change, opt = optimiser.update(gradient, state.opt, state.params)
            params = optax.apply_updates(state.params, change)
        metrics = {"gradient_norm": optax.tree.norm(merged(gradient))} | metrics
        return _followed(state, params, opt, follow), metrics

    return Update(start, apply, lambda state: state)


def delayed(
    init: Callable[[Key], Tree],
    loss: Loss,
    late: Late,
    optimiser: optax.GradientTransformation,
    follow: Follow | None = None,
) -> Update:
    """Descend `loss` at each step, and another one, of entries of its own, at every n-th only.

    The parameters are a mapping; those that are not in `late.entries` descend `loss`. At a step of
    both, both gradients are taken before anything moves; at the others, that of `late.loss` is not
    computed. Each part has a state of the optimiser, whose learning rate falls with all steps. The
    metrics are those of `descend`, and those of `late.loss` times the period where it is due and 0
    elsewhere, so that means over many steps are its own. Delays of 1 are a `descend` of the sum.
    Source: the delayed policy updates of Fujimoto et al. (2018), section 5.2.

    Examples:
        >>> slope = lambda name: lambda params, target, batch, key: (params[name], {})
        >>> late = updates.Late(slope("actor"), ["actor"], period=2)
        >>> init = lambda key: {"actor": jnp.array(1.0), "critic": jnp.array(1.0)}
        >>> update = updates.delayed(init, slope("critic"), late, optax.sgd(0.5))
        >>> first = update.apply(update.init(key, batch), batch, key)[0]
        >>> print(first.params["actor"], first.params["critic"])
        1.0 0.5
    """
    if late.period == 1:
        return descend(init, _summed(loss, late.loss), optimiser, follow)
    parted = lambda params: (
        {name: value for name, value in params.items() if name not in late.entries},
        {name: params[name] for name in late.entries},
    )

    def start(key: Key, example: Any) -> Learner:
        params = init(key)
        opt = tuple(optimiser.init(part) for part in parted(params))
        return Learner(params, () if follow is None else params, opt, count())

    def apply(state: Learner, batch: Tree, key: Key) -> tuple[Learner, dict]:
        now, slow = parted(state.params)
        k_now, k_late = jax.random.split(key)
        of = lambda loss, key: jax.grad(
            lambda own: loss(state.params | own, state.target, batch, key), has_aux=True
        )
        with jax.named_scope("gradient"):
            gradient, metrics = of(loss, k_now)(now)
            gradient = average(gradient)
        with jax.named_scope("optimiser"):
            change, opt = optimiser.update(gradient, state.opt[0], now)
        norm = optax.tree.norm(merged(gradient))

        def learn() -> tuple[Tree, Tree, Array, dict]:
            with jax.named_scope("gradient"):
                gradient, metrics = of(late.loss, k_late)(slow)
                gradient = average(gradient)
            with jax.named_scope("optimiser"):
                change, opt = optimiser.update(gradient, state.opt[1], slow)
            metrics = jax.tree.map(lambda x: late.period * x, metrics)
            size = optax.tree.norm(merged(gradient))
            return optax.apply_updates(slow, change), opt, size, metrics

        def wait() -> tuple[Tree, Tree, Array, dict]:
            told = jax.eval_shape(late.loss, state.params, state.target, batch, k_late)[1]
            none = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), told)
            return slow, _later(state.opt[1]), jnp.zeros_like(norm), none

        # The first step is number 0, and is skipped like the next period - 2.
        due = (state.step + 1) % late.period == 0
        moved, waited, other, more = jax.lax.cond(due, learn, wait)
        params = optax.apply_updates(now, change) | moved
        done = _followed(state, params, (opt, waited), follow)
        return done, {"gradient_norm": jnp.hypot(norm, other)} | metrics | more

    return Update(start, apply, lambda state: state)


@jax.named_scope("target")
def _followed(state: Learner, params: Tree, opt: Tree, follow: Follow | None) -> Learner:
    """The learner after a step that led to `params`."""
    step = state.step + 1
    target = () if follow is None else follow(params, state.target, step)
    return Learner(params, target, opt, Counter(step))


def _summed(one: Loss, other: Loss) -> Loss:
    """The sum of two losses, with the metrics of both."""

    def loss(params: Tree, target: Tree, batch: Tree, key: Key) -> tuple[Array, dict]:
        k_one, k_other = jax.random.split(key)
        a, told = one(params, target, batch, k_one)
        b, more = other(params, target, batch, k_other)
        return a + b, told | more

    return loss


def _later(opt: Tree) -> Tree:
    """The state of an optimiser after a step that it waited for: schedules go on."""
    scheduled = lambda node: isinstance(node, optax.ScaleByScheduleState)
    tick = lambda node: node._replace(count=optax.safe_increment(node.count))
    return jax.tree.map(
        lambda node: tick(node) if scheduled(node) else node, opt, is_leaf=scheduled
    )


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
        return jax.lax.cond(
            step % period == 0, lambda: follow(params, target, step), lambda: target
        )

    return periodic


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
