"""Games as environments of one player, and self-play against their exact solutions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

import envs
from agents import AGENTS
from envs.games import matrix_game, nim, tic_tac_toe
from jaxrl import advance, make_train
from jaxrl.environments import auto_reset, vectorize
from jaxrl.errors import InputError
from jaxrl.fields import number, record
from jaxrl.games import against, random_player, self_play
from jaxrl.rollouts import rollout
from jaxrl.settings import Collection
from jaxrl.types import Actor, Agent, Box, Transition, Update, memoryless
from jaxrl.watching import latest
from tests.jaxrl.positions import EVERY, HEAPS, MOST, SIZES, seen_by_place


@functools.cache
def wins(position):
    """Whether the player to move wins Nim, by trying everything."""
    return any(not wins(after) for _, after in moves(position))


def moves(position):
    """The actions, as `nim` numbers them, and where they lead."""
    for heap, size in enumerate(position):
        for taken in range(1, size + 1):
            yield (heap, taken), (*position[:heap], size - taken, *position[heap + 1 :])


def best_actions():
    """An action that wins if there is one, or any that is allowed, for each position."""
    table = np.full(len(EVERY), -1)
    for i, position in enumerate(map(tuple, EVERY.tolist())):
        for (heap, taken), after in moves(position):
            if table[i] < 0 or not wins(after):
                table[i] = heap * MOST + taken - 1
    return np.maximum(table, 0)


def place(obs):
    """The row of `EVERY` of observations [..., 3, MOST + 1]."""
    return jnp.ravel_multi_index(tuple(jnp.moveaxis(obs.argmax(-1), -1, 0)), SIZES, mode="clip")


PERFECT = memoryless(lambda view, obs, key: (jnp.asarray(best_actions())[place(obs)], ()))


def walked(env, actor, steps=40, lanes=64):
    """A rollout [steps, lanes] and the state after it."""
    many = auto_reset(vectorize(env, lanes))

    def run(key):
        k_init, k_roll = jax.random.split(key)
        start = (*many.init(k_init), actor.init(lanes))
        end, data, _ = rollout(many, actor, None, start, k_roll, steps)
        return start[1].obs, data, end[0]

    return jax.device_get(jax.jit(run)(jax.random.key(0)))


def test_whoever_may_win_wins_if_both_play_perfectly():
    """Turns, rewards of both seats, and opening moves, against minimax by brute force."""
    first, data, _ = walked(against(nim(HEAPS), PERFECT, None), PERFECT)
    assert data.last.any() and (data.discount == ~data.last).all()
    obs, due = np.asarray(place(first)), np.array([wins(tuple(x)) for x in EVERY.tolist()])
    played = 0
    for t in range(len(data.last)):
        expected = np.where(due[np.asarray(place(data.obs[t]))], 1.0, -1.0)
        np.testing.assert_array_equal(data.reward[t], np.where(data.last[t], expected, 0.0))
        played += (expected > 0).sum()
    assert 0 < played < data.last.size
    # At an end it shows the empty table, and the mask allows nothing there.
    ended = data.final[data.last]
    assert (ended.argmax(-1) == 0).all() and not nim(HEAPS).spec.mask(jnp.asarray(ended)).any()
    assert due[obs].any() and not due[obs].all()


def test_the_opponent_has_a_memory_of_its_own_for_each_game():
    """It counts its moves, which are as many as the player's, or one more or less."""
    table = jnp.asarray(best_actions())
    count = Actor(
        lambda size: jnp.zeros(size, jnp.int32),
        lambda view, memory, obs, key: (table[place(obs)], memory + 1, ()),
    )
    env = against(nim(HEAPS, anywhere=False), count, None)
    state, ts = jax.vmap(env.init)(jax.random.split(jax.random.key(0), 16))
    begun = np.array(state.seat)
    assert set(begun.tolist()) == {0, 1}
    np.testing.assert_array_equal(state.memory[:, 0], begun)  # the player 0 has opened
    keys = jax.random.split(jax.random.key(1), 16)
    state, ts = jax.vmap(env.step)(state, table[place(ts.obs)], keys)
    np.testing.assert_array_equal(state.memory[:, 0], begun + ~ts.last)
    _, _, end = walked(env, PERFECT, steps=30, lanes=8)
    assert end.memory.max() <= sum(HEAPS)


def test_marks_in_a_row_are_told_from_the_board():
    """Random games of noughts and crosses, judged again from what is seen at their ends."""
    game = tic_tac_toe()
    act = random_player(game.spec)
    env = against(game, act, ())
    envs.check(env)
    _, data, _ = walked(env, act, lanes=128)
    board = data.final.reshape(*data.last.shape, 2, 3, 3)
    rows, columns = board.all(-1).any(-1), board.all(-2).any(-1)
    diagonals = board.diagonal(axis1=-2, axis2=-1).all(-1)
    diagonals |= board[..., ::-1].diagonal(axis1=-2, axis2=-1).all(-1)
    mine, theirs = np.moveaxis(rows | columns | diagonals, -1, 0)
    assert not (mine & theirs).any()
    np.testing.assert_array_equal(data.reward, mine * 1.0 - theirs)
    full = board.any(-3).all((-1, -2))
    np.testing.assert_array_equal(data.last, mine | theirs | full)
    assert (full & ~mine & ~theirs).any() and mine.any() and theirs.any()
    # No cell is taken twice: marks of both are as many, or one of them has one more.
    ours, others = np.moveaxis(board.sum((-1, -2)), -1, 0)
    assert (abs(ours - others) <= 1).all() and not (board[..., 0, :, :] & board[..., 1, :, :]).any()


PAYOFF = np.array([[0.0, -1.0, 2.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.5]])


def value_of(payoff):
    """What the player of the rows can be sure of, and how, by linear programming."""
    n, m = payoff.shape
    found = linprog(
        np.r_[np.zeros(n), -1],
        A_ub=np.c_[-payoff.T, np.ones(m)],
        b_ub=np.zeros(m),
        A_eq=[np.r_[np.ones(n), 0]],
        b_eq=[1],
        bounds=[(0, None)] * n + [(None, None)],
    )
    return found.x[-1], found.x[:n]


@record
class Settings:
    rate: float = number(0.05)
    collection: Collection = Collection(num_envs=256)


def hedge(spec, hp):
    """Multiply the probability of each action by exp(rate * its reward), for each seat by itself.

    Source: Auer et al. (2002), "The nonstochastic multiarmed bandit problem", section 3.
    """

    def act(logits, obs, key):
        return jax.random.categorical(key, (obs @ logits)), ()

    def apply(logits: jax.Array, batch: Transition, key: jax.Array):
        chance = jax.nn.softmax(logits)[batch.obs.argmax(-1), batch.action]
        hit = batch.obs[..., :, None] * jax.nn.one_hot(batch.action, spec.action.num)[..., None, :]
        gain = (batch.reward / chance)[..., None, None] * hit
        games = batch.obs.sum((0, 1))[:, None]
        return logits + hp.rate * gain.sum((0, 1)) / games, {"chance": chance}

    update = Update(
        lambda key, example: jnp.zeros((2, spec.action.num)), apply, lambda state: state
    )
    return Agent(memoryless(act), memoryless(act), update)


def test_the_average_policy_of_self_play_reaches_the_value_of_a_matrix_game():
    """Against itself of the update before, on average over time, in both seats and all seeds."""
    value, mixed = value_of(PAYOFF)
    assert value == pytest.approx(0.125) and (mixed > 0.2).all()  # no pure play is optimal
    setup = self_play(hedge, matrix_game(PAYOFF), Settings())

    def run(key):
        def step(run, _):
            run, _ = setup.experiment.step(run)
            return run, jax.nn.softmax(run.learner)

        return jax.lax.scan(step, setup.experiment.init(key), None, 1500)[1]

    policies = np.asarray(jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 4)))
    average = policies.mean(1)  # [seeds, 2, A]
    sure, conceded = (average[:, 0] @ PAYOFF).min(-1), (average[:, 1] @ PAYOFF.T).max(-1)

    assert (sure > value - 0.05).all() and (conceded < value + 0.05).all()
    # The last policy alone goes around in circles.
    assert (policies[:, -500:, 0] @ PAYOFF).min(-1).min() < value - 0.3


def test_self_play_wins_nim_wherever_minimax_does():
    """Against a copy that is ten updates old at most: the greedy move of every position."""
    hp = AGENTS["q-learning"].defaults.replace(
        num_envs=16, rollout_length=4, discount=1.0, epsilon=0.2, epsilon_updates=0.0,
        learning_rate=1.0,
    )  # fmt: skip
    setup = self_play(AGENTS["q-learning"].make, seen_by_place(nim(HEAPS)), hp, refresh=latest(10))
    place_of = jnp.eye(len(EVERY))

    def run(key):
        run, metrics = advance(setup.experiment, setup.experiment.init(key), 500)
        view = setup.agent.update.read(run.learner)
        return setup.agent.exploit.step(view, (), place_of, key)[0], metrics

    actions, metrics = jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 4))
    assert np.abs(metrics["episode_return"]).max() < 0.2  # both are equally good
    due = 0
    for i, position in enumerate(map(tuple, EVERY.tolist())):
        if not wins(position):
            continue
        due += 1
        leads = {heap * MOST + taken - 1: after for (heap, taken), after in moves(position)}
        for action in np.asarray(actions)[:, i].tolist():
            assert not wins(leads[action]), (position, action)
    assert due == 27


def test_a_whole_run_of_self_play_is_one_function():
    hp = AGENTS["q-learning"].defaults.replace(num_envs=8, epsilon_updates=0.0)
    train = make_train(
        AGENTS["q-learning"].make, seen_by_place(nim(HEAPS)), hp, 8 * 16 * 40,
        evaluations=2, episodes=64, assemble=self_play,
    )  # fmt: skip
    result = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), 4))
    assert result.metrics["evaluation_return"].shape == (4, 2)
    assert result.metrics["evaluation_return"][:, -1].mean() > 0.3  # against random play


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: matrix_game(np.zeros((2, 3))), r"square matrix .* \(2, 3\)"),
        (lambda: matrix_game([[np.nan]]), "finite numbers"),
        (lambda: nim((3,)), "two heaps"),
        (lambda: nim((3, 0)), "two heaps"),
        (
            lambda: against(
                (g := nim())._replace(spec=g.spec._replace(action=Box(jnp.zeros(1), jnp.ones(1)))),
                random_player(g.spec),
                (),
            ),
            r"must be in \[-1, 1\]",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(wrong, sentence):
    with pytest.raises(InputError, match=sentence):
        wrong()
