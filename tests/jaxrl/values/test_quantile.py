"""Quantile and expectile families: signs, minimisers, weights, imputation; agreement with rlax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings

from jaxrl import values
from tests.jaxrl.values.families import close, distributions, sample, wasserstein

some = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0, 3.0])
def test_loss_and_gradient_agree_with_rlax(kappa):
    rng = np.random.default_rng(1)
    theta, target = (jnp.asarray(x * 2, jnp.float32) for x in rng.normal(size=(2, 6, 9)))
    family = values.quantile(9, kappa)
    ours = lambda theta: family.loss(theta, family.decode(target)).sum()
    scale = kappa or 1.0  # theirs does not divide by kappa
    fn = jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))
    theirs = lambda theta: fn(theta, values.midpoints(9), target, kappa).sum() / scale
    for a, b in zip(jax.value_and_grad(ours)(theta), jax.value_and_grad(theirs)(theta)):
        close(a, b, 1e-4)


def test_minimiser_is_the_quantile_of_a_skewed_sample():
    """With the asymmetry reversed it would be the quantile at 1 - fraction: far away here."""
    z = np.random.default_rng(0).exponential(size=4001)
    d = values.ReturnDistribution(jnp.asarray(z, jnp.float32), jnp.full(4001, 1 / 4001))
    grid = jnp.linspace(0, 4, 801)

    @jax.jit
    def losses(fraction):
        return values.quantile_loss(grid, jnp.full(801, fraction), d, 0.0)

    for fraction in (0.1, 0.5, 0.9):
        best = grid[losses(fraction).argmin()]
        assert best == pytest.approx(np.quantile(z, fraction), abs=0.01)
        if fraction != 0.5:
            assert abs(best - np.quantile(z, 1 - fraction)) > 1


def test_loss_is_differentiable_in_its_target_too():
    """All derivatives of the hand-written rule, against differentiating the definition."""
    rng = np.random.default_rng(2)
    theta, fractions = jnp.asarray(rng.normal(size=(3, 5))), values.midpoints(5)
    d = sample(2, (3, 7), -2, 2)

    def definition(theta, d):
        u = d.atoms[..., None] - theta[..., None, :]
        size = jnp.abs(u)
        huber = jnp.where(size > 0.7, size - 0.35, u**2 / 1.4)
        weight = jnp.where(u < 0, 1 - fractions, fractions)
        return ((weight * huber * d.probabilities[..., None]).sum(-2) * jnp.arange(1, 6)).sum()

    ours = lambda theta, d: (
        values.quantile_loss(theta, fractions, d, 0.7) * jnp.arange(1, 6)
    ).sum()
    close(ours(theta, d), definition(theta, d))
    for a, b in zip(
        jax.tree.leaves(jax.grad(ours, (0, 1))(theta, d)),
        jax.tree.leaves(jax.grad(definition, (0, 1))(theta, d)),
    ):
        close(a, b)


@some
@given(d=distributions(count=12))
def test_projection_is_the_best_equal_weighting_in_wasserstein_distance(d):
    """Quantiles at midpoints minimise the 1-Wasserstein distance (Dabney et al. 2018a, lemma 2)."""
    family = values.quantile(3)
    row = jax.tree.map(lambda x: x[0], d)
    theta = family.project(row)
    best = wasserstein(family.decode(theta), row)
    rng = np.random.default_rng(0)
    for noise in rng.normal(size=(20, 3)) * rng.choice([0.01, 1.0], (20, 1)):
        other = family.decode(theta + jnp.asarray(noise, jnp.float32))
        assert wasserstein(other, row) >= best - 1e-5


def test_implicit_weights():
    family = values.implicit_quantile(4)
    theta = jnp.array([1.0, 2.0, 3.0, 4.0])
    even = family.decode(jnp.concatenate([theta, values.midpoints(4)]))
    close(even.probabilities, 0.25)
    uneven = family.decode(jnp.concatenate([theta, jnp.array([0.9, 0.1, 0.5, 0.2])]))
    close(uneven.atoms, [2, 4, 3, 1], 0)
    close(uneven.probabilities, [0.15, 0.2, 0.35, 0.3])
    same = family.decode(jnp.concatenate([theta, jnp.full(4, 0.3)]))
    close(same.probabilities.sum(), 1.0)
    gradient = jax.grad(lambda t: values.mean(family.decode(t)))(
        jnp.concatenate([theta, jnp.array([0.9, 0.1, 0.5, 0.2])])
    )
    close(gradient, [0.3, 0.15, 0.35, 0.2, 0, 0, 0, 0])


def test_implicit_fractions_integrate_better_than_equal_weights():
    """The mean of an exponential from quantiles at 32 random fractions: error over 500 draws."""
    u = jax.random.uniform(jax.random.key(0), (500, 32))
    theta = jnp.concatenate([-jnp.log1p(-u), u], -1)
    ours = values.mean(values.implicit_quantile(32).decode(theta)) - 1
    equal = theta[:, :32].mean(-1) - 1
    assert np.sqrt((ours**2).mean()) < 0.6 * np.sqrt((equal**2).mean())


def test_implicit_loss_is_quantile_regression_at_its_fractions():
    d, u = sample(3, (2, 11), -2, 2), jnp.array([[0.7, 0.2, 0.4], [0.1, 0.9, 0.3]])
    theta = jnp.array([[0.5, -1.0, 0.0], [1.0, 2.0, -2.0]])
    wanted = values.quantile_loss(theta, u, d, 1.0).sum(-1)
    family = values.implicit_quantile(3)
    close(family.loss(jnp.concatenate([theta, u], -1), d), wanted)
    assert not jax.grad(lambda t: family.loss(t, d).sum())(jnp.concatenate([theta, u], -1))[
        :, 3:
    ].any()


def test_fully_parameterised_fractions_follow_the_wasserstein_distance():
    """The loss's derivative by a fraction is that of the distance between quantile functions."""
    inverse = lambda u: -np.log1p(-u)  # of an exponential

    def distance(tau):
        """W1 to the step function through the middles of parts, by a fine midpoint rule."""
        edges = np.concatenate([[0], tau, [1]])
        total = 0.0
        for a, b in itertools.pairwise(edges):
            u = a + (b - a) * (np.arange(20000) + 0.5) / 20000
            total += (b - a) * np.abs(inverse(u) - inverse((a + b) / 2)).mean()
        return total

    tau = np.array([0.3, 0.8])
    numeric = np.array([(distance(tau + e) - distance(tau - e)) / 2e-3 for e in np.eye(2) * 1e-3])
    edges = np.concatenate([[0], tau, [1]])
    middle, logits = (edges[1:] + edges[:-1]) / 2, np.log(np.diff(edges))
    theta = jnp.asarray(np.concatenate([inverse(middle), inverse(tau), logits]), jnp.float32)
    family = values.fully_parameterised_quantile(3)
    d = values.ReturnDistribution(
        jnp.asarray(inverse((np.arange(999) + 0.5) / 999), jnp.float32), jnp.full(999, 1 / 999)
    )
    by_logits = jax.grad(family.loss)(theta, d)[5:]
    jacobian = jax.jacobian(lambda x: jnp.cumsum(jax.nn.softmax(x))[:2])(theta[5:])
    close(by_logits, numeric @ np.asarray(jacobian), 2e-3)


@pytest.mark.parametrize("size", [3, 5, 9, 21])
def test_expectiles_are_imputed_exactly(size):
    """The decoded atoms have the very expectiles that were given, for any distribution's."""

    @jax.jit
    def again(d):
        family = values.expectile(size)
        theta = family.project(d)
        imputed = family.decode(theta)
        return theta, imputed, family.project(imputed)

    for seed in range(10):
        d = sample(seed, (20, 12), -3, 3)
        theta, imputed, same = again(d)
        close(same, theta, 3e-4)
        assert (np.asarray(imputed.probabilities) >= 0).all()
        assert np.abs(theta - values.mean(d)[:, None]).max() > 0.5


def test_expectile_mean_is_the_middle_output_even_if_no_distribution_fits():
    rng = np.random.default_rng(0)
    theta = jnp.asarray(rng.normal(size=(50, 9)) * 5, jnp.float32)
    middle = jnp.take_along_axis(theta, jnp.full((50, 1), 4), -1)[:, 0]
    close(values.mean(values.expectile(9).decode(theta)), middle, 1e-3)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_expectiles_need_a_middle(size):
    with pytest.raises(ValueError, match=f"odd and at least 3, but it is {size}"):
        values.expectile(size)
