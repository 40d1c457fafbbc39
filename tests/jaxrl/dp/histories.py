"""Every history-dependent deterministic policy of a small process, and its return distribution."""

import itertools
from functools import partial

import jax
import numpy as np

from jaxrl import dp
from jaxrl.dp.stock import (
    stock_augmented,
    stock_greedy,
)
from jaxrl.values import (
    quantile,
)

HORIZON = 3


def tree_mdp(seed, states=3, actions=2, lattice=None):
    """Two successors a pair, of chance 1/4 and 3/4: laws over three steps are 64 even atoms."""
    rng = np.random.default_rng(seed)
    shape = (states, actions, 2)
    p = np.broadcast_to(np.array([0.25, 0.75]), shape)
    r = rng.normal(size=shape).round(2) if lattice is None else rng.choice(lattice, shape)
    initial = np.eye(states)[0]
    return dp.from_arrays(p, r, np.ones(shape), initial, rng.integers(0, states, shape))


def nodes(horizon):
    """Every list of slots come up so far, at each time before the end."""
    return [h for t in range(horizon) for h in itertools.product((0, 1), repeat=t)]


def brute_force(mdp, gamma, horizon=HORIZON, admit=lambda act: True):
    """Returns and their chances [policies, paths] of every history-dependent policy, from 0.

    A policy has an action for every list of slots come up so far.
    """
    arrays, where = plain(mdp), nodes(horizon)
    policies = itertools.product(range(mdp.transition.shape[1]), repeat=len(where))
    acts = [act for act in (dict(zip(where, policy)) for policy in policies) if admit(act)]
    outcomes = [[follow(arrays, act.get, path, gamma) for path in paths(horizon)] for act in acts]
    return np.array(outcomes)[..., 0], np.array(outcomes)[..., 1]


def plain(mdp):
    """Nested lists: quicker to index than arrays, and in float64."""
    arrays = mdp.transition, mdp.reward, mdp.discount, mdp.successors
    return [np.asarray(x, np.float64).round(4).tolist() for x in arrays]


def paths(horizon):
    return itertools.product((0, 1), repeat=horizon)


def follow(arrays, act, path, gamma):
    """The return of one path of slots, and its chance; `act` is told the slots so far."""
    p, r, d, successors = arrays
    state, total, chance, scale = 0, 0.0, 1.0, 1.0
    for t, slot in enumerate(path):
        action = act(path[:t])
        total += scale * r[state][action][slot]
        chance *= p[state][action][slot]
        scale *= gamma * d[state][action][slot]
        state = int(successors[state][action][slot])
    return total, chance


def solve(mdp, statistic, stocks, gamma, horizon=HORIZON, representation=quantile(64)):
    """What the greedy policy has at [H, S, C, A]: the laws, and the statistic of stock + law."""
    found = solution(mdp, np.asarray(stocks), statistic, gamma, horizon, representation)
    return jax.tree.map(np.asarray, found)


@partial(jax.jit, static_argnums=(2, 4, 5))
def solution(mdp, stocks, statistic, gamma, horizon, representation):
    """The same, as a function of JAX."""
    states, size = mdp.transition.shape[0], len(stocks)
    select = stock_greedy(statistic, stocks, states)
    model = stock_augmented(mdp, stocks, gamma)
    tables = dp.distributional_finite_horizon(model, horizon, representation, gamma, select)
    law = representation.decode(tables)
    score = jax.vmap(select.keywords["statistic"])(law)
    return jax.tree.map(lambda x: x.reshape(horizon, states, size, *x.shape[2:]), (law, score))


def played(mdp, score, stocks, start, gamma, horizon=HORIZON):
    """Returns and chances of the greedy policy, in float64, its stock moving with the rewards."""
    arrays, grid, score = plain(mdp), np.asarray(stocks, float), np.asarray(score)
    act = {}
    for path in nodes(horizon):
        state, stock = 0, grid[start]
        for t, slot in enumerate(path):
            place = state, act[path[:t]], slot
            stock = (stock + arrays[1][place[0]][place[1]][slot]) / gamma
            state = int(arrays[3][place[0]][place[1]][slot])
        act[path] = int(score[len(path), state, np.abs(grid - stock).argmin()].argmax())
    outcomes = np.array([follow(arrays, act.get, path, gamma) for path in paths(horizon)])
    return outcomes[:, 0], outcomes[:, 1]


def distance(x):
    return -abs(x)


def square(x):
    return -(x**2)


def shortfall(x):
    return x * (x < 0)


def excess(x):
    return x * (x > 0)


def reached(x):
    return 1.0 * (x >= -1e-4)


def decide(first, second):
    """An even chance of two rewards, and then, without knowing which, a choice between coins.

    `second` [A][2] are the rewards of the two sides of each coin.
    """
    r = np.zeros((3, len(second), 2))
    r[0], r[1] = first, second
    d = np.ones(r.shape)
    d[1:] = 0
    successors = np.broadcast_to(np.array([1, 2, 2])[:, None, None], r.shape)
    return dp.from_arrays(np.full(r.shape, 0.5), r, d, np.eye(3)[0], successors)


def markov(act):
    return act[(0,)] == act[(1,)]


def best(mdp, statistic, gamma=1.0, horizon=2, **kw):
    return max(statistic(*law) for law in zip(*brute_force(mdp, gamma, horizon, **kw)))


def of(u, start=0.0):
    return lambda returns, chances: (chances * u(start + returns)).sum()


def tail(level, sign=1):
    """The mean of the worst share of returns, or with sign -1 of the best."""

    def statistic(returns, chances):
        order = np.argsort(sign * returns)
        returns, chances = returns[order], chances[order]
        below = np.cumsum(chances) - chances
        return (np.clip(level - below, 0, chances) * returns).sum() / level

    return statistic


INTEGERS = np.arange(-12, 13, dtype=np.float32)


def at(stocks, value):
    return int(np.abs(np.asarray(stocks) - value).argmin())
