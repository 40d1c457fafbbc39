"""The Bellman equation's bound on features, and the ranks, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.rank import effective_rank, excess_similarity, similarity_bound, threshold_rank

KEYS = jax.random.split(jax.random.key(0), 4)


@pytest.mark.parametrize("discount", [0.5, 0.99])
def test_consistent_values_are_not_penalised(discount):
    """Of any features and weights, with the reward that makes them consistent."""
    now, following = (jax.random.normal(k, (10_000, 4)) for k in KEYS[:2])
    following = now + 0.1 * following  # alike, so that the bound is near
    weight = jax.random.normal(KEYS[2], (10_000, 4))
    reward = ((now - discount * following) * weight).sum(-1)
    excess = excess_similarity(now, following, weight, reward, jnp.full(10_000, discount))
    np.testing.assert_allclose(excess, 0.0, atol=1e-5)
    # The bound is attained where the weight lies along the difference of the features.
    along = now - discount * following
    reward = (along * along).sum(-1)
    cosine = (now * following).sum(-1)
    cosine /= jnp.linalg.norm(now, axis=-1) * jnp.linalg.norm(following, axis=-1)
    bound = similarity_bound(now, following, along, reward, jnp.full(10_000, discount))
    np.testing.assert_allclose(bound, cosine, atol=1e-4)


def test_the_excess_in_closed_form():
    """Equal features with a reward too large for their weight: 1 - ((1 + g^2 - r^2) / 2g)."""
    one, gamma, reward = jnp.array([[1.0, 0.0]]), 0.8, 0.5
    excess = lambda now, gamma: excess_similarity(now, one, one, jnp.array([reward]), gamma)[0]
    expected = 1 - (1 + gamma**2 - reward**2) / (2 * gamma)
    np.testing.assert_allclose(excess(one, jnp.array([gamma])), expected, rtol=1e-5)
    assert float(excess(one, jnp.array([0.0]))) == 0.0  # nothing follows a termination
    # The gradient is that of the cosine alone, though the bound moves with the features too.
    now = jnp.array([[1.0, 0.3]])
    got = jax.grad(excess)(now, jnp.array([gamma]))
    step, length = 1e-3, lambda x: x[0, 0] / jnp.linalg.norm(x)
    for i in range(2):
        change = jnp.zeros((1, 2)).at[0, i].set(step)
        slope = (length(now + change) - length(now - change)) / (2 * step)
        np.testing.assert_allclose(got[0, i], slope, atol=1e-3)


def test_ranks():
    q = jnp.linalg.qr(jax.random.normal(KEYS[3], (20, 6)))[0]
    np.testing.assert_allclose(effective_rank(q), 6.0, rtol=1e-5)
    np.testing.assert_allclose(effective_rank(q[:, :1] @ jnp.ones((1, 6))), 1.0, rtol=1e-3)
    values = jnp.array([8.0, 4.0, 2.0, 1.0, 0.5, 0.5])
    weight = np.asarray(values) / 16
    entropy = -(weight * np.log(weight)).sum()
    np.testing.assert_allclose(effective_rank(q * values), np.exp(entropy), rtol=1e-4)
    for delta, rank in [(0.51, 1), (0.49, 2), (0.2, 3), (0.05, 5), (0.01, 6)]:
        assert int(threshold_rank(q * values, delta + 1e-4)) == rank, delta
    tiny = 1e-20 * q * values
    np.testing.assert_allclose(effective_rank(tiny), np.exp(entropy), rtol=1e-4)
    for rank in (effective_rank, threshold_rank):
        assert rank(jnp.zeros((5, 3))) == 1 and rank(jnp.ones((5, 3))) < 1.001
    assert threshold_rank(q, 0.0) <= 6


def test_gradients_are_finite_at_dead_and_at_equal_features():
    """And of the others they are what they would be alone."""
    live = jax.random.normal(KEYS[0], (6, 4))
    features = live.at[0].set(0.0).at[1].set(1e-12).at[2].set(live[3])
    following = live.at[3].set(0.0)[::-1]
    weight, reward, discount = jnp.ones((6, 4)), jnp.full(6, 30.0), jnp.full(6, 0.9).at[5].set(0.0)
    rest = weight, reward, discount
    excess = jax.jit(lambda x: excess_similarity(x, following, *rest))
    slope = np.asarray(jax.grad(lambda x: excess(x).sum())(features))
    value = np.asarray(excess(features))
    assert (slope[[0, 1, 2, 5]] == 0).all() and (value[[0, 1, 2, 5]] == 0).all()
    assert np.abs(slope[3]).sum() > 0 and np.abs(slope).max() < 10
    bound = lambda x, y: similarity_bound(x, y, *rest)
    assert (bound(features, following)[jnp.array([0, 1, 2, 5])] == 1).all()
    for by in jax.grad(lambda x, y: bound(x, y).sum(), (0, 1))(features, following):
        assert np.isfinite(by).all()
    # Rank one, equal singular values, dead columns, nothing at all.
    same = jnp.broadcast_to(live[0], (6, 4))
    for x in (same, jnp.eye(6, 4), features.at[:, 1].set(0.0), jnp.zeros((6, 4))):
        assert np.isfinite(jax.grad(effective_rank)(x)).all()
    with jax.enable_x64(True):
        x, direction = (np.asarray(jax.random.normal(k, (6, 4))) for k in KEYS[1:3])
        at = lambda h: float(effective_rank(jnp.asarray(x + h * direction)))
        slope = (np.asarray(jax.grad(effective_rank)(jnp.asarray(x))) * direction).sum()
        np.testing.assert_allclose(slope, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-5)
