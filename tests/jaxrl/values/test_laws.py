"""The laws of maps on return distributions, by random search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import values
from tests.jaxrl.values import families
from tests.jaxrl.values.families import (
    ATOMS,
    EXACT_MEAN,
    FAMILIES,
    HIGH,
    LOW,
    PESSIMISTIC,
    arrays,
    close,
    distributions,
)

BIN = (HIGH - LOW) / (ATOMS - 1)
EVERY = pytest.mark.parametrize("name", FAMILIES)
FAITHFUL = pytest.mark.parametrize("name", [n for n in FAMILIES if n not in PESSIMISTIC])
few = settings(max_examples=15, deadline=None, derandomize=True)
some = settings(max_examples=40, deadline=None, derandomize=True)
GAMMA = 0.9


# Maps: push is an action of the affine maps, mix is associative, and they commute.


@jax.jit
def pushes(d, r, g):
    first = values.push(d, r[:2], g[:2])
    return {
        "twice": values.push(first, r[2:], g[2:]).atoms,
        "at once": values.push(d, r[2:] + g[2:] * r[:2], g[2:] * g[:2]).atoms,
        "unit": values.push(d, jnp.zeros(2), jnp.ones(2)).atoms,
        "means": (values.mean(d), values.mean(first)),
        "terminal": values.push(d, r[:2], jnp.zeros(2)).atoms,
        "shifted": (values.shift(d, r[:2]).atoms, values.push(d, r[:2], jnp.ones(2)).atoms),
    }


@some
@given(d=distributions(), r=arrays((4,), -3, 3), g=arrays((4,), 0, 1))
def test_push_is_an_action_of_affine_maps(d, r, g):
    found = jax.tree.map(np.asarray, pushes(d, r, g))
    close(found["twice"], found["at once"])
    close(found["unit"], d.atoms, 1e-30)
    before, after = found["means"]
    close(after, r[:2] + g[:2] * before)
    close(found["terminal"], np.repeat(r[:2, None], 12, 1), 0)
    close(*found["shifted"])


@jax.jit
def mixtures(d, outer, inner):
    nested = values.mix(values.mix(d, inner), outer)
    flat = jax.tree.map(lambda x: x.reshape(12, 5), d)
    at_once = values.mix(flat, (outer[:, None] * inner).reshape(12))
    one = values.push(values.mix(d, inner), jnp.full(3, 0.7), jnp.full(3, 0.9))
    other = values.mix(values.push(d, jnp.full((3, 4), 0.7), jnp.full((3, 4), 0.9)), inner)
    return nested, at_once, one, other, values.mean(nested), values.mean(d)


@some
@given(seed=st.integers(0, 10**6))
def test_mix_is_associative_and_commutes_with_push(seed):
    rng = np.random.default_rng(seed)
    d = families.sample(seed, (3, 4, 5))
    outer, inner = map(np.float32, (rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3)))
    nested, at_once, one, other, mean, means = mixtures(d, outer, inner)
    close(nested.atoms, at_once.atoms, 0)
    close(nested.probabilities, at_once.probabilities, 1e-6)
    close(mean, outer @ (inner * np.asarray(means)).sum(-1))
    close(one.atoms, other.atoms)
    close(one.probabilities, other.probabilities)


def early_and_late(family):
    """A program that projects a mixture, with and without projecting what it mixes first."""

    def run(d, weights):
        early = family.decode(family.project(d))
        thetas = [family.project(values.mix(x, weights)) for x in (d, early)]
        laws = [family.decode(theta) for theta in thetas]
        return thetas, laws, [values.mean(law) for law in laws]

    return jax.jit(run)


LINEAR = {n: early_and_late(FAMILIES[n]) for n in ("scalar", "categorical", "categorical symlog")}


@pytest.mark.parametrize("name", LINEAR)
@few
@given(seed=st.integers(0, 10**6))
def test_linear_projections_commute_with_mix(name, seed):
    """project(mix(d)) = project(mix(decode(project(d)))): nothing is lost by projecting early."""
    d = families.sample(seed, (2, 3, 12))
    weights = np.float32(np.random.default_rng(seed).dirichlet(np.ones(3), 2))
    _, (late, early), means = LINEAR[name](d, weights)
    close(late.probabilities, early.probabilities)
    close(*means)


def test_quantile_projection_does_not_commute_with_mix():
    d = families.distribution([[0.0, 1.0], [10.0, 11.0]], [[0.9, 0.1], [0.5, 0.5]])
    late, early = map(np.asarray, early_and_late(values.quantile(3))(d, np.float32([0.6, 0.4]))[0])
    assert np.abs(late - early).max() > 0.5


def backup(family):
    """A program of the mean of a projected backup of projected distributions, and their means."""

    def run(d, weights, reward):
        mixed = values.mix(family.decode(family.project(d)), weights)
        backed = values.push(mixed, reward, jnp.full(3, GAMMA))
        return values.mean(family.decode(family.project(backed))), values.mean(d)

    return jax.jit(run)


BACKUPS = {name: backup(FAMILIES[name]) for name in sorted(EXACT_MEAN)}


@pytest.mark.parametrize("name", BACKUPS)
@few
@given(seed=st.integers(0, 10**6))
def test_backups_of_mean_preserving_families_are_those_of_means(name, seed):
    """project(push(mix(.))) has the mean of the scalar backup: planning in means is unaffected."""
    rng = np.random.default_rng(seed)
    d = families.sample(seed, (3, 3, 12), -5, 5)
    weights = np.float32(rng.dirichlet(np.ones(3), 3))
    reward = np.float32(rng.uniform(-1, 1, 3))
    mean, means = BACKUPS[name](d, weights, reward)
    close(mean, reward + GAMMA * (weights * np.asarray(means)).sum(-1), 2e-4)
