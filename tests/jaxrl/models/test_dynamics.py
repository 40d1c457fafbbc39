"""Learnt dynamics: linear systems, closed forms and counts are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import norm

from jaxrl import models
from jaxrl.errors import InputError
from jaxrl.models import dynamics as dyn
from jaxrl.models.fitting import copies, fingerprint, uniform
from jaxrl.types import Box, Discrete, Spec, Transition

SPEC = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-np.ones(1), np.ones(1)))
A = np.array([[0.9, 0.2], [-0.1, 0.95]])
B = np.array([0.0, 0.3])


def system(seed, size, noise=0.0):
    """Transitions of x' = A x + B u + noise, with reward x_0 + 2 u, that end where x_0 > 1.5."""
    rng = np.random.default_rng(seed)
    obs, action = rng.normal(size=(size, 2)), rng.uniform(-1, 1, (size, 1))
    final = obs @ A.T + action * B + noise * rng.normal(size=(size, 2))
    reward, last = obs[:, 0] + 2 * action[:, 0], obs[:, 0] > 1.5
    obs, action, reward, discount, final = map(np.float32, (obs, action, reward, ~last, final))
    return Transition(obs, action, reward, discount, last, final, (), np.ones(size, np.float32))


def train(dynamics, loss, noise, steps=600, batch=256, **options):
    update = models.fitted(dynamics, loss, optax.adam(3e-3), **options)
    data = jax.tree.map(jnp.asarray, system(1, 2048, noise))

    def step(state, key):
        index = jax.random.randint(key, (batch,), 0, 2048)
        return update.apply(state, (jax.tree.map(lambda x: x[index], data), ()), key)

    start = update.init(jax.random.key(0), jax.tree.map(lambda x: x[None], data))
    state, metrics = jax.lax.scan(step, start, jax.random.split(jax.random.key(2), steps))
    return update, state, metrics


@pytest.fixture(scope="module")
def learnt():
    dynamics = models.gaussian_mlp(SPEC, members=3, hidden=(32, 32))
    update = models.fitted(dynamics, models.likelihood, optax.adam(3e-3), elites=2)

    @jax.jit
    def run():
        state, metrics = train(dynamics, models.likelihood, 0.1, elites=2)[1:]
        return update.read(state), state, metrics

    return dynamics, *jax.tree.map(np.asarray, run())


def test_means_deviations_and_ends_are_learnt(learnt):
    dynamics, view, _, _ = learnt
    test = system(9, 512)
    predict = jax.jit(lambda view, obs, action: dyn.predict(dynamics, view, obs, action))
    seen = jax.tree.map(np.asarray, predict(view, test.obs, test.action))
    goal = np.concatenate([test.final, test.reward[:, None]], -1)
    inner = np.abs(test.obs).max(-1) < 1.3
    assert (np.abs(seen.mean - goal).mean((0, 2))[inner] < 0.1).mean() > 0.95
    # The noise is 0.1 in the observation, and there is none in the reward.
    assert (np.abs(seen.std[:, :, :2] - 0.1)[:, inner] < 0.03).mean() > 0.95
    assert seen.std[:, inner, 2].max() < 0.1
    clear = np.abs(test.obs[:, 0] - 1.5) > 0.2
    assert ((seen.survival > 0.5) == (test.discount > 0.5))[:, clear].mean() > 0.97


def test_the_loss_is_the_likelihood(learnt):
    dynamics, view, _, _ = learnt
    test = system(9, 64, 0.1)

    @jax.jit
    def run(view, test):
        seen = dyn.predict(dynamics, view, test.obs, test.action)
        return seen, models.likelihood(dynamics, view.params, view.scales, (test, ()))

    seen, found = jax.tree.map(np.asarray, run(view, test))
    goal = np.concatenate([test.final, test.reward[:, None]], -1)
    oracle = -norm.logpdf(goal, seen.mean, seen.std).sum(-1)
    oracle -= np.where(test.discount > 0, np.log(seen.survival), np.log1p(-seen.survival))
    # Up to a constant: that of the density, and the units of the targets.
    gap = oracle - found
    np.testing.assert_allclose(gap, gap[0, 0], atol=1e-3)


def test_only_the_best_members_are_believed(learnt):
    _, view, state, metrics = learnt
    assert view.elite.sum() == 2
    assert not view.elite[state.holdout.argmax()]
    assert metrics["model_loss"][-50:].mean() < metrics["model_loss"][:5].mean()


def test_bounds_of_the_variance_hold():
    dynamics = models.gaussian_mlp(SPEC, members=2, hidden=(8,))

    @jax.jit
    def run(x):
        params = dynamics.init(jax.random.key(0))
        return dynamics.apply(params, x).log_std, dynamics.penalty(params)

    x = 1e4 * np.random.default_rng(1).normal(size=(2, 100, 3))
    log_std, penalty = map(np.asarray, run(np.float32(x)))
    assert (2 * log_std <= 0.5 + 1e-4).all() and (2 * log_std >= -10 - 1e-4).all()
    np.testing.assert_allclose(penalty, 0.01 * 2 * 3 * 10.5, rtol=1e-5)


def test_members_are_their_own_networks():
    dynamics = models.deterministic_mlp(SPEC, members=3, hidden=(8,))
    alone = models.deterministic_mlp(SPEC, hidden=(8,))

    @jax.jit
    def run(x):
        params = dynamics.init(jax.random.key(0))
        part = lambda i: jax.tree.map(lambda p: p[i : i + 1], params)
        ones = [alone.apply(part(i), x[None]).mean[0] for i in range(3)]
        return ones, dynamics.apply(params, jnp.broadcast_to(x, (3, 5, 3))).mean

    x = np.random.default_rng(1).normal(size=(5, 3))
    ones, whole = jax.tree.map(np.asarray, run(np.float32(x)))
    np.testing.assert_allclose(ones, whole, atol=1e-5)
    assert np.abs(whole[0] - whole[1]).max() > 0.1


def test_bootstrap_samples_are_poisson_stable_and_independent():
    data = system(3, 20_000)

    @jax.jit
    def run(data):
        code = fingerprint(data)
        part = jax.tree.map(lambda x: x[100:200], data)
        return code, fingerprint(part), uniform(code, 0), copies(code, 4)

    code, again, held, weight = map(np.asarray, run(data))
    assert np.unique(code).size > 19_990
    np.testing.assert_array_equal(code[100:200], again)
    np.testing.assert_allclose([held.mean(), held.var()], [0.5, 1 / 12], atol=0.01)
    np.testing.assert_allclose(weight.mean(1), 1, atol=0.03)
    np.testing.assert_allclose(weight.var(1), 1, atol=0.05)
    np.testing.assert_allclose((weight == 0).mean(1), np.exp(-1), atol=0.015)
    correlation = np.corrcoef(np.concatenate([weight, held[None]]))
    assert np.abs(correlation - np.eye(5)).max() < 0.03


def test_what_is_held_out_has_no_gradient():
    dynamics = models.deterministic_mlp(SPEC, members=2, hidden=(8,))
    update = models.fitted(dynamics, models.squared_error, optax.sgd(1.0), holdout=1.0)

    @jax.jit
    def run(data):
        start = update.init(jax.random.key(0), jax.tree.map(lambda x: x[None], data))
        after, _ = update.apply(start, (data, ()), jax.random.key(0))
        error = models.squared_error(dynamics, start.learner.params, after.scales, (data, ()))
        return start.learner.params, after, error

    params, after, error = jax.tree.map(np.asarray, run(system(0, 32)))
    jax.tree.map(np.testing.assert_array_equal, after.learner.params, params)
    np.testing.assert_allclose(after.holdout, error.mean(1), rtol=1e-5)


def test_discrete_actions_are_one_hot():
    spec = SPEC._replace(action=Discrete(3))
    joined = jax.jit(lambda obs, action: dyn.joined(spec, obs, action))
    x = np.asarray(joined(np.ones((4, 2), np.float32), np.array([0, 1, 2, 0])))
    np.testing.assert_array_equal(x[:, 2:], np.eye(3)[[0, 1, 2, 0]])


def test_a_point_has_no_likelihood():
    dynamics = models.deterministic_mlp(SPEC, 1, (8,))
    with pytest.raises(InputError, match="A deterministic dynamics has no likelihood"):
        models.fitted(dynamics, models.likelihood, optax.adam(1e-3))
    with pytest.raises(InputError, match="use squared_error"):
        models.likelihood(dynamics, (), (), (system(0, 4), ()))
    models.fitted(dynamics, models.squared_error, optax.adam(1e-3))  # the remedy works
    with pytest.raises(InputError, match="elites 2 must be at most members 1"):
        models.fitted(dynamics, models.squared_error, optax.adam(1e-3), elites=2)


def test_what_has_no_weight_teaches_nothing():
    """Neither parameters nor statistics nor the ranking, and not even if it is not a number."""
    dynamics = models.gaussian_mlp(SPEC, 2, (8,))
    update = models.fitted(dynamics, models.likelihood, optax.adam(1e-3), holdout=0.3)
    data, other = (system(i, 64) for i in range(2))
    weight = np.float32(np.arange(64) % 3 > 0)

    @jax.jit
    def state(data):
        start = update.init(jax.random.key(2), jax.tree.map(lambda x: x[None], data))
        return update.apply(start, (data, ()), jax.random.key(3))[0]

    far = jax.tree.map(lambda x: (100 * x).astype(x.dtype), other)
    where = lambda x, y: np.where(weight.reshape(-1, *[1] * (x.ndim - 1)) > 0, x, y)
    mixed = jax.tree.map(where, data, far)
    one, two = (state(d._replace(weight=weight)) for d in (data, mixed))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6), one, two)


def test_images_are_refused():
    spec = SPEC._replace(observation=jax.ShapeDtypeStruct((10, 10, 4), bool))
    with pytest.raises(ValueError, match="flatten_observation"):
        models.gaussian_mlp(spec)
