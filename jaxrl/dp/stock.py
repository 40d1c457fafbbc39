"""Stock augmentation of finite processes: whatever statistic of the return, solved exactly.

A solution has three parts: `stock_augmented` carries the stock, on a grid; the operator is greedy
in a statistic `with_stock`; and the stock at the start is chosen, where the objective leaves that
open. For what a statistic must be like, see `jaxrl.stock.with_stock`.
"""

from functools import partial

import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP
from jaxrl.dp.operator import Select
from jaxrl.stock import next_stock, with_stock
from jaxrl.types import Array
from jaxrl.values import Statistic, greedy


def stock_augmented(
    mdp: TabularMDP, stocks: Array, gamma: float | Array, initial: Array | None = None
) -> TabularMDP:
    """The sparse process of states and stocks, s * C + c for C increasing `stocks` [C].

    Its successors hold the stock of the grid that is nearest to (c + r) / gamma: exact where the
    grid is closed, that is, where this is on it; or beyond its ends, where the statistic no longer
    tells stocks apart. Episodes start at each stock with probability `initial` [C], or 1 / C. Use
    it with the same `gamma`. Memory is C times that of a sparse `mdp`.
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
    """Greedy in a statistic of stock + return, for the process that `stock_augmented` makes."""
    return partial(greedy, statistic=with_stock(statistic, jnp.tile(stocks, states)))


def reachable_stocks(
    mdp: TabularMDP, start: Array, gamma: float, steps: int, decimals: int = 5
) -> Array:
    """The stocks [C] that `steps` steps can lead to from those of `start` [*]: a closed grid.

    Takes concrete arrays. Of stocks that agree to `decimals` one is kept. Their number may grow
    exponentially with `steps`, unless rewards and gamma keep them on a lattice.
    """
    possible = jnp.unique(jnp.where(mdp.transition > 0, mdp.reward, mdp.reward.ravel()[0]))
    stocks = jnp.atleast_1d(start)
    for _ in range(steps):
        later = (stocks[:, None] + possible) / gamma
        stocks = jnp.unique(jnp.concatenate([stocks, later.ravel()]).round(decimals))
    return stocks


def best_stock_for_cvar(score: Array, stocks: Array, level: float | Array) -> tuple[Array, Array]:
    """The greatest CVaR [...] that any policy has, and the index [...] of the stock to start with.

    `score` [..., C] is the optimal E min(0, c + G) from each of `stocks` [C]. The mean of the worst
    share `level` of returns is the largest over b of b + E[min(0, G - b)] / level, and c = -b.
    Exact if the grid holds minus a quantile of the best policy's return. Source: Rockafellar and
    Uryasev (2000), "Optimization of conditional value-at-risk".
    """
    value = -stocks + score / level
    return value.max(-1), value.argmax(-1)


def best_stock_for_upper_cvar(
    score: Array, stocks: Array, level: float | Array
) -> tuple[Array, Array]:
    """The greatest mean of the best share `level` of returns [...], and the index [...] of a stock.

    `score` [..., C] is the optimal E max(0, c + G). The mean of the best share of returns is the
    smallest over b of b + E[max(0, G - b)] / level, and c = -b. So this is a saddle point: the
    value is an upper bound for every policy, which a mixture of policies reaches, and a policy
    alone if it is greedy at this stock and has its own smallest b there.
    """
    value = -stocks + score / level
    return value.min(-1), value.argmin(-1)
