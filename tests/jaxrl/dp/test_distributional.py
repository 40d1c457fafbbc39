"""Return distributions: exact by enumeration, means by value iteration, rates by the bound."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from jaxrl import dp
from jaxrl.values import ReturnDistribution, expected, greedy, mean, scalar, soft
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.cases import (
    categorical,
    cvar,
    evaluated,
    float64,
    optimal,
    quantile,
    random_mdp,
)

GAMMA = 0.8
POLICY = np.random.default_rng(5).dirichlet(np.ones(3), 7)
FAMILIES = {"categorical": categorical(-12.0, 12.0, 97), "quantile": quantile(128)}
EVEN, GRID = quantile(16), categorical(-50.0, 50.0, 101)
optimised = partial(jax.jit, compiler_options=OPTIMISED)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def acyclic(rewards, chances, layers=4, width=2, actions=2, seed=0):
    """Each state leads to two of the next layer, with given chances and random integer rewards."""
    rng = np.random.default_rng(seed)
    states = layers * width
    shape = (states, actions, 2)
    layer = np.arange(states) // width
    successors = np.minimum(layer[:, None, None] + 1, layers - 1) * width
    successors = successors + rng.integers(0, width, shape)
    d = np.ones(shape)
    d[layer >= layers - 2] = 0
    p = np.broadcast_to(np.asarray(chances), shape)
    r = rng.choice(rewards, shape).astype(float)
    return dp.from_arrays(p, r, d, np.full(states, 1 / states), successors)


def enumerated(mdp, gamma, policy, state, action):
    """The return distribution of a pair, {return: chance}, by following every path."""
    law = {}
    for b in range(mdp.transition.shape[-1]):
        p, r, d = (float(x[state, action, b]) for x in mdp[:3])
        new = int(mdp.successors[state, action, b])
        later = [(1.0, {0.0: 1.0})]
        if d:
            later = [(w, enumerated(mdp, gamma, policy, new, a)) for a, w in enumerate(policy[new])]
        for weight, rest in later:
            for value, chance in rest.items():
                total = round(r + gamma * d * value, 6)
                law[total] = law.get(total, 0.0) + p * weight * chance
    return law


def close(distribution, law):
    """Whether weighted atoms are the distribution {return: chance}."""
    found = {}
    for atom, weight in zip(*(np.asarray(x, np.float64) for x in distribution)):
        found[round(atom, 3)] = found.get(round(atom, 3), 0.0) + weight
    expected_law = {}
    for value, chance in law.items():
        expected_law[round(value, 3)] = expected_law.get(round(value, 3), 0.0) + chance
    for value in found.keys() | expected_law.keys():
        assert abs(found.get(value, 0) - expected_law.get(value, 0)) < 2e-5, value


@pytest.mark.parametrize(
    ("family", "gamma", "chances", "policy"),
    [
        (categorical(-3.0, 3.0, 7), 1.0, (0.3, 0.7), (0.2, 0.8)),
        (categorical(-2.0, 2.0, 17), 0.5, (0.9, 0.1), (0.6, 0.4)),
        (quantile(512), 0.9, (0.25, 0.75), (0.5, 0.5)),
        (quantile(64), 0.3, (0.25, 0.75), (0.0, 1.0)),
    ],
)
def test_return_distributions_are_exact_where_the_family_holds_them(family, gamma, chances, policy):
    mdp = acyclic((-1, 0, 1), chances)
    policy = np.tile(policy, (8, 1))

    @jax.jit
    def solve(mdp, policy):
        solution = dp.distributional_policy_evaluation(mdp, policy, gamma, family)
        return solution, family.decode(solution.theta)

    solution, law = jax.tree.map(np.asarray, solve(mdp, np.float32(policy)))
    arrays = jax.tree.map(np.asarray, mdp)
    for state in range(6):
        for action in range(2):
            exact = enumerated(arrays, gamma, policy, state, action)
            close(
                ReturnDistribution(law.atoms[state, action], law.probabilities[state, action]),
                exact,
            )
    assert solution.iterations <= 5 and solution.residual < 1e-4


@each_family
def test_means_are_those_of_value_iteration_and_of_policy_evaluation(family):
    mdp = random_mdp()
    arrays = float64(mdp)
    atol = 1e-3 if family.size == 97 else 0.02  # quantiles forget a little of the mean

    @optimised
    def run(mdp, policy):
        solve = partial(dp.distributional_value_iteration, mdp, GAMMA, family)
        tables = (
            solve().theta,
            solve(partial(expected, probabilities=policy)).theta,
            dp.distributional_policy_evaluation(mdp, policy, GAMMA, family).theta,
        )
        return tables, [mean(family.decode(theta)) for theta in tables]

    tables, means = run(mdp, np.float32(POLICY))
    np.testing.assert_allclose(means[0], optimal(*arrays, GAMMA), atol=atol)
    exact = evaluated(*arrays, GAMMA, POLICY)
    np.testing.assert_allclose(means[1], exact, atol=atol)
    np.testing.assert_allclose(means[2], exact, atol=atol)
    if family.size == 97:  # two ways to the same distributions, not only to the same means
        np.testing.assert_allclose(tables[1], tables[2], atol=1e-4)


def test_with_a_scalar_it_is_value_iteration():
    warm, family = partial(soft, temperature=0.5), FAMILIES["categorical"]

    @jax.jit
    def run(mdp):
        args = mdp, GAMMA, scalar()
        solve = partial(dp.distributional_value_iteration, *args, tolerance=1e-5)
        whole = dp.distributional_value_iteration(mdp, GAMMA, family, warm)
        return {
            "plain": (solve(), dp.value_iteration(mdp, GAMMA)),
            "stages": (
                dp.distributional_finite_horizon(mdp, 4, scalar(), GAMMA)[..., 0],
                dp.finite_horizon(mdp, 4, GAMMA),
            ),
            "soft": (solve(dp.collapsed(warm)).theta[..., 0], mean(family.decode(whole.theta))),
            "exact": dp.soft_value_iteration(mdp, GAMMA, 0.5).theta,
        }

    found = jax.tree.map(np.asarray, run(random_mdp()))
    solution, plain = found["plain"]
    np.testing.assert_allclose(solution.theta[..., 0], plain.theta, atol=1e-4)
    assert abs(int(solution.iterations) - int(plain.iterations)) <= 1
    np.testing.assert_allclose(*found["stages"], atol=1e-5)
    bonus, whole = found["soft"]
    np.testing.assert_allclose(bonus, found["exact"], atol=1e-4)
    np.testing.assert_allclose(whole, found["exact"], atol=2e-3)


@each_family
def test_policy_iteration_finds_what_value_iteration_finds(family):
    mdp = random_mdp()

    @jax.jit
    def solve(mdp):
        solution = dp.distributional_policy_iteration(mdp, GAMMA, family)
        return solution, mean(family.decode(solution.theta))

    solution, q = solve(mdp)
    np.testing.assert_allclose(q, optimal(*float64(mdp), GAMMA), atol=0.03)
    assert int(solution.iterations) <= 6 and bool(solution.converged)


def cramer(x, y):
    gap = jnp.cumsum(x.probabilities - y.probabilities, -1)[..., :-1]
    return jnp.sqrt((gap**2 * jnp.diff(x.atoms, axis=-1)).sum(-1))


@partial(optimised, static_argnums=(0, 1))
def factors(family, distances, gamma, tables):
    """By how much a sweep brings pairs of tables [2, pairs, S, A, K] together, per distance."""
    mdp = dp.discounted(random_mdp(states=4, end=0.0), gamma)
    select = partial(expected, probabilities=jnp.full((4, 3), 1 / 3))

    def factor(pair):
        after = [dp.backup(mdp, family, theta, select) for theta in pair]
        apart = lambda pair: jnp.stack([f(*map(family.decode, pair)).max() for f in distances])
        return apart(after) / apart(pair)

    return jax.lax.map(factor, tables)


@pytest.mark.parametrize("gamma", [0.5, 0.95])
def test_the_projected_operator_contracts_by_what_is_claimed(gamma):
    """Over random pairs of tables: the worst factor, below the bound and near to it."""
    rng = np.random.default_rng(0)

    def worst(family, distances, tables):
        return np.asarray(factors(family, distances, gamma, tuple(tables))).max(0)

    atoms = np.float32(3 * np.sort(rng.normal(size=(2, 200, 4, 3, 16)), -1))
    assert worst(EVEN, (dp.largest_shift,), atoms)[0] <= gamma + 1e-5
    weights = np.float32(rng.dirichlet(np.full(101, 0.05), (2, 200, 4, 3)))
    # Differences that are the same everywhere are what mixing does not average out.
    weights[:, 100:] = weights[:, 100:, :1, :1]
    area, root = worst(GRID, (dp.wasserstein_on_grid, cramer), weights)
    assert 0.6 * gamma < area <= gamma + 1e-5
    assert 0.6 * gamma < root <= gamma**0.5 + 1e-5
    same = np.broadcast_to(atoms[:, :, :1, :1], atoms.shape)
    assert 0.6 * gamma < worst(EVEN, (dp.largest_shift,), same)[0]


@each_family
def test_the_table_is_as_near_to_the_fixed_point_as_the_residual_says(family):
    distance = dp.wasserstein_on_grid if family.size == 97 else dp.largest_shift

    @optimised
    def run(mdp, policy, sweeps):
        """The errors and the residuals after numbers of sweeps."""
        select = partial(expected, probabilities=policy)
        args = mdp, GAMMA, family, select
        exact = partial(dp.distributional_value_iteration, *args, distance=distance, tolerance=0.0)
        solve = lambda n: exact(max_iterations=n)
        found = jax.lax.map(solve, sweeps)
        laws = family.decode(found.theta)
        fixed = jax.tree.map(lambda x: x[-1:], laws)
        return distance(laws, fixed).max((1, 2)), found.residual

    sweeps = np.array([3, 10, 20, 150])
    errors, residuals = map(np.asarray, run(random_mdp(), np.float32(POLICY), sweeps))
    assert (errors <= GAMMA / (1 - GAMMA) * residuals + 1e-3)[:3].all()
    assert (residuals <= 10 * GAMMA ** (sweeps - 1.0))[:3].all()


def test_pooling_is_mixing_where_rewards_are_those_of_pairs():
    family = FAMILIES["categorical"]
    theta = np.float32(np.random.default_rng(0).dirichlet(np.ones(97), (7, 3)))

    @jax.jit
    def both(mdp, theta):
        mdp = dp.averaged(mdp)
        return dp.backup(mdp, family, theta, mix=dp.pooled), dp.backup(mdp, family, theta)

    for mdp in (random_mdp(), dp.sparse(random_mdp())):
        np.testing.assert_allclose(*both(mdp, theta), atol=1e-5)
    with pytest.raises(ValueError, match="pooled needs rewards and discounts of pairs"):
        dp.backup(random_mdp(), family, theta, mix=dp.pooled)


def test_dense_and_sparse_processes_have_the_same_distributions():
    family = FAMILIES["categorical"]
    solve = jax.jit(partial(dp.distributional_value_iteration, gamma=GAMMA, representation=family))
    dense, sparse = solve(random_mdp()), solve(dp.sparse(random_mdp()))
    np.testing.assert_allclose(dense.theta, sparse.theta, atol=1e-4)


def coins(rewards):
    """Two like states in which every action [A][2] is a coin, and ends the episode."""
    r = np.array([rewards, rewards])
    p, d, to = np.full(r.shape, 0.5), np.zeros(r.shape), np.zeros(r.shape, int)
    return dp.from_arrays(p, r, d, np.array([0.5, 0.5]), to)


def test_a_random_reward_is_a_repeated_successor():
    mdp = coins([[1.0, -1.0]])
    family = categorical(-1.0, 1.0, 3)

    @jax.jit
    def run(mdp):
        law = dp.distributional_value_iteration(mdp, 1.0, family).theta
        return law, dp.value_iteration(mdp, 1.0).theta

    law, value = map(np.asarray, run(mdp))
    np.testing.assert_allclose(law[0, 0], [0.5, 0, 0.5], atol=1e-6)
    assert (value == 0).all()


def test_risk_levels_and_discounts_are_vmapped():
    """A sure reward against a coin of a higher mean: who fears the worst takes the sure one."""
    mdp, family = coins([[1.0, 1.0], [0.0, 3.0]]), quantile(2)

    def action(level, gamma):
        statistic = cvar(level)
        solution = dp.distributional_value_iteration(
            mdp, gamma, family, partial(greedy, statistic=statistic)
        )
        return statistic(family.decode(solution.theta)).argmax(-1)[0]

    levels = np.float32([0.1, 0.5, 0.75, 1.0])  # at 3/4 the coin is worth 1 too
    choose = jax.jit(jax.vmap(jax.vmap(action, (None, 0)), (0, None)))
    chosen = choose(levels, np.float32([0.5, 0.9]))
    np.testing.assert_array_equal(chosen, [[0, 0], [0, 0], [0, 0], [1, 1]])


def test_distances_against_scipy():
    rng = np.random.default_rng(0)
    law = lambda z, p: ReturnDistribution(np.float32(z), np.float32(p))
    for n, m in ((1, 1), (1, 4), (5, 3)):
        x, y = (law(rng.normal(size=k), rng.dirichlet(np.ones(k))) for k in (n, m))
        theirs = wasserstein_distance(x.atoms, y.atoms, x.probabilities, y.probabilities)
        np.testing.assert_allclose(jax.jit(dp.wasserstein)(x, y), theirs, atol=1e-5)
    grid = np.linspace(-1, 2, 7)
    x, y = (law(grid, rng.dirichlet(np.ones(7))) for _ in range(2))
    theirs = wasserstein_distance(grid, grid, x.probabilities, y.probabilities)
    for distance in (dp.wasserstein_on_grid, dp.wasserstein):
        np.testing.assert_allclose(jax.jit(distance)(x, y), theirs, atol=1e-5)
    even = [law(x, np.full(3, 1 / 3)) for x in ([3, 1, 2], [2, 2, 5])]
    assert float(jax.jit(dp.largest_shift)(*even)) == 2
