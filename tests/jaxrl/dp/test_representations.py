"""The one operator with every representation: means against exact values, and rates."""

from functools import partial

import jax
import jax.numpy as jnp
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
    decoded = lambda solution: values.mean(family.decode(solution.theta))
    solve = jax.jit(partial(dp.distributional_value_iteration, representation=family))
    q = decoded(solve(mdp, GAMMA, max_iterations=80))
    np.testing.assert_allclose(q, optimal(*arrays, GAMMA), atol=atol)
    evaluate = jax.jit(partial(dp.distributional_policy_evaluation, representation=family))
    q = decoded(evaluate(mdp, jnp.asarray(POLICY), GAMMA, max_iterations=80))
    np.testing.assert_allclose(q, evaluated(*arrays, GAMMA, POLICY), atol=atol)


def test_an_ensemble_of_like_members_is_its_member():
    family = values.ensemble(values.quantile(11), 3)
    mdp = random_mdp()
    one = dp.distributional_value_iteration(mdp, GAMMA, values.quantile(11), max_iterations=30)
    all_three = dp.distributional_value_iteration(mdp, GAMMA, family, max_iterations=30)
    means = [values.mean(r.decode(s.theta)) for r, s in (
        (values.quantile(11), one), (family, all_three))]  # fmt: skip
    np.testing.assert_allclose(means[0], means[1], atol=1e-3)


def test_pooling_with_a_categorical_table():
    family = values.categorical(SUPPORT)
    mdp = dp.averaged(dp.sparse(random_mdp()))
    run = lambda mix: dp.distributional_value_iteration(mdp, GAMMA, family, mix=mix).theta
    laws = [family.decode(run(mix)) for mix in (dp.mixed, dp.pooled)]
    np.testing.assert_allclose(laws[0].probabilities, laws[1].probabilities, atol=1e-4)


def test_a_categorical_table_contracts_by_gamma_in_area():
    """And so by more than sqrt(gamma), which is what it does in Cramer distance."""
    family = values.categorical(SUPPORT)
    mdp = dp.discounted(random_mdp(), GAMMA)
    select = partial(values.expected, probabilities=jnp.asarray(POLICY))
    x, y = 3 * jax.random.normal(jax.random.key(0), (2, 7, 3, 97))
    gaps = []
    for _ in range(8):
        gaps.append(float(dp.wasserstein_on_grid(family.decode(x), family.decode(y)).max()))
        x, y = (dp.backup(mdp, family, theta, select) for theta in (x, y))
    factors = np.array(gaps[1:]) / np.array(gaps[:-1])
    assert (factors <= GAMMA + 1e-4).all()
