"""Samples and losses, with exact predictions for mixtures of normal distributions as networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxrl import generators
from jaxrl.errors import InputError
from jaxrl.generators.paths import PREDICTIONS
from tests.compiling import OPTIMISED
from tests.jaxrl.generators.mixtures import ONE, TWO, Mixture

STRAIGHT, COSINE, LINEAR = generators.straight(), generators.cosine(), generators.linear()
KEY = jax.random.key(0)


def made(mixture, path, kind="velocity", steps=64, **options):
    """The generator whose network is exact."""
    size = mixture.means.shape[1]
    network = mixture.denoiser(path, kind)
    return generators.generator(network, (size,), path, kind, steps, **options)


def affine(generator, guide=None):
    """The mean [D] and covariance [D, D] of samples that are affine functions of noise."""
    noise = jnp.concatenate([jnp.zeros((1, 2)), jnp.eye(2)])
    rows = np.asarray(jax.jit(lambda z: generator.sample((), z, (), None, guide))(noise))
    slope = (rows[1:] - rows[0]).T
    return rows[0], slope @ slope.T


@pytest.mark.parametrize("sampler", ["flow", "heun", "ddim", "ancestral", "stochastic flow"])
def test_samples_have_the_moments_and_modes_of_the_data(sampler):
    """Within five standard errors, and what a finite number of steps leaves, halved by more."""
    steps, size = 100, 4000
    options = {
        "flow": (STRAIGHT, "velocity", dict()),
        "heun": (STRAIGHT, "velocity", dict(solver="heun", steps=20)),
        "ddim": (LINEAR, "noise", dict()),
        "ancestral": (COSINE, "data", dict(eta=1.0)),
        "stochastic flow": (STRAIGHT, "velocity", dict(eta=1.0)),
    }[sampler]
    path, kind, rest = options
    generator = made(TWO, path, kind, **dict(steps=steps) | rest)
    keys = jax.random.split(KEY)
    draw = lambda keys: generator.sample((), generator.noise(keys[0], size), (), keys[1])
    x = np.asarray(jax.jit(draw, compiler_options=OPTIMISED)(keys))
    mean, covariance = TWO.moments()
    deviation = np.sqrt(np.diag(covariance) / size)
    assert (np.abs(x.mean(0) - mean) < 5 * deviation + 0.02).all()
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.07)
    share = (x @ (TWO.means[1] - TWO.means[0]) > 0).mean()
    # The shares of the two sides, by many samples of the mixture itself.
    rng = np.random.default_rng(1)
    which = rng.random(200_000) < 0.7
    side = np.where(
        which[:, None],
        rng.multivariate_normal(TWO.means[1], TWO.covariances[1], 200_000),
        rng.multivariate_normal(TWO.means[0], TWO.covariances[0], 200_000),
    )
    wanted = (side @ (TWO.means[1] - TWO.means[0]) > 0).mean()
    assert abs(share - wanted) < 5 * np.sqrt(wanted * (1 - wanted) / size) + 0.01


@pytest.mark.parametrize("path", [STRAIGHT, COSINE, LINEAR])
def test_the_flow_takes_noise_to_a_normal_distribution(path):
    """Without sampling error: the map is affine. Beyond it, marginals at each time."""
    mean, covariance = affine(made(ONE, path, steps=400))
    np.testing.assert_allclose(mean, ONE.means[0], atol=0.02)
    np.testing.assert_allclose(covariance, ONE.covariances[0], atol=0.02)


def test_points_on_the_way_have_the_marginals_of_their_times():
    """Of the ancestral chain of a normal distribution, at every tenth of forty steps."""
    generator = made(ONE, COSINE, "noise", steps=40, eta=1.0, least_noise=1e-3)
    size, keys = 4000, jax.random.split(KEY, 2)
    draw = lambda k: generators.chain(generator, (), generator.noise(k[0], size), (), k[1]).points
    points = np.asarray(jax.jit(draw, compiler_options=OPTIMISED)(keys))
    for index in range(0, 41, 10):
        place = COSINE(jnp.array(index / 40))
        a, b = float(place.signal), float(place.noise)
        covariance = a**2 * ONE.covariances[0] + b**2 * np.eye(2)
        np.testing.assert_allclose(points[index].mean(0), a * ONE.means[0], atol=0.08)
        np.testing.assert_allclose(np.cov(points[index].T), covariance, atol=0.09)


def test_euler_steps_shrink_the_deviation_as_they_do_by_hand():
    """Of actions with mean 0.5 and deviation 0.3, from the noise 2; one step gives the mean."""
    data = Mixture([1.0], [[0.5]], [[[0.09]]])

    def by_hand(steps):
        x = 2.0
        for t in np.arange(steps) / steps:
            slope = (t * 0.09 - (1 - t)) / ((1 - t) ** 2 + t**2 * 0.09)
            x += (0.5 + slope * (x - t * 0.5)) / steps
        return x

    wanted = {1: 0.5, 2: 0.665, 4: 0.855, 10: 0.994}
    for steps, value in wanted.items():
        found = made(data, STRAIGHT, steps=steps).sample((), jnp.full((1, 1), 2.0), (), None)
        np.testing.assert_allclose(found[0, 0], by_hand(steps), atol=1e-5)
        np.testing.assert_allclose(found[0, 0], value, atol=1e-3)


@pytest.mark.parametrize("path", [STRAIGHT, generators.cosine(offset=1e-5)])
@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
def test_halving_the_step_shows_the_order(path, solver, order):
    """For a normal distribution, against very many steps of Heun's method."""
    noise = jnp.array([[2.0, -1.0], [-0.5, 1.5]])
    run = lambda steps, solver: made(ONE, path, steps=steps, solver=solver).sample(
        (), noise, (), None
    )
    exact = np.asarray(run(600, "heun"))
    errors = [np.abs(np.asarray(run(steps, solver)) - exact).max() for steps in (10, 20, 40)]
    rates = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (abs(rates - order) < 0.35).all(), errors


def test_ancestral_steps_are_those_of_ddpm():
    """The mean and the variance of the posterior, in the notation of Ho et al. (2020)."""
    steps = 5
    path = generators.linear(0.1, 10.0)
    network = generators.Denoiser(lambda key: (), lambda params, x, time, given: 0.3 * x - 0.2)
    generator = generators.diffusion(network, (2,), path, steps=steps)
    x = jnp.array([0.7, -1.2])
    kept = np.exp(-(0.1 * np.arange(6) / 5 + 9.9 * (np.arange(6) / 5) ** 2 / 2))  # alpha bar
    for t in range(1, steps + 1):
        beta, alpha = 1 - kept[t] / kept[t - 1], kept[t] / kept[t - 1]
        noise = 0.3 * np.asarray(x) - 0.2
        mean = (np.asarray(x) - beta / np.sqrt(1 - kept[t]) * noise) / np.sqrt(alpha)
        variance = beta * (1 - kept[t - 1]) / (1 - kept[t])
        found, deviation = generator.transition((), x, steps - t, ())
        np.testing.assert_allclose(found, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(deviation, np.sqrt(variance), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("path", [STRAIGHT, LINEAR])
def test_a_quadratic_guide_leads_to_the_exact_posterior(path):
    """Of a normal prior, told that the sample was seen at y with an error of covariance R."""
    seen, error = np.array([0.9, 0.4]), np.diag([0.2, 0.1])
    prior, spread = ONE.means[0], ONE.covariances[0]

    def guide(x, time):
        def log_likelihood(x, time):
            place = path(time)
            a, b = place.signal, place.noise
            data = ONE.expected(x, a, b)[0]
            left = spread - a**2 * spread @ jnp.linalg.solve(
                a**2 * spread + b**2 * np.eye(2), spread
            )
            return -0.5 * (seen - data) @ jnp.linalg.solve(left + error, seen - data)

        return jax.vmap(jax.grad(log_likelihood))(x, time)

    gain = spread @ np.linalg.inv(spread + error)
    wanted = prior + gain @ (seen - prior), spread - gain @ spread
    found = affine(made(ONE, path, steps=400), guide)
    for one, other in zip(found, wanted):
        np.testing.assert_allclose(one, other, atol=0.03)


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("steps", [1, 3])
def test_a_constant_data_set_is_reproduced(kind, steps):
    """By any number of steps, one included, with and without noise."""
    data = Mixture([1.0], [[0.4, -0.7]], [np.zeros((2, 2))])
    for eta in (0.0, 1.0):
        generator = made(data, COSINE, kind, steps=steps, eta=eta)
        x = generator.sample((), generator.noise(KEY, 5), (), KEY)
        # From nearly pure noise, the data are a small difference.
        np.testing.assert_allclose(x, np.tile(data.means, (5, 1)), atol=2e-4)


@pytest.mark.parametrize("kind", PREDICTIONS)
def test_the_least_loss_at_a_time_is_that_of_the_conditional_expectation(kind):
    """An affine network fitted by least squares to a normal distribution, for which it is affine.

    The loss is the mean over elements of squared errors.
    """
    path = lambda time: STRAIGHT(0.4 + 0.0 * time)
    apply = lambda params, x, time, given: x @ params["slope"].T + params["shift"]
    network = generators.Denoiser(lambda key: {}, apply)
    generator = generators.generator(network, (2,), path, kind)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.multivariate_normal(ONE.means[0], ONE.covariances[0], 40_000), jnp.float32)
    zero = {"slope": jnp.zeros((2, 2)), "shift": jnp.zeros(2)}
    flat, back = ravel_pytree(zero)
    loss = lambda flat: generator.loss(back(flat), x, (), KEY).mean()
    assert generator.loss(zero, x[:3, None], (), KEY).shape == (3, 1)
    curvature, slope = jax.jit(lambda f: (jax.hessian(loss)(f), jax.grad(loss)(f)))(flat)
    best = back(-jnp.linalg.solve(curvature, slope))
    points = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    exact = ONE.denoiser(path, kind).apply((), points, jnp.zeros(3), ())
    np.testing.assert_allclose(apply(best, points, 0.0, ()), exact, atol=0.04)


def test_images_and_conditions_with_leading_axes():
    """A network of the default kind, for images and a dictionary of conditions."""
    shape = (2, 3, 1)
    condition = {"a": jax.ShapeDtypeStruct((4,), jnp.float32)}
    network = generators.denoiser(shape, condition)
    generator = generators.diffusion(network, shape, COSINE, bound=1.0)
    params = generator.init(KEY)
    given = {"a": jnp.ones((5, 2, 4))}
    noise = 9 * generator.noise(KEY, 5, 2)
    x = generator.sample(params, noise, given, KEY)
    assert x.shape == (5, 2, *shape) and abs(x).max() <= 1
    assert generator.loss(params, x, given, KEY).shape == (5, 2)


def test_bad_input_is_one_sentence():
    network = ONE.denoiser(STRAIGHT, "noise")
    make = lambda *args, **options: generators.generator(network, (2,), *args, **options)
    with pytest.raises(InputError, match="This path begins without signal"):
        make(STRAIGHT, "noise")
    with pytest.raises(InputError, match="There is no solver called 'rk4'"):
        make(STRAIGHT, solver="rk4")
    with pytest.raises(InputError, match="Heun's method has no noise"):
        make(STRAIGHT, solver="heun", eta=1.0)
    with pytest.raises(InputError, match="eta must lie between 0 and 1"):
        make(COSINE, eta=1.5)
    with pytest.raises(InputError, match="steps must be above zero"):
        make(COSINE, steps=0)
    with pytest.raises(InputError, match="size must be even"):
        generators.time_features(jnp.zeros(()), 3)
