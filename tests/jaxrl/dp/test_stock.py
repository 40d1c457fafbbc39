"""Stock augmentation: against brute force over every history-dependent deterministic policy."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import mdps
from jaxrl import dp
from jaxrl.dp.stock import (
    best_stock_for_cvar,
    best_stock_for_upper_cvar,
    reachable_stocks,
    stock_augmented,
    stock_greedy,
)
from jaxrl.values import mean
from tests.jaxrl.dp.cases import categorical, cvar, quantile

HORIZON = 3


def utility(u):
    return lambda law: (law.probabilities * u(law.atoms)).sum(-1)


def tree_mdp(seed, states=3, actions=2, lattice=None):
    """Two successors a pair, of chance 1/4 and 3/4: laws over three steps are 64 even atoms."""
    rng = np.random.default_rng(seed)
    shape = (states, actions, 2)
    p = np.broadcast_to(np.array([0.25, 0.75]), shape)
    r = rng.normal(size=shape).round(2) if lattice is None else rng.choice(lattice, shape)
    initial = np.eye(states)[0]
    return dp.from_arrays(p, r, np.ones(shape), initial, rng.integers(0, states, shape))


def brute_force(mdp, gamma, horizon=HORIZON):
    """Returns and their chances [policies, paths] of every history-dependent policy, from 0.

    A policy has an action for every list of slots come up so far: 2**t of them at time t.
    """
    p, r = np.asarray(mdp.transition, float), np.asarray(mdp.reward, float)
    nodes = [h for t in range(horizon) for h in itertools.product((0, 1), repeat=t)]
    outcomes = []
    for policy in itertools.product(range(p.shape[1]), repeat=len(nodes)):
        act = dict(zip(nodes, policy))
        outcomes.append([follow(mdp, p, r, act.get, path, gamma) for path in paths(horizon)])
    return np.array(outcomes)[..., 0], np.array(outcomes)[..., 1]


def paths(horizon):
    return itertools.product((0, 1), repeat=horizon)


def follow(mdp, p, r, act, path, gamma):
    """The return of one path of slots, and its chance; `act` is told the slots so far."""
    state, total, chance = 0, 0.0, 1.0
    for t, slot in enumerate(path):
        action = act(path[:t])
        total += gamma**t * r[state, action, slot]
        chance *= p[state, action, slot]
        state = int(mdp.successors[state, action, slot])
    return total, chance


def solve(mdp, statistic, stocks, gamma, horizon=HORIZON, representation=quantile(64)):
    """What the greedy policy has at [H, S, C, A]: the laws, and the statistic of stock + law."""
    states, size = mdp.transition.shape[0], len(stocks)
    select = stock_greedy(statistic, stocks, states)
    model = stock_augmented(mdp, stocks, gamma)
    tables = dp.distributional_finite_horizon(model, horizon, representation, gamma, select)
    law = representation.decode(tables)
    score = jax.vmap(select.keywords["statistic"])(law)
    return jax.tree.map(lambda x: x.reshape(horizon, states, size, *x.shape[2:]), (law, score))


def played(mdp, score, stocks, start, gamma, horizon=HORIZON):
    """Returns and chances of the greedy policy, in float64, its stock moving with the rewards."""
    p, r = np.asarray(mdp.transition, float), np.asarray(mdp.reward, float)

    def one(path):
        state, stock, total, chance = 0, float(stocks[start]), 0.0, 1.0
        for t, slot in enumerate(path):
            index = np.abs(np.asarray(stocks, float) - stock).argmin()
            action = score[t, state, index].argmax()
            reward = r[state, action, slot]
            total, chance = total + gamma**t * reward, chance * p[state, action, slot]
            stock, state = (stock + reward) / gamma, int(mdp.successors[state, action, slot])
        return total, chance

    outcomes = np.array([one(path) for path in paths(horizon)])
    return outcomes[:, 0], outcomes[:, 1]


def failures(u, gamma, seeds=20, start=0.0):
    """In how many random processes the stock misses the best expected utility u of c + G."""
    count = 0
    solver = jax.jit(lambda mdp, stocks: solve(mdp, utility(u), stocks, gamma)[1])
    for seed in range(seeds):
        mdp = tree_mdp(seed)
        returns, chances = brute_force(mdp, gamma)
        best = (chances * u(start + returns)).sum(-1).max()
        stocks = _padded(reachable_stocks(mdp, jnp.array([start]), gamma, HORIZON - 1))
        score = np.asarray(solver(mdp, stocks))
        index = int(np.abs(np.asarray(stocks) - start).argmin())
        returns, chances = played(mdp, score, stocks, index, gamma)
        mine = (chances * u(start + returns)).sum(-1)
        assert mine <= best + 1e-5
        count += mine < best - 1e-4
    return count


def _padded(stocks, size=170):
    """A grid of a size of its own for all seeds, so that one compilation serves them."""
    assert len(stocks) <= size
    return jnp.concatenate([stocks, stocks[-1] + 1.0 + jnp.arange(size - len(stocks))])


INDIFFERENT = {
    "homeostatic": lambda x: -abs(x),
    "quadratic": lambda x: -(x**2),
    "cvar": lambda x: x * (x < 0),
    "target": lambda x: 1.0 * (x >= 0.013),
}


def exponential(x):
    return -(jnp if isinstance(x, jax.Array) else np).exp(-x)


def capped(x):
    return x * (x < 0.5) + 0.5 * (x >= 0.5)


@pytest.mark.parametrize("name", ["homeostatic", "quadratic", "cvar"])
def test_utilities_indifferent_to_gamma_are_solved(name):
    assert failures(INDIFFERENT[name], 0.6) == 0


@pytest.mark.parametrize("u", [exponential, capped])
def test_utilities_that_gamma_matters_to_are_not_solved_unless_it_is_one(u):
    missed = failures(u, 0.6)
    print(u.__name__, missed)
    assert missed >= 2
    assert failures(u, 1.0) == 0
