"""Stock augmentation: against brute force over every history-dependent deterministic policy."""

from functools import partial

import jax
import numpy as np
import pytest

from envs import mdps
from jaxrl import dp
from jaxrl.dp.stock import (
    best_stock_for_cvar,
    best_stock_for_upper_cvar,
    reachable_stocks,
    stock_augmented,
)
from jaxrl.values import (
    categorical,
    expected_utility,
    lexicographic,
    mean,
    quantile,
    reach_probability,
    uniform_support,
)
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.histories import (
    INTEGERS,
    at,
    best,
    brute_force,
    decide,
    distance,
    excess,
    markov,
    of,
    played,
    reached,
    shortfall,
    solution,
    solve,
    square,
    tail,
    tree_mdp,
)

ZERO = np.zeros(1, np.float32)

# What follows has rewards and stocks on a lattice: a closed grid.


@pytest.mark.parametrize(
    ("u", "first", "second", "start", "with_it", "without"),
    [
        (distance, (-1, 1), ((-1, -1), (1, 1)), 0.0, 0.0, -1.0),
        (square, (-2, 2), ((-1, -1), (1, 1)), 0.0, -1.0, -5.0),
        (reached, (0, 5), ((0, 0), (-6, 6)), -5.0, 0.75, 0.5),
        (shortfall, (0, 4), ((1, 1), (0, 3)), -5.0, -1.75, -2.0),
    ],
    ids=["homeostatic", "quadratic", "target", "shortfall"],
)
def test_what_no_policy_of_the_state_alone_can_do(u, first, second, start, with_it, without):
    mdp = decide(first, second)
    assert best(mdp, of(u, start)) == with_it
    assert best(mdp, of(u, start), admit=markov) == without
    _, score = solve(mdp, expected_utility(u), INTEGERS, 1.0, 2)
    np.testing.assert_allclose(score[0, 0, at(INTEGERS, start)].max(), with_it, atol=1e-5)
    returns, chances = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, start), 1.0, 2)
    np.testing.assert_allclose(of(u, start)(returns, chances), with_it, atol=1e-6)


def test_a_wanted_return_is_generated():
    """Whatever the first reward, the second makes up for what is wanting of any even total."""
    mdp = decide((-1, 1), tuple((k, k) for k in (-3, -1, 1, 3)))
    _, score = solve(mdp, expected_utility(distance), INTEGERS, 1.0, 2)
    for wanted in (-2.0, 0.0, 2.0):
        returns, chances = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, -wanted), 1.0, 2)
        np.testing.assert_array_equal(returns[chances > 0], wanted)


def test_a_constraint_before_the_mean():
    """First the chance of at least 3, then the mean: a lexicographic pair."""
    mdp = decide((0, 3), ((0, 0), (3, 3), (-1, 9)))
    statistic = lexicographic(reach_probability(-1e-4), mean, 1e-4)
    _, score = solve(mdp, statistic, INTEGERS, 1.0, 2)
    start = at(INTEGERS, -3)
    returns, chances = played(mdp, np.asarray(score), INTEGERS, start, 1.0, 2)
    laws = zip(*brute_force(mdp, 1.0, 2))
    pairs = [(of(reached, -3)(*law), of(lambda x: x)(*law)) for law in laws]
    assert (of(reached, -3)(returns, chances), of(lambda x: x)(returns, chances)) == max(pairs)
    assert max(pairs)[1] < max(mean for _, mean in pairs)  # the constraint costs something


def test_cvar_through_the_initial_stock():
    mdp = decide((0, 4), ((1, 1), (0, 3)))
    exact = best(mdp, tail(0.75))
    np.testing.assert_allclose(exact, 8 / 3)
    assert best(mdp, tail(0.75), admit=markov) < 2.4
    _, score = solve(mdp, expected_utility(shortfall), INTEGERS, 1.0, 2)
    value, index = jax.jit(best_stock_for_cvar)(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, exact, atol=1e-5)
    law = played(mdp, np.asarray(score), INTEGERS, int(index), 1.0, 2)
    np.testing.assert_allclose(tail(0.75)(*law), exact, atol=1e-5)


def test_risk_seeking_cvar_through_the_initial_stock():
    mdp = decide((0, 8), ((4, 4), (0, 7)))
    exact = best(mdp, tail(0.75, -1))
    np.testing.assert_allclose(exact, 31 / 3)
    np.testing.assert_allclose(best(mdp, tail(0.75, -1), admit=markov), 10)
    _, score = solve(mdp, expected_utility(excess), INTEGERS, 1.0, 2)
    value, index = jax.jit(best_stock_for_upper_cvar)(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, exact, atol=1e-5)
    assert -7 <= INTEGERS[index] <= -1  # all the same, but at the ends two policies are
    law = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, -4), 1.0, 2)
    np.testing.assert_allclose(tail(0.75, -1)(*law), exact, atol=1e-5)


def test_cvar_of_random_processes():
    """gamma 1/2 and integer rewards: stocks stay multiples of 1/4. All risk levels at once."""
    gamma, levels = 0.5, np.float32([0.1, 0.3, 0.5, 0.8])
    quarters = np.arange(-104, 105, dtype=np.float32) / 4

    @partial(jax.jit, compiler_options=OPTIMISED)
    def run(mdp):
        solved = lambda u: solution(mdp, quarters, expected_utility(u), gamma, 3, quantile(64))[1]
        score, upper = solved(shortfall), solved(excess)
        chosen = (
            jax.vmap(choose, (None, None, 0))(score[0, 0].max(-1), quarters, levels)
            for choose, score in ((best_stock_for_cvar, score), (best_stock_for_upper_cvar, upper))
        )
        return score, *chosen

    for seed in range(8):
        mdp = tree_mdp(seed, lattice=[-2, -1, 0, 1, 2])
        score, (values, indices), (uppers, _) = jax.tree.map(np.asarray, run(mdp))
        laws = brute_force(mdp, gamma)
        for level, value, index in zip(levels.tolist(), values, indices):
            exact = max(tail(level)(*law) for law in zip(*laws))
            np.testing.assert_allclose(value, exact, atol=2e-5)
            law = played(mdp, score, quarters, int(index), gamma)
            np.testing.assert_allclose(tail(level)(*law), exact, atol=2e-5)
        # Of the best returns it bounds every policy.
        for level, value in zip(levels.tolist(), uppers):
            assert value >= max(tail(level, -1)(*law) for law in zip(*laws)) - 2e-5


@pytest.mark.parametrize("u", [distance, shortfall, reached])
def test_a_gridworld_from_every_stock(u):
    """Gems of random worth, slippery: against backward induction on states, stocks and times."""
    horizon, gems = 4, np.array([0, 1, -1, 1, 0, -1, -1, 1, 0])
    mdp = dp.sparse(mdps.gridworld(3, 3, slip=0.5))
    mdp = mdp._replace(reward=np.float32(gems)[np.asarray(mdp.successors)])
    stocks = np.arange(-8, 9, dtype=np.float32)
    _, score = solve(
        mdp, expected_utility(u), stocks, 1.0, horizon, categorical(uniform_support(-4.0, 4.0, 9))
    )
    p, r, d = (np.asarray(x, np.float64) for x in mdp[:3])
    to = np.asarray(mdp.successors)
    at_end = u(np.arange(-8.0 - horizon, 9.0 + horizon))
    value = np.tile(at_end, (9, 1))  # [S, stock]
    for _ in range(horizon):
        q = np.zeros((9, 4, value.shape[1]))
        for s, a, b in np.ndindex(*p.shape):
            after = value[to[s, a, b]] if d[s, a, b] else at_end
            q[s, a] += p[s, a, b] * np.roll(after, -int(r[s, a, b]))
        value = q.max(1)
    inner = slice(horizon + 4, horizon + 13)  # stocks that stay on the grid
    np.testing.assert_allclose(score[0].max(-1)[:, 4:13], value[:, inner], atol=1e-5)


def test_the_augmented_process():
    mdp = tree_mdp(0)
    stocks = np.float32([-1, 0, 2])

    @jax.jit
    def run(mdp, stocks):
        model = stock_augmented(mdp, stocks, 0.5, np.float32([0, 1, 0]))
        dense = dp.stock_augmented(dp.dense(mdp), stocks, 0.5)
        solve = lambda mdp: dp.value_iteration(mdp, 0.5).theta
        return model, solve(dense), solve(mdp)

    mdp, (model, augmented, plain) = jax.tree.map(np.asarray, (mdp, run(mdp, stocks)))
    assert model.transition.shape == (9, 2, 2)
    np.testing.assert_array_equal(np.flatnonzero(model.initial), [1])
    for s, c, a, b in np.ndindex(3, 3, 2, 2):
        moved = (stocks[c] + mdp.reward[s, a, b]) / 0.5
        index = int(np.abs(stocks - moved).argmin())
        assert model.successors[3 * s + c, a, b] == 3 * mdp.successors[s, a, b] + index
    np.testing.assert_allclose(augmented[::3], plain, atol=1e-4)


def test_the_edges_of_levels_and_of_scales():
    """The CVaR at level 0 is the least return; tiny rewards make as many stocks as others do."""
    stocks = np.arange(-4, 5, dtype=np.float32)
    lower = np.minimum(0, stocks + 2) * 0.5 + np.minimum(0, stocks - 1) * 0.5
    upper = np.maximum(0, stocks + 2) * 0.5 + np.maximum(0, stocks - 1) * 0.5
    for choose, score, value in (
        (best_stock_for_cvar, lower, -1.0), (best_stock_for_upper_cvar, upper, 2.0),
    ):  # fmt: skip
        found, _ = jax.jit(lambda score, f=choose: f(score, stocks, 0.0))(score)
        np.testing.assert_allclose(found, value, atol=1e-3)
    mdp = tree_mdp(0, lattice=[-1, 0, 1])
    plain = np.asarray(reachable_stocks(mdp, ZERO, 0.5, 2))
    for scale in np.float32([2.0**-24, 2.0**10]):
        tiny = mdp._replace(reward=scale * np.asarray(mdp.reward))
        stocks = np.asarray(reachable_stocks(tiny, ZERO, 0.5, 2))
        np.testing.assert_allclose(stocks / scale, plain, atol=1e-4)
    assert len(reachable_stocks(mdp, ZERO, 0.0, 2)) == 5  # what is added up


def test_reachable_stocks_are_closed():
    mdp = tree_mdp(0, lattice=[-1, 0, 1])
    stocks, inner = (np.asarray(reachable_stocks(mdp, ZERO, 0.5, n)) for n in (2, 1))
    moved = (inner[:, None] + np.unique(mdp.reward)) / 0.5
    assert np.isin(moved, stocks).all()
