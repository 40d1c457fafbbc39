"""Loop-level transforms, against loops in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.environments import (
    auto_reset,
    auto_reset_from_pool,
    episode_statistics,
    scale_actions,
    time_limit,
    vectorize,
)
from jaxrl.errors import InputError
from jaxrl.loop import self_resetting
from jaxrl.types import Box, Counter, Discrete, Env, Spec, TimeStep, population_axes


def counter_env(start=lambda key: jax.random.uniform(key), end=5.0):
    """Count up from a random fraction; reward is the sum reached; terminates above `end`.

    Action 1 counts by one, action 0 by a random fraction.
    """

    def emit(x, reward, done):
        obs = jnp.stack([x, x * x])
        return TimeStep(obs, reward, 1.0 - done, done > 0, obs, {})

    def init(key):
        x = start(key)
        return x, emit(x, jnp.float32(0), jnp.float32(0))

    def step(x, action, key):
        x = x + jnp.where(action == 1, 1.0, jax.random.uniform(key))
        return x, emit(x, x, (x > end).astype(jnp.float32))

    return Env(init, step, Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2)))


def played(env, actions, seed=0):
    """What `play` gives, within a program."""

    def step(state, xs):
        key, action = xs
        new, ts = env.step(state, action, key)
        return new, (state, new, ts)

    state, first = env.init(jax.random.key(seed))
    keys = jax.random.split(jax.random.key(seed + 1), len(actions))
    return first, jax.lax.scan(step, state, (keys, actions))[1]


def play(env, steps, seed=0, actions=None):
    """Time steps [T, B] and states before and after each step, on a batched environment."""
    if actions is None:
        first = jax.eval_shape(env.init, jax.random.key(0))[1]
        actions = np.random.default_rng(seed).integers(2, size=(steps, *first.last.shape))
    run = jax.jit(lambda actions: played(env, actions, seed))
    return jax.tree.map(np.asarray, run(np.int32(actions)))


def test_vectorize_runs_independent_lanes():
    env = vectorize(counter_env(), 6)
    first, (_, _, ts) = play(env, 3)
    assert first.obs.shape == (6, 2) and ts.reward.shape == (3, 6)
    assert len(np.unique(first.obs[:, 0])) == 6
    assert env.spec.observation.shape == (2,)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 9))
    state, more = jax.eval_shape(env.init, keys)  # a key a lane
    assert state.shape == (9,) and more.obs.shape == (9, 2)


@pytest.mark.parametrize("num", [0, -3, 2.5, True])
def test_vectorize_needs_a_positive_number(num):
    with pytest.raises(ValueError, match="positive number of lanes"):
        vectorize(counter_env(), num)


def test_auto_reset_keeps_the_true_successor_and_shows_the_new_episode():
    env = auto_reset(vectorize(counter_env(), 8))
    _, (before, after, ts) = play(env, 60)
    last = np.asarray(ts.last)
    assert last.any() and not last.all()
    # The successor is where the dynamics lead, whatever comes next.
    assert (ts.final[..., 0][last] > 5).all() and (ts.final[..., 0][~last] <= 5).all()
    np.testing.assert_array_equal(ts.final[..., 0], ts.reward)
    assert (ts.final[..., 0] > before).all()
    # What to act on is of the state that goes on; after an end, of a fresh draw.
    np.testing.assert_array_equal(ts.obs[..., 0], after)
    assert (ts.obs[..., 0][last] < 1).all()
    np.testing.assert_array_equal(ts.obs[~last], ts.final[~last])
    np.testing.assert_array_equal(ts.discount, 1.0 - last)
    starts = ts.obs[..., 0][last]
    assert len(np.unique(starts)) == len(starts)


@pytest.mark.parametrize("where", ["below vectorize", "above vectorize", "above auto_reset"])
@pytest.mark.parametrize("reset", ["fresh", "pool"])
def test_episode_statistics_against_a_loop(where, reset):
    env = time_limit(counter_env(), 7)
    loop = auto_reset if reset == "fresh" else lambda e: auto_reset_from_pool(e, size=16)
    if where == "below vectorize":
        env = loop(vectorize(episode_statistics(env), 5))
    elif where == "above vectorize":
        env = loop(episode_statistics(vectorize(env, 5)))
    else:
        env = episode_statistics(loop(vectorize(env, 5)))
    first, (_, _, ts) = play(env, 80)
    assert not first.info["episode_return"].any() and not first.info["episode_length"].any()
    truncated = 0
    for lane in range(5):
        total, length = 0.0, 0
        for t in range(80):
            total, length = total + float(ts.reward[t, lane]), length + 1
            assert ts.info["episode_length"][t, lane] == length
            np.testing.assert_allclose(ts.info["episode_return"][t, lane], total, rtol=1e-5)
            if ts.last[t, lane]:
                truncated += bool(ts.discount[t, lane] == 1.0)
                total, length = 0.0, 0
    assert truncated > 0 and int((ts.discount == 0).sum()) > 0


@pytest.mark.parametrize("batched", [False, True])
def test_time_limit_truncates_and_never_terminates(batched):
    env = time_limit(counter_env(end=5.0), 4)
    env = vectorize(env, 3) if batched else env
    slow, fast = np.zeros((4, 3), int), np.ones((4, 3), int)
    pick = (lambda x: x) if batched else (lambda x: x[:, 0])
    _, (_, _, ts) = play(env, 4, actions=pick(slow))
    np.testing.assert_array_equal(
        pick(ts.last) if batched else ts.last, pick(np.arange(4)[:, None] + 0 * slow) == 3
    )
    assert (ts.discount == 1).all()
    # A termination at the very limit stays one.
    sure = time_limit(counter_env(start=lambda key: jnp.float32(1.5)), 4)
    _, (_, _, ts) = play(vectorize(sure, 3), 4, actions=fast)
    assert ts.last[3].all() and (ts.discount[3] == 0).all() and not ts.last[:3].any()


def test_time_limit_counts_anew_after_a_reset():
    env = auto_reset(vectorize(time_limit(counter_env(end=1e9), 4), 3))
    _, (_, _, ts) = play(env, 12)
    np.testing.assert_array_equal(ts.last[:, 0], np.arange(1, 13) % 4 == 0)


def test_time_limit_may_be_traced():
    def ends(steps):
        env = auto_reset(vectorize(time_limit(counter_env(end=1e9), steps), 2))
        return played(env, np.zeros((12, 2), np.int32))[1][2].last.sum()

    np.testing.assert_array_equal(jax.jit(jax.vmap(ends))(np.array([3, 4])), [8, 6])


@pytest.mark.parametrize("steps", [0, -1])
def test_time_limit_needs_a_positive_number(steps):
    with pytest.raises(ValueError, match="positive number of steps"):
        time_limit(counter_env(), steps)


@pytest.mark.parametrize("refresh", [0, 1, 2, 8])
def test_pool_uses_every_entry_once_while_there_are_enough(refresh):
    env = auto_reset_from_pool(vectorize(counter_env(), 6), size=8, refresh=refresh)
    _, (before, after, ts) = play(env, 40)
    (_, old), (states, new) = before, after
    last, used, restarts, repeats = np.asarray(ts.last), set(), 0, 0
    for t in range(40):
        start = (t * refresh) % 8
        assert old.oldest.value[t] == start
        changed = np.flatnonzero(np.asarray(old.entries[0][t] != new.entries[0][t]))
        np.testing.assert_array_equal(changed, np.arange(start, start + refresh))
        pool = np.asarray(new.entries[0][t])
        ended, unused = np.flatnonzero(last[t]), set(pool.tolist()) - used
        fresh = 0
        for lane in ended:  # in this order, for two lanes may be given the same old one
            (entry,) = np.flatnonzero(pool == states[t, lane])
            np.testing.assert_array_equal(ts.obs[t, lane], new.entries[1][t, entry])
            assert bool(ts.info["episode_repeats"][t, lane]) == (float(pool[entry]) in used)
            fresh += float(pool[entry]) not in used
            used.add(float(pool[entry]))
        assert fresh == min(len(ended), len(unused))
        assert not ts.info["episode_repeats"][t][~last[t]].any()
        restarts, repeats = restarts + len(ended), repeats + len(ended) - fresh
    assert restarts > 10 and (repeats > 0) == (refresh == 0)
    assert (ts.final[..., 0][last] > 5).all()


def test_lanes_that_end_together_all_begin_episodes_of_their_own():
    """As many levels as episodes, also where all end at once; and what a pool costs is told."""
    levels = counter_env(end=1e9)
    env = self_resetting(time_limit(levels, 20), 400)  # a pool of 400, 25 new ones a step
    _, (_, after, ts) = play(env, 100)
    starts = np.asarray(ts.obs[..., 0])[np.asarray(ts.last)]
    assert starts.size == 2000 and len(np.unique(starts)) > 1990  # two may be drawn alike
    assert jax.tree.leaves(after[1].entries)[0].shape[1] == 400
    plain = self_resetting(levels._replace(fresh=1.0), 400)
    state, one = jax.eval_shape(plain.init, jax.random.key(0))
    assert state.shape == (400,) and "episode_repeats" not in one.info
    short = self_resetting(time_limit(levels, 1), 3)  # the limit says that all end at each step
    assert "episode_repeats" not in jax.eval_shape(short.init, jax.random.key(0))[1].info
    with pytest.raises(InputError, match="above zero, not 0"):
        self_resetting(levels._replace(fresh=0.0), 4)


def test_pool_restarts_have_the_law_of_fresh_ones():
    env = auto_reset_from_pool(vectorize(counter_env(end=-1.0), 64), size=32, refresh=4)
    _, (_, _, ts) = play(env, 2000)
    assert ts.last.all()  # every step ends an episode: 128 000 restarts from 8 032 states
    starts = np.asarray(ts.obs[..., 0]).ravel()
    np.testing.assert_allclose(np.quantile(starts, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)
    frozen = auto_reset_from_pool(vectorize(counter_env(end=-1.0), 64), size=4, refresh=0)
    _, (_, _, ts) = play(frozen, 1000)
    values, counts = np.unique(ts.obs[..., 0], return_counts=True)
    assert len(values) == 4  # and each as often as the others
    np.testing.assert_allclose(counts / counts.sum(), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 64000))


def test_pool_computes_only_as_many_fresh_states_as_it_says():
    """Count the draws of initial states in the program of one step."""

    def start(key):
        return jax.lax.expm1(jax.random.uniform(key))  # expm1 occurs nowhere else

    def shapes(env):
        key = jax.random.key(0)
        state, _ = jax.eval_shape(env.init, key)
        text = str(jax.make_jaxpr(env.step)(state, np.zeros(6, np.int32), key))
        return [line for line in text.splitlines() if "= expm1" in line]

    pooled = auto_reset_from_pool(vectorize(counter_env(start), 6), size=8, refresh=2)
    (line,) = shapes(pooled)
    assert "f32[2]" in line
    (line,) = shapes(auto_reset(vectorize(counter_env(start), 6)))
    assert "f32[6]" in line
    assert not shapes(auto_reset_from_pool(vectorize(counter_env(start), 6), size=8, refresh=0))


def test_pool_position_is_shared_by_a_population():
    env = auto_reset_from_pool(vectorize(counter_env(), 4), size=8, refresh=2)
    state = jax.eval_shape(env.init, jax.random.key(0))[0]
    axes = population_axes(state)
    init = jax.vmap(lambda k: env.init(k)[0], out_axes=axes)
    step = jax.vmap(
        lambda s, k: env.step(s, jnp.zeros(4, int), k)[0], in_axes=(axes, 0), out_axes=axes
    )

    @jax.jit
    def run():
        keys = jax.random.split(jax.random.key(0), 3)
        return step(init(keys), keys)

    state = run()
    position = state[1].oldest
    assert isinstance(position, Counter) and position.value.shape == () and position.value == 2
    assert state[1].entries[0].shape == (3, 8)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 0}, "positive size"),
        ({"size": 10, "refresh": 3}, "divides the size 10, not 3"),
        ({"size": 10, "refresh": -1}, "divides the size 10, not -1"),
        ({"size": 10, "refresh": 20}, "divides the size 10, not 20"),
    ],
)
def test_pool_says_what_is_wrong(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        auto_reset_from_pool(vectorize(counter_env(), 4), **change)


def test_pool_needs_a_batch():
    with pytest.raises(ValueError, match="vectorize it first"):
        jax.eval_shape(auto_reset_from_pool(counter_env(), size=4).init, jax.random.key(0))


def box_env(low, high):
    """Reports the action that it is given as its observation."""

    def init(key):
        obs = jnp.zeros(len(low))
        return (), TimeStep(obs, jnp.float32(0), jnp.float32(1), jnp.array(False), obs, {})

    def step(state, action, key):
        return (), TimeStep(action, jnp.float32(0), jnp.float32(1), jnp.array(False), action, {})

    shape = jax.ShapeDtypeStruct((len(low),), jnp.float32)
    return Env(init, step, Spec(shape, Box(np.float32(low), np.float32(high))))


def test_scale_actions():
    env = scale_actions(box_env([-2.0, 1.0], [2.0, 5.0]))
    np.testing.assert_array_equal(env.spec.action.low, [-1, -1])
    np.testing.assert_array_equal(env.spec.action.high, [1, 1])
    step = jax.jit(lambda action: env.step((), action, jax.random.key(0))[1].obs)
    for action, expected in [((-1, 1), (-2, 5)), ((0, 0), (0, 3)), ((0.5, -7), (1, 1))]:
        np.testing.assert_allclose(step(np.float32(action)), expected)
    with pytest.raises(ValueError, match="finite bounds"):
        scale_actions(box_env([-jnp.inf], [1.0]))
    with pytest.raises(ValueError, match="continuous actions"):
        scale_actions(counter_env())
