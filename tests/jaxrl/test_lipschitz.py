"""Bounds on slopes: singular values of numpy, and functions with known maxima, are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lipschitz
from jaxrl.layers import MLP, Tower, initialise

KEY = jax.random.key(0)


def test_the_spectral_norm_is_the_largest_singular_value():
    for shape in ((3, 20, 7), (5, 64), (64, 5), (1, 4)):
        x = jax.random.normal(KEY, shape)
        oracle = np.linalg.svd(np.asarray(x), compute_uv=False)[..., 0]
        np.testing.assert_allclose(lipschitz.spectral_norm(x, 200), oracle, rtol=1e-4)
        few = np.asarray(lipschitz.spectral_norm(x))
        assert (few <= oracle * (1 + 1e-5)).all() and (few > 0.85 * oracle).all()
    assert lipschitz.spectral_norm(jnp.zeros((4, 3))) == 0


def test_its_gradient_is_that_of_the_singular_value():
    x = jax.random.normal(KEY, (6, 4))
    u, _, v = np.linalg.svd(np.asarray(x))
    found = jax.grad(lambda x: lipschitz.spectral_norm(x, 200))(x)
    np.testing.assert_allclose(found, np.outer(u[:, 0], v[0]), atol=1e-3)


def test_a_bounded_network_is_nowhere_steeper():
    net = Tower(MLP((32, 32), "relu"), 1)
    params = jax.tree.map(lambda x: 5 * x, initialise(net, KEY, jnp.zeros(4)))
    x, y = jax.random.normal(KEY, (2, 500, 4))
    near = x + 1e-3 * y

    def steepest(params):
        rise = jnp.abs(net.apply(params, x) - net.apply(params, near))[:, 0]
        return (rise / jnp.linalg.norm(x - near, axis=-1)).max()

    tight = lipschitz.bounded(params, 1.2, 100)
    assert steepest(params) > 20
    assert steepest(tight) <= 1.2**3 * 1.01
    small = jax.tree.map(lambda x: 0.1 * x, params)
    jax.tree.map(np.testing.assert_array_equal, lipschitz.bounded(small, 10.0), small)


def test_the_worst_nearby_is_a_corner():
    """Of a linear function: all of the radius, against or along each weight."""
    weight = jnp.array([2.0, -1.0, 0.5])
    obs = jax.random.normal(KEY, (20, 3))
    found = lipschitz.worst_nearby(lambda x: x @ weight, obs, 0.1, KEY)
    shift = np.asarray(found - obs)
    np.testing.assert_allclose(np.abs(shift), 0.1, atol=1e-6)
    gap = np.abs(shift @ np.asarray(weight))
    np.testing.assert_allclose(gap, 0.1 * 3.5, atol=1e-5)


def test_the_slope_is_the_length_of_the_gradient():
    obs = jax.random.normal(KEY, (20, 3))
    found = lipschitz.slope(lambda x: jnp.square(x).sum(-1), obs)
    np.testing.assert_allclose(found, 2 * np.linalg.norm(obs, axis=-1), rtol=1e-5)
