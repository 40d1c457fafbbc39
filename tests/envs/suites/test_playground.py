"""MuJoCo Playground, against the package's own environments stepped by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import mujoco_drawing
from envs.suites import playground as suite
from tests.envs.suites.stepping import checked, played, require_pictures, require_truncation

mujoco_drawing.prepare()  # before MuJoCo is imported
package = pytest.importorskip("mujoco_playground")

NAME, LIMIT = "playground/CartpoleBalance", 3


def test_names_are_those_of_the_package():
    own = {name.removeprefix("playground/") for name in suite.names()}
    assert own == set(package.registry.ALL_ENVS)


@pytest.mark.slow
def test_an_environment_keeps_its_promises():
    checked(NAME, max_steps_in_episode=LIMIT)


def test_steps_are_those_of_the_package_and_the_limit_truncates():
    actions = jnp.array([[1.0], [-1.0], [0.5]])
    env = envs.make(NAME, max_steps_in_episode=LIMIT)
    states, first, ts = played(env, actions, jax.random.key(0))
    require_truncation(ts, LIMIT)
    theirs = package.registry.load("CartpoleBalance", config_overrides={"impl": "jax"})
    now = jax.jit(theirs.reset)(jax.random.split(jax.random.key(0), LIMIT + 1)[0])
    np.testing.assert_allclose(first.obs, now.obs, atol=1e-5)
    step = jax.jit(theirs.step)
    for t in range(LIMIT):
        now = step(now, actions[t])
        np.testing.assert_allclose(ts.final[t], now.obs, atol=1e-4)
        np.testing.assert_allclose(ts.reward[t], now.reward, atol=1e-4)
    try:
        require_pictures(NAME, {}, states)
    except ValueError as error:  # a machine without EGL and OSMesa says so
        assert "MUJOCO_GL" in str(error)


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        (NAME, {"ctrl_df": 0.1}, "no parameter 'ctrl_df': did you mean ctrl_dt"),
        (NAME, {"ctrl_dt": "fast"}, "cannot be made with these parameters"),
        (NAME, {"max_steps_in_episode": 0}, "positive number of steps"),
    ],
)
def test_bad_input(name, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make(name, **params)


def test_robots_need_their_models(monkeypatch, tmp_path):
    from mujoco_playground._src import mjx_env

    monkeypatch.setattr(mjx_env, "MENAGERIE_PATH", tmp_path / "absent")
    with pytest.raises(ValueError, match=r"needs the models of mujoco_menagerie"):
        envs.make("playground/Go1JoystickFlatTerrain")


@pytest.mark.slow
def test_repeated_actions_add_up_their_rewards():
    once, twice = (envs.make(NAME, action_repeat=n) for n in (1, 2))
    key, push = jax.random.key(0), jnp.array([1.0])
    state, _ = jax.jit(once.init)(key)
    step = jax.jit(once.step)
    state, first = step(state, push, key)
    _, second = step(state, push, key)
    _, both = jax.jit(twice.step)(jax.jit(twice.init)(key)[0], push, key)
    np.testing.assert_allclose(both.final, second.final, atol=1e-5)
    np.testing.assert_allclose(both.reward, first.reward + second.reward, atol=1e-5)
