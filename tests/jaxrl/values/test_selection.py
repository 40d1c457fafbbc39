"""The lowest values filled first, and quantiles of samples, against numpy and linear programmes."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

from jaxrl.values import filled, sample_quantiles


def by_sorting(values, capacity, limit):
    """One value after another, in float64; equal values share in proportion to their capacity."""
    filled, left = np.zeros(len(values)), float(limit)
    for value in np.unique(values):
        tied = values == value
        room = capacity[tied].sum()
        share = min(left / room, 1.0) if room > 0 else 0.0
        filled[tied] = share * capacity[tied]
        left -= share * room
    return filled


def test_lowest_values_are_filled_first_whatever_they_are():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 7)).astype(np.float32)
    values[10:20] = np.round(values[10:20])  # ties
    values[20:25] = 0.0
    values[25:30, ::2] = -0.0  # equal to 0
    values[25:30, 1::2] = 0.0
    values[30:35, 0], values[30:35, 1] = np.inf, -np.inf
    values[40:45] *= np.float32(1e30)
    capacity = rng.random((60, 7)).astype(np.float32)
    capacity[::3, 2:5] = 0.0
    capacity[45:50] = 0.0
    limit = rng.uniform(0, 3, 60).astype(np.float32)
    limit[:3], limit[50:55] = 0.0, 100.0
    limit[3], values[3], capacity[3] = 0.5, np.arange(7), 0.25  # ends between two values
    found = np.asarray(jax.jit(filled)(values, capacity, limit))
    for x, *given in zip(found, values, capacity, limit):
        np.testing.assert_allclose(x, by_sorting(*given), atol=1e-5)


def test_filling_solves_its_linear_programme():
    rng = np.random.default_rng(1)
    for _ in range(5):
        values, capacity = rng.normal(size=6), rng.random(6)
        limit = rng.uniform(0, capacity.sum())
        best = linprog(
            values, A_eq=np.ones((1, 6)), b_eq=[limit], bounds=[(0, c) for c in capacity]
        )
        found = filled(jnp.asarray(values), jnp.asarray(capacity), limit)
        np.testing.assert_allclose(found @ values, best.fun, atol=1e-5)


def test_derivatives_by_capacity_and_limit():
    """Of the mean of the lowest: a higher limit adds the value at the boundary, a capacity below
    it takes that much from there; by hand."""
    values, capacity = jnp.array([3.0, -1.0, 5.0, 2.0]), jnp.array([0.25, 0.5, 0.125, 0.25])
    total = lambda capacity, limit: (filled(values, capacity, limit) * values).sum()
    by_capacity, by_limit = jax.grad(total, (0, 1))(capacity, 0.625)
    assert by_limit == 2.0
    np.testing.assert_allclose(by_capacity, [0.0, -3.0, 0.0, 0.0], atol=1e-6)


def test_quantiles_of_samples_are_those_of_numpy():
    rng = np.random.default_rng(2)
    fractions = np.array([0.0, 0.05, 0.3, 0.5, 0.95, 1.0], np.float32)
    find = jax.jit(sample_quantiles)
    for sample in (
        rng.normal(size=(5, 40)).astype(np.float32),
        np.round(rng.normal(size=(5, 40))).astype(np.float32),  # ties
        np.full((5, 40), -3.0, np.float32),
        np.tile(np.array([-0.0, 0.0], np.float32), (5, 20)),
        1e30 * rng.normal(size=(5, 40)).astype(np.float32),
    ):
        expected = np.quantile(sample, fractions)
        np.testing.assert_allclose(find(sample, fractions), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(sample_quantiles(jnp.array([7.0]), fractions), 7.0)
