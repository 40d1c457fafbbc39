"""Stock augmentation of finite processes: exact solutions for other statistics of the return.

A solution has three parts: `stock_augmented` carries the stock on a grid; the operator is greedy in
a statistic `with_stock`; and the initial stock is chosen if the objective does not fix it. The
conditions on a statistic are listed at `jaxrl.stock.with_stock`.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np

from jaxrl.dp.mdp import TabularMDP
from jaxrl.dp.operator import Select
from jaxrl.stock import next_stock, with_stock
from jaxrl.types import Array
from jaxrl.values import Statistic, greedy


def stock_augmented(
    mdp: TabularMDP, stocks: Array, gamma: float | Array, initial: Array | None = None
) -> TabularMDP:
    """Return the sparse process of states and stocks, s * C + c for C increasing `stocks` [C].

    Successors have the stock of the grid that is nearest to (c + r) / gamma, or to c + r if gamma
    is 0. This is exact if that stock is on the grid, or beyond its ends where the statistic does
    not distinguish stocks. Episodes start at each stock with probability `initial` [C], or 1 / C.
    Solve it with the same `gamma`. Memory is C times that of a sparse `mdp`.

    Examples:
        >>> dp.stock_augmented(mdp, jnp.array([-8.0, -1.0, 0.0]), 1.0).successors.shape
        (6, 2, 2)
    """
    states, actions, slots = mdp.transition.shape
    size = stocks.shape[0]
    reward, discount = (jnp.broadcast_to(x, mdp.transition.shape) for x in mdp[1:3])
    later = next_stock(stocks[:, None, None], reward[:, None], gamma)  # [S, C, A, B]
    upper = jnp.clip(jnp.searchsorted(stocks, later), 1, size - 1)
    nearer = later - stocks[upper - 1] < stocks[upper] - later
    index = jnp.where(nearer, upper - 1, upper) if size > 1 else jnp.zeros_like(upper)
    successors = mdp.successors
    if isinstance(successors, tuple):
        successors = jnp.broadcast_to(jnp.arange(states), mdp.transition.shape)
    joint = (successors[:, None] * size + index).reshape(states * size, actions, slots)
    each = lambda x: jnp.repeat(x, size, 0)
    chances = jnp.full(size, 1 / size) if initial is None else initial
    return TabularMDP(
        each(mdp.transition),
        each(reward),
        each(discount),
        (mdp.initial[:, None] * chances).reshape(-1),
        joint.astype(jnp.int32),
    )


def stock_greedy(statistic: Statistic, stocks: Array, states: int) -> Select:
    """Return the greedy `Select` of a statistic of stock + return, for `stock_augmented`.

    Examples:
        >>> missing = values.expected_utility(lambda z: jnp.minimum(z, 0.0))
        >>> select = dp.stock_greedy(missing, jnp.array([-8.0, -1.0]), states=1)
        >>> theta = jnp.array([[[1.0, 1.0], [0.0, 8.0]]] * 2)  # 1 for sure, or 0 or 8
        >>> print(select(values.quantile(2), theta).atoms)
        [[0. 8.]
         [1. 1.]]
    """
    return partial(greedy, statistic=with_stock(statistic, jnp.tile(stocks, states)))


def reachable_stocks(
    mdp: TabularMDP, start: Array, gamma: float, steps: int, decimals: int = 5
) -> Array:
    """Return the stocks [C] that `steps` steps can reach from those of `start` [*]: a closed grid.

    The arrays must be concrete. Stocks that agree to `decimals` decimals are merged, or to that
    many significant digits of the largest if all are below one. Their number may grow
    exponentially with `steps`, unless rewards and gamma keep them on a lattice.

    Examples:
        >>> print(dp.reachable_stocks(mdp, jnp.array([0.0]), 1.0, steps=1))
        [0. 1. 8.]
    """
    possible = jnp.unique(mdp.reward[jnp.broadcast_to(mdp.transition > 0, mdp.reward.shape)])
    stocks = jnp.atleast_1d(start)
    for _ in range(steps):
        later = next_stock(stocks[:, None], possible, gamma)
        stocks = jnp.concatenate([stocks, later.ravel()])
        size = float(jnp.abs(stocks).max())
        digits = -int(np.floor(np.log10(size))) if 0 < size < 1 else 0
        # Divided by an exact power of ten: to round tiny numbers itself would underflow.
        stocks = jnp.unique((stocks * 10.0**digits).round(decimals)) / 10.0**digits
    return stocks


def best_stock_for_cvar(score: Array, stocks: Array, level: float | Array) -> tuple[Array, Array]:
    """Return the highest CVaR [...] of any policy, and the index [...] of its initial stock.

    `score` [..., C] is the optimal E min(0, c + G) from each of `stocks` [C]. The mean of the worst
    share `level` of returns is the maximum over b of b + E[min(0, G - b)] / level, and c = -b. It
    is exact if the grid holds minus a quantile of the best policy's return. Source: Rockafellar and
    Uryasev (2000), "Optimization of conditional value-at-risk".

    Examples:
        >>> stocks, score = jnp.array([-1.0, 0.0]), jnp.array([0.0, 0.0])  # of a return of 1
        >>> print(*dp.best_stock_for_cvar(score, stocks, 0.5))
        1.0 0
    """
    value = -stocks + score / _positive(level)
    return value.max(-1), value.argmax(-1)


def best_stock_for_upper_cvar(
    score: Array, stocks: Array, level: float | Array
) -> tuple[Array, Array]:
    """Return the highest upper CVaR [...] of any policy, and the index [...] of its stock.

    `score` [..., C] is the optimal E max(0, c + G). The mean of the best share of returns is the
    minimum over b of b + E[max(0, G - b)] / level, and c = -b. This is a saddle point: the value is
    an upper bound for every policy, which a mixture of policies attains, and a single policy if it
    is greedy at this stock and has its own smallest b there.

    Examples:
        >>> stocks, score = jnp.array([-1.0, 0.0]), jnp.array([0.0, 1.0])  # of a return of 1
        >>> print(*dp.best_stock_for_upper_cvar(score, stocks, 0.5))
        1.0 0
    """
    value = -stocks + score / _positive(level)
    return value.min(-1), value.argmin(-1)


def _positive(level: float | Array) -> Array:
    """Return a level above zero: at 0 the mean of the worst returns is the worst return itself."""
    return jnp.maximum(level, 1e-6)
