"""Policies against quadrature, scipy and frequencies."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl import policies
from jaxrl.types import Box, Discrete, Spec

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


def test_rounding_among_many_actions_never_leads_to_an_impossible_one(monkeypatch):
    # Beyond 256 actions XLA sums in blocks, and the sums need not rise monotonically.
    mask = jnp.arange(2048) % 2 == 0
    policy = policies.categorical(jax.random.normal(KEY, (2048,)), mask)
    sums = jnp.cumsum(jnp.exp(policy.logits))
    numbers = sums[:-1] / sums[-1]  # the seams between actions
    for ulps in range(-3, 4):
        near = (numbers * (1 + ulps * 2.0**-23))[:, None]
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype, near=near: near)
        drawn = policy.sample(seed=KEY, sample_shape=(2047,))
        assert mask[drawn].all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_many_actions_have_their_frequencies_and_impossible_ones_none(dtype):
    logits = jnp.linspace(-2, 2, 18, dtype=dtype)
    mask = jnp.arange(18) % 5 != 0  # among them the first
    mask = mask.at[-2:].set(False)
    policy = policies.categorical(logits, mask)
    draws = np.asarray(policy.sample(seed=KEY, sample_shape=(100_000,)))
    count = np.bincount(draws, minlength=18)
    assert count[~np.asarray(mask)].sum() == 0 and draws.max() < 18
    weight = np.exp(np.asarray(policy.logits, np.float64))[np.asarray(mask)]
    expected = 100_000 * weight / weight.sum()
    assert stats.chisquare(count[np.asarray(mask)], expected).pvalue > 1e-3


def test_the_extremes_of_the_uniform_are_possible_actions(monkeypatch):
    mask = jnp.array([False, True, False, True, False])
    policy = policies.categorical(jnp.array([1.0, -1.0, 3.0, 0.7, 9.0]), mask)
    for number, action in ((0.0, 1), (1 - 2.0**-23, 3)):
        draw = lambda key, shape, dtype, number=number: jnp.full(shape, number, dtype)
        monkeypatch.setattr(jax.random, "uniform", draw)
        assert int(policy.sample(seed=KEY)) == action
    # Nor is an action in front taken that is rarer than the numbers are dense.
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: jnp.zeros(shape, dtype))
    assert int(policies.categorical(jnp.array([-20.0, 0.0])).sample(seed=KEY)) == 1


def test_lanes_are_independent_and_vmap_agrees():
    policy = policies.categorical(jnp.zeros((3000, 2)))
    a, b = np.asarray(policy.sample(seed=KEY)).reshape(2, 1500)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
    keys, logits = jax.random.split(KEY, 4), jax.random.normal(KEY, (4, 5, 3))
    draw = lambda key, logits: policies.categorical(logits).sample_and_log_prob(seed=key)
    action, log_prob = jax.jit(jax.vmap(draw))(keys, logits)
    for i in range(4):
        np.testing.assert_array_equal(draw(keys[i], logits[i])[0], action[i])
        np.testing.assert_allclose(draw(keys[i], logits[i])[1], log_prob[i], rtol=1e-6)


def test_gradients_and_divergence_are_those_of_distrax():
    action = jnp.array([[0, 1], [2, 0], [1, 1]])  # [samples, batch]

    def loss(cls):
        def total(logits):
            policy = cls(logits)
            return (policy.log_prob(action) ** 2).sum() + policy.entropy().sum()

        return jax.grad(total)(LOGITS)

    np.testing.assert_allclose(
        loss(policies.categorical), loss(distrax.Categorical), rtol=1e-4, atol=1e-5
    )
    p, q = (policies.categorical(x) for x in (LOGITS, LOGITS[::-1]))
    expected = [stats.entropy(a, b) for a, b in zip(np.asarray(p.probs), np.asarray(q.probs))]
    np.testing.assert_allclose(p.kl_divergence(q), expected, rtol=1e-4)


def test_an_action_that_does_not_exist_is_not_passed_over():
    policy = policies.categorical(LOGITS[0])
    assert np.isnan(np.asarray(policy.log_prob(jnp.array([-1, 3])))).all()


def test_a_mask_that_allows_nothing_is_no_mask():
    policy = policies.categorical(LOGITS[0], jnp.zeros(3, bool))
    np.testing.assert_allclose(policy.probs, 1 / 3, rtol=1e-6)


def test_epsilon_may_differ_between_lanes():
    preferences = jnp.array([[1.0, 2.0], [1.0, 2.0]])
    policy = policies.epsilon_greedy(preferences, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(policy.probs, [[0, 1], [0.5, 0.5]], atol=1e-6)
    draws = np.asarray(policy.sample(seed=KEY, sample_shape=(4000,)))
    assert draws[:, 0].all() and abs(draws[:, 1].mean() - 0.5) < 0.04


def test_gaussian_integrates_to_one():
    policy = policies.gaussian(jnp.array([0.4, -1.0]), jnp.array([-0.5, 0.3]))
    x, y = np.linspace(-5, 5, 401), np.linspace(-9, 8, 401)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    density = np.exp(np.asarray(policy.log_prob(jnp.asarray(grid, jnp.float32)), np.float64))
    assert abs(np.trapezoid(np.trapezoid(density, y), x) - 1) < 1e-4


def test_tanh_gaussian_is_that_of_distrax_where_both_are_exact():
    mean, log_std = jnp.array([[0.3, -0.7], [1.0, 0.0]]), jnp.array([-1.0, 0.2])
    ours = policies.tanh_gaussian(mean, log_std)  # a deviation shared by the batch
    base = distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape))
    theirs = distrax.Transformed(base, distrax.Block(distrax.Tanh(), 1))
    assert ours.batch_shape == (2,) and ours.event_shape == (2,)
    action, log_prob = ours.sample_and_log_prob(seed=KEY, sample_shape=(50,))
    np.testing.assert_allclose(log_prob, theirs.log_prob(action), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours.log_prob(action), log_prob, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(ours.mode(), np.tanh(mean), rtol=1e-6)

    def surprise(mean, log_std):
        policy = policies.tanh_gaussian(mean, log_std)
        return policy.sample_and_log_prob(seed=KEY)[1].sum()

    def by_hand(mean, log_std):  # d/dx log(1 - tanh(x)^2) = -2 tanh(x)
        noise = jax.random.normal(KEY, (1, *mean.shape))[0]
        action = np.tanh(mean + np.exp(log_std) * noise)
        return 2 * action, (2 * action * np.exp(log_std) * noise - 1).sum(0)

    slopes = jax.grad(surprise, (0, 1))(mean, log_std)
    for slope, expected in zip(slopes, by_hand(mean, log_std)):
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("raw", "log_std"), [(-100.0, -5.0), (-6.0, -5.0), (100.0, 2.0)])
def test_the_deviation_of_a_tanh_family_is_in_bounds_and_an_output_beyond_can_return(raw, log_std):
    """Its slope is that of the density at the bound, whichever side of it the output is on."""
    family = policies.tanh_family(Box(-jnp.ones(1), jnp.ones(1)))
    value = jnp.array([0.21])
    loss = lambda raw: family.distribution(jnp.array([0.2, raw]), family.free).log_prob(value)
    exact = lambda x: policies.tanh_gaussian(jnp.array([0.2]), jnp.array([x])).log_prob(value)
    np.testing.assert_allclose(loss(raw), exact(log_std), rtol=1e-6)
    slope = jax.grad(loss)(raw)
    np.testing.assert_allclose(slope, jax.grad(exact)(log_std), rtol=1e-5)
    assert slope != 0


def test_gradients_are_finite_at_the_bounds_of_actions_and_of_deviations():
    """Also where an action was rounded to its bound, and where the policy nearly stands there."""
    actions = jnp.array([[1.0, -1.0], [-1.0, 1.0], [0.99999994, 0.0]])

    def total(mean, log_std, actions):
        policy = policies.tanh_gaussian(mean, log_std)
        drawn, log_prob = policy.sample_and_log_prob(seed=KEY)
        return policy.log_prob(actions).sum() + log_prob.sum() + drawn.sum() + policy.mode().sum()

    def all_finite(mean, log_std):
        slopes = jax.grad(total, (0, 1, 2))(jnp.full((3, 2), mean), jnp.full(2, log_std), actions)
        return jnp.array([jnp.isfinite(slope).all() for slope in slopes]).all()

    means, deviations = jnp.meshgrid(jnp.array([-300.0, -9, 0, 9, 300]), jnp.array([-5.0, 0, 2]))
    assert jax.vmap(all_finite)(means.ravel(), deviations.ravel()).all()


def test_forbidden_actions_have_no_probability_and_ties_are_among_the_allowed():
    """Also if a forbidden one has the best preference; epsilon is spread over what is allowed."""
    mask = jnp.array([[True, False, True], [False, True, False]])
    preferences = jnp.array([[1.0, 9.0, 1.0], [-5.0, -7.0, 0.0]])
    policy = policies.epsilon_greedy(preferences, 0.4, mask)
    np.testing.assert_allclose(policy.probs, [[0.5, 0, 0.5], [0, 1, 0]], atol=1e-6)
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(3), lambda obs: obs > 0)
    np.testing.assert_array_equal(policies.allowed(spec, jnp.array([1.0, 0, 0])), [1, 0, 0])
    assert policies.allowed(spec, jnp.zeros(3)).all()  # nothing is allowed: all is
    assert policies.allowed(spec._replace(mask=None), jnp.zeros(3)) is None
