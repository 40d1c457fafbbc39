"""The one operator with every representation: means against exact values, and rates."""

from functools import partial

import jax
import numpy as np
import pytest

from jaxrl import dp, values
from tests.jaxrl.dp.cases import evaluated, float64, optimal, random_mdp

GAMMA, SUPPORT = 0.8, values.uniform_support(-12.0, 12.0, 97)
POLICY = np.random.default_rng(5).dirichlet(np.ones(3), 7)
# Each with how far its means may be off, after the errors of many projections have added up.
FAMILIES = {
    "scalar": (values.scalar(), 1e-3),
    "categorical": (values.categorical(SUPPORT), 2e-3),
    "two_hot": (values.two_hot(SUPPORT), 2e-3),
    "hl_gauss": (values.hl_gauss(SUPPORT), 1e-2),
    "symlog": (values.categorical(values.symlog_support(-12.0, 12.0, 97)), 2e-3),
    "quantile": (values.quantile(101), 0.04),
    "implicit_quantile": (values.implicit_quantile(101), 0.04),
    "fully_parameterised_quantile": (values.fully_parameterised_quantile(101), 0.04),
    "expectile": (values.expectile(11), 0.02),
    "gaussian": (values.gaussian_wasserstein(), 1e-2),
    "particles": (values.particles(64), 0.05),
}
each_family = pytest.mark.parametrize("name", FAMILIES)


@each_family
def test_values_and_policies(name):
    family, atol = FAMILIES[name]
    mdp = random_mdp()
    arrays = float64(mdp)

    @jax.jit
    def run(mdp, policy):
        best = dp.distributional_value_iteration(mdp, GAMMA, family, max_iterations=80)
        mine = dp.distributional_policy_evaluation(mdp, policy, GAMMA, family, max_iterations=80)
        return [values.mean(family.decode(solution.theta)) for solution in (best, mine)]

    best, mine = run(mdp, np.float32(POLICY))
    np.testing.assert_allclose(best, optimal(*arrays, GAMMA), atol=atol)
    np.testing.assert_allclose(mine, evaluated(*arrays, GAMMA, POLICY), atol=atol)


def test_an_ensemble_of_like_members_is_its_member():
    one = values.quantile(11)

    @jax.jit
    def run(mdp):
        solve = partial(dp.distributional_value_iteration, mdp, GAMMA, max_iterations=30)
        return [values.mean(f.decode(solve(f).theta)) for f in (one, values.ensemble(one, 3))]

    np.testing.assert_allclose(*run(random_mdp()), atol=1e-3)


def test_pooling_with_a_categorical_table():
    family = values.categorical(SUPPORT)

    @jax.jit
    def run(mdp):
        mdp = dp.averaged(mdp)
        solve = partial(dp.distributional_value_iteration, mdp, GAMMA, family)
        laws = [family.decode(solve(mix=mix).theta) for mix in (dp.mixed, dp.pooled)]
        return [law.probabilities for law in laws]

    np.testing.assert_allclose(*run(dp.sparse(random_mdp())), atol=1e-4)


def test_a_categorical_table_contracts_by_gamma_in_area():
    """And so by more than sqrt(gamma), which is what it does in Cramer distance."""
    family = values.categorical(SUPPORT)
    select = partial(values.expected, probabilities=np.float32(POLICY))
    pair = np.float32(3 * np.random.default_rng(0).normal(size=(2, 7, 3, 97)))

    @jax.jit
    def run(mdp, pair):
        def step(pair, _):
            gap = dp.wasserstein_on_grid(*map(family.decode, pair)).max()
            return [dp.backup(mdp, family, theta, select) for theta in pair], gap

        return jax.lax.scan(step, list(pair), None, 8)[1]

    gaps = np.asarray(run(dp.discounted(random_mdp(), GAMMA), pair))
    factors = gaps[1:] / gaps[:-1]
    assert (factors <= GAMMA + 1e-4).all()
