"""Diagnostics of models: linear systems and numpy are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxrl import models
from jaxrl.models import diagnostics
from jaxrl.models.dynamics import Prediction
from jaxrl.types import Env, TimeStep, Transition
from tests.jaxrl.models.test_dynamics import SPEC

KEY = jax.random.key(0)


def linear(factor, noise=0.0):
    """x' = factor x + (a, 0) + noise, for a reward of the first coordinate."""

    def step(x, action, key):
        new = factor * x + jnp.array([1.0, 0.0]) * action[0] + noise * jax.random.normal(key, (2,))
        one = jnp.ones(())
        return new, TimeStep(new, x[0], one, one < 0, new, {})

    return models.true_model(Env(lambda key: None, step, SPEC), lambda obs, key: obs)


def sequences(length, lanes, factor):
    """What the true system does under random actions; the lane 0 ends after two steps."""
    action = jax.random.uniform(KEY, (length, lanes, 1))
    rows, x = [], jax.random.normal(KEY, (lanes, 2))
    for t in range(length):
        _, now = linear(factor).step(x, action[t], KEY)
        rows.append((x, now.reward, now.final))
        x = now.final
    obs, reward, final = (jnp.stack(x) for x in zip(*rows))
    one = jnp.ones((length, lanes))
    last = jnp.zeros((length, lanes), bool).at[1, 0].set(True)
    return Transition(obs, action, reward, one, last, final, (), one)


def test_errors_grow_as_the_powers_of_a_wrong_factor():
    data = sequences(5, 3, 0.9)
    data = data._replace(action=jnp.zeros_like(data.action))
    start = np.asarray(data.obs[0])
    final = np.stack([0.9 ** (t + 1) * start for t in range(5)])
    data = data._replace(final=jnp.asarray(final))
    found = diagnostics.error_curve(linear(0.8), data, KEY)
    square = np.stack([((0.8 ** (t + 1) - 0.9 ** (t + 1)) * start) ** 2 for t in range(5)]).sum(-1)
    oracle = [square[t].mean() if t < 2 else square[t, 1:].mean() for t in range(5)]
    np.testing.assert_allclose(found, oracle, rtol=1e-4)


def test_a_right_model_has_no_error_and_no_gap():
    data = sequences(5, 3, 0.9)
    np.testing.assert_allclose(diagnostics.error_curve(linear(0.9), data, KEY), 0, atol=1e-10)
    value = lambda obs: jnp.sin(obs).sum(-1)
    obs, action = data.obs[0], data.action[0]
    same = diagnostics.bellman_gap(linear(0.9), linear(0.9), value, obs, action, 0.9, KEY)
    np.testing.assert_allclose(same, 0, atol=1e-6)
    # A model that is wrong where the value does not care has none either.
    blind = lambda obs: 0.0 * obs[..., 0]
    other = diagnostics.bellman_gap(linear(0.5), linear(0.9), blind, obs, action, 0.9, KEY)
    np.testing.assert_allclose(other, 0, atol=1e-6)
    found = diagnostics.bellman_gap(linear(0.5), linear(0.9), value, obs, action, 0.9, KEY)
    push = np.array([1.0, 0.0]) * np.asarray(action)
    gap = np.sin(0.5 * obs + push).sum(-1) - np.sin(0.9 * obs + push).sum(-1)
    np.testing.assert_allclose(found, 0.9 * np.abs(gap), atol=1e-5)


def test_calibrated_predictions_are_covered_as_often_as_they_say():
    mean = jax.random.normal(KEY, (1, 20_000, 3))
    goal = mean[0] + 2.0 * jax.random.normal(jax.random.key(1), (20_000, 3))
    levels = jnp.array([0.1, 0.5, 0.9, 0.99])
    right = diagnostics.coverage(
        Prediction(mean, jnp.full_like(mean, 2.0), mean[..., 0]), goal, levels
    )
    np.testing.assert_allclose(right[0], levels, atol=0.01)
    bold = diagnostics.coverage(
        Prediction(mean, jnp.full_like(mean, 1.0), mean[..., 0]), goal, levels
    )
    half = scipy.stats.norm.ppf(0.5 + np.asarray(levels) / 2) / 2
    np.testing.assert_allclose(bold[0], 2 * scipy.stats.norm.cdf(half) - 1, atol=0.01)


def test_the_edge_of_reach_of_a_line():
    to = np.clip(np.arange(9)[:, None] + np.array([-1, 1]), 0, 8)
    line = jnp.asarray(np.eye(9)[to])
    data = jnp.arange(9) < 3
    for steps in (1, 2, 4):
        edge = diagnostics.edge_of_reach(line, data, steps)
        np.testing.assert_array_equal(np.flatnonzero(edge), [2 + steps])
    assert not diagnostics.edge_of_reach(line, data, 8).any()


def test_critics_differ_where_the_mask_says():
    values = np.random.default_rng(0).normal(size=(4, 6))
    where = np.array([True, False, True, True, False, False])
    found = diagnostics.value_variance(jnp.asarray(values), jnp.asarray(where))
    np.testing.assert_allclose(found, np.var(values[:, where], 0).mean(), rtol=1e-5)
    assert diagnostics.value_variance(jnp.asarray(values), jnp.zeros(6)) == 0
