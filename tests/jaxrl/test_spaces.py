"""Spaces of several actions at once: policies against scipy, masks against counts, and units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxrl import networks, spaces
from jaxrl.policies import allowed, policy_family
from jaxrl.rollouts import random_actions
from jaxrl.types import Box, Discrete, MultiDiscrete, Product, Spec

KEY = jax.random.key(0)
NUMS = (3, 2, 5)
BOX = Box(jnp.array([-2.0, 0.0]), jnp.array([4.0, 1.0]))
MIXED = Product((Discrete(3), BOX, MultiDiscrete((2, 4))))
SEEN = jax.ShapeDtypeStruct((2,), jnp.float32)


def softmax(x):
    e = np.exp(np.asarray(x, np.float64))
    return e / e.sum(-1, keepdims=True)


def test_a_multi_discrete_policy_is_a_product_of_categoricals():
    """Log-probabilities and entropies add; the mode is that of each part."""
    family = policy_family(MultiDiscrete(NUMS))
    assert family.size == sum(NUMS)
    outputs = jax.random.normal(KEY, (4, family.size))
    policy = family.distribution(outputs, family.free)
    draw = jax.jit(lambda key: policy.sample_and_log_prob(seed=key, sample_shape=(500,)))
    action, told = draw(KEY)
    assert action.shape == (500, 4, 3) and action.dtype == jnp.int32
    parts = [softmax(x) for x in np.split(np.asarray(outputs), np.cumsum(NUMS)[:-1], -1)]
    exact = sum(np.log(p[np.arange(4), np.asarray(action)[..., i]]) for i, p in enumerate(parts))
    np.testing.assert_allclose(told, exact, rtol=1e-4)
    np.testing.assert_allclose(policy.log_prob(action), exact, rtol=1e-4)
    np.testing.assert_allclose(
        policy.entropy(), sum(stats.entropy(p, axis=-1) for p in parts), rtol=1e-4
    )
    np.testing.assert_array_equal(policy.mode(), np.stack([p.argmax(-1) for p in parts], -1))
    # All the probability is on the actions that exist.
    every = jnp.stack(jnp.meshgrid(*map(jnp.arange, NUMS), indexing="ij"), -1).reshape(-1, 1, 3)
    np.testing.assert_allclose(np.exp(policy.log_prob(every)).sum(0), 1.0, rtol=1e-5)


def test_a_mixed_policy_adds_the_densities_of_its_parts():
    family = policy_family(MIXED)
    assert family.size == 3 + 2 + 6
    outputs = jax.random.normal(KEY, (4, family.size))
    free = ((), jnp.array([0.3, -1.0]), ())
    policy = family.distribution(outputs, free)
    (kind, amount, two), told = jax.jit(lambda key: policy.sample_and_log_prob(seed=key))(KEY)
    assert kind.shape == (4,) and amount.shape == (4, 2) and two.shape == (4, 2)
    x, at = np.asarray(outputs, np.float64), np.arange(4)
    normal = stats.norm(x[:, 3:5], np.exp([0.3, -1.0]))
    p, q, r = softmax(x[:, :3]), softmax(x[:, 5:7]), softmax(x[:, 7:])
    exact = np.log(p[at, kind]) + normal.logpdf(amount).sum(-1)
    exact += np.log(q[at, two[:, 0]]) + np.log(r[at, two[:, 1]])
    np.testing.assert_allclose(told, exact, rtol=1e-4)
    np.testing.assert_allclose(policy.log_prob((kind, amount, two)), exact, rtol=1e-4)
    entropy = sum(stats.entropy(y, axis=-1) for y in (p, q, r)) + normal.entropy().sum(-1)
    np.testing.assert_allclose(policy.entropy(), entropy, rtol=1e-4)
    best = policy.mode()
    np.testing.assert_array_equal(best[0], p.argmax(-1))
    np.testing.assert_allclose(best[1], x[:, 3:5], rtol=1e-5)
    np.testing.assert_array_equal(best[2], np.stack([q.argmax(-1), r.argmax(-1)], -1))
    assert policy.batch_shape == (4,) and policy.event_shape == ((), (2,), (2,))


def masks(obs):
    """The first observation allows one kind and few pairs; the second allows nothing at all."""
    some = obs[..., :1] > 0
    pairs = jnp.array([[True, False, True, True], [False, True, False, True]])
    return some & jnp.array([False, True, False]), None, some[..., None] & pairs


def test_masks_of_a_product_are_those_of_its_parts():
    spec = Spec(SEEN, MIXED, masks)
    obs = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    mask = allowed(spec, obs)
    np.testing.assert_array_equal(mask[0], [[0, 1, 0], [1, 1, 1]])  # where nothing is, all is
    np.testing.assert_array_equal(mask[2][0], [[1, 0, 0, 0], [0, 1, 0, 1]])
    np.testing.assert_array_equal(mask[2][1], [[1, 1, 0, 0], [1, 1, 1, 1]])
    np.testing.assert_array_equal(spaces.allows_some(MIXED, masks(obs)), [True, False])
    family = policy_family(MIXED)
    outputs = jax.random.normal(KEY, (2, family.size))
    policy = family.distribution(outputs, family.free, mask)
    draw = lambda key: policy.sample(seed=key, sample_shape=(3000,))
    one = lambda key: random_actions(spec, 2, key, obs)
    drawn = lambda key: jax.vmap(one)(jax.random.split(key, 3000))
    for kind, amount, two in (jax.jit(draw)(KEY), jax.jit(drawn)(KEY)):
        assert kind.shape == (3000, 2) and amount.shape == two.shape == (3000, 2, 2)
        assert set(np.unique(kind[:, 0])) == {1} and set(np.unique(kind[:, 1])) == {0, 1, 2}
        assert set(np.unique(two[:, 0, 0])) == {0} and set(np.unique(two[:, 0, 1])) == {1, 3}
        assert set(np.unique(two[:, 1, 0])) == {0, 1} and len(np.unique(two[:, 1, 1])) == 4

    def value(outputs):
        policy = family.distribution(outputs, family.free, mask)
        return (policy.log_prob(policy.mode()) + policy.entropy()).sum()

    slope = jax.jit(jax.grad(value))(outputs)
    assert bool(jnp.isfinite(slope).all()) and float(jnp.abs(slope[0, :3]).max()) == 0
    with pytest.raises(ValueError, match="needs the observations"):
        random_actions(spec, 2, KEY)


def test_random_actions_are_uniform_in_each_part():
    kind, amount, two = random_actions(Spec(SEEN, MIXED), 6000, KEY)
    for column, num in ((kind, 3), (two[:, 0], 2), (two[:, 1], 4)):
        assert column.dtype == jnp.int32
        assert stats.chisquare(np.bincount(column, minlength=num)).pvalue > 1e-3
    for i, (low, high) in enumerate(zip(BOX.low, BOX.high)):
        law = stats.uniform(float(low), float(high - low))
        assert stats.kstest(np.asarray(amount[:, i]), law.cdf).pvalue > 1e-3


def test_vectors_and_units_of_actions():
    spec = Spec(SEEN, MIXED)
    action = (jnp.array([2, 0]), jnp.array([[0.5, -0.5], [1.0, 2.0]]), jnp.array([[1, 3], [0, 0]]))
    assert networks.action_size(spec) == 11
    np.testing.assert_array_equal(
        networks.flat_action(spec, action),
        [[0, 0, 1, 0.5, -0.5, 0, 1, 0, 0, 0, 1], [1, 0, 0, 1, 2, 1, 0, 1, 0, 0, 0]],
    )
    blank = networks.blank_action(spec, 7)
    assert jax.tree.map(jnp.shape, blank) == ((7,), (7, 2), (7, 2))
    kind, amount, two = spaces.from_unit(MIXED, action)
    np.testing.assert_allclose(amount, [[2.5, 0.25], [4.0, 1.0]])
    assert kind is action[0] and two is action[2]
    np.testing.assert_array_equal(spaces.unit(MIXED).parts[1].low, [-1, -1])
    assert not spaces.has_continuous(MultiDiscrete(NUMS)) and not spaces.has_discrete(BOX)
