"""Bounds on slopes: singular values of numpy, and functions with known maxima, are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import lipschitz
from jaxrl.networks.layers import MLP, Tower, initialise

KEY = jax.random.key(0)


def kernels():
    """Random ones, and those that defeat power iteration: equal or nearly equal singular values,
    column sums orthogonal to the leading vector, one entry, tiny and huge ones.
    """
    rng = np.random.default_rng(0)
    u, v = (np.linalg.qr(rng.normal(size=(24, 24)))[0] for _ in range(2))
    spread = lambda s: (u * s) @ v
    opposite = np.zeros((24, 24))
    opposite[:2, :2] = [[1, -1], [-1, 1]]
    lonely = np.zeros((24, 24))
    lonely[3, 5] = -2
    normal = rng.normal(size=(4, 24, 24))
    extreme = [1e-20 * normal[0], 1e15 * normal[1], np.outer(u[0], v[0]), np.eye(24)]
    close = [spread(np.linspace(1, 0.99, 24)), spread(np.r_[1.0, 0.999, np.zeros(22)])]
    return np.stack([*normal, opposite, opposite + 1e-3 * normal[2], lonely, *extreme, *close])


def test_the_spectral_norm_is_a_tight_upper_bound():
    x = jnp.asarray(kernels(), jnp.float32)
    oracle = np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)[..., 0]
    ratio = np.asarray(jax.jit(lipschitz.spectral_norm)(x), np.float64) / oracle
    assert (ratio > 1 - 1e-5).all() and (ratio < 24 ** (1 / 256) + 1e-5).all()
    more = jax.jit(lambda x: lipschitz.spectral_norm(x, 14))
    for shape in ((3, 5, 24), (1, 4), (4, 1)):
        x = jax.random.normal(KEY, shape)
        oracle = np.linalg.svd(np.asarray(x), compute_uv=False)[..., 0]
        np.testing.assert_allclose(more(x), oracle, rtol=1e-4)
    assert more(jnp.zeros((1, 4))) == 0


def test_its_gradient_is_one_of_the_singular_value():
    """The outer product of leading singular vectors, of some pair where there are several."""
    slope = jax.jit(jax.grad(lambda x: lipschitz.spectral_norm(x).sum()))
    x = jax.random.normal(KEY, (6, 4))
    u, _, v = np.linalg.svd(np.asarray(x))
    np.testing.assert_allclose(slope(x), np.outer(u[:, 0], v[0]), atol=1e-3)
    x = np.concatenate([kernels(), np.zeros((1, 24, 24))])
    gradient = np.asarray(slope(jnp.asarray(x, jnp.float32)), np.float64)
    np.testing.assert_allclose(np.linalg.svd(gradient[:-1], compute_uv=False)[:, 0], 1, rtol=1e-4)
    np.testing.assert_allclose(np.linalg.matrix_rank(gradient[:-1], 1e-3), 1)
    largest = np.linalg.svd(x, compute_uv=False)[:-1, 0]
    np.testing.assert_allclose((gradient * x).sum((1, 2))[:-1] / largest, 1, rtol=1e-2)
    np.testing.assert_array_equal(gradient[-1], 0)


def test_every_bounded_kernel_is_within_its_bound():
    for bound in (0.5, 2.0):
        scaled = lipschitz.bounded(
            {"layer": {"kernel": jnp.asarray(kernels(), jnp.float32)}}, bound
        )
        x = np.asarray(scaled["layer"]["kernel"], np.float64)
        norm = np.linalg.svd(x, compute_uv=False)[..., 0]
        before = np.linalg.svd(kernels(), compute_uv=False)[..., 0]
        assert (norm <= bound * (1 + 1e-5)).all()
        assert (norm >= 0.98 * np.minimum(before, bound)).all()
    loss = lambda x: (lipschitz.bounded({"kernel": x}, 0.5)["kernel"] ** 2).sum()
    x = jnp.asarray(np.concatenate([kernels(), np.zeros((1, 24, 24))]), jnp.float32)
    assert np.isfinite(jax.jit(jax.grad(loss))(x)).all()


def test_a_bounded_network_is_nowhere_steeper():
    net = Tower(MLP((32, 32), "relu"), 1)
    params = jax.tree.map(lambda x: 5 * x, initialise(net, KEY, jnp.zeros(4)))
    x, y = jax.random.normal(KEY, (2, 500, 4))
    near = x + 1e-3 * y

    def steepest(params):
        rise = jnp.abs(net.apply(params, x) - net.apply(params, near))[:, 0]
        return (rise / jnp.linalg.norm(x - near, axis=-1)).max()

    bound = jax.jit(lipschitz.bounded)
    tight = bound(params, 1.2)
    assert steepest(params) > 20
    assert steepest(tight) <= 1.2**3 * 1.001
    small = jax.tree.map(lambda x: 0.1 * x, params)
    jax.tree.map(np.testing.assert_array_equal, bound(small, 10.0), small)


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
    # A penalty on it has a gradient also where a network is flat.
    penalty = lambda w: lipschitz.slope(lambda x: w * jnp.square(x).sum(-1), obs).sum()
    assert jax.grad(penalty)(0.0) == 0 and np.isfinite(jax.grad(penalty)(0.1))
