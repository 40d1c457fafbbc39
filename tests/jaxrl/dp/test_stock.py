"""Stock augmentation: against brute force over every history-dependent deterministic policy."""

import itertools

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
    states, size = mdp.transition.shape[0], len(stocks)
    select = stock_greedy(statistic, stocks, states)
    model = stock_augmented(mdp, stocks, gamma)
    tables = dp.distributional_finite_horizon(model, horizon, representation, gamma, select)
    law = representation.decode(tables)
    score = jax.vmap(select.keywords["statistic"])(law)
    return jax.tree.map(lambda x: x.reshape(horizon, states, size, *x.shape[2:]), (law, score))


def played(mdp, score, stocks, start, gamma, horizon=HORIZON):
    """Returns and chances of the greedy policy, in float64, its stock moving with the rewards."""
    arrays, grid = plain(mdp), np.asarray(stocks, float)
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


# What follows has rewards and stocks on a lattice: a closed grid.


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


INTEGERS = jnp.arange(-12.0, 13.0)


def at(stocks, value):
    return int(np.abs(np.asarray(stocks) - value).argmin())


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
    _, score = solve(mdp, utility(u), INTEGERS, 1.0, 2)
    np.testing.assert_allclose(score[0, 0, at(INTEGERS, start)].max(), with_it, atol=1e-5)
    returns, chances = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, start), 1.0, 2)
    np.testing.assert_allclose(of(u, start)(returns, chances), with_it, atol=1e-6)


def test_a_wanted_return_is_generated():
    """Whatever the first reward, the second makes up for what is wanting of any even total."""
    mdp = decide((-1, 1), tuple((k, k) for k in (-3, -1, 1, 3)))
    _, score = solve(mdp, utility(distance), INTEGERS, 1.0, 2)
    for wanted in (-2.0, 0.0, 2.0):
        returns, chances = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, -wanted), 1.0, 2)
        np.testing.assert_array_equal(returns[chances > 0], wanted)


def test_a_constraint_before_the_mean():
    """First the chance of at least 3, then the mean: a lexicographic pair."""
    mdp = decide((0, 3), ((0, 0), (3, 3), (-1, 9)))
    both = lambda x: 1000 * reached(x) + x  # as good as lexicographic: means differ by far less
    _, score = solve(mdp, utility(both), INTEGERS, 1.0, 2)
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
    _, score = solve(mdp, utility(shortfall), INTEGERS, 1.0, 2)
    value, index = best_stock_for_cvar(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, exact, atol=1e-5)
    law = played(mdp, np.asarray(score), INTEGERS, int(index), 1.0, 2)
    np.testing.assert_allclose(tail(0.75)(*law), exact, atol=1e-5)


def test_risk_seeking_cvar_through_the_initial_stock():
    mdp = decide((0, 8), ((4, 4), (0, 7)))
    exact = best(mdp, tail(0.75, -1))
    np.testing.assert_allclose(exact, 31 / 3)
    np.testing.assert_allclose(best(mdp, tail(0.75, -1), admit=markov), 10)
    _, score = solve(mdp, utility(excess), INTEGERS, 1.0, 2)
    value, index = best_stock_for_upper_cvar(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, exact, atol=1e-5)
    assert -7 <= INTEGERS[index] <= -1  # all the same, but at the ends two policies are
    law = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, -4), 1.0, 2)
    np.testing.assert_allclose(tail(0.75, -1)(*law), exact, atol=1e-5)


def test_cvar_of_random_processes():
    """gamma 1/2 and integer rewards: stocks stay multiples of 1/4. All risk levels at once."""
    gamma, levels = 0.5, jnp.array([0.1, 0.3, 0.5, 0.8])
    quarters = jnp.arange(-104, 105) / 4
    solver = jax.jit(lambda mdp: solve(mdp, utility(shortfall), quarters, gamma)[1])
    upper = jax.jit(lambda mdp: solve(mdp, utility(excess), quarters, gamma)[1])
    for seed in range(8):
        mdp = tree_mdp(seed, lattice=[-2, -1, 0, 1, 2])
        score = np.asarray(solver(mdp))
        choose = jax.vmap(best_stock_for_cvar, (None, None, 0))
        values, indices = choose(score[0, 0].max(-1), quarters, levels)
        laws = brute_force(mdp, gamma)
        for level, value, index in zip(levels.tolist(), values, indices):
            exact = max(tail(level)(*law) for law in zip(*laws))
            np.testing.assert_allclose(value, exact, atol=2e-5)
            law = played(mdp, score, quarters, int(index), gamma)
            np.testing.assert_allclose(tail(level)(*law), exact, atol=2e-5)
        # Of the best returns it bounds every policy.
        values, _ = jax.vmap(best_stock_for_upper_cvar, (None, None, 0))(
            upper(mdp)[0, 0].max(-1), quarters, levels
        )
        for level, value in zip(levels.tolist(), values):
            assert value >= max(tail(level, -1)(*law) for law in zip(*laws)) - 2e-5


def test_cvar_itself_is_no_statistic_to_be_greedy_in():
    """It is not indifferent to mixtures: a coin that is best on its own is not after 4."""
    mdp = decide((0, 4), ((1, 1), (0, 4)))
    np.testing.assert_allclose(best(mdp, tail(0.75)), 3)
    _, score = solve(mdp, cvar(0.75), INTEGERS, 1.0, 2)
    law = played(mdp, np.asarray(score), INTEGERS, at(INTEGERS, 0), 1.0, 2)
    np.testing.assert_allclose(tail(0.75)(*law), 8 / 3, atol=1e-5)
    _, score = solve(mdp, utility(shortfall), INTEGERS, 1.0, 2)
    value, _ = best_stock_for_cvar(score[0, 0].max(-1), INTEGERS, 0.75)
    np.testing.assert_allclose(value, 3, atol=1e-5)


def test_a_statistic_that_is_not_lipschitz_is_never_reached():
    """Halves for ever add up to the target only in the limit, and finite sums never reach it."""
    r = np.array([[[0.0, 0.0], [1.0, 0.0]], [[0.5, 0.5]] * 2, [[0.0, 0.0]] * 2])
    d = np.ones(r.shape)
    d[0, 1] = d[2] = 0
    successors = np.array([[[1, 1], [2, 2]], [[1, 1]] * 2, [[2, 2]] * 2])
    mdp = dp.from_arrays(np.full(r.shape, 0.5), r, d, np.eye(3)[0], successors)
    stocks = jnp.array([-1.0, -0.5, 0.0, 1.0])
    model = stock_augmented(mdp, stocks, 0.5)
    sure = lambda x: 1.0 * (x >= 0)

    def scores(u, sweeps):
        select = stock_greedy(utility(u), stocks, 3)
        args = 0.5, quantile(2), select
        theta = dp.distributional_value_iteration(
            model, *args, tolerance=0.0, max_iterations=sweeps
        ).theta
        return select.keywords["statistic"](quantile(2).decode(theta)).reshape(3, 4, 2)[0, 1]

    for sweeps in (2, 5, 15):
        np.testing.assert_allclose(scores(sure, sweeps), [0, 0.5])  # though the first is worth 1
    np.testing.assert_allclose(scores(shortfall, 15), [0, -0.25], atol=1e-4)


@pytest.mark.parametrize("u", [distance, shortfall, reached])
def test_a_gridworld_from_every_stock(u):
    """Gems of random worth, slippery: against backward induction on states, stocks and times."""
    horizon, gems = 4, np.array([0, 1, -1, 1, 0, -1, -1, 1, 0])
    mdp = dp.sparse(mdps.gridworld(3, 3, slip=0.5))
    mdp = mdp._replace(reward=jnp.asarray(gems, jnp.float32)[mdp.successors])
    stocks = jnp.arange(-8.0, 9.0)
    _, score = solve(mdp, utility(u), stocks, 1.0, horizon, categorical(-4.0, 4.0, 9))
    p, r, d = (np.asarray(x, np.float64) for x in mdp[:3])
    at_end = u(np.arange(-8.0 - horizon, 9.0 + horizon))
    value = np.tile(at_end, (9, 1))  # [S, stock]
    for _ in range(horizon):
        q = np.zeros((9, 4, value.shape[1]))
        for s, a, b in np.ndindex(*p.shape):
            after = value[mdp.successors[s, a, b]] if d[s, a, b] else at_end
            q[s, a] += p[s, a, b] * np.roll(after, -int(r[s, a, b]))
        value = q.max(1)
    inner = slice(horizon + 4, horizon + 13)  # stocks that stay on the grid
    np.testing.assert_allclose(score[0].max(-1)[:, 4:13], value[:, inner], atol=1e-5)


def test_the_augmented_process():
    mdp = tree_mdp(0)
    stocks = jnp.array([-1.0, 0.0, 2.0])
    model = stock_augmented(mdp, stocks, 0.5, jnp.array([0.0, 1.0, 0.0]))
    assert model.transition.shape == (9, 2, 2)
    np.testing.assert_array_equal(np.flatnonzero(model.initial), [1])
    for s, c, a, b in np.ndindex(3, 3, 2, 2):
        moved = (stocks[c] + mdp.reward[s, a, b]) / 0.5
        index = int(jnp.abs(stocks - moved).argmin())
        assert model.successors[3 * s + c, a, b] == 3 * mdp.successors[s, a, b] + index
    dense = dp.stock_augmented(dp.dense(mdp), stocks, 0.5)
    np.testing.assert_allclose(dp.value_iteration(dense, 0.5).theta[::3], dp.value_iteration(
        mdp, 0.5).theta, atol=1e-4)  # fmt: skip


def test_reachable_stocks_are_closed():
    mdp = tree_mdp(0, lattice=[-1, 0, 1])
    stocks = np.asarray(reachable_stocks(mdp, jnp.zeros(1), 0.5, 2))
    inner = np.asarray(reachable_stocks(mdp, jnp.zeros(1), 0.5, 1))
    moved = (inner[:, None] + np.unique(mdp.reward)) / 0.5
    assert np.isin(moved, stocks).all()
