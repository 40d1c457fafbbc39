"""Stock augmentation: observations with the rewards so far, for statistics of the whole return.

The stock c starts an episode at a chosen c_0 and moves by c' = (c + r) / gamma, so that
gamma**t * (c_t + G_t) is the same at every time t: c_0 + G_0. Choosing at each step the action with
the best statistic K of c + G then optimises K of c_0 + G_0, which no policy of the state alone can
do, if K is indifferent to mixtures and to gamma (see `with_stock`). Dynamics and rewards do not
depend on the stock, so that one transition trains every value of it. Source: Pires et al. (2025),
"Optimizing return distributions with distributional dynamic programming".
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.conditioned import Condition, Conditioned, conditioned, relabelled
from jaxrl.errors import require, require_positive, require_values
from jaxrl.types import Array, Env, Key, TimeStep, Tree, Update
from jaxrl.values import ReturnDistribution, Statistic


class Stock(NamedTuple):
    """The context of an observation that is conditioned on a stock."""

    value: Tree  # [...] one number each; in a spec its shape and type


def stock_of(obs: Tree) -> Array | None:
    """The stocks [...] of observations; None if they are not conditioned on any."""
    shown = isinstance(obs, Conditioned) and isinstance(obs.context, Stock)
    return obs.context.value if shown else None


def with_stock(statistic: Statistic, stock: Array) -> Statistic:
    """The statistic K of stock + Z, for stocks [...] and distributions [..., *, N].

    A stock-augmented agent is greedy in it. It then optimises K of the whole return if K is

    - indifferent to mixtures: if K prefers each of some distributions to its counterpart, or is
      indifferent, then also their mixtures with the same weights. This holds for expected
      utilities and lexicographic pairs of them. It does not for CVaR, variance and quantiles: the
      policy that is best from here may not be part of the one that is best from the start.
    - indifferent to gamma: K ranks distributions as it ranks them multiplied by gamma, since each
      step scales the rest of the return. This holds for positively homogeneous utilities (x, -|x|,
      -x**2, min(0, x)), for the probability of x >= 0, and for every K if gamma is 1, but not for
      exponential utility or min(x, 0.5).
    - Lipschitz, in the 1-Wasserstein distance, for values after finitely many backups to be near
      the optimum of an infinite horizon. The probability of x >= 0 is not; over a finite horizon
      this is not needed.
    """

    def shifted(distribution: ReturnDistribution) -> Array:
        axes = distribution.atoms.ndim - stock.ndim
        shift = stock.reshape(stock.shape + (1,) * axes)
        return statistic(distribution._replace(atoms=shift + distribution.atoms))

    return shifted


def next_stock(
    stock: Array,
    reward: Array,
    discount: float | Array,
    bounds: tuple[float | Array, float | Array] = (-jnp.inf, jnp.inf),
) -> Array:
    """The stock (c + r) / discount, clipped to `bounds`, and c + r where the discount is 0.

    All are [...]. `discount` is gamma times that of the environment, or their product over several
    steps. It is 0 where the episode ends, where no return is left to be scaled.
    """
    ends = jnp.asarray(discount) == 0
    moved = (stock + reward) / jnp.where(ends, 1.0, discount)
    return jnp.clip(moved, *bounds)


def stock(
    gamma: float | Array,
    initial: float | Array | Callable[[Key], Array] = 0.0,
    bounds: tuple[float | Array, float | Array] = (-jnp.inf, jnp.inf),
) -> Condition:
    """The condition whose context is the `Stock`.

    `initial` is the stock at the start of an episode, or draws it from a key. A stock other than 0
    grows as gamma**-t: `bounds` keep it in the range that a network is trained for. Raises an
    InputError if gamma is not above zero, if the bounds are not ascending, or if `initial` is a
    number outside them.
    """
    require_positive(gamma=gamma)
    require_bounds(bounds)
    if not callable(initial):
        require_values(
            lambda x: (x >= bounds[0]) & (x <= bounds[1]),
            f"lie between the lowest stock {bounds[0]} and the highest {bounds[1]}",
            **({} if any(isinstance(x, Tracer) for x in bounds) else {"initial stock": initial}),
        )

    def init(key: Key, obs: Tree) -> Stock:
        value = initial(key) if callable(initial) else initial
        return Stock(jnp.clip(jnp.asarray(value, jnp.float32), *bounds))

    def after(context: Stock, action: Array, step: TimeStep) -> Stock:
        later = next_stock(context.value, step.reward, gamma * step.discount, bounds)
        return Stock(later.astype(context.value.dtype))

    return Condition(Stock(jax.ShapeDtypeStruct((), jnp.float32)), init, after)


def stocked(
    env: Env,
    gamma: float | Array,
    initial: float | Array | Callable[[Key], Array] = 0.0,
    bounds: tuple[float | Array, float | Array] = (-jnp.inf, jnp.inf),
) -> Env:
    """An environment of one lane, `conditioned` on the `stock` of these arguments."""
    return conditioned(env, stock(gamma, initial, bounds))


def require_bounds(bounds: tuple[float | Array, float | Array]) -> None:
    """Raise an InputError unless the least stock is below the greatest."""
    low, high = bounds
    if not isinstance(low, Tracer) and not isinstance(high, Tracer):
        require(
            bool(np.asarray(low) < np.asarray(high)),
            f"The lowest stock must be below the highest, but they are {low} and {high}.",
        )


def restocked(
    update: Update,
    gamma: float | Array,
    draw: Callable[[Key, Array], Array],
    bounds: tuple[float | Array, float | Array] = (-jnp.inf, jnp.inf),
) -> Update:
    """Learn from single transitions, `relabelled` with other stocks than they had.

    `draw` is a function of a key and the stocks [...] of a batch to the stocks [...] to learn for;
    those of the successors follow from the rewards. `gamma` and `bounds` are those of `stock`,
    which raises the same errors.
    """
    rule = stock(gamma, lambda key: jnp.zeros(()), bounds)
    return relabelled(update, rule, lambda key, batch: Stock(draw(key, batch.obs.context.value)))
