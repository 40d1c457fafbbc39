"""NAVIX, against the package's own environments stepped by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import navix as suite
from tests.envs.suites.stepping import checked, played, require_pictures, require_truncation

navix = pytest.importorskip("navix")

FORWARD, RIGHT = 2, 1  # the package's actions


def test_names_are_those_of_the_package():
    assert {name.removeprefix("navix/") for name in suite.names()} == set(navix.registry())


@pytest.mark.parametrize("name", ["Navix-DoorKey-5x5-v0", "Navix-Dynamic-Obstacles-5x5-Random-v0"])
def test_environments_keep_their_promises(name):
    checked(f"navix/{name}", max_steps_in_episode=4)


def test_steps_are_those_of_the_package_and_the_limit_truncates():
    name, limit = "Navix-Dynamic-Obstacles-16x16-v0", 4
    actions = jnp.array([RIGHT, FORWARD, RIGHT, RIGHT])
    env = envs.make(f"navix/{name}", max_steps_in_episode=limit)
    states, first, ts = played(env, actions, jax.random.key(0))
    require_truncation(ts, limit)
    theirs = navix.make(name, max_steps=limit)
    keys = jax.random.split(jax.random.key(0), limit + 1)
    now = theirs.reset(keys[0])
    show = lambda symbols: suite.planes(symbols, (suite.TAGS, suite.COLOURS, suite.CONDITIONS))
    np.testing.assert_array_equal(first.obs, show(now.observation))
    step = jax.jit(theirs.step)
    for t in range(limit):
        now = step(now.replace(state=now.state.replace(key=keys[t + 1])), actions[t])
        np.testing.assert_array_equal(ts.final[t], show(now.observation))
        np.testing.assert_allclose(ts.reward[t], now.reward)
    assert bool(now.is_truncation())
    require_pictures(f"navix/{name}", {}, states)


def test_the_goal_is_a_termination_also_at_the_limit():
    """The shortest way through an empty room of 5 x 5 takes five actions."""
    way = jnp.array([FORWARD, FORWARD, RIGHT, FORWARD, FORWARD])
    env = envs.make("navix/Navix-Empty-5x5-v0", max_steps_in_episode=5)
    _, _, ts = played(env, way, jax.random.key(0))
    np.testing.assert_array_equal(ts.reward, [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(ts.discount, [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(ts.last, [False] * 4 + [True])


def test_every_cell_has_one_kind_and_some_differ_between_views():
    whole = envs.make("navix/Navix-DoorKey-8x8-v0")
    near = envs.make("navix/Navix-DoorKey-8x8-v0", observation="first-person")
    seen = whole.init(jax.random.key(0))[1].obs
    assert seen.shape == (8, 8, 21) and near.spec.observation.shape == (7, 7, 21)
    np.testing.assert_array_equal(seen[..., : suite.TAGS].sum(-1), 1)
    drawn = envs.make("navix/Navix-DoorKey-8x8-v0", observation="rgb").spec.observation
    assert drawn.dtype == jnp.uint8 and drawn.shape[2] == 3


def test_bad_input():
    with pytest.raises(ValueError, match="no observation of navix called 'rbg': did you mean rgb"):
        envs.make("navix/Navix-Empty-5x5-v0", observation="rbg")
    with pytest.raises(ValueError, match="no parameter 'zzz'"):
        envs.make("navix/Navix-Empty-5x5-v0", zzz=1)
