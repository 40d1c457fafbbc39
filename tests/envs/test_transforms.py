"""Transforms of one lane, against what they mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl.types import Box, Discrete, Env, Spec, TimeStep


def recorder(end=6, action=None):
    """Observations (time, last action); reward 10^time; ends after `end` steps."""
    discrete = action is None

    def emit(time, taken):
        obs = jnp.stack([time, jnp.sum(taken).astype(jnp.float32)])
        last = time >= end
        reward = jnp.where(time > 0, 10.0**time, 0.0)
        return TimeStep(obs, reward, 1.0 - last, last, obs, {})

    def init(key):
        return jnp.float32(0), emit(jnp.float32(0), jnp.float32(-1))

    def step(time, taken, key):
        return time + 1, emit(time + 1, taken)

    observation = jax.ShapeDtypeStruct((2,), jnp.float32)
    return Env(init, step, Spec(observation, Discrete(4) if discrete else action))


def play(env, actions, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(actions))

    def step(state, xs):
        state, ts = env.step(state, *xs)
        return state, ts

    state, first = env.init(jax.random.key(seed))
    return first, jax.lax.scan(step, state, (jnp.asarray(actions), keys))[1]


def test_flatten_observation_joins_leaves_in_order():
    base = recorder()

    def spread(state, ts):
        obs = {"a": ts.obs.astype(jnp.int32)[:, None], "b": (ts.obs[0] + 0.5,)}
        return state, ts._replace(obs=obs, final=obs)

    shape = {
        "a": jax.ShapeDtypeStruct((2, 1), jnp.int32),
        "b": (jax.ShapeDtypeStruct((), jnp.float32),),
    }
    tree = Env(
        lambda key: spread(*base.init(key)),
        lambda s, a, k: spread(*base.step(s, a, k)),
        Spec(shape, base.spec.action),
    )
    env = envs.flatten_observation(tree)
    envs.check(env, steps=5)
    assert env.spec.observation == jax.ShapeDtypeStruct((3,), jnp.float32)
    _, ts = play(env, [3, 1])
    np.testing.assert_array_equal(ts.obs, [[1, 3, 1.5], [2, 1, 2.5]])
    np.testing.assert_array_equal(ts.final, ts.obs)


def test_mask_observation_hides_velocities():
    full = envs.make("CartPole-v1")
    env = envs.mask_observation(full, (1, 3))
    envs.check(env, steps=30)
    _, seen = play(env, [0, 1, 1])
    _, whole = play(full, [0, 1, 1])
    np.testing.assert_array_equal(seen.obs, whole.obs[:, [0, 2]])
    np.testing.assert_array_equal(seen.final, whole.final[:, [0, 2]])
    with pytest.raises(ValueError, match=r"no features \[4\] among 4"):
        envs.mask_observation(full, (4,))
    with pytest.raises(ValueError, match="leaves none"):
        envs.mask_observation(full, range(4))


def test_frame_stack_shows_the_past_of_this_episode_only():
    env = envs.frame_stack(recorder(end=4), 3)
    assert env.spec.observation.shape == (6,)
    first, ts = play(env, [1, 2, 3, 0])
    np.testing.assert_array_equal(first.obs.reshape(3, 2), [[0, -1]] * 3)
    stacks = ts.final.reshape(4, 3, 2)[..., 0]
    np.testing.assert_array_equal(stacks, [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]])
    loop = envs.auto_reset(envs.vectorize(env, 2))
    _, ts = play(loop, np.zeros((6, 2), int))
    np.testing.assert_array_equal(ts.obs[3].reshape(2, 3, 2)[..., 0], 0)  # begun anew
    np.testing.assert_array_equal(ts.final[3].reshape(2, 3, 2)[..., 0], [[2, 3, 4]] * 2)
    images = envs.frame_stack(envs.make("Breakout-MinAtar"), 2)
    assert images.spec.observation.shape == (10, 10, 8)
    with pytest.raises(ValueError, match="positive number"):
        envs.frame_stack(recorder(), 0)


def test_sticky_actions_repeat_the_executed_action_as_often_as_said():
    chosen = np.random.default_rng(0).integers(4, size=20_000)
    _, ts = play(envs.sticky_actions(recorder(end=1e9), 0.25), chosen)
    taken = np.asarray(ts.obs[:, 1]).astype(int)
    assert taken[0] == chosen[0]
    # Where the choice differs from the action before, what was taken is one or the other.
    previous, differs = taken[:-1], chosen[1:] != taken[:-1]
    stuck = taken[1:] == previous
    assert ((taken[1:] == chosen[1:]) | stuck).all()
    rate = stuck[differs].mean()
    assert abs(rate - 0.25) < 5 * np.sqrt(0.25 * 0.75 / differs.sum())


def test_sticky_actions_begin_with_the_first_choice():
    _, ts = play(envs.sticky_actions(recorder(), 1.0), [3, 1, 2])
    np.testing.assert_array_equal(ts.obs[:, 1], [3, 3, 3])
    loop = envs.auto_reset(envs.vectorize(envs.sticky_actions(recorder(end=2), 1.0), 1))
    _, ts = play(loop, [[3], [1], [2], [0]])
    np.testing.assert_array_equal(ts.final[:, 0, 1], [3, 3, 2, 2])
    with pytest.raises(ValueError, match=r"probability in \[0, 1\]"):
        envs.sticky_actions(recorder(), 1.5)


def test_action_repeat_adds_rewards_and_stops_at_the_end():
    _, ts = play(envs.action_repeat(recorder(end=5), 2), [1, 2, 3])
    np.testing.assert_allclose(ts.reward, [110.0, 11000.0, 100000.0])
    np.testing.assert_array_equal(ts.last, [False, False, True])
    np.testing.assert_array_equal(ts.discount, [1, 1, 0])
    np.testing.assert_array_equal(ts.final[:, 0], [2, 4, 5])
    _, once = play(envs.action_repeat(recorder(), 1), [1, 2])
    np.testing.assert_allclose(once.reward, [10.0, 100.0])
    with pytest.raises(ValueError, match="positive number"):
        envs.action_repeat(recorder(), 0)


def test_clip_actions():
    env = envs.clip_actions(recorder(action=Box(jnp.array([-1.0]), jnp.array([2.0]))))
    assert not np.isfinite(env.spec.action.high).any()
    _, ts = play(env, jnp.array([[-5.0], [1.5], [7.0]]))
    np.testing.assert_array_equal(ts.obs[:, 1], [-1, 1.5, 2])
    with pytest.raises(ValueError, match="continuous actions"):
        envs.clip_actions(recorder())


def test_reward_transform():
    first, ts = play(envs.reward_transform(recorder(), lambda r: -2 * r), [0, 0])
    np.testing.assert_allclose(ts.reward, [-20.0, -200.0])
    assert first.reward == 0


def test_a_chain_of_all_transforms_passes_the_check():
    env = envs.scale_actions(envs.make("Pendulum-v1", max_steps_in_episode=20))
    env = envs.action_repeat(envs.sticky_actions(env, 0.1), 2)
    env = envs.frame_stack(envs.mask_observation(env, [2]), 2)
    env = envs.episode_statistics(envs.reward_transform(env, jnp.tanh))
    envs.check(envs.time_limit(env, 5), steps=15)


@pytest.mark.parametrize("persistence", [0.0, 0.9, 1.0])
def test_distractors_are_autoregressions_and_change_nothing_else(persistence):
    env = envs.make("Pendulum-v1")
    noisy = envs.distracted(env, 3, persistence)
    envs.check(noisy)
    keys = jax.random.split(jax.random.key(0), 2000)
    state, first = jax.vmap(noisy.init)(keys)
    later = jax.random.split(jax.random.key(1), 2000)
    _, now = jax.vmap(noisy.step)(state, jnp.ones((2000, 1)), later)
    before, after = first.obs[:, 3:], now.obs[:, 3:]
    np.testing.assert_allclose(after.std(0), 1, atol=0.06)
    for i in range(3):
        assert np.corrcoef(before[:, i], after[:, i])[0, 1] == pytest.approx(persistence, abs=0.06)
    np.testing.assert_array_equal(now.final, now.obs)
    # What they surround goes on as before.
    k_env = jax.random.split(keys[0])[0]
    inner, plain = env.init(k_env)
    np.testing.assert_array_equal(first.obs[0, :3], plain.obs)
    _, plain = env.step(inner, jnp.ones(1), jax.random.split(later[0])[0])
    np.testing.assert_allclose(now.obs[0, :3], plain.obs, atol=1e-6)
    assert now.reward[0] == pytest.approx(float(plain.reward), abs=1e-5)


def test_distractors_need_a_vector_and_a_persistence():
    with pytest.raises(ValueError, match="needs a vector"):
        envs.distracted(envs.make("Breakout-MinAtar"), 2)
    with pytest.raises(ValueError, match=r"between 0 and 1, not 2 and 1.5"):
        envs.distracted(envs.make("Pendulum-v1"), 2, 1.5)
