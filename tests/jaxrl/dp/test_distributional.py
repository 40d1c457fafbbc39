"""Return distributions: exact by enumeration, means by value iteration, rates by the bound."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxrl import dp
from jaxrl.values import ReturnDistribution, expected, greedy, mean, scalar, soft
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
    solve = jax.jit(partial(dp.distributional_policy_evaluation, representation=family))
    solution = solve(mdp, jnp.asarray(policy, jnp.float32), gamma)
    law = family.decode(solution.theta)
    for state in range(6):
        for action in range(2):
            exact = enumerated(mdp, gamma, policy, state, action)
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
    solve = partial(dp.distributional_value_iteration, mdp, GAMMA, family)
    q = mean(family.decode(solve().theta))
    np.testing.assert_allclose(q, optimal(*arrays, GAMMA), atol=atol)
    policy = jnp.asarray(POLICY, jnp.float32)
    of_pairs = solve(partial(expected, probabilities=policy))
    of_states = dp.distributional_policy_evaluation(mdp, policy, GAMMA, family)
    exact = evaluated(*arrays, GAMMA, POLICY)
    np.testing.assert_allclose(mean(family.decode(of_pairs.theta)), exact, atol=atol)
    np.testing.assert_allclose(mean(family.decode(of_states.theta)), exact, atol=atol)
    if family.size == 97:  # two ways to the same distributions, not only to the same means
        np.testing.assert_allclose(of_pairs.theta, of_states.theta, atol=1e-4)


def test_with_a_scalar_it_is_value_iteration():
    mdp = random_mdp()
    plain = dp.value_iteration(mdp, GAMMA)
    args = mdp, GAMMA, scalar()
    solution = dp.distributional_value_iteration(*args, tolerance=1e-5)
    np.testing.assert_allclose(solution.theta[..., 0], plain.theta, atol=1e-4)
    assert abs(int(solution.iterations) - int(plain.iterations)) <= 1
    stages = dp.distributional_finite_horizon(mdp, 4, scalar(), GAMMA)[..., 0]
    np.testing.assert_allclose(stages, dp.finite_horizon(mdp, 4, GAMMA), atol=1e-5)
    warm = partial(soft, temperature=0.5)
    bonus = dp.distributional_value_iteration(*args, dp.collapsed(warm), tolerance=1e-5)
    exact = dp.soft_value_iteration(mdp, GAMMA, 0.5).theta
    np.testing.assert_allclose(bonus.theta[..., 0], exact, atol=1e-4)
    whole = dp.distributional_value_iteration(mdp, GAMMA, FAMILIES["categorical"], warm)
    values = mean(FAMILIES["categorical"].decode(whole.theta))
    np.testing.assert_allclose(values, exact, atol=2e-3)


@each_family
def test_policy_iteration_finds_what_value_iteration_finds(family):
    mdp = random_mdp()
    solve = jax.jit(partial(dp.distributional_policy_iteration, representation=family))
    solution = solve(mdp, GAMMA)
    exact = optimal(*float64(mdp), GAMMA)
    np.testing.assert_allclose(mean(family.decode(solution.theta)), exact, atol=0.03)
    assert solution.iterations <= 6 and solution.residual <= 1e-4


def cramer(x, y):
    gap = jnp.cumsum(x.probabilities - y.probabilities, -1)[..., :-1]
    return jnp.sqrt((gap**2 * jnp.diff(x.atoms, axis=-1)).sum(-1))


@pytest.mark.parametrize("gamma", [0.5, 0.95])
def test_the_projected_operator_contracts_by_what_is_claimed(gamma):
    """Over random pairs of tables: the worst factor, below the bound and near to it."""
    mdp = dp.discounted(random_mdp(states=4, end=0.0), gamma)
    select = partial(expected, probabilities=jnp.full((4, 3), 1 / 3))

    def factor(family, distance, x, y):
        step = lambda theta: dp.backup(mdp, family, theta, select)
        before, after = (
            distance(*map(family.decode, pair)).max() for pair in ((x, y), (step(x), step(y)))
        )
        return after / before

    def worst(family, distance, tables):
        return float(jax.jit(jax.vmap(partial(factor, family, distance)))(*tables).max())

    key = jax.random.key(0)
    atoms = 3 * jnp.sort(jax.random.normal(key, (2, 200, 4, 3, 16)), -1)
    assert worst(quantile(16), dp.largest_shift, atoms) <= gamma + 1e-5
    weights = jax.random.dirichlet(key, jnp.full(101, 0.05), (2, 200, 4, 3))
    # Differences that are the same everywhere are what mixing does not average out.
    weights = weights.at[:, 100:].set(weights[:, 100:, :1, :1])
    family = categorical(-50.0, 50.0, 101)
    area, root = (worst(family, distance, weights) for distance in (dp.wasserstein_on_grid, cramer))
    assert 0.6 * gamma < area <= gamma + 1e-5
    assert 0.6 * gamma < root <= gamma**0.5 + 1e-5
    same = atoms.at[:, :].set(atoms[:, :, :1, :1])
    assert 0.6 * gamma < worst(quantile(16), dp.largest_shift, same)


@each_family
def test_the_table_is_as_near_to_the_fixed_point_as_the_residual_says(family):
    mdp = random_mdp()
    distance = dp.wasserstein_on_grid if family.size == 97 else dp.largest_shift
    select = partial(expected, probabilities=jnp.asarray(POLICY, jnp.float32))
    solve = partial(dp.distributional_value_iteration, mdp, GAMMA, family, select, dp.mixed)
    run = lambda n: solve(distance, 0.0, n)
    fixed = family.decode(run(150).theta)
    for sweeps in (3, 10, 20):
        solution = run(sweeps)
        error = distance(family.decode(solution.theta), fixed).max()
        assert error <= GAMMA / (1 - GAMMA) * solution.residual + 1e-3
        assert solution.residual <= 10 * GAMMA ** (sweeps - 1)


def test_pooling_is_mixing_where_rewards_are_those_of_pairs():
    family = FAMILIES["categorical"]
    theta = jax.random.dirichlet(jax.random.key(0), jnp.ones(97), (7, 3))
    for mdp in (dp.averaged(random_mdp()), dp.averaged(dp.sparse(random_mdp()))):
        mixed = dp.backup(mdp, family, theta)
        np.testing.assert_allclose(dp.backup(mdp, family, theta, mix=dp.pooled), mixed, atol=1e-5)
    with pytest.raises(ValueError, match="pooled needs rewards and discounts of pairs"):
        dp.backup(random_mdp(), family, theta, mix=dp.pooled)


def test_dense_and_sparse_processes_have_the_same_distributions():
    family = FAMILIES["categorical"]
    solve = partial(dp.distributional_value_iteration, gamma=GAMMA, representation=family)
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
    solution = dp.distributional_value_iteration(mdp, 1.0, family)
    np.testing.assert_allclose(solution.theta[0, 0], [0.5, 0, 0.5], atol=1e-6)
    assert (dp.value_iteration(mdp, 1.0).theta == 0).all()


def test_risk_levels_and_discounts_are_vmapped():
    """A sure reward against a coin of a higher mean: who fears the worst takes the sure one."""
    mdp, family = coins([[1.0, 1.0], [0.0, 3.0]]), quantile(2)

    def action(level, gamma):
        statistic = cvar(level)
        solution = dp.distributional_value_iteration(
            mdp, gamma, family, partial(greedy, statistic=statistic)
        )
        return statistic(family.decode(solution.theta)).argmax(-1)[0]

    levels = jnp.array([0.1, 0.5, 0.75, 1.0])  # at 3/4 the coin is worth 1 too
    chosen = jax.vmap(jax.vmap(action, (None, 0)), (0, None))(levels, jnp.array([0.5, 0.9]))
    np.testing.assert_array_equal(chosen, [[0, 0], [0, 0], [0, 0], [1, 1]])


def test_distances_against_scipy():
    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (1, 4), (5, 3)):
        x, y = (rng.normal(size=k).astype(np.float32) for k in (n, m))
        p, q = (rng.dirichlet(np.ones(k)).astype(np.float32) for k in (n, m))
        ours = dp.wasserstein(*(ReturnDistribution(*map(jnp.asarray, z)) for z in ((x, p), (y, q))))
        theirs = scipy.stats.wasserstein_distance(x, y, p, q)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    grid = np.linspace(-1, 2, 7).astype(np.float32)
    p, q = (rng.dirichlet(np.ones(7)).astype(np.float32) for _ in range(2))
    laws = [ReturnDistribution(jnp.asarray(grid), jnp.asarray(w)) for w in (p, q)]
    theirs = scipy.stats.wasserstein_distance(grid, grid, p, q)
    np.testing.assert_allclose(dp.wasserstein_on_grid(*laws), theirs, atol=1e-5)
    np.testing.assert_allclose(dp.wasserstein(*laws), theirs, atol=1e-5)
    even = [
        ReturnDistribution(jnp.asarray(x), jnp.full(3, 1 / 3)) for x in ([3.0, 1, 2], [2, 2, 5.0])
    ]
    assert dp.largest_shift(*even) == 2
