"""The Bellman equation's bound on features, and the ranks, in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.rank import effective_rank, excess_similarity, similarity_bound, threshold_rank

RNG = np.random.default_rng(0)
normal = lambda *shape: np.float32(RNG.normal(size=shape))


@pytest.mark.parametrize("discount", [0.5, 0.99])
def test_consistent_values_are_not_penalised(discount):
    """Of any features and weights, with the reward that makes them consistent."""
    now, weight, discount = normal(10_000, 4), normal(10_000, 4), np.float32(discount)
    following = now + np.float32(0.1) * normal(10_000, 4)  # alike, so that the bound is near
    # The bound is attained where the weight lies along the difference of the features.
    along = now - discount * following

    @jax.jit
    def run(now, following, weight, along, discount):
        discount = jnp.full(10_000, discount)
        excess = excess_similarity(now, following, weight, (along * weight).sum(-1), discount)
        return excess, similarity_bound(now, following, along, (along * along).sum(-1), discount)

    excess, bound = run(now, following, weight, along, discount)
    np.testing.assert_allclose(excess, 0.0, atol=1e-5)
    cosine = (now * following).sum(-1)
    cosine /= np.linalg.norm(now, axis=-1) * np.linalg.norm(following, axis=-1)
    np.testing.assert_allclose(bound, cosine, atol=1e-4)


def test_the_excess_in_closed_form():
    """Equal features with a reward too large for their weight: 1 - ((1 + g^2 - r^2) / 2g)."""
    one, gamma, reward = np.float32([[1.0, 0.0]]), np.float32([0.8]), 0.5
    excess = lambda now, gamma: excess_similarity(now, one, one, jnp.array([reward]), gamma)[0]
    run = jax.jit(jax.value_and_grad(excess))
    expected = 1 - (1 + gamma**2 - reward**2) / (2 * gamma)
    np.testing.assert_allclose(run(one, gamma)[0], expected[0], rtol=1e-5)
    assert float(run(one, 0 * gamma)[0]) == 0.0  # nothing follows a termination
    # The gradient is that of the cosine alone, though the bound moves with the features too.
    now = np.array([[1.0, 0.3]])
    got = np.asarray(run(np.float32(now), gamma)[1])
    step, length = 1e-3, lambda x: x[0, 0] / np.linalg.norm(x)
    for i in range(2):
        change = np.zeros((1, 2))
        change[0, i] = step
        slope = (length(now + change) - length(now - change)) / (2 * step)
        np.testing.assert_allclose(got[0, i], slope, atol=1e-3)


def test_ranks():
    effective, threshold = jax.jit(effective_rank), jax.jit(threshold_rank)
    q = np.linalg.qr(normal(20, 6))[0]
    np.testing.assert_allclose(effective(q), 6.0, rtol=1e-5)
    np.testing.assert_allclose(effective(q[:, :1] @ np.ones((1, 6), np.float32)), 1.0, rtol=1e-3)
    values = np.float32([8.0, 4.0, 2.0, 1.0, 0.5, 0.5])
    weight = values / 16
    entropy = -(weight * np.log(weight)).sum()
    np.testing.assert_allclose(effective(q * values), np.exp(entropy), rtol=1e-4)
    for delta, rank in [(0.51, 1), (0.49, 2), (0.2, 3), (0.05, 5), (0.01, 6)]:
        assert int(threshold(q * values, delta + 1e-4)) == rank, delta
    tiny = np.float32(1e-20) * q * values
    np.testing.assert_allclose(effective(tiny), np.exp(entropy), rtol=1e-4)
    for rank in (effective, threshold):
        assert float(rank(np.zeros((5, 3), np.float32))) == 1
        assert float(rank(np.ones((5, 3), np.float32))) < 1.001
    assert int(threshold(q, 0.0)) <= 6


def test_gradients_are_finite_at_dead_and_at_equal_features():
    """And of the others they are what they would be alone."""
    live = normal(6, 4)
    features = live.copy()
    features[:3] = np.stack([np.zeros(4), np.full(4, 1e-12), live[3]])
    following = live[::-1].copy()
    following[2] = 0.0
    rest = np.ones((6, 4)), np.full(6, 30.0), np.float32([0.9] * 5 + [0.0])

    @jax.jit
    def run(features, following, *rest):
        excess = lambda x: excess_similarity(x, following, *rest)
        bound = lambda x, y: similarity_bound(x, y, *rest)
        by = jax.grad(lambda x, y: bound(x, y).sum(), (0, 1))(features, following)
        slope = jax.grad(lambda x: excess(x).sum())(features)
        return excess(features), slope, bound(features, following), by

    found = run(features, following, *map(np.float32, rest))
    value, slope, bound, by = jax.tree.map(np.asarray, found)
    assert (slope[[0, 1, 2, 5]] == 0).all() and (value[[0, 1, 2, 5]] == 0).all()
    assert np.abs(slope[3]).sum() > 0 and np.abs(slope).max() < 10
    assert (bound[[0, 1, 2, 5]] == 1).all()
    assert np.isfinite(by).all()
    # Rank one, equal singular values, dead columns, nothing at all.
    ranked = jax.jit(jax.value_and_grad(effective_rank))
    same, column = np.broadcast_to(live[0], (6, 4)), features.copy()
    column[:, 1] = 0.0
    for x in (same, np.eye(6, 4), column, np.zeros((6, 4))):
        assert np.isfinite(ranked(np.float32(x))[1]).all()
    with jax.enable_x64(True):
        x, direction = RNG.normal(size=(2, 6, 4))
        at = lambda h: float(ranked(x + h * direction)[0])
        slope = (np.asarray(ranked(x)[1]) * direction).sum()
        np.testing.assert_allclose(slope, (at(1e-6) - at(-1e-6)) / 2e-6, rtol=1e-5)
