"""A reward of dynamics: the density ratio that the best discriminator is, is the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl import models
from jaxrl.models.consistency import dynamics_reward, jury
from jaxrl.models.ensemble import Candidates
from jaxrl.types import Transition
from tests.jaxrl.models.test_dynamics import SPEC, A, B

KEY = jax.random.key(0)
NOISE, SHIFT = 0.1, 0.15


def system(key, size, noise=0.0):
    """Transitions of x' = A x + B u + noise, with reward x_0 + 2 u."""
    k_obs, k_act, k_noise = jax.random.split(key, 3)
    obs = jax.random.normal(k_obs, (size, 2))
    action = jax.random.uniform(k_act, (size, 1), minval=-1, maxval=1)
    final = obs @ A.T + action * B + noise * jax.random.normal(k_noise, (size, 2))
    one = jnp.ones(size)
    return Transition(
        obs, action, obs[:, 0] + 2 * action[:, 0], one, one < 0, final, (), one
    )  # fmt: skip


def propose(view, data, key):
    """The truth, shifted in its first coordinate."""
    mean = data.obs @ A.T + data.action * B + jnp.array([SHIFT, 0.0])
    return mean + NOISE * jax.random.normal(key, mean.shape)


@pytest.fixture(scope="module")
def judged():
    update = jury(SPEC, propose, optax.adam(3e-3), history=3, period=100)

    @jax.jit
    def train(key):
        def step(state, key):
            k_data, k_learn = jax.random.split(key)
            return update.apply(state, (system(k_data, 512, NOISE), ()), k_learn)

        start = update.init(key, jax.tree.map(lambda x: x[None], system(key, 4)))
        return jax.lax.scan(step, start, jax.random.split(key, 1200))

    return train(KEY)


def test_it_learns_the_ratio_of_densities_and_filters_candidates(judged):
    state, metrics = judged
    assert metrics["jury_loss"][-50:].mean() < metrics["jury_loss"][:5].mean() - 0.1
    score = dynamics_reward(SPEC, state)
    data = system(jax.random.key(5), 400, NOISE)
    truth = data.obs @ A.T + data.action * B
    # log p / q of normals that are SHIFT apart, at points between them.
    places = jnp.linspace(-0.1, 0.25, 8)
    candidates = truth + places[:, None, None] * jnp.array([1.0, 0.0])
    log_ratio = (0.5 * SHIFT**2 - SHIFT * np.asarray(places)) / NOISE**2
    found = np.asarray(score(data.obs, data.action, candidates))
    oracle = 1 / (1 + np.exp(-log_ratio))
    np.testing.assert_allclose(found.mean(1), oracle, atol=0.1)
    assert (np.diff(found.mean(1)) < 0).all()
    # The filter prefers the truth to what is shifted, nearly always.
    pair = jnp.stack([truth + jnp.array([2 * SHIFT, 0.0]), truth])
    zeros = jnp.zeros(pair.shape[:2])
    choice = models.best_scored(score, stop_below=0.05)
    out, info = choice.pick(
        (), (data.obs, data.action), Candidates(pair, zeros, zeros + 1), jnp.ones(2, bool), KEY
    )
    assert (out.final == truth).all(-1).mean() > 0.95
    assert info["stop"].mean() < 0.05


def test_the_jury_is_of_several_times(judged):
    state, _ = judged
    past, params = jax.tree.leaves(state.past), jax.tree.leaves(state.learner.params)
    assert all(x.shape[0] == 3 for x in past)
    for i in range(3):  # of hundreds of parameters, some have moved far in a hundred steps of Adam
        assert max(np.abs(x[i] - x[i - 1]).max() for x in past) > 1e-2
    newest = (int(state.learner.step) // 100) % 3
    for x, y in zip(past, params, strict=True):
        np.testing.assert_array_equal(x[newest], y)
