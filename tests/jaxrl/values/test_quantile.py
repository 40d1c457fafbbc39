"""Quantile and expectile families: signs, minimisers, weights, imputation; agreement with rlax."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings

from jaxrl import values
from tests.jaxrl.values.families import (
    close,
    distribution,
    distributions,
    rows,
    sample,
    wasserstein,
)

some = settings(max_examples=40, deadline=None, derandomize=True)


@pytest.mark.parametrize("kappa", [0.0, 0.5, 1.0, 3.0])
def test_loss_and_gradient_agree_with_rlax(kappa):
    rng = np.random.default_rng(1)
    theta, target = np.float32(2 * rng.normal(size=(2, 6, 9)))
    family = values.quantile(9, kappa)
    ours = lambda theta: family.loss(theta, family.decode(target)).sum()
    scale = kappa or 1.0  # theirs does not divide by kappa
    fn = jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))
    theirs = lambda theta: fn(theta, values.midpoints(9), target, kappa).sum() / scale
    both = lambda theta: [jax.value_and_grad(loss)(theta) for loss in (ours, theirs)]
    for a, b in zip(*jax.jit(both)(theta)):
        close(a, b, 1e-4)


def test_minimiser_is_the_quantile_of_a_skewed_sample():
    """With the asymmetry reversed it would be the quantile at 1 - fraction: far away here."""
    z = np.random.default_rng(0).exponential(size=4001)
    d = distribution(z, np.ones(4001))
    grid = np.linspace(0, 4, 801, dtype=np.float32)

    @jax.jit
    def losses(fraction):
        return values.quantile_loss(grid, jnp.full(801, fraction), d, 0.0)

    for fraction in (0.1, 0.5, 0.9):
        best = grid[np.asarray(losses(fraction)).argmin()]
        assert best == pytest.approx(np.quantile(z, fraction), abs=0.01)
        if fraction != 0.5:
            assert abs(best - np.quantile(z, 1 - fraction)) > 1


def test_loss_is_differentiable_in_its_target_too():
    """All derivatives of the hand-written rule, against differentiating the definition."""
    rng = np.random.default_rng(2)
    theta, fractions = np.float32(rng.normal(size=(3, 5))), values.midpoints(5)
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
    both = lambda *args: [jax.value_and_grad(f, (0, 1))(*args) for f in (ours, definition)]
    for a, b in zip(*map(jax.tree.leaves, jax.jit(both)(theta, d)), strict=True):
        close(a, b)


@jax.jit
def near(d, noise):
    """What the projection of a distribution to three quantiles, and others near it, decode to."""
    family = values.quantile(3)
    return jax.vmap(family.decode)(family.project(d) + noise)


@some
@given(d=distributions(count=12))
def test_projection_is_the_best_equal_weighting_in_wasserstein_distance(d):
    """Quantiles at midpoints minimise the 1-Wasserstein distance (Dabney et al. 2018a, lemma 2)."""
    row = jax.tree.map(lambda x: x[0], d)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(20, 3)) * rng.choice([0.01, 1.0], (20, 1))
    best, *others = rows(near(row, np.float32(np.concatenate([np.zeros((1, 3)), noise]))))
    best = wasserstein(best, row)
    for other in others:
        assert wasserstein(other, row) >= best - 1e-5


def test_implicit_weights():
    family = values.implicit_quantile(4)

    @jax.jit
    def run(fractions):
        theta = jnp.concatenate([jnp.arange(1.0, 5.0), fractions])
        return family.decode(theta), jax.grad(lambda t: values.mean(family.decode(t)))(theta)

    found = lambda fractions: jax.tree.map(np.asarray, run(np.float32(fractions)))
    close(found(values.midpoints(4))[0].probabilities, 0.25)
    uneven, gradient = found([0.9, 0.1, 0.5, 0.2])
    close(uneven.atoms, [1, 2, 3, 4], 0)
    close(uneven.probabilities, [0.3, 0.15, 0.35, 0.2])
    close(gradient, [0.3, 0.15, 0.35, 0.2, 0, 0, 0, 0])
    close(found([0.3] * 4)[0].probabilities, [0.3, 0, 0, 0.7])
    close(found([0.0, 1.0, 1.0, 0.4])[0].probabilities, [0.2, 0.3, 0, 0.5])


def test_implicit_fractions_integrate_better_than_equal_weights():
    """The mean of an exponential from quantiles at 32 random fractions: error over 500 draws."""
    u = np.random.default_rng(0).random((500, 32))
    theta = np.float32(np.concatenate([-np.log1p(-u), u], -1))
    mean = jax.jit(lambda theta: values.mean(values.implicit_quantile(32).decode(theta)))
    ours = np.asarray(mean(theta)) - 1
    equal = theta[:, :32].mean(-1) - 1
    assert np.sqrt((ours**2).mean()) < 0.6 * np.sqrt((equal**2).mean())


def test_implicit_loss_is_quantile_regression_at_its_fractions():
    d, u = sample(3, (2, 11), -2, 2), np.float32([[0.7, 0.2, 0.4], [0.1, 0.9, 0.3]])
    theta = np.float32([[0.5, -1.0, 0.0], [1.0, 2.0, -2.0]])
    loss = values.implicit_quantile(3).loss

    @jax.jit
    def run(theta, u, d):
        whole = jnp.concatenate([theta, u], -1)
        wanted = values.quantile_loss(theta, u, d, 1.0).sum(-1)
        return loss(whole, d), wanted, jax.grad(lambda t: loss(t, d).sum())(whole)

    ours, wanted, slope = map(np.asarray, run(theta, u, d))
    close(ours, wanted)
    assert not slope[:, 3:].any()


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
    theta = np.float32(np.concatenate([inverse(middle), inverse(tau), logits]))
    d = distribution(inverse((np.arange(999) + 0.5) / 999), np.ones(999))
    slope = jax.jit(jax.grad(values.fully_parameterised_quantile(3).loss))
    by_logits = np.asarray(slope(theta, d))[5:]
    p = np.diff(edges)  # the softmax of the logits, of which tau are the sums
    jacobian = np.cumsum(np.diag(p) - np.outer(p, p), 0)[:2]
    close(by_logits, numeric @ jacobian, 2e-3)


@pytest.mark.parametrize("size", [3, 5, 9, 21])
def test_expectiles_are_imputed_exactly(size):
    """The decoded atoms have the very expectiles that were given, for any distribution's."""

    @jax.jit
    def again(d):
        family = values.expectile(size)
        theta = family.project(d)
        imputed = family.decode(theta)
        return theta, imputed, family.project(imputed), values.mean(d)

    for seed in range(10):
        d = sample(seed, (20, 12), -3, 3)
        theta, imputed, same, mean = jax.tree.map(np.asarray, again(d))
        close(same, theta, 3e-4)
        assert (imputed.probabilities >= 0).all()
        assert np.abs(theta - mean[:, None]).max() > 0.5


def test_expectile_mean_is_the_middle_output_even_if_no_distribution_fits():
    rng = np.random.default_rng(0)
    theta = np.float32(rng.normal(size=(50, 9)) * 5)
    mean = jax.jit(lambda theta: values.mean(values.expectile(9).decode(theta)))
    close(mean(theta), theta[:, 4], 1e-3)


@pytest.mark.parametrize("size", [1, 2, 8])
def test_expectiles_need_a_middle(size):
    with pytest.raises(ValueError, match=f"odd and at least 3, but it is {size}"):
        values.expectile(size)
