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
LOGITS = np.float32([[0.5, -1.0, 2.0], [10.0, 0.0, -10.0]])


def evaluated(function, *args):
    """What one program of a function makes of its arguments, in numpy."""
    return jax.tree.map(np.asarray, jax.jit(function)(*args))


def test_categorical_is_that_of_distrax():
    def run(logits):
        ours, theirs = policies.categorical(logits), distrax.Categorical(logits)
        every = jnp.broadcast_to(jnp.arange(3)[:, None], (3, 2))
        action, log_prob = ours.sample_and_log_prob(seed=KEY, sample_shape=(5,))
        pairs = [(log_prob, theirs.log_prob(action))]
        pairs += [(ours.log_prob(value), theirs.log_prob(value)) for value in every]
        return pairs, (ours.entropy(), theirs.entropy()), ours.mode(), action

    pairs, entropies, mode, action = evaluated(run, LOGITS)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(*entropies, rtol=1e-4)
    np.testing.assert_array_equal(mode, [2, 0])
    assert action.shape == (5, 2) and action.dtype == np.int32


def test_categorical_frequencies():
    draw = lambda x: policies.categorical(x).sample(seed=KEY, sample_shape=(20_000,))
    draws = evaluated(draw, LOGITS[0])
    weight = np.exp(np.asarray(LOGITS[0], np.float64))
    expected = 20_000 * weight / weight.sum()
    assert stats.chisquare(np.bincount(draws, minlength=3), expected).pvalue > 1e-3


def test_masked_actions_are_never_taken_and_do_no_harm_to_gradients():
    mask = np.array([True, False, True])

    def run(logits):
        policy = policies.categorical(logits, mask)
        draws = policy.sample(seed=KEY, sample_shape=(2000,))
        value = policy.log_prob(jnp.array([0, 2])).sum() + policy.entropy().sum()
        return value, (policy.probs, draws, policy.entropy())

    slope, (probs, draws, entropy) = evaluated(jax.grad(run, has_aux=True), LOGITS)
    assert probs[:, 1].max() == 0.0
    assert not (draws == 1).any()
    assert np.isfinite(slope).all() and np.abs(slope[:, 1]).max() == 0.0
    kept = LOGITS[:, [0, 2]]
    np.testing.assert_allclose(entropy, stats.entropy(np.exp(kept), axis=1), rtol=1e-3)


def test_epsilon_greedy_shares_ties():
    def run(preferences):
        certain = policies.epsilon_greedy(jnp.array([1.0, 3.0]), 0.0)
        ours = policies.epsilon_greedy(preferences, 0.2).probs
        theirs = distrax.EpsilonGreedy(preferences, 0.2).probs
        return ours, theirs, certain.sample(seed=KEY, sample_shape=(100,))

    ours, theirs, certain = evaluated(run, np.float32([1.0, 3.0, 3.0, 0.0]))
    np.testing.assert_allclose(ours, [0.05, 0.45, 0.45, 0.05], rtol=1e-5)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_array_equal(certain, np.ones(100))


def test_gaussian_is_that_of_scipy():
    def run(mean, log_std, value):
        policy = policies.gaussian(mean, log_std)
        return policy.log_prob(value), policy.entropy()

    mean, log_std, value = np.float32([[0.3, -2.0], [0.1, -1.0], [0.0, -1.5]])
    log_prob, entropy = evaluated(run, mean, log_std, value)
    normal = stats.norm(mean, np.exp(log_std))
    np.testing.assert_allclose(log_prob, normal.logpdf(value).sum(), rtol=1e-5)
    np.testing.assert_allclose(entropy, normal.entropy().sum(), rtol=1e-5)


@jax.jit
def density_and_draws(mean, log_std, grid):
    """The logarithm of a density on a grid, and actions, of the same policy."""
    policy = policies.tanh_gaussian(mean, log_std)
    return jax.vmap(policy.log_prob)(grid), policy.sample(seed=KEY, sample_shape=(4000,))


@pytest.mark.parametrize(("mean", "log_std"), [(0.0, 0.0), (0.8, -1.0), (-1.5, 0.5)])
def test_tanh_gaussian_integrates_to_one(mean, log_std):
    grid = np.tanh(np.linspace(-9, 9, 200_001))[1:-1]
    log, draws = density_and_draws(*np.float32([[mean], [log_std]]), np.float32(grid)[:, None])
    density = np.exp(np.asarray(log, np.float64))
    assert abs(np.trapezoid(density, grid) - 1) < 2e-3
    law = stats.norm(mean, np.exp(log_std))
    draws = np.asarray(draws, np.float64)[:, 0]
    assert stats.kstest(np.arctanh(draws), law.cdf).pvalue > 1e-3


def test_tanh_gaussian_is_exact_and_finite_where_it_saturates():
    edge = np.float32([1.0, -1.0])

    def run(mean, log_std):
        policy = policies.tanh_gaussian(mean, log_std)
        drawn = policy.sample_and_log_prob(seed=KEY, sample_shape=(1000,))
        return *drawn, jax.random.normal(KEY, (1000, 2)), policy.log_prob(edge)

    def total(mean, log_std):
        policy = policies.tanh_gaussian(mean, log_std)
        return policy.sample_and_log_prob(seed=KEY)[1] + policy.log_prob(edge)

    args = np.float32([[8.0, -3.0], [1.0, -2.0]])
    (action, log_prob, noise, at_edge), slope = evaluated(
        lambda *args: (run(*args), jax.grad(total)(*args)), *args
    )
    x = np.array([8.0, -3.0]) + np.exp([1.0, -2.0]) * np.asarray(noise, np.float64)
    np.testing.assert_allclose(action, np.tanh(x), atol=1e-6)
    normal = stats.norm(np.array([8.0, -3.0]), np.exp(np.array([1.0, -2.0])))
    exact = (normal.logpdf(x) - np.log(1 / np.cosh(np.asarray(x)) ** 2)).sum(-1)
    np.testing.assert_allclose(log_prob, exact, rtol=1e-4, atol=1e-4)
    assert np.abs(action).max() <= 1.0
    assert np.isfinite(at_edge) and np.isfinite(slope).all()


def test_families_have_the_shape_of_the_space():
    assert policies.policy_family(Discrete(3)).size == 3
    box = Box(-np.ones((2, 2)), np.ones((2, 2)))
    for family, size in ((policies.policy_family(box), 4), (policies.tanh_family(box), 8)):
        assert family.size == size

        def run(outputs, action, family=family):
            policy = family.distribution(outputs, family.free)
            return policy.sample(seed=KEY), policy.log_prob(action)

        action, log_prob = jax.eval_shape(run, jnp.zeros((5, size)), jnp.zeros((5, 2, 2)))
        assert action.shape == (5, 2, 2) and log_prob.shape == (5,)


def test_rounding_among_many_actions_never_leads_to_an_impossible_one(monkeypatch):
    # Beyond 256 actions XLA sums in blocks, and the sums need not rise monotonically.
    mask = np.arange(2048) % 2 == 0

    def seams(logits):
        sums = jnp.cumsum(jnp.exp(policies.categorical(logits, mask).logits))
        return sums[:-1] / sums[-1]  # between actions

    def drawn(logits, near):
        monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: near)
        return policies.categorical(logits, mask).sample(seed=KEY, sample_shape=(2047,))

    logits = np.float32(np.random.default_rng(0).normal(size=2048))
    numbers, draw = evaluated(seams, logits), jax.jit(drawn)
    for ulps in range(-3, 4):
        near = numbers * np.float32(1 + ulps * 2.0**-23)
        assert mask[np.asarray(draw(logits, near[:, None]))].all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_many_actions_have_their_frequencies_and_impossible_ones_none(dtype):
    mask = np.arange(18) % 5 != 0  # among them the first
    mask[-2:] = False

    def run():
        policy = policies.categorical(jnp.linspace(-2, 2, 18, dtype=dtype), mask)
        return policy.logits, policy.sample(seed=KEY, sample_shape=(100_000,))

    logits, draws = evaluated(run)
    count = np.bincount(draws, minlength=18)
    assert count[~mask].sum() == 0 and draws.max() < 18
    weight = np.exp(np.asarray(logits, np.float64))[mask]
    expected = 100_000 * weight / weight.sum()
    assert stats.chisquare(count[mask], expected).pvalue > 1e-3


def test_the_extremes_of_the_uniform_are_possible_actions(monkeypatch):
    @jax.jit
    def drawn(logits, number, mask=None):
        uniform = lambda key, shape, dtype: jnp.full(shape, number, dtype)
        monkeypatch.setattr(jax.random, "uniform", uniform)
        return policies.categorical(logits, mask).sample(seed=KEY)

    logits, mask = np.float32([1.0, -1.0, 3.0, 0.7, 9.0]), np.array([0, 1, 0, 1, 0], bool)
    for number, action in ((0.0, 1), (1 - 2.0**-23, 3)):
        assert int(drawn(logits, number, mask)) == action
    # Nor is an action in front taken that is rarer than the numbers are dense.
    assert int(drawn(np.float32([-20.0, 0.0]), 0.0)) == 1


def test_lanes_are_independent_and_vmap_agrees():
    draw = lambda key, logits: policies.categorical(logits).sample_and_log_prob(seed=key)
    logits = np.float32(np.random.default_rng(0).normal(size=(4, 5, 3)))

    def run(logits):
        keys = jax.random.split(KEY, 4)
        alone = [draw(keys[i], logits[i]) for i in range(4)]
        even = policies.categorical(jnp.zeros((3000, 2))).sample(seed=KEY)
        return even, jax.vmap(draw)(keys, logits), alone

    even, (action, log_prob), alone = evaluated(run, logits)
    a, b = even.reshape(2, 1500)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.1
    for i in range(4):
        np.testing.assert_array_equal(alone[i][0], action[i])
        np.testing.assert_allclose(alone[i][1], log_prob[i], rtol=1e-6)


def test_gradients_and_divergence_are_those_of_distrax():
    action = np.array([[0, 1], [2, 0], [1, 1]])  # [samples, batch]

    def loss(cls):
        def total(logits):
            policy = cls(logits)
            return (policy.log_prob(action) ** 2).sum() + policy.entropy().sum()

        return jax.grad(total)

    def run(logits):
        p, q = (policies.categorical(x) for x in (logits, logits[::-1]))
        losses = loss(policies.categorical)(logits), loss(distrax.Categorical)(logits)
        return losses, p.probs, q.probs, p.kl_divergence(q)

    losses, p, q, divergence = evaluated(run, LOGITS)
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)
    expected = [stats.entropy(a, b) for a, b in zip(p, q)]
    np.testing.assert_allclose(divergence, expected, rtol=1e-4)


def test_an_action_that_does_not_exist_is_not_passed_over():
    log_prob = lambda logits, action: policies.categorical(logits).log_prob(action)
    assert np.isnan(evaluated(log_prob, LOGITS[0], np.array([-1, 3]))).all()


def test_a_mask_that_allows_nothing_is_no_mask():
    probs = lambda logits, mask: policies.categorical(logits, mask).probs
    np.testing.assert_allclose(evaluated(probs, LOGITS[0], np.zeros(3, bool)), 1 / 3, rtol=1e-6)


def test_epsilon_may_differ_between_lanes():
    def run(preferences, epsilon):
        policy = policies.epsilon_greedy(preferences, epsilon)
        return policy.probs, policy.sample(seed=KEY, sample_shape=(4000,))

    probs, draws = evaluated(run, np.float32([[1.0, 2.0], [1.0, 2.0]]), np.float32([0.0, 1.0]))
    np.testing.assert_allclose(probs, [[0, 1], [0.5, 0.5]], atol=1e-6)
    assert draws[:, 0].all() and abs(draws[:, 1].mean() - 0.5) < 0.04


def test_gaussian_integrates_to_one():
    log_prob = lambda mean, log_std, grid: policies.gaussian(mean, log_std).log_prob(grid)
    x, y = np.linspace(-5, 5, 401), np.linspace(-9, 8, 401)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), -1)
    log = evaluated(log_prob, *np.float32([[0.4, -1.0], [-0.5, 0.3]]), np.float32(grid))
    density = np.exp(np.asarray(log, np.float64))
    assert abs(np.trapezoid(np.trapezoid(density, y), x) - 1) < 1e-4


def test_tanh_gaussian_is_that_of_distrax_where_both_are_exact():
    mean, log_std = np.float32([[0.3, -0.7], [1.0, 0.0]]), np.float32([-1.0, 0.2])

    def run(mean, log_std):
        ours = policies.tanh_gaussian(mean, log_std)  # a deviation shared by the batch
        base = distrax.MultivariateNormalDiag(mean, jnp.broadcast_to(jnp.exp(log_std), mean.shape))
        theirs = distrax.Transformed(base, distrax.Block(distrax.Tanh(), 1))
        assert ours.batch_shape == (2,) and ours.event_shape == (2,)
        action, log_prob = ours.sample_and_log_prob(seed=KEY, sample_shape=(50,))
        noise = jax.random.normal(KEY, (1, *mean.shape))[0]
        log_probs = log_prob, theirs.log_prob(action), ours.log_prob(action)
        return *log_probs, ours.mode(), noise, jax.grad(surprise, (0, 1))(mean, log_std)

    def surprise(mean, log_std):
        policy = policies.tanh_gaussian(mean, log_std)
        return policy.sample_and_log_prob(seed=KEY)[1].sum()

    log_prob, theirs, again, mode, noise, slopes = evaluated(run, mean, log_std)
    np.testing.assert_allclose(log_prob, theirs, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(again, log_prob, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mode, np.tanh(mean), rtol=1e-6)
    action = np.tanh(mean + np.exp(log_std) * noise)  # d/dx log(1 - tanh(x)^2) = -2 tanh(x)
    by_hand = 2 * action, (2 * action * np.exp(log_std) * noise - 1).sum(0)
    for slope, expected in zip(slopes, by_hand):
        np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("raw", "log_std"), [(-100.0, -5.0), (-6.0, -5.0), (100.0, 2.0)])
def test_the_deviation_of_a_tanh_family_is_in_bounds_and_an_output_beyond_can_return(raw, log_std):
    """Its slope is that of the density at the bound, whichever side of it the output is on."""
    family = policies.tanh_family(Box(-np.ones(1), np.ones(1)))
    value = np.float32([0.21])
    loss = lambda raw: family.distribution(jnp.array([0.2, raw]), family.free).log_prob(value)
    exact = lambda x: policies.tanh_gaussian(jnp.array([0.2]), jnp.array([x])).log_prob(value)
    both = lambda raw, x: (jax.value_and_grad(loss)(raw), jax.value_and_grad(exact)(x))
    (ours, slope), (theirs, bound) = evaluated(both, raw, log_std)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(slope, bound, rtol=1e-5)
    assert slope != 0


def test_gradients_are_finite_at_the_bounds_of_actions_and_of_deviations():
    """Also where an action was rounded to its bound, and where the policy nearly stands there."""
    actions = np.float32([[1.0, -1.0], [-1.0, 1.0], [0.99999994, 0.0]])

    def total(mean, log_std, actions):
        policy = policies.tanh_gaussian(mean, log_std)
        drawn, log_prob = policy.sample_and_log_prob(seed=KEY)
        return policy.log_prob(actions).sum() + log_prob.sum() + drawn.sum() + policy.mode().sum()

    def all_finite(mean, log_std):
        slopes = jax.grad(total, (0, 1, 2))(jnp.full((3, 2), mean), jnp.full(2, log_std), actions)
        return jnp.array([jnp.isfinite(slope).all() for slope in slopes]).all()

    means, deviations = np.meshgrid(np.float32([-300, -9, 0, 9, 300]), np.float32([-5, 0, 2]))
    assert evaluated(jax.vmap(all_finite), means.ravel(), deviations.ravel()).all()


def test_forbidden_actions_have_no_probability_and_ties_are_among_the_allowed():
    """Also if a forbidden one has the best preference; epsilon is spread over what is allowed."""
    mask = np.array([[True, False, True], [False, True, False]])
    preferences = np.float32([[1.0, 9.0, 1.0], [-5.0, -7.0, 0.0]])
    probs = evaluated(lambda *args: policies.epsilon_greedy(*args).probs, preferences, 0.4, mask)
    np.testing.assert_allclose(probs, [[0.5, 0, 0.5], [0, 1, 0]], atol=1e-6)
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(3), lambda obs: obs > 0)
    allowed, none = jax.jit(lambda obs: policies.allowed(spec, obs)), np.zeros(3, np.float32)
    np.testing.assert_array_equal(allowed(np.float32([1.0, 0, 0])), [1, 0, 0])
    assert np.asarray(allowed(none)).all()  # nothing is allowed: all is
    assert policies.allowed(spec._replace(mask=None), none) is None
