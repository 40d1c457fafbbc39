"""Games as environments of both players, whose discount is -1 between them: negamax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from envs.games import matrix_game, nim, tic_tac_toe
from jaxrl import advance, assemble, make_train
from jaxrl.environments import auto_reset, episode_statistics, revealed, vectorize
from jaxrl.errors import InputError
from jaxrl.games import against, alternating, random_player, tactical_player
from jaxrl.models import true_model
from jaxrl.models.abstract import discount_loss, discount_of
from jaxrl.policies import allowed
from jaxrl.returns import lambda_returns
from jaxrl.rollouts import rollout
from jaxrl.search import SEARCHES
from tests.compiling import OPTIMISED
from tests.jaxrl import positions
from tests.jaxrl.positions import HEAPS, MOST, seen_by_place

EVERY = positions.EVERY[1:]  # all but the empty one, in which the game is over


@functools.cache
def value(position):
    """The value of Nim for the player to move, by trying everything."""
    return max((-value(after) if any(after) else 1 for _, after in moves(position)), default=-1)


def moves(position):
    """The actions, as `nim` numbers them, and where they lead."""
    for heap, size in enumerate(position):
        for taken in range(1, size + 1):
            after = (*position[:heap], size - taken, *position[heap + 1 :])
            yield heap * MOST + taken - 1, after


def at_every_position(player=0):
    """The states of all positions, with the player to move."""
    return jnp.asarray(EVERY), jnp.full(len(EVERY), player, jnp.int32)


@pytest.mark.parametrize("game", [nim(HEAPS), tic_tac_toe()])
def test_it_is_an_environment(game):
    env = alternating(game)
    envs.check(env, steps=40)
    with pytest.raises(InputError, match=r"set spec\.players to 2"):
        envs.check(env._replace(spec=env.spec._replace(players=1), trial=None), steps=40)


@pytest.mark.parametrize("player", [0, 1])
def test_its_bellman_equation_is_negamax(player):
    """max_a r + discount v' is the value by brute force, at every position and for both players."""
    env = alternating(nim(HEAPS))
    state, key = at_every_position(player), jax.random.key(0)
    table = {tuple(x): value(tuple(x)) for x in EVERY.tolist()} | {(0, 0, 0): -1.0}
    best = np.full(len(EVERY), -np.inf)
    for action in range(env.spec.action.num):
        after, ts = jax.vmap(lambda s, a=action: env.step(s, a, key))(state)
        following = [table[tuple(x)] for x in np.asarray(after[0]).tolist()]
        heap, taken = divmod(action, MOST)
        legal = EVERY[:, heap] > taken
        backup = np.asarray(ts.reward) + np.asarray(ts.discount) * following
        best = np.maximum(best, np.where(legal, backup, -np.inf))
    np.testing.assert_array_equal(best, [table[tuple(x)] for x in EVERY.tolist()])


def test_returns_alternate_in_sign_whoever_moves_twice():
    """A game in which a player may move again: its discount is 1 there."""
    reward = jnp.array([1.0, 2.0, 4.0, 8.0])
    discount = jnp.array([-1.0, 1.0, -1.0, 0.0])  # the second player moves twice
    last = jnp.array([False, False, False, True])
    found = lambda_returns(reward, discount, last, jnp.zeros(4), 1.0)
    np.testing.assert_array_equal(found, [1 - (2 + 4 - 8), 2 + 4 - 8, 4 - 8, 8])


@pytest.mark.parametrize("name", SEARCHES)
def test_search_in_the_game_finds_the_minimax_move_at_every_position(name):
    """Without any knowledge: equal priors, and zero for the value of all positions."""
    env = revealed(alternating(nim(HEAPS)))
    model = true_model(env, lambda obs, key: obs.state)
    state = at_every_position()
    obs = jax.vmap(lambda s: env.spec.mask and nim(HEAPS).see(s, s[1]))(state)

    def evaluator(seen):
        mask = allowed(env.spec, seen)
        return jnp.where(mask, 0.0, -1e9), jnp.zeros(mask.shape[0])

    root = (state, type(env.spec.observation)(obs, state))
    search = SEARCHES[name](512, noise=0.0)
    mask = allowed(env.spec, root[1])
    # mctx compares scores with the greatest of them, which must be rounded alike.
    run = lambda key: search(model, evaluator, root, 1.0, key, mask)
    out = jax.jit(run, compiler_options=OPTIMISED)(jax.random.key(0))
    for position, action in zip(map(tuple, EVERY.tolist()), np.asarray(out.action).tolist()):
        leads = dict(moves(position))
        assert action in leads
        if value(position) > 0:
            after = leads[action]
            assert not any(after) or value(after) < 0, (position, action)


def test_the_return_of_an_episode_is_that_of_the_first_player():
    game, lanes = tic_tac_toe(), 64
    many = auto_reset(vectorize(episode_statistics(alternating(game)), lanes))
    act = random_player(game.spec)

    def run(key):
        k_init, k_roll = jax.random.split(key)
        start = (*many.init(k_init), ())
        return rollout(many, act, (), start, k_roll, 30)[1:]

    data, info = jax.device_get(jax.jit(run)(jax.random.key(0)))
    # Who wins has moved last: the first player after an odd number of moves.
    odd = info["episode_length"] % 2 == 1
    expected = np.where(odd, data.reward, -data.reward)
    np.testing.assert_array_equal(info["episode_return"][data.last], expected[data.last])
    assert (expected[data.last] > 0).any() and (expected[data.last] < 0).any()
    assert set(np.unique(data.discount[~data.last])) == {-1.0}


def test_the_tactical_player_takes_a_win_and_avoids_a_loss():
    game = tic_tac_toe()
    player, key = tactical_player(game), jax.random.key(0)
    for mine, theirs, wanted in (([0, 1], [3, 4], 2), ([0, 8], [3, 4], 5), ([1], [0, 4], 8)):
        marks = np.zeros((1, 2, 9), bool)
        marks[0, 0, mine] = marks[0, 1, theirs] = True
        state = (jnp.asarray(marks), jnp.zeros(1, jnp.int32))
        assert player.step((), (), state, key)[0].tolist() == [wanted]


def test_it_beats_random_play():
    game = tic_tac_toe()
    state = lambda state, player: state
    env = against(game, tactical_player(game), (), see=state)
    act = random_player(game.spec)
    many = auto_reset(vectorize(env, 64))

    def run(key):
        k_init, k_roll = jax.random.split(key)
        return rollout(many, act, (), (*many.init(k_init), ()), k_roll, 30)[1]

    data = jax.device_get(jax.jit(run)(jax.random.key(0)))
    assert data.reward[data.last].mean() < -0.6


def test_a_learnt_discount_has_the_mean_of_the_discounts_where_its_loss_is_least():
    spec = alternating(tic_tac_toe()).spec
    for players, discounts in ((1, [0.0, 1.0, 1.0, 1.0]), (2, [-1.0, -1.0, 0.0, 1.0])):
        one = spec._replace(players=players)
        logits = jnp.linspace(-4, 4, 8001)
        loss = jnp.stack([discount_loss(one, logits, jnp.float32(x)) for x in discounts]).mean(0)
        found = discount_of(one, logits[loss.argmin()])
        np.testing.assert_allclose(found, np.mean(discounts), atol=2e-3)


@pytest.mark.thorough
@pytest.mark.parametrize("agent", ["alphazero", "gumbel-muzero", "ppo", "dqn"])
def test_agents_train_in_it_and_are_evaluated_against_an_opponent(agent):
    entry = AGENTS[agent]
    env = alternating(nim(HEAPS))
    hp = entry.defaults.replace(num_envs=4)
    hp = hp.replace(warmup=8) if hp.collection.warmup else hp
    hp = hp.replace(simulations=4, rollout_length=8) if hasattr(hp, "simulations") else hp
    world = entry.world(env, hp)
    setup = assemble(entry.maker(world), world, hp)
    assert setup.env.spec.players == 1
    train = make_train(entry.maker(world), world, hp, 64, evaluations=1, episodes=4)
    result = jax.jit(train)(jax.random.key(0))
    assert (np.abs(result.metrics["evaluation_return"]) <= 1).all()


def test_what_cannot_alternate_is_refused():
    with pytest.raises(InputError, match="move at once"):
        alternating(matrix_game(np.zeros((2, 2))))
    env = alternating(nim(HEAPS))
    for name in ("dreamer", "repo", "dyna-q"):
        with pytest.raises(InputError, match=r"two players take turns|one-hot"):
            AGENTS[name].make(env.spec, AGENTS[name].defaults)
    wider = env._replace(spec=env.spec._replace(action=type(env.spec.action)(99), mask=None))
    with pytest.raises(InputError, match=r"Env\.trial"):
        assemble(AGENTS["dqn"].make, wider, AGENTS["dqn"].defaults)


def test_a_table_learns_the_minimax_values_of_all_positions_from_its_own_games():
    """Q-learning of both players at once: where the discount is -1, its backup is negamax."""
    hp = AGENTS["q-learning"].defaults.replace(
        num_envs=16, rollout_length=4, discount=1.0, epsilon=0.5, epsilon_updates=0.0,
        learning_rate=1.0,
    )  # fmt: skip
    setup = assemble(AGENTS["q-learning"].make, alternating(seen_by_place(nim(HEAPS))), hp)

    def run(key):
        return advance(setup.experiment, setup.experiment.init(key), 600)[0].learner.params

    tables = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3)))
    for row, position in enumerate(map(tuple, EVERY.tolist()), 1):
        legal = [action for action, _ in moves(position)]
        np.testing.assert_allclose(tables[:, row, legal].max(-1), value(position), atol=1e-4)
