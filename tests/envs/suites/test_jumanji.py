"""jumanji, against the package's own environments stepped by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import jumanji as suite
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import InputError
from jaxrl.games import random_player
from jaxrl.rollouts import rollout
from jaxrl.types import Discrete, MultiDiscrete
from tests.envs.suites.stepping import checked, played, require_pictures

jumanji = pytest.importorskip("jumanji")


def test_names_are_those_of_the_package():
    registered = jumanji.registered_environments()
    assert {name.removeprefix("jumanji/") for name in suite.names()} == set(registered)


def test_an_environment_keeps_its_promises():
    assert checked("jumanji/Knapsack-v1").spec.action == Discrete(50)


def own_steps(name, key, actions):
    """The time steps of the package, without a reset."""
    env = jumanji.make(name)
    state, first = env.reset(jax.random.key_data(key))
    steps = []
    for action in actions:
        state, step = jax.jit(env.step)(state, action)
        steps.append(step)
    return first, steps


def test_the_trajectory_is_that_of_the_package():
    """The same key and actions: observations, rewards, and that a snake in a wall is dead."""
    actions = jnp.array([1, 1, 2] + [1] * 12)
    env, key = envs.make("jumanji/Snake-v1"), jax.random.key(3)
    states, first, ts = played(env, actions, key)
    own_first, own = own_steps("Snake-v1", jax.random.split(key, len(actions) + 1)[0], actions)
    end = int(np.argmax(ts.last))
    assert ts.last.any()
    for ours, theirs in zip(jax.tree.leaves(first.obs), jax.tree.leaves(own_first.observation)):
        np.testing.assert_array_equal(ours, theirs)
    for t in range(end + 1):
        for ours, theirs in zip(jax.tree.leaves(ts.obs), jax.tree.leaves(own[t].observation)):
            np.testing.assert_array_equal(ours[t], theirs)
        assert ts.reward[t] == own[t].reward and bool(ts.last[t]) == bool(own[t].last())
        assert ts.discount[t] == own[t].discount
    assert ts.discount[end] == 0
    require_pictures("jumanji/Snake-v1", {}, jax.tree.map(lambda x: x[:3], states))


@pytest.mark.parametrize("params", [{"time_limit": 4}, {"max_steps_in_episode": 4}])
def test_a_limit_is_a_truncation_where_the_package_has_a_termination(params):
    env, key = envs.make("jumanji/RubiksCube-v0", **params), jax.random.key(0)
    actions = jnp.array([[face % 6, 0, 0] for face in range(4)])
    _, _, ts = played(env, actions, key)
    assert ts.last.tolist() == [False] * 3 + [True] and ts.discount.tolist() == [1.0] * 4


def test_an_environment_that_counts_steps_under_another_name_is_stepped():
    env, key = envs.make("jumanji/SearchAndRescue-v0"), jax.random.key(0)
    state = jax.eval_shape(env.init, key)[0]
    assert jax.eval_shape(env.step, state, env.spec.action.low, key)[1].discount.shape == ()


def test_what_the_masks_forbid_is_not_done():
    """A pair of one mask for both of its numbers is one action; a team has one mask each."""
    env = envs.make("jumanji/Minesweeper-v0")
    assert env.spec.action == Discrete(100)
    many, act = auto_reset(vectorize(env, 16)), random_player(env.spec)

    def run(key):
        k_init, k_roll = jax.random.split(key)
        return rollout(many, act, (), (*many.init(k_init), ()), k_roll, 12)[1]

    data = jax.device_get(jax.jit(run)(jax.random.key(0)))
    board = data.obs.board.reshape(*data.last.shape, 100)
    chosen = np.take_along_axis(board, data.action[..., None], -1)
    assert (chosen == -1).all()  # a square that is open is never opened
    after = data.final.board.reshape(*data.last.shape, 100)
    opened = np.take_along_axis(after, data.action[..., None], -1)
    alive = ~data.last
    assert (opened[alive] >= 0).all() and alive.any()
    team = envs.make("jumanji/Cleaner-v0")
    assert team.spec.action == MultiDiscrete((4, 4, 4))


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("jumanji/Snake-v2", {}, "did you mean jumanji/Snake-v1"),
        ("jumanji/Snake-v1", {"rows": 5}, "has no parameter 'rows'"),
        ("jumanji/Sokoban-v0", {"levels": "hard"}, "levels must be toy or simple"),
    ],
)
def test_bad_input(name, params, sentence):
    with pytest.raises(InputError, match=sentence):
        envs.make(name, **params)


def test_a_viewer_that_takes_a_part_of_the_state_draws():
    keys = jax.random.split(jax.random.key(0), 2)
    states, _ = jax.jit(jax.vmap(envs.make("jumanji/Connector-v3").init))(keys)
    assert len(envs.suites.frames("jumanji/Connector-v3", {}, states)) == 2
