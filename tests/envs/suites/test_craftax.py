"""Craftax, against the package's own environments stepped by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from tests.envs.suites.stepping import checked, played, require_pictures, require_truncation

pytest.importorskip("craftax")

from craftax import craftax_env
from craftax.craftax_classic import constants

NAME, LIMIT = "craftax/Craftax-Classic-Symbolic-v1", 5
SMALL = {"map_size": (16, 16)}


@pytest.mark.slow
def test_classic_keeps_its_promises():
    checked(NAME, max_steps_in_episode=LIMIT, **SMALL)


def test_names_are_those_of_the_package():
    from envs.suites import craftax

    for name in craftax.names():
        if "Pixels" in name:  # making it loads the textures
            continue
        assert craftax_env.make_craftax_env_from_name(name.removeprefix("craftax/"), False)


def test_steps_are_those_of_the_package_and_the_limit_truncates():
    actions = jnp.array([1, 2, 3, 4, 5])
    env = envs.make(NAME, max_steps_in_episode=LIMIT)
    states, first, ts = played(env, actions, jax.random.key(0))
    require_truncation(ts, LIMIT)
    theirs = craftax_env.make_craftax_env_from_name("Craftax-Classic-Symbolic-v1", False)
    params = theirs.default_params.replace(max_timesteps=LIMIT)
    keys = jax.random.split(jax.random.key(0), LIMIT + 1)
    obs, state = theirs.reset(keys[0], params)
    np.testing.assert_allclose(first.obs, obs, atol=1e-6)
    for t in range(LIMIT):
        obs, state, reward, done, _ = theirs.step(keys[t + 1], state, actions[t], params)
        np.testing.assert_allclose(ts.final[t], obs, atol=1e-6)
        np.testing.assert_allclose(ts.reward[t], reward, atol=1e-6)
        np.testing.assert_array_equal(ts.info["achievements"][t], state.achievements)
    assert bool(done)  # their limit says no more than that
    if Path(constants.TEXTURE_CACHE_FILE).exists():  # to make it takes a minute
        require_pictures(NAME, {}, states)


def test_death_is_a_termination():
    env = envs.make(NAME, **SMALL)
    (state, elapsed), _ = env.init(jax.random.key(0))
    dying = state.replace(player_health=0, player_food=0, player_hunger=100.0)
    _, ts = jax.jit(env.step)((dying, elapsed), 0, jax.random.key(1))
    assert bool(ts.last) and float(ts.discount) == 0


def test_achievements_have_names():
    from envs.suites import craftax

    env = envs.make(NAME, **SMALL)
    _, first = jax.eval_shape(env.init, jax.random.key(0))
    names = craftax.achievements(NAME)
    assert len(names) == len(set(names)) == first.info["achievements"].shape[0] == 22
    assert "collect_wood" in names


@pytest.mark.parametrize(
    ("params", "sentence"),
    [({"zzz": 1}, "no parameter 'zzz'"), ({"max_steps_in_episode": 0}, "positive number of steps")],
)
def test_bad_input(params, sentence):
    with pytest.raises(ValueError, match=sentence):
        envs.make(NAME, **params)
