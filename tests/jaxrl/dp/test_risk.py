"""Risk in dynamic programming: known numbers, enumeration of policies, and what is only a bound."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxrl import dp, values
from tests.jaxrl.dp.cases import three_arrays
from tests.jaxrl.dp.histories import decide, solve, tail

GAMMA = 0.9
TIGHT = {"tolerance": 1e-13}


def one_step(b, v, p):
    """The entropic risk of values at aversion b."""
    return -np.log(p @ np.exp(-b * v)) / b


def test_nested_and_static_risk_of_three_states():
    arrays = three_arrays()
    with jax.enable_x64(True):
        mdp = dp.from_arrays(*arrays)
        ratio = dp.robust_sets.constrained_density_ratio

        @jax.jit
        def run(level, aversion):
            cautious = lambda level: dp.nested_value_iteration(
                mdp, GAMMA, values.cvar(level), **TIGHT
            ).theta.max(1)
            nested = jax.vmap(cautious)(level)
            adversary = dp.robust_value_iteration(mdp, GAMMA, 1.0, ratio, **TIGHT).theta.max(1)
            by_level = jax.jacfwd(cautious)(0.4)
            every = jax.vmap(
                lambda b: dp.nested_value_iteration(
                    mdp, GAMMA, values.entropic_risk(b / GAMMA), **TIGHT
                )
            )(aversion)
            whole = jax.vmap(lambda b: dp.exponential_utility(mdp, GAMMA, b, 200, **TIGHT)[0])(
                aversion
            )
            short = jax.lax.scan(
                lambda q, t: (stage(mdp, q, GAMMA**t),) * 2,
                jnp.zeros((3, 2)),
                jnp.arange(2, -1, -1),
            )[0]
            return nested, adversary, by_level, every, whole, short

        # Of V alone at aversion b is that of r + gamma V at b / gamma.
        levels = jnp.array([1.0, 0.5, 0.25, 0.4 - 1e-6, 0.4 + 1e-6])
        found = run(levels, jnp.array([0.01, 1.0, 10.0]))
    nested, adversary, by_level, every, whole, short = jax.tree.map(np.asarray, found)
    nested, near = nested[:3], nested[3:]
    known = [[10.824390, 11.624390, 12.492683], [7.76, 8.56, 8.984], [6.32, 7.12, 7.688]]
    np.testing.assert_allclose(nested, known, atol=1e-6)
    np.testing.assert_allclose(adversary, known[1], atol=1e-9)
    np.testing.assert_allclose(by_level, (near[1] - near[0]) / 2e-6, rtol=1e-6)
    assert every.converged.all()
    np.testing.assert_allclose(
        every.theta.max(-1)[:, 0], [10.806365, 9.455076, 4.070517], atol=1e-6
    )
    np.testing.assert_allclose(whole.max(-1)[:, 0], [10.816205, 10.128078, 6.588710], atol=1e-6)
    # Three steps, against the exact law of the return of every Markov policy.
    np.testing.assert_allclose(short.max(1), [2.028274, 2.828274, 3.536617], atol=1e-6)
    np.testing.assert_allclose(short.max(1), [best_of_markov(arrays, s) for s in range(3)])


def stage(mdp, q, level):
    """One stage of the recursion for exponential utility, from the last to the first."""
    mix = dp.nested(values.entropic_risk(level))
    return dp.backup(dp.discounted(mdp, GAMMA), values.scalar(), q[..., None], mix=mix)[..., 0]


def best_of_markov(arrays, start):
    """The highest entropic risk at aversion 1 of three steps, over time-dependent policies."""
    p, r = arrays[0], arrays[1][..., 0]

    def law(policy, t, s):
        if t == 3:
            return np.zeros(1), np.ones(1)
        a = policy[t][s]
        parts = [law(policy, t + 1, n) for n in range(3)]
        returns = np.concatenate([r[s, a] + GAMMA * z for z, _ in parts])
        return returns, np.concatenate([p[s, a, n] * w for n, (_, w) in enumerate(parts)])

    one = list(itertools.product(range(2), repeat=3))
    return max(one_step(1.0, *law(policy, 0, start)) for policy in itertools.product(one, repeat=3))


LEVELS = np.arange(1, 13) / 12


def gap_process():
    """State 0 leads to 1 or 2, evenly; 1 chooses a fair coin of -2 or 2, or -1; 2 pays 0."""
    p = np.zeros((3, 2, 4))
    r, d, to = np.zeros(p.shape), np.zeros(p.shape), np.zeros(p.shape, int)
    p[0, :, :2], d[0], to[0, :, :2] = 0.5, 1, [1, 2]
    p[1, 0, :2], r[1, 0, :2] = 0.5, [-2, 2]
    p[1, 1, 0], r[1, 1] = 1, -1
    p[2, :, 0] = 1
    return dp.from_arrays(p, r, d, np.eye(3)[0], to)


def test_levels_bound_the_best_cvar_from_above_and_stocks_attain_it():
    mdp = gap_process()
    stocks = np.arange(-3.0, 4.0, dtype=np.float32)

    @jax.jit
    def run(levels):
        theta = dp.cvar_by_levels(mdp, 1.0, levels).theta
        process = dp.level_process(mdp, 1.0, levels, theta)
        law = values.quantile(8)
        really = dp.distributional_policy_evaluation(process, jnp.ones((36, 1)), 1.0, law).theta
        pushed = jax.tree.map(lambda x: x[:, 0], law.decode(really))
        return theta, values.cvar(0.5)(pushed).reshape(3, 12), process

    theta, really, process = jax.tree.map(np.asarray, run(LEVELS))
    promised = (theta[0].max(0) / LEVELS)[[3, 5, 7, 11]]
    np.testing.assert_allclose(promised, [-1, -2 / 3, -0.5, 0], atol=1e-6)
    # From level 1/2 the adversary sends state 1 to level 2/3; what is claimed is not attained.
    np.testing.assert_allclose(really[0, 5], -1, atol=1e-6)
    assert process.successors[5, 0, :2].tolist() == [1 * 12 + 7, 2 * 12 + 3]
    shortfall = values.expected_utility(lambda z: jnp.minimum(z, 0.0))
    _, score = solve(mdp, shortfall, stocks, 1.0, 2, values.quantile(8))
    best, _ = dp.best_stock_for_cvar(jnp.asarray(score[0, 0].max(-1)), stocks, 0.5)
    np.testing.assert_allclose(best, -1, atol=1e-6)


def test_levels_evaluate_a_policy_exactly_where_they_resolve_its_return():
    """Trees of two even branches, twice, have four even returns: the levels are quarters."""
    rng = np.random.default_rng(0)
    rewards = rng.normal(size=(40, 3, 1, 2)).round(2)
    levels = np.array([0.25, 0.5, 0.75, 1.0])
    to = np.array([[[1, 2]], [[0, 0]], [[0, 0]]])
    d = np.array([1.0, 0.0, 0.0])[:, None, None] * np.ones((3, 1, 2))
    trees = dp.stacked(
        dp.from_arrays(np.full((3, 1, 2), 0.5), r, d, np.eye(3)[0], to) for r in rewards
    )
    run = jax.jit(jax.vmap(lambda mdp: dp.cvar_by_levels(mdp, 0.5, levels).theta[0, 0]))
    for r, found in zip(rewards[:, :, 0], np.asarray(run(trees)) / levels):
        returns = np.sort((r[0][:, None] + 0.5 * r[1:]).ravel())
        np.testing.assert_allclose(found, np.cumsum(returns) / np.arange(1, 5), atol=1e-5)
    with pytest.raises(ValueError, match="must ascend from above 0 to 1"):
        dp.lorenz(np.array([0.0, 0.5, 1.0]))


def test_nested_risk_is_not_static_risk():
    """The sum of two fair coins of -1 or 1: -2 nested and -1 static, at level 1/2."""
    mdp = decide((-1, 1), ((-1, 1),))

    @jax.jit
    def run():
        nested = dp.nested_value_iteration(mdp, 1.0, values.cvar(0.5)).theta[0, 0]
        family = values.quantile(4)
        law = dp.distributional_value_iteration(mdp, 1.0, family).theta[0, 0]
        return nested, values.cvar(0.5)(family.decode(law))

    assert [float(x) for x in run()] == [-2.0, -1.0]


def test_spectral_measures():
    """CVaR is one, mixtures of them are, and Wang's measure of a normal return is linear."""
    rng = np.random.default_rng(1)
    atoms, p = rng.normal(size=(50, 9)), rng.dirichlet(np.ones(9), 50)
    p[:, 3] = 0
    p /= p.sum(-1, keepdims=True)
    p[0], atoms[1] = np.eye(9)[4], 2.0
    both = values.spectral(lambda u: 0.3 * u + 0.7 * jnp.minimum(u / 0.4, 1.0))
    nodes = norm.ppf((np.arange(400) + 0.5) / 400)

    @jax.jit
    def run(atoms, p, nodes):
        d = values.ReturnDistribution(atoms, p)
        even = values.ReturnDistribution(nodes, jnp.full(400, 1 / 400))
        poisoned = values.ReturnDistribution(atoms.at[:, 3].set(jnp.inf), p)
        measures = values.spectral(lambda u: u), both, values.spectral(values.wang(0.0))
        slope = jax.grad(lambda b: values.spectral(values.wang(b))(d).sum())(0.3)
        return (
            [m(d) for m in measures],
            both(poisoned),
            values.spectral(values.wang(0.5))(even),
            slope,
        )

    with jax.enable_x64(True):
        (plain, mixed, nothing), same, averse, slope = run(atoms, p, nodes)
    average = (p * atoms).sum(-1)
    lower = [tail(0.4)(*row) for row in zip(atoms, p)]
    np.testing.assert_allclose(plain, average, atol=1e-12)
    np.testing.assert_allclose(nothing, average, atol=1e-9)
    np.testing.assert_allclose(mixed, 0.3 * average + 0.7 * np.array(lower), atol=1e-12)
    np.testing.assert_allclose(same, mixed, atol=1e-12)
    np.testing.assert_allclose(averse, -0.5, atol=5e-3)  # of 400 quantiles
    assert np.isfinite(slope) and slope < 0


def test_the_worst_of_relative_entropy_is_the_entropic_value_at_risk():
    """EVaR is the largest entropic risk less its price, and KL's worst case at log(1 / level)."""
    rng = np.random.default_rng(2)
    v, p, level = rng.normal(size=6), rng.dirichlet(np.ones(6)), 0.3
    with jax.enable_x64(True):
        worst = jax.jit(dp.robust.constrained_kl)(v, p, -np.log(level)).value
    prices = np.exp(np.linspace(-6, 6, 20001))
    best = max(one_step(b, v, p) - np.log(1 / level) / b for b in prices)
    np.testing.assert_allclose(worst, best, atol=1e-6)
