"""Every family with every reduction and every statistic: by brute force, or refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import values
from jaxrl.errors import InputError
from jaxrl.values import CRITICS, OBJECTIVES, REDUCTIONS, Critic, Ensemble, Objective
from tests.jaxrl.values import oracles

LEVELS = {"entropic-risk": 0.4, "mean-variance": 0.2, "homeostatic": -0.5, "shortfall": 0.3}
SETTINGS = Ensemble(3, drop=2, level=0.6)
FAMILIES = {name: values.critic(Critic(name, 7, low=-4.0, high=4.0)) for name in CRITICS}


def combined(name, key=None):
    """The decoded members, and all statistics of all their reductions, at random outputs."""
    family = FAMILIES[name]
    theta = jax.random.normal(jax.random.key(1), (4, 3, family.size))
    statistics = [values.objective(Objective(s, LEVELS.get(s, 0.3))) for s in OBJECTIVES]
    found = {}
    for reduction in REDUCTIONS:
        drop = 0 if name == "scalar" else SETTINGS.drop
        settings = SETTINGS.replace(reduction=reduction, drop=drop)
        joint = values.ensemble_critic(family, settings, key).decode(theta.reshape(4, -1))
        found[reduction] = [statistic(joint) for statistic in statistics]
    return family.decode(theta), found


@pytest.mark.parametrize("name", [n for n in CRITICS if n != "implicit-quantile"])
def test_statistics_of_reduced_ensembles(name):
    """Of the atoms that members decode to, pooled, chosen or truncated by their definition."""
    members, found = jax.jit(lambda: combined(name))()
    atoms, weights = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in members))
    for reduction, statistics in found.items():
        settings = SETTINGS.replace(reduction=reduction, drop=0 if name == "scalar" else 2)
        for b in range(4):
            z, p = oracles.reduced(reduction, atoms[b], weights[b], settings)
            for statistic, got in zip(OBJECTIVES, statistics):
                wanted = oracles.statistic(statistic, z, p, LEVELS.get(statistic, 0.3))
                where = (reduction, statistic, b)
                assert got[b] == pytest.approx(wanted, abs=2e-4), where


def test_what_does_not_fit_is_refused():
    """Before anything is traced, in a sentence with a remedy that is followed here."""
    implicit, truncated = FAMILIES["implicit-quantile"], Ensemble(2, "truncated")
    with pytest.raises(InputError, match="choose quantile or fully-parameterised"):
        values.ensemble_critic(implicit, Ensemble(2))
    with pytest.raises(InputError, match=r"drop is 2, .* 1 atoms each.*reduction minimum"):
        values.ensemble_critic(FAMILIES["scalar"], truncated)
    values.ensemble_critic(FAMILIES["scalar"], truncated.replace(reduction="minimum"))
    with pytest.raises(InputError, match="drop must not be negative"):
        values.ensemble_critic(FAMILIES["quantile"], truncated.replace(drop=-1))
    for name in ("scalar", "two-hot", "hl-gauss"):
        assert FAMILIES[name].collapsed
    with pytest.raises(InputError, match="level must be finite"):
        values.objective(Objective("entropic-risk", np.inf))


def test_truncation_is_by_probability_and_that_of_atoms_where_they_weigh_alike():
    """The categorical case that once forgot its probabilities: constant values for any logits."""
    family = FAMILIES["categorical"]
    for share in ("truncated", "average"):
        joint = values.ensemble_critic(family, SETTINGS.replace(reduction=share))
        slope = jax.grad(lambda theta, f=joint: values.mean(f.decode(theta)))(jnp.zeros(21))
        assert np.abs(slope).max() > 0.1
    alike, quantile = FAMILIES["quantile"], SETTINGS.replace(reduction="truncated")
    theta = jax.random.normal(jax.random.key(0), (5, 21))
    general = values.ensemble(alike, 3, values.truncated(6)).decode(theta)
    fast = values.ensemble_critic(alike, quantile).decode(theta)
    np.testing.assert_allclose(values.mean(general), values.mean(fast), atol=1e-6)
    np.testing.assert_allclose(general.probabilities.sum(-1), 1, atol=1e-6)
