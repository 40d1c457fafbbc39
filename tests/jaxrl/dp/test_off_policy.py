"""Estimates from another policy's episodes: unbiased by enumeration, with exact variances."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp
from tests.jaxrl.dp.cases import three_arrays

P, R = three_arrays()[0], three_arrays()[1][..., 0]
TARGET = np.array([[0.2, 0.8], [0.9, 0.1], [0.1, 0.9]])
HORIZON, RETURN = 3, 2.945560


def episodes():
    """Every episode of three steps under even actions: its steps and its probability."""
    states = itertools.product(range(3), repeat=HORIZON)
    actions = list(itertools.product(range(2), repeat=HORIZON))
    every = [(s, a) for s in states for a in actions]
    s, a = (np.array(x) for x in zip(*every))
    chance = 0.5**HORIZON / 3 * np.ones(len(s))
    for t in range(HORIZON - 1):
        chance = chance * P[s[:, t], a[:, t], s[:, t + 1]]
    return s, a, chance


def action_values():
    """Q of the target policy at each time, [H, S, A]."""
    q = [R]
    for _ in range(HORIZON - 1):
        q.insert(0, R + P @ (TARGET * q[0]).sum(1))
    return np.stack(q)


def test_means_and_variances_over_every_episode():
    s, a, chance = episodes()
    np.testing.assert_allclose(chance.sum(), 1)
    reward, ratio = R[s, a], TARGET[s, a] / 0.5
    q = action_values()
    time = np.arange(HORIZON)
    with jax.enable_x64(True):

        @jax.jit
        def run(reward, ratio, q):
            def robust(q):
                v = (TARGET * q).sum(-1)
                return dp.doubly_robust(reward, ratio, q[time, s, a], v[time, s], 1.0)

            return {
                "whole": dp.importance_sampling(reward, ratio, 1.0),
                "each": dp.per_decision(reward, ratio, 1.0),
                "exact": robust(q),
                "wrong": robust(q + 0.5),
                "none": robust(0 * q),
            }

        found = jax.tree.map(np.asarray, run(reward, ratio, q))
    known = {"whole": 41.8666, "each": 18.6059, "exact": 2.0016, "wrong": 2.7023, "none": 18.6059}
    for name, contribution in found.items():
        mean = chance @ contribution
        np.testing.assert_allclose(mean, RETURN, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(chance @ (contribution - mean) ** 2, known[name], atol=1e-4)


def test_intervals_cover_and_weights_stay_in_range():
    """Of 300 samples of 200 episodes; the delta method for the weighted estimate."""
    s, a, chance = episodes()
    reward, ratio = R[s, a], TARGET[s, a] / 0.5
    draws = np.random.default_rng(0).choice(len(s), (300, 200), p=chance)

    def each(reward, ratio):
        return {
            "each": dp.estimate(dp.per_decision(reward, ratio, 1.0)),
            "weighted": dp.estimate(dp.weighted_per_decision(reward, ratio, 1.0)),
        }

    run = jax.jit(jax.vmap(each))
    found = jax.tree.map(np.asarray, run(np.float32(reward[draws]), np.float32(ratio[draws])))
    for name, x in found.items():
        covered = ((x.low <= RETURN) & (x.high >= RETURN)).mean()
        assert 0.86 <= covered <= 0.99, (name, covered)  # of 0.95, but for heavy tails
        error = x.standard_error.mean() / x.mean.std()
        assert 0.8 < error < 1.2, (name, error)
        shift = np.abs(x.mean.mean() - RETURN) / (x.mean.std() / 300**0.5)
        assert shift < (4 if name == "each" else 9), (name, shift)
    assert found["weighted"].mean.std() < 0.7 * found["each"].mean.std()
    assert found["weighted"].mean.max() <= HORIZON * R.max()
    with pytest.raises(ValueError, match="two episodes or more"):
        dp.estimate(jnp.ones(1))


def test_stationary_ratios():
    """Of the occupancies of two policies, without either of them."""
    gamma = 0.9
    with jax.enable_x64(True):
        mdp = dp.from_arrays(*three_arrays())

        @jax.jit
        def run(mdp, sparse):
            data = (1 - gamma) * dp.occupancy(mdp, jnp.full((3, 2), 0.5), gamma)
            ratios = dp.stationary_ratios(mdp, jnp.asarray(TARGET), data, gamma)
            other = dp.stationary_ratios(sparse, jnp.asarray(TARGET), data, gamma)
            visited = (1 - gamma) * dp.occupancy(mdp, jnp.asarray(TARGET), gamma)
            return data, ratios, visited, other

        found = run(mdp, dp.sparse(mdp))
    data, ratios, visited, other = jax.tree.map(np.asarray, found)
    known = [0.359228, 1.436911, 2.063940, 0.229327, 0.193011, 1.737102]
    np.testing.assert_allclose(ratios.ravel(), known, atol=1e-6)
    np.testing.assert_allclose(ratios, visited / data, atol=1e-12)
    np.testing.assert_allclose(other, ratios, atol=1e-10)
    np.testing.assert_allclose((data * ratios * R).sum() / (1 - gamma), 9.993044, atol=1e-6)


def sampled(sets, episodes, steps, rng):
    """Data sets of the process with three states under the uniform policy: [sets, N, T] each."""
    p, r, _, initial = three_arrays()
    below = p.cumsum(-1)
    state = rng.choice(3, (sets, episodes), p=initial)
    columns = []
    for _ in range(steps):
        action = rng.integers(0, 2, state.shape)
        draw = rng.random(state.shape)[..., None]
        new = np.minimum((draw > below[state, action]).sum(-1), 2)
        columns.append((state, action, r[state, action, new], np.ones(state.shape), new))
        state = new
    fields = [np.stack(x, -1) for x in zip(*columns)]
    return dp.Episodes(*fields, alive=np.ones_like(fields[2]))


def test_the_bootstrap_of_dice_covers_the_return():
    """The true return is within the 95 % intervals of most of 200 data sets."""
    gamma, sets, episodes = 0.9, 200, 50
    data = sampled(sets, episodes, 20, np.random.default_rng(0))
    policy = jnp.asarray(TARGET, jnp.float32)

    @jax.jit
    @jax.vmap
    def run(data, key):
        estimator = lambda weights: dp.dice(data, policy, gamma, weights)
        return dp.bootstrap(estimator, episodes, key, draws=100)

    data = jax.tree.map(lambda x: x.astype(np.int32 if x.dtype == int else np.float32), data)
    found = jax.tree.map(np.asarray, run(data, jax.random.split(jax.random.key(0), sets)))
    covered = ((found.low <= 9.993044) & (found.high >= 9.993044)).mean()
    # 0.95 within four standard errors of 0.015, and what 100 draws and 50 episodes leave.
    assert 0.86 < covered < 1.0
    np.testing.assert_allclose(found.standard_error.mean(), found.mean.std(), rtol=0.25)
    # The estimate is the return in the process of the counts, which it never computes.
    one = jax.tree.map(lambda x: np.asarray(x[0]), data)
    visits = np.zeros((3, 2, 3))
    np.add.at(visits, (one.state, one.action, one.successor), 1.0)
    chances = visits / visits.sum(-1, keepdims=True)
    first = np.bincount(one.state[:, 0], minlength=3) / episodes
    policy = np.asarray(TARGET)
    kernel = np.einsum("sa,sab->sb", policy, chances)
    exact = np.linalg.solve(np.eye(3) - gamma * kernel, (policy * R).sum(-1))
    np.testing.assert_allclose(found.mean[0], first @ exact, rtol=1e-3)


def test_a_bootstrap_needs_episodes_and_draws():
    for episodes, draws in ((1, 9), (9, 1)):
        with pytest.raises(ValueError, match="A bootstrap needs two episodes and two draws"):
            dp.bootstrap(jnp.mean, episodes, jax.random.key(0), draws)
