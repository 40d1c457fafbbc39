"""Hindsight: which goals are drawn, what they pay, and what is learnt with them alone."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import dqn, ppo
from jaxrl import evaluate, goals, settings
from jaxrl.conditioned import Conditioned, Told
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.goals import Hindsight
from jaxrl.loop import advance, assemble
from jaxrl.types import Discrete, Goals, Spec, Transition, Update
from tests.compiling import OPTIMISED

BITS = 9
SEE = Update(lambda key, example: (), lambda s, batch, key: (s, {"seen": batch}), lambda s: s)
SHAPE = jax.ShapeDtypeStruct((), jnp.float32)
NUMBER = Goals(SHAPE, lambda obs: obs, lambda achieved, goal: achieved == goal)


@pytest.mark.thorough
def test_hindsight_solves_what_rewards_alone_do_not():
    """Flipping the bits that differ is best: d - 1 steps pay -1 if d of them do."""
    env = envs.make("bit-flips", bits=BITS, max_steps_in_episode=BITS)
    hp = dqn.Hyperparameters(
        hidden=(64,), learning_rate=2e-3, discount=0.98, epsilon=0.1, epsilon_updates=300.0,
        target_rate=0.05, target_period=1, num_envs=16, rollout_length=8, updates=8,
        batch_size=64, buffer_size=16_384, warmup=1_024,
    )  # fmt: skip

    def played(key, share):
        make = goals.hindsighted(dqn.dqn, Hindsight(future=share, horizon=BITS))
        setup = assemble(make, env, hp)
        run, metrics = advance(setup.experiment, setup.experiment.init(key), 75)
        view = setup.agent.update.read(run.learner)
        score = evaluate(setup.env, setup.agent.exploit, view, key, 64)
        return score.returns.mean(), score.success.mean(), metrics["episode_success"]

    members = jax.vmap(jax.vmap(played, (0, None)), (None, 0))
    keys, shares = jax.random.split(jax.random.key(0), 5), jnp.array([0.8, 0.0])
    found = jax.jit(members, compiler_options=OPTIMISED)(keys, shares)
    (solved, alone), (success, failure), (sometimes, seldom) = map(np.asarray, found)
    gain = success - failure
    assert gain.mean() - 4 * gain.std(ddof=1) / 5**0.5 > 0.2
    assert (solved > alone + 1).all() and (solved < 1 - success).all()
    assert (sometimes > seldom).all() and (sometimes <= 1).all() and (seldom >= 0).all()


@pytest.fixture(scope="module")
def flips():
    """Transitions [12, 100] of 3 bits with goals, of episodes of 4 steps at most, in numpy."""
    env = envs.make("bit-flips", bits=3, max_steps_in_episode=4)
    lanes = auto_reset(vectorize(env, 100))

    def step(carry, key):
        state, now = carry
        k_act, k_step = jax.random.split(key)
        action = jax.random.randint(k_act, (100,), 0, 3)
        state, new = lanes.step(state, action, k_step)
        data = Transition(
            now.obs, action, new.reward, new.discount, new.last, new.final, (),
            jnp.ones(100), new.signals,
        )  # fmt: skip
        return (state, new), data

    run = lambda key: jax.lax.scan(step, lanes.init(key), jax.random.split(key, 12))[1]
    return env.spec.goals, jax.tree.map(np.asarray, jax.jit(run)(jax.random.key(0)))


SHARES = {
    "future": Hindsight(future=1.0),
    "final": Hindsight(future=0.0, final=1.0),
    "random": Hindsight(future=0.0, random=1.0),
    "current": Hindsight(future=0.0, current=1.0),
    "own": Hindsight(future=0.0),
}


def numbers(bits):
    """Bits as whole numbers."""
    return np.asarray(bits) @ np.array([4, 2, 1])


def expected(kind, data, lane, start, end):
    """The goals, as sets of numbers, that a step may get, by hand; `end` is its episode's last."""
    final = numbers(data.final.obs)
    return {
        "future": {*final[start : end + 1, lane]},
        "final": {final[end, lane]},
        "random": {*final.reshape(-1)},
        "current": {numbers(data.obs.obs)[start, lane]},
        "own": {numbers(data.obs.context)[start, lane]},
    }[kind]


def require_drawn(kind, seen, rows, ends, data):
    """Each step has drawn all goals that it may, and no others; [draws, N] of steps `rows`."""
    for i, ((start, lane), end) in enumerate(zip(rows, ends)):
        wanted, drawn = expected(kind, data, lane, start, end), {*numbers(seen.obs.context)[:, i]}
        assert drawn <= wanted, kind
        # One of at most 8 is missed in 60 draws with a probability of 3e-4.
        assert len(wanted) - len(drawn) <= 1, kind
    there = numbers(seen.final.obs) == numbers(seen.obs.context)
    np.testing.assert_array_equal(seen.reward, np.where(there, 0.0, -1.0))
    np.testing.assert_array_equal(seen.discount, np.where(there, 0.0, 1.0))
    np.testing.assert_array_equal(seen.final.context, seen.obs.context)
    np.testing.assert_array_equal(seen.last, there | np.array([data.last[r] for r in rows]))


def test_goals_of_sequences_are_of_the_same_episode(flips):
    of, data = flips
    part = jax.tree.map(lambda x: x[:6], data)

    @jax.jit
    def draws(key):
        known = jax.tree.map(jnp.asarray, part)
        one = lambda how, key: goals.hindsight(SEE, of, how).apply((), known, key)[1]["seen"]
        return [jax.vmap(partial(one, how))(jax.random.split(key, 60)) for how in SHARES.values()]

    ends = [int(np.flatnonzero(np.append(x, True))[0]) for x in part.last.T]
    ends = np.minimum(ends, 5)
    for kind, seen in zip(SHARES, draws(jax.random.key(1))):
        require_drawn(kind, seen, [(0, lane) for lane in range(100)], ends, part)
        if kind == "own":
            first = jax.tree.map(lambda x: x[0], part)
            jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[0], y), seen, first)


def test_goals_of_data_are_of_the_whole_episode(flips):
    """Of a data set without signals, whose steps after it has begun teach nothing."""
    of, data = flips
    data = data._replace(signals=())
    hp = SimpleNamespace(
        collection=settings.Collection(num_envs=100),
        replay=settings.Replay(buffer_size=1200, batch_size=50),
    )

    @jax.jit
    def draws(key):
        def learn(how, key):
            def same(state, batch, key):  # the same transitions are drawn each time
                found, keys = goals.stored(batch), jax.random.split(key, 60)
                again = lambda key: goals.hindsight_of_data(SEE, of, how).apply((), batch, key)
                return state, {"seen": jax.vmap(again)(keys)[1]["seen"], "now": found.now}

            update = goals.remembered(SEE._replace(apply=same), hp)
            begun = update.init(key, data)
            none = jax.tree.map(lambda x: x[:0], data)
            return update.apply(begun, none, key)[1]

        return [learn(how, key) for how in SHARES.values()]

    for kind, found in zip(SHARES, draws(jax.random.key(2))):
        seen, now = jax.tree.map(lambda x: np.asarray(x[0]), (found["seen"], found["now"]))
        rows = [(int(x) // 100, int(x) % 100) for x in now]
        closed = np.vstack([data.last[:-1], np.ones((1, 100), bool)])
        ends = [row + int(np.argmax(closed[row:, lane])) for row, lane in rows]
        require_drawn(kind, seen, rows, ends, data)


def test_offsets_have_their_laws():
    """Geometric ones have the rest of their mass at the end, and uniform ones are equal."""
    gamma, remaining, size = 0.7, 5, 200_000
    draw = jax.jit(lambda key: [
        goals.ahead(key, jnp.full(size, remaining), x) for x in (gamma, 1.0, 0.0, None)
    ])  # fmt: skip
    some, late, early, even = (np.asarray(x) for x in draw(jax.random.key(0)))
    wanted = (1 - gamma) * gamma ** np.arange(remaining)
    wanted[-1] = gamma ** (remaining - 1)
    share = lambda x: np.bincount(x, minlength=remaining + 1)[1:] / size
    np.testing.assert_allclose(share(some), wanted, atol=5 * 0.5 / size**0.5)
    np.testing.assert_allclose(share(even), 0.2, atol=5 * 0.5 / size**0.5)
    assert (late == remaining).all() and (early == 1).all()


def test_lucky_outcomes_are_seen_more_often_under_what_was_reached():
    """A step reaches the goal by half a chance; 0.8 of the goals are what it did reach.

    Of the steps under the goal, those that reached it are 0.5 / (0.5 + 0.2 * 0.5) = 5 / 6.
    """
    size = 20_000
    final = jax.random.bernoulli(jax.random.key(0), 0.5, (1, size)).astype(jnp.float32)
    one = jnp.ones((1, size))
    see = lambda x: Conditioned(x, one)
    told = Told(0 * one, one, ())
    batch = Transition(see(0 * one), one, -one, one, one > 0, see(final), (), one, told)
    learn = goals.hindsight(SEE, NUMBER, Hindsight(future=0.8))
    seen = jax.jit(learn.apply)((), batch, jax.random.key(1))[1]["seen"]
    under = np.asarray(seen.obs.context) == 1
    share = np.asarray(seen.reward == 0)[under].mean()
    assert abs(share - 5 / 6) < 5 * (5 / 36 / under.sum()) ** 0.5


def test_folded_steps_end_at_the_goal_of_hindsight():
    """Two steps under one goal: with a discount of 0.5 they pay -1, or -1 and half of 0 or -1."""
    line = jnp.arange(1.0, 4.0)[:, None]
    one = jnp.ones((3, 1))
    see = lambda x: Conditioned(x, 9 * one)
    batch = Transition(see(line - 1), one, -one, one, one < 0, see(line), (), one,
                       Told(0 * one, one, ()))  # fmt: skip
    how = Hindsight(future=1.0)
    learn = goals.hindsight(SEE, NUMBER, how, steps=2)
    for key in jax.random.split(jax.random.key(0), 5):
        seen = learn.apply((), batch, key)[1]["seen"]
        wanted = float(seen.obs.context[0, 0])
        there = np.array([1.0, 2.0]) == wanted
        np.testing.assert_array_equal(seen.reward[:, 0], np.where(there, 0.0, -1.0))
        np.testing.assert_array_equal(seen.discount[:, 0], np.where(there, 0.0, 1.0))
        assert float(seen.obs.context[1, 0]) == wanted


def test_what_does_not_fit_is_told_in_a_sentence():
    plain, bits = envs.make("chain"), envs.make("bit-flips")
    hp = dqn.Hyperparameters()
    with pytest.raises(InputError, match=r"must be at most 1 together, but they are 1\.4"):
        goals.hindsighted(dqn.dqn, Hindsight(random=0.6))
    with pytest.raises(InputError, match="no offsets called 'linear'"):
        goals.hindsighted(dqn.dqn, Hindsight(offsets="linear"))
    with pytest.raises(InputError, match="for agents that replay"):
        goals.hindsighted(ppo.ppo, Hindsight())
    with pytest.raises(InputError, match=r"must show goals.*bit-flips"):
        assemble(goals.hindsighted(dqn.dqn, Hindsight()), plain, hp)
    with pytest.raises(InputError, match="prioritised off"):
        assemble(goals.hindsighted(dqn.dqn, Hindsight()), bits, hp.replace(prioritised=True))
    with pytest.raises(InputError, match="n_step 9 must be at most the horizon of 4"):
        assemble(goals.hindsighted(dqn.dqn, Hindsight(horizon=4)), bits, hp.replace(n_step=9))
    pair = Goals(jax.ShapeDtypeStruct((2,), jnp.float32), lambda obs: obs[:3], lambda a, g: a == g)
    spec = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(2))
    env = envs.make("CartPole-v1")._replace(spec=spec)
    with pytest.raises(InputError, match=r"achieved must return goals .*float32\[2\].*\[3\]"):
        goals.goaled(env, pair, lambda key, obs: obs[:2])
    right = pair._replace(achieved=lambda obs: obs[:2])
    with pytest.raises(InputError, match="draw must return goals"):
        goals.goaled(env, right, lambda key, obs: obs)
    with pytest.raises(InputError, match="reached must return one bool"):
        goals.goaled(env, right, lambda key, obs: obs[:2])


def test_goals_may_leave_the_episode_open():
    """They pay where they are reached, again and again, until another end."""
    env = envs.from_mdp(envs.tabular_mdp("chain", length=3))
    where = lambda obs: jnp.argmax(obs, -1)
    shape = jax.ShapeDtypeStruct((), jnp.int32)
    stay = Goals(shape, where, lambda a, g: a == g, reward=(0.0, 1.0), ends=False)
    env = time_limit(goals.goaled(env, stay, lambda key, obs: jnp.int32(0)), 3)

    def play(key):
        step = lambda state, _: env.step(state, jnp.int32(0), key)
        return jax.lax.scan(step, env.init(key)[0], None, 3)[1]

    seen = jax.jit(play)(jax.random.key(0))
    np.testing.assert_array_equal(seen.reward, 1.0)
    np.testing.assert_array_equal(seen.discount, 1.0)
    np.testing.assert_array_equal(seen.last, [False, False, True])
    assert seen.info["episode_success"].all()
