"""Losses of dynamics: loops, closed forms and finite differences are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import models
from jaxrl.models import losses
from jaxrl.models.dynamics import empty_scales
from jaxrl.models.fitting import observe
from jaxrl.types import Box, Spec, Transition
from tests.jaxrl.models.test_dynamics import SPEC, system

KEY = jax.random.key(0)
DYNAMICS = models.deterministic_mlp(SPEC, members=2, hidden=(8,))
PARAMS = DYNAMICS.init(KEY)
DATA = jax.tree.map(jnp.asarray, system(3, 40))
SCALES = observe(DYNAMICS, empty_scales(SPEC), DATA)
CRITICS = lambda context, obs: jnp.stack([jnp.sin(2 * obs[..., 0]) + obs[..., 1], obs[..., 1] ** 3])


def test_squared_error_by_hand():
    found = losses.forward(DYNAMICS, PARAMS, SCALES, DATA)
    goal = np.concatenate([DATA.final - DATA.obs, DATA.reward[:, None]], -1)
    goal = (goal - goal.mean(0)) / goal.std(0)
    p = 1 / (1 + np.exp(-np.asarray(found.survival)))
    ends = -np.log(np.where(DATA.discount > 0, p, 1 - p))
    oracle = 0.5 * ((goal - found.mean) ** 2).sum(-1) + ends
    mine = models.squared_error(DYNAMICS, PARAMS, SCALES, (DATA, ()))
    np.testing.assert_allclose(mine, oracle, rtol=1e-3, atol=1e-4)


def test_value_gradients_are_slopes():
    slope = losses.value_gradients(CRITICS, (), DATA.final)
    x, y = np.asarray(DATA.final).T
    np.testing.assert_allclose(slope[0], np.stack([2 * np.cos(2 * x), np.ones(40)], -1), atol=1e-5)
    np.testing.assert_allclose(slope[1], np.stack([np.zeros(40), 3 * y**2], -1), atol=1e-4)


def test_the_clip_clips():
    """The longest become as long as the quantile, whatever their scale; the others stay."""
    for scale in (1.0, 1e3):
        slope = scale * jax.random.normal(KEY, (2, 200, 2))
        before = np.linalg.norm(slope, axis=-1)
        after = np.linalg.norm(losses.clip_lengths(slope, 0.9), axis=-1)
        bound = np.quantile(before, 0.9, axis=1, keepdims=True)
        np.testing.assert_allclose(after, np.minimum(before, bound), rtol=1e-4)
        assert (after < (1 - 1e-5) * before).sum() == 2 * 20


def test_errors_that_the_value_does_not_see_are_free():
    """Only the second coordinate matters to a value of it alone."""
    value = lambda context, obs: 5.0 * obs[None, ..., 1]
    loss = models.value_gradient_weighted(value)
    found = losses.forward(DYNAMICS, PARAMS, SCALES, DATA)
    goal = losses.standardised_targets(DYNAMICS, SCALES, DATA)
    square = 0.5 * jnp.square(goal - found.mean)
    oracle = 2 * square[..., 1] + square[..., 2] + losses.survival_loss(found, DATA)
    mine = loss(DYNAMICS, PARAMS, SCALES, (DATA, ()))
    np.testing.assert_allclose(mine, oracle, rtol=1e-4)


def test_a_small_model_spends_itself_on_what_matters():
    """One hidden unit, eight distractors: the relevant error is ten times lower when weighted."""
    spec = Spec(jax.ShapeDtypeStruct((9,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
    dynamics = models.deterministic_mlp(spec, hidden=(1,), activation="tanh")
    key, size = jax.random.key(1), 1024
    obs = jax.random.normal(key, (size, 9))
    mix = jax.random.normal(jax.random.key(2), (9, 9)).at[:, 0].set(0).at[0].set(0).at[0, 0].set(1)
    final = obs + jnp.tanh(obs) @ mix  # the first coordinate depends on itself alone
    one = jnp.ones(size)
    data = Transition(obs, jnp.zeros((size, 1)), one * 0, one, one < 0, final, (), one)
    value = lambda context, obs: obs[None, ..., 0]

    def error(loss):
        update = models.fitted(dynamics, loss, optax.adam(1e-2), bootstrap=False)
        state = update.init(KEY, jax.tree.map(lambda x: x[None], data))
        step = lambda state, key: update.apply(state, (data, ()), key)
        state, _ = jax.lax.scan(step, state, jax.random.split(KEY, 600))
        found = losses.forward(dynamics, state.learner.params, state.scales, data)
        gap = losses.standardised_targets(dynamics, state.scales, data) - found.mean[0]
        return jnp.square(gap).mean(0)[:9]

    plain, weighted = jax.jit(lambda: (error(models.squared_error),
                                       error(models.value_gradient_weighted(value))))()  # fmt: skip
    assert weighted[0] < 0.1 * plain[0]
    assert weighted[1:].mean() > plain[1:].mean()


def test_iterative_value_aware_by_hand():
    found = losses.forward(DYNAMICS, PARAMS, SCALES, DATA)
    moments = SCALES.targets
    reached = DATA.obs + (moments.mean + jnp.sqrt(moments.variance) * found.mean)[..., :2]
    gap = np.stack([CRITICS((), reached[m]) - CRITICS((), DATA.final) for m in range(2)])
    goal = losses.standardised_targets(DYNAMICS, SCALES, DATA)[..., -1]
    oracle = 0.5 * (gap**2).mean(1) + 0.5 * (goal - found.mean[..., -1]) ** 2
    oracle += losses.survival_loss(found, DATA)
    mine = models.iterative_value_aware(CRITICS)(DYNAMICS, PARAMS, SCALES, (DATA, ()))
    np.testing.assert_allclose(mine, oracle, rtol=1e-3, atol=1e-4)


def test_several_steps_are_a_loop():
    rows = jax.tree.map(lambda x: x.reshape(5, 8, *x.shape[1:]), DATA)
    last = jnp.zeros((5, 8), bool).at[1, 2].set(True)
    rows = rows._replace(last=last)
    mine = models.multi_step(DYNAMICS, PARAMS, SCALES, (rows, ()))
    deviation = np.sqrt(SCALES.targets.variance)
    obs, alive = [rows.obs[0], rows.obs[0]], np.ones(8)
    for t in range(5):
        row = jax.tree.map(lambda x, t=t: x[t], rows)
        for m in range(2):
            moved = row._replace(obs=obs[m])
            found = losses.forward(DYNAMICS, PARAMS, SCALES, moved)
            change = SCALES.targets.mean + deviation * found.mean[m]
            obs[m] = obs[m] + change[:, :2]
            error = 0.5 * (((obs[m] - row.final) / deviation[:2]) ** 2).sum(-1)
            error += 0.5 * ((change[:, 2] - row.reward) / deviation[2]) ** 2
            error += losses.survival_loss(found, row)[m]
            np.testing.assert_allclose(mine[m, t], alive * error, rtol=2e-3, atol=1e-4)
        alive = alive * ~np.asarray(row.last)
    assert (mine[:, 2:, 2] == 0).all()


def test_one_step_of_several_is_the_squared_error():
    one = jax.tree.map(lambda x: x[None], DATA)
    several = models.multi_step(DYNAMICS, PARAMS, SCALES, (one, ()))[:, 0]
    plain = models.squared_error(DYNAMICS, PARAMS, SCALES, (DATA, ()))
    np.testing.assert_allclose(several, plain, rtol=1e-3, atol=1e-4)
