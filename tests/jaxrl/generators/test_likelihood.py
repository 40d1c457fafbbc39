"""Densities of samples against those of mixtures, and of chains against one joint normal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jaxrl import generators
from jaxrl.errors import InputError
from tests.jaxrl.generators.mixtures import ONE, TWO

KEY = jax.random.key(0)
POINTS = jnp.array([[-1.0, 0.5], [0.8, -0.4], [0.0, 0.0], [0.3, 0.6]])


@pytest.mark.parametrize(
    ("path", "kind"),
    [(generators.straight(), "velocity"), (generators.cosine(least_signal=1e-3), "noise")],
)
def test_the_change_of_variables_gives_the_exact_density(path, kind):
    """Of a mixture; and Hutchinson's estimate is right on average, within five standard errors."""
    generator = generators.generator(TWO.denoiser(path, kind), (2,), path, kind)
    exact = np.asarray(jax.vmap(TWO.log_prob)(POINTS))
    found = jax.jit(lambda x: generators.log_prob(generator, (), x, steps=200))(POINTS)
    np.testing.assert_allclose(found, exact, atol=0.03)
    keys = jax.random.split(KEY, 200)
    estimate = lambda k: generators.log_prob(generator, (), POINTS, key=k, steps=60)
    many = np.asarray(jax.jit(jax.vmap(estimate))(keys))
    error = many.std(0, ddof=1) / np.sqrt(len(keys))
    assert (error > 1e-3).all()
    assert (np.abs(many.mean(0) - exact) < 5 * error + 0.06).all()


def test_steps_sum_to_the_density_of_the_chain():
    """All points given the noise are jointly normal where predictions are affine."""
    path, steps, least = generators.cosine(), 4, 0.05
    network = ONE.denoiser(path, "noise")
    generator = generators.diffusion(network, (2,), path, steps=steps, least_noise=least)
    noise = generator.noise(KEY, 3)
    chain = generators.chain(generator, (), noise, (), KEY)
    assert chain.points.shape == (steps + 1, 3, 2) and chain.log_probs.shape == (steps, 3)
    maps = []
    for index in range(steps):
        at = lambda x, index=index: generator.transition((), x, index, ())
        shift, deviation = at(jnp.zeros(2))
        slope = np.stack([np.asarray(at(e)[0] - shift, float) for e in jnp.eye(2)], -1)
        maps.append((slope, np.asarray(shift, float), float(deviation)))
    assert maps[-1][2] == pytest.approx(least) and maps[0][2] > least
    for lane in range(3):
        mean, centre = [], np.asarray(noise[lane], float)
        spread = np.zeros((2 * steps, 2 * steps))
        for index, (slope, shift, deviation) in enumerate(maps):
            centre = slope @ centre + shift
            mean.append(centre)
            own, before = slice(2 * index, 2 * index + 2), slice(2 * index - 2, 2 * index)
            if index:
                spread[own] = slope @ spread[before]
                spread[:, own] = spread[own].T
                spread[own, own] = slope @ spread[before, before] @ slope.T
            spread[own, own] += deviation**2 * np.eye(2)
        joint = multivariate_normal(mean=np.concatenate(mean), cov=spread)  # pyright: ignore
        wanted = joint.logpdf(np.asarray(chain.points[1:, lane], float).reshape(-1))
        np.testing.assert_allclose(chain.log_probs[:, lane].sum(), wanted, rtol=1e-3, atol=0.02)
    again = generators.chain_log_probs(generator, (), chain.points, ())
    np.testing.assert_allclose(again, chain.log_probs, rtol=1e-3, atol=1e-3)


def test_the_gradient_of_steps_is_that_of_a_normal_mean():
    """A prediction of the data that is its parameter, in one step to it."""
    network = generators.Denoiser(
        lambda key: jnp.zeros(2), lambda params, x, time, given: jnp.broadcast_to(params, x.shape)
    )
    generator = generators.diffusion(
        network, (2,), generators.cosine(), "data", steps=1, least_noise=0.5
    )
    params, points = jnp.array([0.2, -0.1]), jnp.array([[[3.0, 3.0]], [[0.5, 0.4]]])
    slope = jax.grad(lambda p: generators.chain_log_probs(generator, p, points, ()).sum())(params)
    np.testing.assert_allclose(slope, (np.array([0.5, 0.4]) - [0.2, -0.1]) / 0.25, rtol=1e-4)


def test_what_has_no_density_is_told():
    network = ONE.denoiser(generators.cosine(), "data")
    generator = generators.diffusion(network, (2,), generators.cosine(), "data")
    with pytest.raises(InputError, match="A network that predicts data does not tell"):
        generators.log_prob(generator, (), POINTS)
    with pytest.raises(InputError, match="The last step of this generator has no noise"):
        generators.chain(generator, (), POINTS, (), KEY)
