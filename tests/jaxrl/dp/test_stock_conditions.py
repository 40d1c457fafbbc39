"""What a statistic must be like for the stock to optimise it, and what breaks if it is not."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp
from jaxrl.dp.stock import (
    best_stock_for_cvar,
    reachable_stocks,
    stock_augmented,
    stock_greedy,
)
from jaxrl.values import cvar, expected_utility, quantile
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.histories import (
    HORIZON,
    INTEGERS,
    at,
    best,
    brute_force,
    decide,
    distance,
    played,
    shortfall,
    solution,
    solve,
    square,
    tail,
    tree_mdp,
)


@cache
def solver(u):
    """What the greedy policy in the expected utility u has, of (process, stocks, gamma)."""
    return jax.jit(
        lambda *args: solution(*args[:2], expected_utility(u), args[2], HORIZON, quantile(64))[1],
        compiler_options=OPTIMISED,
    )


def failures(u, gamma, seeds=20, start=0.0):
    """In how many random processes the stock misses the best expected utility u of c + G."""
    count = 0
    for seed in range(seeds):
        mdp, stocks, (returns, chances) = process(seed, gamma, start)
        best = (chances * u(start + returns)).sum(-1).max()
        score = np.asarray(solver(u)(mdp, stocks, gamma))
        index = at(stocks, start)
        returns, chances = played(mdp, score, stocks, index, gamma)
        mine = (chances * u(start + returns)).sum(-1)
        assert mine <= best + 1e-5
        count += mine < best - 1e-4
    return count


@cache
def process(seed, gamma, start):
    """A random process, the stocks that it can reach, and the laws of all its policies."""
    mdp = tree_mdp(seed)
    stocks = _padded(reachable_stocks(mdp, np.array([start]), gamma, HORIZON - 1))
    return mdp, stocks, brute_force(mdp, gamma)


def _padded(stocks, size=170):
    """A grid of a size of its own for all seeds, so that one compilation serves them."""
    assert len(stocks) <= size
    stocks = np.asarray(stocks)
    beyond = stocks[-1] + 1 + np.arange(size - len(stocks))
    return np.concatenate([stocks, beyond.astype(stocks.dtype)])


def exponential(x):
    return -(jnp if isinstance(x, jax.Array) else np).exp(-x)


def capped(x):
    return x * (x < 0.5) + 0.5 * (x >= 0.5)


@pytest.mark.parametrize("u", [distance, square, shortfall])
def test_utilities_indifferent_to_gamma_are_solved(u):
    assert failures(u, 0.6) == 0


@pytest.mark.parametrize("u", [exponential, capped])
def test_utilities_that_gamma_matters_to_are_not_solved_unless_it_is_one(u):
    assert failures(u, 0.6) >= 2
    assert failures(u, 1.0) == 0


def test_cvar_itself_is_no_statistic_to_be_greedy_in():
    """It is not indifferent to mixtures: a coin that is best on its own is not after 4."""
    mdp = decide((0, 4), ((1, 1), (0, 4)))
    np.testing.assert_allclose(best(mdp, tail(0.75)), 3)
    _, score = solve(mdp, cvar(0.75), INTEGERS, 1.0, 2)
    law = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, 0), 1.0, 2)
    np.testing.assert_allclose(tail(0.75)(*law), 8 / 3, atol=1e-5)
    _, score = solve(mdp, expected_utility(shortfall), INTEGERS, 1.0, 2)
    value, _ = jax.jit(best_stock_for_cvar)(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, 3, atol=1e-5)


def test_a_statistic_that_is_not_lipschitz_is_never_reached():
    """Halves for ever add up to the target only in the limit, and finite sums never reach it."""
    r = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.5, 0.5]] * 2, [[0.0, 0.0]] * 2])
    d = np.ones(r.shape)
    d[0, 1] = d[2] = 0
    successors = np.array([[[1, 1], [2, 2]], [[1, 1]] * 2, [[2, 2]] * 2])
    mdp = dp.from_arrays(np.full(r.shape, 0.5), r, d, np.eye(3)[0], successors)
    grid = np.float32([-1, -0.5, 0, 1])
    sure = lambda x: 1.0 * (x >= 0)

    @partial(jax.jit, static_argnums=0)
    def scores(u, sweeps, stocks):
        model = stock_augmented(mdp, stocks, 0.5)
        select = stock_greedy(expected_utility(u), stocks, 3)
        args = 0.5, quantile(2), select
        theta = dp.distributional_value_iteration(
            model, *args, tolerance=0.0, max_iterations=sweeps
        ).theta
        return select.keywords["statistic"](quantile(2).decode(theta)).reshape(3, 4, 2)[0, 1]

    for sweeps in (2, 5, 15):  # though the first is worth 1
        np.testing.assert_allclose(scores(sure, sweeps, grid), [0, 0.5])
    np.testing.assert_allclose(scores(shortfall, 15, grid), [0, -0.25], atol=1e-4)
