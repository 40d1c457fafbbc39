"""Smooth quantile functions and mixtures of Gaussians, against closed forms and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from jaxrl import dp, values
from tests.jaxrl.dp.cases import three_arrays
from tests.jaxrl.values.families import sample


def spline(x, y, d, tau):
    """One point of a rational-quadratic spline, in float64."""
    k = min(np.searchsorted(x, tau, "right") - 1, len(x) - 2)
    w, h = x[k + 1] - x[k], y[k + 1] - y[k]
    s, u = h / w, (tau - x[k]) / w
    top = s * u**2 + d[k] * u * (1 - u)
    return y[k] + h * top / (s + (d[k] + d[k + 1] - 2 * s) * u * (1 - u))


def test_a_spline_interpolates_with_its_slopes_and_increases():
    """Known knots, whose integral is known by quadrature."""
    x, y = np.array([0.0, 0.3, 0.5, 1.0]), np.array([0.0, 1.0, 1.5, 3.5])
    d, tau = np.array([0.5, 2.0, 1.0, 3.0]), np.linspace(0, 1, 2001)
    with jax.enable_x64(True):
        curve = lambda at: values.rational_quadratic(*map(jnp.asarray, (x, y, d)), at)
        both = jax.jit(lambda at: jax.jvp(curve, (at,), (jnp.ones_like(at),)))
        found, slope = map(np.asarray, both(jnp.asarray(tau)))
        at_knots, slopes = map(np.asarray, both(jnp.asarray([*x, *tau[4:]])))
    np.testing.assert_allclose(found, [spline(x, y, d, t) for t in tau], atol=1e-12)
    np.testing.assert_allclose(at_knots[:4], y, atol=1e-12)
    np.testing.assert_allclose(slopes[:4], d, atol=1e-9)
    assert (np.diff(found) > 0).all() and (slope > 0).all()
    np.testing.assert_allclose(np.trapezoid(found, tau), 1.58656928, atol=1e-6)


def test_quantiles_of_a_spline_ascend_whatever_the_outputs_and_descent_fits_a_law():
    family = values.spline_quantile(5, kappa=0.01)
    theta = 5 * jax.random.normal(jax.random.key(0), (64, family.size))
    # The quantiles of an exponential law, of mean 1.
    fractions = values.midpoints(64)
    target = values.quantile(64).decode(-jnp.log1p(-fractions))

    @jax.jit
    def run(theta, target):
        def step(carry, i):
            theta, speed = carry
            gradient = jax.grad(lambda x: family.loss(x, target))(theta)
            speed = 0.9 * speed - 0.02 * gradient
            return (theta + speed, speed), None

        start = jnp.zeros(family.size)
        fitted = jax.lax.scan(step, (start, 0 * start), jnp.arange(1200))[0][0]
        law = family.decode(fitted)
        return family.decode(theta).atoms, values.quantiles(law, fractions), values.mean(law)

    wild, fitted, mean = map(np.asarray, run(theta, target))
    assert np.isfinite(wild).all() and (np.diff(wild) >= 0).all()
    inner = slice(3, 58)  # where the law is not steep
    assert np.abs(fitted - target.atoms)[inner].mean() < 0.1
    np.testing.assert_allclose(mean, 1.0, atol=0.1)


def test_the_projection_of_a_spline_has_the_quantiles_at_its_knots_and_is_its_own():
    family, law = values.spline_quantile(4), sample(1, (16, 12))

    @jax.jit
    def run(law):
        once = family.decode(family.project(law))
        again = family.decode(family.project(once))
        return once.atoms, again.atoms, values.quantiles(law, jnp.arange(5) / 4)

    once, again, knots = map(np.asarray, run(law))
    np.testing.assert_allclose(once[:, ::4], knots, atol=2e-2)
    np.testing.assert_allclose(again, once, atol=2e-2)


def test_a_mixture_keeps_mean_and_variance_and_has_the_density_of_scipy():
    family, law = values.gaussian_mixture(3), sample(2, (16, 12))
    theta = np.random.default_rng(3).normal(size=(16, 9)).astype(np.float32)

    @jax.jit
    def run(law, theta):
        found = family.decode(family.project(law))
        moments = lambda z: jnp.stack([values.mean(z), values.variance(z)])
        one = values.gaussian_mixture(1), values.gaussian()
        losses = [one[0].loss(theta[:, :3], law), one[1].loss(theta[:, 1:3], law)]
        return moments(found), moments(law), family.loss(theta, law), losses

    found, exact, loss, (one, plain) = jax.tree.map(np.asarray, run(law, theta))
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(one, plain, rtol=1e-5, atol=1e-4)
    logits, means, widths = np.split(theta.astype(np.float64), 3, -1)
    weight = logits - logsumexp(logits, axis=-1, keepdims=True)
    density = norm.logpdf(law.atoms[..., None], means[:, None], np.exp(widths)[:, None])
    by_scipy = -(law.probabilities * logsumexp(weight[:, None] + density, axis=-1)).sum(-1)
    np.testing.assert_allclose(loss + np.log(2 * np.pi) / 2, by_scipy, rtol=1e-4)


def test_evaluation_in_mixtures_has_exact_means_and_in_splines_nearly():
    p, r, d, initial = three_arrays()
    mdp, policy = dp.from_arrays(p, r, d, initial), np.full((3, 2), 0.5)
    chain = p.mean(1)
    exact = np.linalg.solve(np.eye(3) - 0.5 * chain, r[..., 0].mean(1))
    exact = r[..., 0] + 0.5 * p @ exact
    for family, atol in ((values.gaussian_mixture(2), 1e-3), (values.spline_quantile(16), 0.1)):
        run = lambda mdp, f=family: f.decode(
            dp.distributional_policy_evaluation(
                mdp, policy, 0.5, f, tolerance=0.0, max_iterations=24
            ).theta
        )
        np.testing.assert_allclose(values.mean(jax.jit(run)(mdp)), exact, atol=atol)


def test_wrong_numbers():
    for make in (lambda: values.spline_quantile(0), lambda: values.gaussian_mixture(0)):
        with pytest.raises(ValueError, match="must be above zero"):
            make()
