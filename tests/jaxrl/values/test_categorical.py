"""Categorical families against rlax, brute force, and what is documented of their bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from scipy.stats import norm

from jaxrl import values
from tests.jaxrl.values.families import (
    ASINH,
    ATOMS,
    HIGH,
    LOW,
    SUPPORT,
    SYMLOG,
    close,
    distributions,
    sample,
)

some = settings(max_examples=40, deadline=None, derandomize=True)
project = {
    name: jax.jit(lambda d, s=s: values.on_support(s)(d).probabilities)
    for name, s in {"uniform": SUPPORT, "symlog": SYMLOG, "asinh": ASINH}.items()
}
theirs = jax.jit(jax.vmap(rlax.categorical_l2_project, (0, 0, None)))


@pytest.mark.parametrize("name", ["uniform", "symlog", "asinh"])
@some
@given(d=distributions(low=-15, high=15))
def test_projection_agrees_with_rlax(name, d):
    support = {"uniform": SUPPORT, "symlog": SYMLOG, "asinh": ASINH}[name]
    close(project[name](d), theirs(d.atoms, d.probabilities, support.atoms), 2e-5)


def test_two_hot_agrees_with_rlax():
    y = jnp.linspace(-12, 12, 97)
    family = values.two_hot(SUPPORT)
    ours = family.decode(family.project(values.dirac(y))).probabilities
    close(ours, rlax.transform_to_2hot(y, LOW, HIGH, ATOMS), 1e-3)  # theirs adds 1e-5 to widths


def test_loss_and_gradient_agree_with_rlax_categorical_q_learning():
    rng = np.random.default_rng(0)
    logits, target, judge = (jnp.asarray(x, jnp.float32) for x in rng.normal(size=(3, 8, 4, ATOMS)))
    action, reward = jnp.asarray(rng.integers(0, 4, 8)), jnp.asarray(rng.normal(size=8) * 4)
    discount = jnp.asarray(rng.choice([0.0, 0.99], 8))
    family = values.categorical(SUPPORT)

    def ours(logits):
        aim = values.push(values.greedy(family, target, judge=judge), reward, discount)
        return family.loss(values.take(logits, action), jax.lax.stop_gradient(aim)).sum()

    def rlaxs(logits):
        selector = values.mean(family.decode(judge))
        fn = jax.vmap(rlax.categorical_double_q_learning, (None, 0, 0, 0, 0, None, 0, 0))
        z = SUPPORT.atoms
        return fn(z, logits, action, reward, discount, z, target, selector).sum()

    for a, b in zip(jax.value_and_grad(ours)(logits), jax.value_and_grad(rlaxs)(logits)):
        close(a, b, 1e-4)


def hl_by_definition(y, width):
    """The truncated Gaussian's histogram [M], in float64."""
    step = (HIGH - LOW) / (ATOMS - 1)
    edges = np.append(np.linspace(LOW, HIGH, ATOMS) - step / 2, HIGH + step / 2)
    mass = np.diff(norm.cdf(edges, np.clip(y, LOW, HIGH), width * step))
    return mass / mass.sum()


@pytest.mark.parametrize("width", [0.1, 0.75, 3.0])
@pytest.mark.parametrize("y", [0.0, 0.37, 8.9, -10.0, 10.0, 25.0, -1e4])
def test_hl_gauss_is_the_truncated_histogram(y, width):
    family = values.hl_gauss(SUPPORT, width)
    got = family.decode(family.project(values.dirac(jnp.array(y)))).probabilities
    close(got, hl_by_definition(y, width), 2e-5)


def test_hl_gauss_bias_is_what_is_documented():
    """Bounds in atoms from the end, as in the docstring; and undefined outside unless clipped."""
    family = values.hl_gauss(SUPPORT)
    step = (HIGH - LOW) / (ATOMS - 1)
    for distance, bound in [(2.5, 1.2e-4), (2, 1.3e-3), (1.5, 0.0098), (1, 0.047), (0.5, 0.16)]:
        y = jnp.linspace(LOW + distance * step, HIGH - distance * step, 1001)
        error = values.mean(family.decode(family.project(values.dirac(y)))) - y
        assert np.abs(error).max() / step < bound
        assert np.abs(error).max() / step > bound / 3  # no looser than need be
        assert error[0] > 0 > error[-1]  # inwards
    ends = values.mean(family.decode(family.project(values.dirac(jnp.array([LOW, HIGH])))))
    close(np.abs(ends), HIGH - 0.369 * step, 2e-3 * step)
    far = (np.linspace(LOW, HIGH, ATOMS + 1) - 1e3).astype(np.float32)  # a target 1e3 outside
    assert np.ptp(norm.cdf(far)) == 0.0  # the mass to divide by


def test_squashed_hl_gauss_bias_is_what_is_documented():
    support = values.symlog_support(-100.0, 100.0, 51)
    y = jnp.linspace(-60, 60, 2001)
    family = values.hl_gauss(support)
    error = values.mean(family.decode(family.project(values.dirac(y)))) - y
    assert np.abs(error / (1 + np.abs(y))).max() < 0.0115
    assert np.abs(error / (1 + np.abs(y))).max() > 0.008
    exact = values.two_hot(support)
    close(values.mean(exact.decode(exact.project(values.dirac(y)))), y, 1e-4)


def test_supports_are_spaced_as_they_say():
    close(np.diff(np.sign(SYMLOG.atoms) * np.log1p(np.abs(SYMLOG.atoms))), np.log(11) / 10, 1e-5)
    close(np.diff(np.arcsinh(ASINH.atoms)), np.arcsinh(10) / 10, 1e-5)
    for support in (SUPPORT, SYMLOG, ASINH):
        assert support.atoms[0] == LOW and support.atoms[-1] == HIGH
        close(support.locate(support.atoms), np.arange(ATOMS), 1e-4)
        middle = (support.atoms[1:] + support.atoms[:-1]) / 2
        close(support.locate(middle), np.arange(ATOMS - 1) + 0.5, 1e-4)


def test_bounds_may_be_swept_and_bad_ones_are_refused():
    d = sample(0, (12,), -1, 1)

    def mean(high):
        family = values.categorical(values.uniform_support(-high, high, 11))
        return values.mean(family.decode(family.project(d)))

    close(jax.vmap(mean)(jnp.array([2.0, 5.0])), values.mean(d))
    with pytest.raises(ValueError, match="low must be below high, but they are 3 and 2"):
        values.uniform_support(3, 2, 5)
    with pytest.raises(ValueError, match="at least two atoms, but size is 1"):
        values.symlog_support(-1, 1, 1)


def test_signed_measures_are_projected_linearly():
    d = sample(1, (12,), -9, 9)
    signed = d._replace(probabilities=jnp.asarray(d.probabilities).at[3].set(-0.5))
    out = values.on_support(SUPPORT)(signed)
    close(out.probabilities.sum(), signed.probabilities.sum())
    close(values.mean(out), values.mean(signed))
    assert (np.asarray(out.probabilities) < 0).any()
