"""Games of pgx, against their own trajectories and rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs.suites import pgx as suite
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import InputError
from jaxrl.games import random_player
from jaxrl.rollouts import rollout
from tests.envs.suites.stepping import checked, played, require_pictures, require_truncation

pgx = pytest.importorskip("pgx")


def test_names_are_those_of_pgx_with_one_player_or_two():
    left_out = {"sparrow_mahjong"}  # four players
    assert {f"pgx/{name}" for name in pgx.available_envs() if name not in left_out} == set(
        suite.names()
    )


def test_a_game_of_both_players_and_of_one_keep_their_promises():
    assert checked("pgx/kuhn_poker", opponent="self").spec.players == 2


def test_the_trajectory_of_both_players_is_that_of_pgx():
    """The same keys and actions: boards, legal actions, and rewards of the player who moves."""
    env, own = envs.make("pgx/connect_four", opponent="self"), pgx.make("connect_four")
    actions = jnp.array([3, 3, 2, 2, 1, 1, 0])  # the first player has four in a row
    key = jax.random.key(0)
    states, first, ts = played(env, actions, key)
    first_key, *keys = jax.random.split(key, len(actions) + 1)
    state = own.init(first_key)
    np.testing.assert_array_equal(first.obs["board"], state.observation)
    for t, action in enumerate(actions):
        mover = int(state.current_player)
        state = own.step(state, action, keys[t])
        np.testing.assert_array_equal(ts.obs["board"][t], state.observation)
        np.testing.assert_array_equal(ts.obs["legal"][t], state.legal_action_mask)
        assert ts.reward[t] == state.rewards[mover]
    assert ts.discount.tolist() == [-1.0] * 6 + [0.0] and ts.reward[-1] == 1.0
    require_pictures("pgx/connect_four", {"opponent": "self"}, states, least=7)


@pytest.mark.parametrize("opponent", ["random", "tactical"])
def test_nobody_plays_what_is_not_legal(opponent):
    """pgx ends a game at an illegal action: then a board would be neither full nor won."""
    env = envs.make("pgx/tic_tac_toe", opponent=opponent)
    many, act = auto_reset(vectorize(env, 32)), random_player(env.spec)

    def run(key):
        k_init, k_roll = jax.random.split(key)
        return rollout(many, act, (), (*many.init(k_init), ()), k_roll, 20)[1]

    data = jax.device_get(jax.jit(run)(jax.random.key(0)))
    legal = np.take_along_axis(data.obs["legal"], data.action[..., None], -1)
    assert legal.all() and data.last.sum() > 32
    board = data.final["board"].reshape(*data.last.shape, 3, 3, 2)
    lines = [board.all(-3), board.all(-2), np.trace(board, axis1=-3, axis2=-2)[..., None, :] == 3]
    lines.append(np.trace(board[..., ::-1, :, :], axis1=-3, axis2=-2)[..., None, :] == 3)
    won = np.concatenate(lines, -2).any(-2)  # by whom
    full = board.any(-1).all((-1, -2))
    np.testing.assert_array_equal(data.last, won.any(-1) | full)
    np.testing.assert_array_equal(data.reward, won[..., 0] * 1.0 - won[..., 1])


def test_a_limit_truncates():
    env = envs.make("pgx/minatar-freeway", max_steps_in_episode=3)
    require_truncation(played(env, jnp.zeros(3, jnp.int32), jax.random.key(0))[2], 3)


def test_pictures_of_a_match_are_of_its_game():
    env = envs.make("pgx/tic_tac_toe")
    states, _, _ = played(env, jnp.array([4]), jax.random.key(0))
    require_pictures("pgx/tic_tac_toe", {}, states, least=1)


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("pgx/hex", {"opponent": "nobody"}, "no opponent called 'nobody'"),
        ("pgx/hex", {"judge": "self"}, "no opponent called 'self'"),
        ("pgx/hex", {"sise": 5}, "did you mean size"),
        ("pgx/hex", {"size": 0}, "size must be above zero"),
        ("pgx/hex", {"size": 5}, "cannot play pgx/hex with size 5"),  # a fault of pgx 2.6.0
        ("pgx/2048", {"opponent": "self"}, "has one player"),
        ("pgx/go_9", {}, "did you mean pgx/go_9x9"),
    ],
)
def test_bad_input(name, params, sentence):
    with pytest.raises(InputError, match=sentence):
        envs.make(name, **params)


def test_games_for_self_play():
    assert suite.game("pgx/go_9x9", size=5).spec.action.num == 26
    with pytest.raises(InputError, match="not a game of two players"):
        suite.game("pgx/2048")


def test_games_of_one_player_are_drawn():
    """Their pictures have sizes in points."""
    keys = jax.random.split(jax.random.key(0), 2)
    states, _ = jax.jit(jax.vmap(envs.make("pgx/minatar-breakout").init))(keys)
    assert all(
        x.shape == (281, 281, 3) for x in envs.suites.frames("pgx/minatar-breakout", {}, states)
    )
