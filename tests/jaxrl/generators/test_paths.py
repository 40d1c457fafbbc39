"""Paths: against their published rates, finite differences, and the scores of mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import generators
from jaxrl.errors import InputError
from jaxrl.generators.paths import PREDICTIONS
from tests.jaxrl.generators.mixtures import TWO

PATHS = {
    "straight": generators.straight(),
    "linear": generators.linear(),
    "cosine": generators.cosine(),
}


@pytest.mark.parametrize("name", PATHS)
def test_signal_and_noise_have_the_slopes_that_are_said(name):
    time = jnp.linspace(0.02, 0.98, 49)
    ends = PATHS[name](jnp.array([0.0, 1.0]))
    u, a, b, slope_a, slope_b = map(np.asarray, PATHS[name](time))
    assert (np.diff(u) > 0).all()
    np.testing.assert_allclose(ends.signal[1], 1, atol=1e-6)
    np.testing.assert_allclose(ends.noise[1], 0, atol=1e-6)
    assert 0 <= ends.signal[0] < 0.011
    if name != "straight":
        np.testing.assert_allclose(a**2 + b**2, 1, atol=1e-5)
    away = u[2:] - u[:-2]
    np.testing.assert_allclose((a[2:] - a[:-2]) / away, slope_a[1:-1], atol=5e-3)
    np.testing.assert_allclose((b[2:] - b[:-2]) / away, slope_b[1:-1], atol=5e-3)


def test_rates_are_the_published_ones():
    """Of five steps of the linear path, and of the formula of the cosine path."""
    signal = np.asarray(generators.linear(0.1, 10.0)(jnp.arange(6) / 5).signal, float)
    rates = 1 - (signal[:-1] / signal[1:])[::-1] ** 2
    np.testing.assert_allclose(rates, [0.196, 0.459, 0.636, 0.755, 0.835], atol=1e-3)
    offset = 0.008
    fraction = np.linspace(0, 1, 7)  # of all of the noise
    square = lambda s: np.cos((s + offset) / (1 + offset) * np.pi / 2) ** 2
    end = np.arccos(0.01 * np.sqrt(square(0))) * 2 / np.pi * (1 + offset) - offset
    found = generators.cosine(offset)(jnp.asarray(1 - fraction)).signal
    np.testing.assert_allclose(found**2, square(fraction * end) / square(0), atol=1e-5)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("name", PATHS)
def test_any_prediction_tells_the_others_and_the_score(name, kind):
    """Of a mixture of normal distributions, whose score is the gradient of its log-density."""
    time, path = jnp.array([0.1, 0.5, 0.9]), PATHS[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(3, 2)), jnp.float32)
    exact = TWO.denoiser(path, kind).apply((), x, time, ())
    found = generators.completed(kind, exact, x, path(time))
    place = path(time)
    for i in range(3):
        a, b = place.signal[i], place.noise[i]
        data, noise = TWO.expected(x[i], a, b)
        np.testing.assert_allclose(found.data[i], data, atol=2e-4)
        np.testing.assert_allclose(found.noise[i], noise, atol=2e-4)
        score = jax.grad(TWO.log_prob)(x[i], a, b)
        np.testing.assert_allclose(-found.noise[i] / b, score, rtol=2e-3, atol=2e-3)
    sample, noise = jnp.asarray(rng.normal(size=(2, 3, 2)), jnp.float32)
    speed = generators.velocity(place, sample, noise)
    point = generators.noised(place, sample, noise)
    output = {"data": sample, "noise": noise, "velocity": speed}[kind]
    found = generators.completed(kind, output, point, place)
    for one, other in zip(found, (sample, noise, speed)):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="low must be at most high"):
        generators.linear(3.0, 1.0)
    with pytest.raises(InputError, match="least_signal must lie between 0 and 1"):
        generators.cosine(least_signal=0.0)
    with pytest.raises(InputError, match="no noise schedule called 'cosin': did you mean cosine"):
        generators.path_named("cosin")
    with pytest.raises(InputError, match="There is no prediction called 'score'"):
        generators.completed("score", jnp.zeros(1), jnp.zeros(1), PATHS["cosine"](jnp.zeros(())))
