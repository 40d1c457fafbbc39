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
    decode,
    distributions,
    project,
)

BIN = (HIGH - LOW) / (ATOMS - 1)
EVERY = pytest.mark.parametrize("name", FAMILIES)
FAITHFUL = pytest.mark.parametrize("name", [n for n in FAMILIES if n not in PESSIMISTIC])
few = settings(max_examples=15, deadline=None, derandomize=True)
some = settings(max_examples=40, deadline=None, derandomize=True)
GAMMA = 0.9


# Maps: push is an action of the affine maps, mix is associative, and they commute.


@some
@given(d=distributions(), r=arrays((4,), -3, 3), g=arrays((4,), 0, 1))
def test_push_is_an_action_of_affine_maps(d, r, g):
    twice = values.push(values.push(d, r[:2], g[:2]), r[2:], g[2:])
    close(twice.atoms, values.push(d, r[2:] + g[2:] * r[:2], g[2:] * g[:2]).atoms)
    unit = values.push(d, jnp.zeros(2), jnp.ones(2))
    close(unit.atoms, d.atoms, 1e-30)
    close(values.mean(values.push(d, r[:2], g[:2])), r[:2] + g[:2] * values.mean(d))
    close(values.push(d, r[:2], jnp.zeros(2)).atoms, np.repeat(r[:2, None], 12, 1), 0)  # terminal
    close(values.shift(d, r[:2]).atoms, values.push(d, r[:2], jnp.ones(2)).atoms)


@some
@given(seed=st.integers(0, 10**6))
def test_mix_is_associative_and_commutes_with_push(seed):
    rng = np.random.default_rng(seed)
    d = families.sample(seed, (3, 4, 5))
    outer, inner = rng.dirichlet(np.ones(3)), rng.dirichlet(np.ones(4), 3)
    outer, inner = jnp.asarray(outer, jnp.float32), jnp.asarray(inner, jnp.float32)
    nested = values.mix(values.mix(d, inner), outer)
    flat = jax.tree.map(lambda x: x.reshape(12, 5), d)
    at_once = values.mix(flat, (outer[:, None] * inner).reshape(12))
    close(nested.atoms, at_once.atoms, 0)
    close(nested.probabilities, at_once.probabilities, 1e-6)
    close(values.mean(nested), outer @ (inner * values.mean(d)).sum(-1))
    r, g = jnp.full(3, 0.7), jnp.full(3, 0.9)
    one = values.push(values.mix(d, inner), r, g)
    other = values.mix(values.push(d, jnp.full((3, 4), 0.7), jnp.full((3, 4), 0.9)), inner)
    close(one.atoms, other.atoms)
    close(one.probabilities, other.probabilities)


@pytest.mark.parametrize("name", ["scalar", "categorical", "categorical symlog"])
@few
@given(seed=st.integers(0, 10**6))
def test_linear_projections_commute_with_mix(name, seed):
    """project(mix(d)) = project(mix(decode(project(d)))): nothing is lost by projecting early."""
    d = families.sample(seed, (2, 3, 12))
    weights = jnp.asarray(np.random.default_rng(seed).dirichlet(np.ones(3), 2), jnp.float32)
    late = decode[name](project[name](values.mix(d, weights)))
    early = decode[name](project[name](values.mix(decode[name](project[name](d)), weights)))
    close(late.probabilities, early.probabilities)
    close(values.mean(late), values.mean(early))


def test_quantile_projection_does_not_commute_with_mix():
    d = families.distribution([[0.0, 1.0], [10.0, 11.0]], [[0.9, 0.1], [0.5, 0.5]])
    family, weights = values.quantile(3), jnp.array([0.6, 0.4])
    late = family.project(values.mix(d, weights))
    early = family.project(values.mix(family.decode(family.project(d)), weights))
    assert np.abs(late - early).max() > 0.5


@pytest.mark.parametrize("name", sorted(EXACT_MEAN))
@few
@given(seed=st.integers(0, 10**6))
def test_backups_of_mean_preserving_families_are_those_of_means(name, seed):
    """project(push(mix(.))) has the mean of the scalar backup: planning in means is unaffected."""
    rng = np.random.default_rng(seed)
    d = families.sample(seed, (3, 3, 12), -5, 5)
    weights = jnp.asarray(rng.dirichlet(np.ones(3), 3), jnp.float32)
    reward = jnp.asarray(rng.uniform(-1, 1, 3), jnp.float32)
    theta = project[name](d)
    backed = values.push(values.mix(decode[name](theta), weights), reward, jnp.full(3, GAMMA))
    wanted = reward + GAMMA * (weights * values.mean(d)).sum(-1)
    close(values.mean(decode[name](project[name](backed))), wanted, 2e-4)
