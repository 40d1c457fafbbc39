"""Losses of every representation: finite, differentiable, and minimised by the projection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import settings

from jaxrl import values
from tests.jaxrl.values import families
from tests.jaxrl.values.families import (
    ATOMS,
    FAMILIES,
    HIGH,
    LOGITS,
    LOW,
    PESSIMISTIC,
    close,
    every,
)

BIN = (HIGH - LOW) / (ATOMS - 1)
EVERY = pytest.mark.parametrize("name", FAMILIES)
FAITHFUL = pytest.mark.parametrize("name", [n for n in FAMILIES if n not in PESSIMISTIC])
few = settings(max_examples=15, deadline=None, derandomize=True)
some = settings(max_examples=40, deadline=None, derandomize=True)
GAMMA = 0.9


@EVERY
@pytest.mark.parametrize("target", [0.0, 1e3, -1e6])
@pytest.mark.parametrize("size", [0.0, 1e3, 1e9])
def test_never_nan(name, target, size):
    """Targets outside the support, and huge outputs of either sign."""
    d = families.distribution(target + np.linspace(-1, 1, 12) * np.ones((2, 1)), np.ones((2, 12)))
    theta = np.random.default_rng(0).normal(size=(2, FAMILIES[name].size))
    found = every[name](np.float32(theta * size), d)
    assert not any(np.isnan(x).any() for x in jax.tree.leaves(found))


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("infinite", [[0], [3, 7], "all"])
def test_infinite_logits_and_targets_are_not_nan(name, infinite):
    index = np.arange(ATOMS) if infinite == "all" else np.array(infinite)
    for sign in (1, -1):
        theta = np.zeros((2, ATOMS), np.float32)
        theta[:, index] = sign * np.inf
        atoms = [[-np.inf, np.inf, 0.0]] * 2 if name.startswith("cat") else [[-np.inf], [np.inf]]
        d = families.distribution(atoms, np.ones_like(atoms))
        value, gradient, _, out = every[name](theta, d)
        assert np.isfinite(value) and np.isfinite(gradient).all()
        close(np.asarray(out.probabilities).sum(-1), 1.0)


@EVERY
def test_everything_jits_vmaps_and_differentiates(name):
    family = FAMILIES[name]
    d = families.sample(0, (3, 2, 7))

    @jax.jit
    def both_ways(d):
        theta = family.project(d)
        loss = family.loss(theta, d)
        return theta, jax.vmap(family.project)(d), loss, jax.vmap(family.loss, (-2, 1), 1)(theta, d)

    theta, mapped, loss, mapped_loss = both_ways(d)
    assert theta.shape == (3, 2, family.size) and loss.shape == (3, 2)
    close(mapped, theta)
    close(mapped_loss, loss, 1e-3, 1e-4)


@EVERY
def test_gradient_is_the_derivative(name):
    """Against central differences in float64, at outputs where the loss is smooth."""
    if name == "fully parameterised":
        pytest.skip("its gradient by the fractions is a surrogate: see test_quantile.py")
    family = FAMILIES[name]
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        theta = rng.normal(size=family.size)
        if name == "implicit":
            theta[9:] = rng.uniform(size=9)
        d = values.ReturnDistribution(rng.uniform(-3, 3, 6), rng.dirichlet(np.ones(6)))

        @jax.jit
        def run(theta, near, d):
            return jax.grad(family.loss)(theta, d), jax.vmap(family.loss, (0, None))(near, d)

        step = 1e-5 * np.eye(family.size)
        near = theta + np.concatenate([step, -step])
        gradient, loss = map(np.asarray, run(theta, near, d))
        slope = (loss[: family.size] - loss[family.size :]) / 2e-5
        count = family.size if name != "implicit" else 9
        close(gradient[:count], slope[:count], 1e-6, 1e-4)


SPEEDS = {"gaussian": 0.3, "gaussian wasserstein": 0.02}
HUBER = {"quantile", "implicit", "ensemble"}  # pulled to the mean, by the loss's quadratic part


@FAITHFUL
def test_descent_reaches_the_projection(name):
    """Minimising the loss against a fixed distribution gives what projecting it gives."""
    if name in ("fully parameterised", "particles, gaussian kernel"):
        pytest.skip("minimises another distance")
    family = FAMILIES[name]
    d = families.sample(5, (40,), -6, 6)
    rate = 5.0 if name in LOGITS else SPEEDS.get(name, 0.3)
    decay = 0.0 if name in LOGITS or name in SPEEDS else 0.01

    def step(theta, i):
        gradient = jax.grad(family.loss)(theta, d)
        if name == "implicit":
            gradient = gradient.at[9:].set(0.0)
        return theta - rate / (1 + decay * i) * gradient, None

    @jax.jit
    def learn(start):
        theta = jax.lax.scan(step, family.project(start), jnp.arange(2000))[0]
        learnt, exact = family.decode(theta), family.decode(family.project(d))
        return learnt, exact, values.mean(learnt) - values.mean(exact)

    learnt, exact, gap = learn(families.sample(6, (40,), -6, 6))
    assert families.wasserstein(learnt, exact) < (0.6 if name in HUBER else 0.2)
    assert abs(gap) < 0.15
