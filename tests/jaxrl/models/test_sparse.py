"""Sparse regression: the systems that made the data are the oracle."""

from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import models
from jaxrl.models import sparse
from jaxrl.types import Box, Spec, Transition

SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-np.ones(1), np.ones(1)))
# x' = x + 0.1 y, y' = y - 0.1 x + 0.2 (1 - x^2) y + 0.5 u: a van der Pol oscillator; r = -x^2.
TRUE = {"x": {"x": 1.0, "y": 0.1}, "y": {"x": -0.1, "y": 1.2, "xxy": -0.2, "u": 0.5},
        "r": {"xx": -1.0}}  # fmt: skip


def system(seed, size, noise=0.0):
    """Random transitions of the oscillator."""
    rng = np.random.default_rng(seed)
    obs, action = rng.uniform(-2, 2, (size, 2)), rng.uniform(-1, 1, (size, 1))
    x, y = obs.T
    change = np.stack([0.1 * y, -0.1 * x + 0.2 * (1 - x**2) * y + 0.5 * action[:, 0]], -1)
    final = obs + change + noise * rng.normal(size=(size, 2))
    obs, action, reward, final = map(np.float32, (obs, action, -(x**2), final))
    one = np.ones(size, np.float32)
    return Transition(obs, action, reward, one, one < 0, final, (), one)


def names(degree):
    """The order of `polynomials`, by strings."""
    return ["1"] + ["".join(c) for n in range(1, degree + 1)
                    for c in combinations_with_replacement("xyu", n)]  # fmt: skip


def test_polynomials_are_in_the_order_of_their_names():
    x = np.float32([2.0, 3.0, 5.0])
    values = {"x": 2, "y": 3, "u": 5, "1": 1}
    expected = [np.prod([values[c] for c in name]) for name in names(3)]
    np.testing.assert_allclose(jax.jit(models.polynomials(3))(x), expected)
    both = jax.jit(sparse.both(models.polynomials(1), models.waves([1.0, 2.0])))(x)
    np.testing.assert_allclose(both[4:], np.concatenate(
        [np.sin(x), np.cos(x), np.sin(2 * x), np.cos(2 * x)]), rtol=1e-5)  # fmt: skip


def fit(data, members=1, **options):
    library = models.polynomials(3)
    update = models.sparse_dynamics(SPEC, library, 0.03, members=members, **options)

    @jax.jit
    def run(data):
        half = lambda rows: jax.tree.map(lambda x: x[None, rows], data)
        key = jax.random.key(0)
        state = update.init(key, half(slice(0, 500)))
        state, metrics = update.apply(state, (half(slice(500, None)), ()), key)
        return update.read(state), metrics

    return jax.tree.map(np.asarray, run(data))


def oracle():
    table = np.zeros((20, 3))
    for k, target in enumerate(("x", "y", "r")):
        for name, value in TRUE[target].items():
            table[names(3).index(name), k] = value
    return table


def test_the_coefficients_of_a_polynomial_system_are_recovered():
    found, metrics = fit(system(1, 1000))
    np.testing.assert_allclose(found[0], oracle(), atol=2e-3)
    np.testing.assert_array_equal(found[0] != 0, oracle() != 0)
    np.testing.assert_allclose(metrics["model_terms"], 7 / 3, rtol=1e-6)


def test_noise_is_not_explained_by_more_terms():
    found, _ = fit(system(1, 4000, noise=0.02), members=20)
    middle = np.median(found, 0)
    np.testing.assert_array_equal(middle != 0, oracle() != 0)
    np.testing.assert_allclose(middle, oracle(), atol=0.02)
    assert np.abs(found - middle).max(0)[oracle() != 0].min() > 0  # the members differ


def test_thresholding_is_that_of_a_loop_over_fits():
    """Sequential least squares as in the paper, in numpy and float64, without sums."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 8))
    goal = features[:, :3] @ rng.normal(size=(3, 2)) + 0.3 * rng.normal(size=(300, 2))

    @jax.jit
    def fit(features, goal, weight):
        return models.thresholded_ridge(sparse.gather(features, goal, weight), 0.2, 0.0)

    found = np.asarray(fit(*map(np.float32, (features, goal, np.ones(300)))))
    for k in range(2):
        mask = np.ones(8, bool)
        for _ in range(11):
            x = np.zeros(8)
            x[mask] = np.linalg.lstsq(features[:, mask], goal[:, k], rcond=None)[0]
            mask &= np.abs(x) >= 0.2
        np.testing.assert_allclose(found[:, k], x, atol=1e-4)


def test_many_fits_at_once():
    data = jax.tree.map(lambda *x: np.stack(x), *(system(seed, 200) for seed in range(3)))

    def sums(data):
        features = models.polynomials(2)(jnp.concatenate([data.obs, data.action], -1))
        return sparse.gather(features, data.final, jnp.ones(200))

    @jax.jit
    def run(data):
        stack = jax.vmap(sums)(data)
        ones = [jax.tree.map(lambda x, i=i: x[i], stack) for i in range(3)]
        many = jax.vmap(models.thresholded_ridge, (0, None))(stack, 0.05)
        return many, [models.thresholded_ridge(one, 0.05) for one in ones]

    many, ones = run(data)
    np.testing.assert_allclose(many, ones, atol=1e-4)


def test_a_surrogate_follows_the_system():
    found, _ = fit(system(1, 1000), members=5)
    norm = lambda obs: obs / jnp.linalg.norm(obs, axis=-1, keepdims=True)
    far = lambda obs: obs[:, 0] > 0.5
    test = system(7, 50)

    @jax.jit
    def run(found, obs, action):
        model = models.sparse_model(SPEC, models.polynomials(3), found)
        round_ = models.sparse_model(SPEC, models.polynomials(3), found, norm, far)
        return [x.step(obs, action, jax.random.key(0))[1] for x in (model, round_)]

    now, on_circle = jax.tree.map(np.asarray, run(found, test.obs, test.action))
    np.testing.assert_allclose(now.final, test.final, atol=5e-3)
    np.testing.assert_allclose(now.reward, test.reward, atol=5e-3)
    np.testing.assert_allclose(np.linalg.norm(on_circle.final, axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(on_circle.discount == 0, on_circle.final[:, 0] > 0.5)


def test_a_degree_is_not_negative():
    with pytest.raises(ValueError, match="degree must not be negative"):
        models.polynomials(-1)


def test_a_sparse_policy_is_recovered_by_its_dictionary_and_kept_within_bounds():
    """A policy of two terms, of observations where it is not at its bounds."""
    obs = np.random.default_rng(5).uniform(-1, 1, (300, 2)).astype(np.float32)
    x, y = obs.T
    action = (0.6 * x - 0.3 * x * y * y)[:, None]
    coefficients, actor = models.distilled(models.polynomials(3), obs, action, 0.05)
    plain = [n for n in names(3) if "u" not in n]
    expected = np.array([{"x": 0.6, "xyy": -0.3}.get(n, 0.0) for n in plain])
    np.testing.assert_allclose(coefficients[:, 0], expected, atol=1e-4)
    assert (np.asarray(coefficients)[expected == 0] == 0).all()
    far = jnp.array([[5.0, 0.0], [-5.0, 0.0], [0.5, 1.0]])
    found, _, _ = actor.step((), (), far, jax.random.key(0))
    np.testing.assert_allclose(found[:, 0], [1.0, -1.0, 0.3 - 0.15], atol=1e-3)
