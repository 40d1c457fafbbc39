"""Whole trajectories, by the exact network of a linear system with normal actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import generators, models
from jaxrl.errors import InputError
from jaxrl.types import Box, Discrete, Spec, Transition

SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-9 * jnp.ones(1), 9 * jnp.ones(1)))
LENGTH, MEAN, DEVIATION, STEPS = 3, 0.2, 0.5, 60
TARGET = 1.0  # of a policy N(1, 1)


def scale():
    """Units that differ from those of the environment; the discount hardly varies."""
    rows = jnp.array([MEAN, 0.1, 1.0, 0.3]), jnp.array([DEVIATION, 0.7, 1e-3, 2.0])
    return models.Scale((jnp.array([0.5]), jnp.array([3.0])), rows)


def system(first):
    """The rows [L, D] without noise, and how they depend on L standard normal numbers [L D, L]."""

    def play(noise):
        s, rows = first, []
        for t in range(LENGTH):
            a = MEAN + DEVIATION * noise[t]
            s = s + a
            rows.append(np.array([a, 2 * a, 1.0, s]))  # the reward is twice the action
        mean, deviation = map(np.asarray, scale().rows)
        return ((np.stack(rows) - mean) / deviation).reshape(-1)

    base = play(np.zeros(LENGTH))
    return base, np.stack([play(e) - base for e in np.eye(LENGTH)], -1)


def exact():
    """The network that predicts the velocity of these rows without error."""
    path = generators.path_named("cosine")
    zero, slope = system(0.0)
    shift = system(1.0)[0] - zero
    spread = jnp.asarray(slope @ slope.T)

    def apply(params, x, time, condition):
        first = condition * 3.0 + 0.5
        mean = jnp.asarray(zero) + first * jnp.asarray(shift)

        def one(x, mean, time):
            place = path(time)
            a, b = place.signal, place.noise
            cover = a**2 * spread + b**2 * jnp.eye(len(spread))
            solved = jnp.linalg.solve(cover, x - a * mean)
            data, noise = mean + a * spread @ solved, b * solved
            return place.signal_slope * data + place.noise_slope * noise

        flat = jax.vmap(one)(x.reshape(len(x), -1), mean, time)
        return flat.reshape(x.shape)

    return generators.Denoiser(lambda key: (), apply)


def log_prob(view, obs, action):
    return -0.5 * jnp.square(action - view).sum(-1)


def made():
    """The trajectories whose network is exact."""
    return models.trajectories(SPEC, LENGTH, scale(), log_prob, steps=STEPS, network=exact())


def mean_by_hand(first, weight):
    """The mean actions [L] of led samples: all steps are affine, so that it goes its own way."""
    mean, slope = system(first)
    spread, path = slope @ slope.T, generators.path_named("cosine")
    middle, unit = MEAN, DEVIATION
    acts, x = np.arange(LENGTH) * 4, np.zeros(4 * LENGTH)
    for step in range(STEPS):
        here, there = path(jnp.asarray(step / STEPS)), path(jnp.asarray((step + 1) / STEPS))
        a, b, c, d = (float(x) for x in (here.signal, here.noise, there.signal, there.noise))
        cover = a**2 * spread + b**2 * np.eye(len(x))
        data = mean + a * spread @ np.linalg.solve(cover, x - a * mean)
        data[acts] += b**2 / (a**2 + b**2) * weight * unit * (TARGET - middle - unit * data[acts])
        noisy = d * np.sqrt(max(1 - (a * d / (c * b)) ** 2, 0))
        x = c * data + np.sqrt(max(d**2 - noisy**2, 0)) * (x - a * data) / b
    return middle + unit * x[acts]


def test_a_policy_leads_actions_and_the_dynamics_hold():
    """Means go where they do by hand; without a lead, deviations are those of the data."""
    obs = jnp.tile(jnp.array([[-1.0], [2.0]]), (1000, 1))
    model = made()
    run = lambda weight: model.branched((), TARGET, weight, obs, jax.random.key(0))
    found = jax.jit(jax.vmap(run))(jnp.array([0.0, 2.0, 8.0]))
    assert found.action.shape == (3, LENGTH, 2000, 1)
    np.testing.assert_array_equal(found.obs[:, 0], np.broadcast_to(obs, (3, 2000, 1)))
    np.testing.assert_array_equal(found.obs[:, 1:], found.final[:, :-1])
    np.testing.assert_allclose(found.final, found.obs + found.action, atol=0.05)
    np.testing.assert_allclose(found.reward, 2 * found.action[..., 0], atol=0.05)
    assert not found.last.any() and (found.discount == 1).all() and (found.weight == 1).all()
    action = np.asarray(found.action[..., 0])
    np.testing.assert_allclose(action[0].mean(1), MEAN, atol=5 * DEVIATION / np.sqrt(2000))
    np.testing.assert_allclose(action[0].std(1), DEVIATION, rtol=0.15)
    for index, weight in enumerate((0.0, 2.0, 8.0)):
        for lane, first in enumerate((-1.0, 2.0)):
            wanted = mean_by_hand(first, weight)
            error = 5 * DEVIATION / np.sqrt(1000) + 0.01
            np.testing.assert_allclose(action[index, :, lane::2].mean(1), wanted, atol=error)
    likely = np.asarray(log_prob(TARGET, None, found.action)).mean((1, 2))
    assert likely[0] + 0.01 < likely[1] and likely[1] + 0.01 < likely[2], likely


def test_only_whole_sequences_are_learnt_from():
    """An end before the last step, or a step of weight zero, leaves a sequence out."""
    ones = jnp.ones((LENGTH, 4))
    last = jnp.zeros((LENGTH, 4), bool).at[0, 1].set(True).at[2, 3].set(True)
    obs = jnp.arange(LENGTH * 4.0).reshape(LENGTH, 4, 1)
    batch = Transition(obs, ones[..., None], ones, ones, last, obs + 1, (), ones.at[1, 2].set(0.0))
    loss = made().loss((), batch, jax.random.key(0))
    assert (np.asarray(loss) > 0).tolist() == [True, False, False, True]


def test_scales_are_means_and_deviations_of_what_counts():
    rng = np.random.default_rng(0)
    obs, action, reward = (
        rng.normal(2, 3, (50, 2, 1)),
        rng.normal(size=(50, 2, 1)),
        np.ones((50, 2)),
    )
    weight = np.ones((50, 2)) * (np.arange(50) < 40)[:, None]
    data = Transition(obs, action, reward, reward, reward < 0, obs - 1, (), weight)
    found = models.scale_of(jax.tree.map(jnp.asarray, data))
    real = np.concatenate([action, np.ones((50, 2, 2)), obs - 1], -1)[:40].reshape(80, 4)
    np.testing.assert_allclose(found.rows[0], real.mean(0), atol=1e-5)
    np.testing.assert_allclose(found.rows[1], np.maximum(real.std(0), 1e-3), rtol=1e-4)
    np.testing.assert_allclose(found.obs[0], obs[:40].mean(), rtol=1e-5)
    np.testing.assert_allclose(found.obs[1], obs[:40].std(), rtol=1e-5)


def test_bad_input_is_one_sentence():
    make = lambda spec, length=3: models.trajectories(spec, length, scale(), log_prob)
    with pytest.raises(InputError, match="A generator of trajectories needs continuous actions"):
        make(SPEC._replace(action=Discrete(2)))
    with pytest.raises(InputError, match="needs observations of one vector"):
        make(SPEC._replace(observation=jax.ShapeDtypeStruct((2, 2), jnp.float32)))
    with pytest.raises(InputError, match="length must be above zero"):
        make(SPEC, 0)
