"""What every representation keeps when it projects, by random search."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import values
from tests.jaxrl.values.families import (
    ATOMS,
    EXACT_MEAN,
    FAMILIES,
    HIGH,
    LOW,
    PESSIMISTIC,
    SMOOTHED,
    close,
    cramer,
    decode,
    distributions,
    rows,
)

BIN = (HIGH - LOW) / (ATOMS - 1)
EVERY = pytest.mark.parametrize("name", FAMILIES)
FAITHFUL = pytest.mark.parametrize("name", [n for n in FAMILIES if n not in PESSIMISTIC])
few = settings(max_examples=15, deadline=None, derandomize=True)
some = settings(max_examples=40, deadline=None, derandomize=True)
GAMMA = 0.9


def repeated(family):
    """A program of a distribution, its projection, that one's projection, and all their means."""

    def run(d):
        once = family.decode(family.project(d))
        twice = family.decode(family.project(once))
        return [(x, values.mean(x)) for x in (d, once, twice)]

    return jax.jit(run)


projected = {name: repeated(family) for name, family in FAMILIES.items()}


@FAITHFUL
@few
@given(d=distributions())
def test_projection_is_idempotent(name, d):
    found = jax.tree.map(np.asarray, projected[name](d))
    if name in SMOOTHED:  # near the edge the bias is larger, and documented
        inside = np.abs(found[0][1]) < HIGH - 2.5 * BIN
        found = jax.tree.map(lambda x: x[inside], found)
    _, (once, mean), (twice, again) = found
    close(mean, again, 1e-2 * BIN if name in SMOOTHED else 2e-4)
    for a, b in zip(rows(once), rows(twice)):
        assert cramer(a, b) < 2e-2


@EVERY
@few
@given(d=distributions())
def test_projection_keeps_the_total_weight(name, d):
    weights = np.asarray(projected[name](d)[1][0].probabilities)
    close(weights.sum(-1), 1.0)
    assert (weights >= 0).all()


@FAITHFUL
@few
@given(d=distributions())
def test_projection_keeps_the_mean_inside_the_support(name, d):
    (_, mean), (_, kept), _ = jax.tree.map(np.asarray, projected[name](d))
    error = np.abs(kept - mean)
    if name in EXACT_MEAN:
        assert error.max() < 1e-4
    elif name in SMOOTHED:
        inside = np.abs(mean) < HIGH - 2.5 * BIN
        assert (error[inside] < 1e-2 * BIN).all()
    else:  # N quantiles are within half their spacing in probability
        assert error.max() < (HIGH - LOW) / 9


@EVERY
@few
@given(theta=st.integers(0, 10**6), size=st.sampled_from([0.1, 1.0, 30.0]))
def test_any_outputs_mean_a_distribution(name, theta, size):
    out = np.random.default_rng(theta).normal(size=(2, FAMILIES[name].size)) * size
    if name == "implicit":
        out[:, 9:] = np.random.default_rng(theta).uniform(size=(2, 9))
    d = jax.tree.map(np.asarray, decode[name](np.float32(out)))
    close(d.probabilities.sum(-1), 1.0)
    assert (d.probabilities >= -1e-6).all()
    assert np.isfinite(d.atoms).all()
