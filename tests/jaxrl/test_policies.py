"""Policies against quadrature, scipy and frequencies."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl import policies
from jaxrl.types import Box, Discrete

KEY = jax.random.key(0)
LOGITS = jnp.array([[0.5, -1.0, 2.0], [10.0, 0.0, -10.0]])


def test_categorical_is_that_of_distrax():
    ours, theirs = policies.categorical(LOGITS), distrax.Categorical(LOGITS)
    for action in range(3):
        value = jnp.full(2, action)
        np.testing.assert_allclose(ours.log_prob(value), theirs.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy(), rtol=1e-4)
    np.testing.assert_array_equal(ours.mode(), [2, 0])
    action, log_prob = ours.sample_and_log_prob(seed=KEY, sample_shape=(5,))
    assert action.shape == (5, 2) and action.dtype == jnp.int32
    np.testing.assert_allclose(log_prob, theirs.log_prob(action), rtol=1e-5)


def test_categorical_frequencies():
    draws = np.asarray(policies.categorical(LOGITS[0]).sample(seed=KEY, sample_shape=(20_000,)))
    weight = np.exp(np.asarray(LOGITS[0], np.float64))
    expected = 20_000 * weight / weight.sum()
    assert stats.chisquare(np.bincount(draws, minlength=3), expected).pvalue > 1e-3


def test_masked_actions_are_never_taken_and_do_no_harm_to_gradients():
    mask = jnp.array([True, False, True])

    def value(logits):
        policy = policies.categorical(logits, mask)
        return policy.log_prob(jnp.array([0, 2])).sum() + policy.entropy().sum()

    policy = policies.categorical(LOGITS, mask)
    assert float(policy.probs[:, 1].max()) == 0.0
    draws = np.asarray(policy.sample(seed=KEY, sample_shape=(2000,)))
    assert not (draws == 1).any()
    slope = jax.grad(value)(LOGITS)
    assert bool(jnp.isfinite(slope).all()) and float(jnp.abs(slope[:, 1]).max()) == 0.0
    kept = np.asarray(LOGITS)[:, [0, 2]]
    np.testing.assert_allclose(policy.entropy(), stats.entropy(np.exp(kept), axis=1), rtol=1e-3)


def test_epsilon_greedy_shares_ties():
    policy = policies.epsilon_greedy(jnp.array([1.0, 3.0, 3.0, 0.0]), 0.2)
    np.testing.assert_allclose(policy.probs, [0.05, 0.45, 0.45, 0.05], rtol=1e-5)
    theirs = distrax.EpsilonGreedy(jnp.array([1.0, 3.0, 3.0, 0.0]), 0.2).probs
    np.testing.assert_allclose(policy.probs, theirs, rtol=1e-5)
    certain = policies.epsilon_greedy(jnp.array([1.0, 3.0]), 0.0)
    np.testing.assert_array_equal(certain.sample(seed=KEY, sample_shape=(100,)), np.ones(100))


def test_gaussian_is_that_of_scipy():
    mean, log_std = jnp.array([0.3, -2.0]), jnp.array([0.1, -1.0])
    policy, value = policies.gaussian(mean, log_std), jnp.array([0.0, -1.5])
    normal = stats.norm(np.asarray(mean), np.exp(log_std))
    np.testing.assert_allclose(policy.log_prob(value), normal.logpdf(value).sum(), rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(), normal.entropy().sum(), rtol=1e-5)


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.8, -1.0), (-1.5, 0.5)])
def test_tanh_gaussian_integrates_to_one(mean, log_std):
    policy = policies.tanh_gaussian(jnp.array([mean]), jnp.array([log_std]))
    grid = np.tanh(np.linspace(-9, 9, 200_001))[1:-1]
    density = np.exp(np.asarray(jax.vmap(policy.log_prob)(jnp.asarray(grid)[:, None]), np.float64))
    assert abs(np.trapezoid(density, grid) - 1) < 2e-3
    draws = np.asarray(policy.sample(seed=KEY, sample_shape=(4000,)))[:, 0]
    law = stats.norm(mean, np.exp(log_std))
    assert stats.kstest(np.arctanh(draws.astype(np.float64)), law.cdf).pvalue > 1e-3


def test_tanh_gaussian_is_exact_and_finite_where_it_saturates():
    policy = policies.tanh_gaussian(jnp.array([8.0, -3.0]), jnp.array([1.0, -2.0]))
    action, log_prob = policy.sample_and_log_prob(seed=KEY, sample_shape=(1000,))
    noise = np.asarray(jax.random.normal(KEY, (1000, 2)), np.float64)
    x = np.array([8.0, -3.0]) + np.exp([1.0, -2.0]) * noise
    np.testing.assert_allclose(action, np.tanh(x), atol=1e-6)
    normal = stats.norm(np.array([8.0, -3.0]), np.exp(np.array([1.0, -2.0])))
    exact = (normal.logpdf(x) - np.log(1 / np.cosh(np.asarray(x)) ** 2)).sum(-1)
    np.testing.assert_allclose(log_prob, exact, rtol=1e-4, atol=1e-4)
    assert float(jnp.abs(action).max()) <= 1.0
    assert bool(jnp.isfinite(policy.log_prob(jnp.array([1.0, -1.0]))))

    def total(mean):
        policy = policies.tanh_gaussian(mean, jnp.array([1.0, -2.0]))
        return policy.sample_and_log_prob(seed=KEY)[1] + policy.log_prob(jnp.array([1.0, -1.0]))

    assert bool(jnp.isfinite(jax.grad(total)(jnp.array([8.0, -3.0]))).all())


def test_families_have_the_shape_of_the_space():
    assert policies.policy_family(Discrete(3)).size == 3
    box = Box(-jnp.ones((2, 2)), jnp.ones((2, 2)))
    for family, size in ((policies.policy_family(box), 4), (policies.tanh_family(box), 8)):
        assert family.size == size
        policy = family.distribution(jnp.zeros((5, size)), family.free)
        assert policy.sample(seed=KEY).shape == (5, 2, 2)
        assert policy.log_prob(jnp.zeros((5, 2, 2))).shape == (5,)
