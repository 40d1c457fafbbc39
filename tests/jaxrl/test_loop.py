"""Evaluation, metrics and warm-up against loops in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import dqn, ppo
from jaxrl import advance, assemble, buffers, evaluate, make_train
from jaxrl.environments import auto_reset, episode_statistics, vectorize
from jaxrl.loop import experiment, rollout
from jaxrl.types import Agent, Update, memoryless

KEY = jax.random.key(3)


def wavering(view, obs, key):
    """Act by the sign of the pole's angle, with some noise: episodes of very different lengths."""
    lean = obs[:, 2] + 0.3 * jax.random.normal(key, obs[:, 2].shape)
    return (lean > 0).astype(jnp.int32), ()


def test_evaluation_counts_every_episode_once_and_whole():
    env, actor = envs.make("CartPole-v1"), memoryless(wavering)
    score = jax.jit(lambda key: evaluate(env, actor, None, key, 12))(KEY)
    assert bool(score.completed.all()) and len(set(np.asarray(score.lengths).tolist())) > 4
    np.testing.assert_array_equal(score.returns, score.lengths)  # a reward of 1 at each step
    # The same twelve episodes step by step, each lane read until its first end.
    lanes = vectorize(env, 12)
    k_init, k_run = jax.random.split(KEY)
    state, now = lanes.init(k_init)
    lengths, step = np.zeros(12), jax.jit(lanes.step)
    alive = np.ones(12, bool)
    for t in range(int(score.lengths.max())):
        k_act, k_env = jax.random.split(jax.random.fold_in(k_run, t))
        state, now = step(state, wavering(None, now.obs, k_act)[0], k_env)
        lengths += alive
        alive &= ~np.asarray(now.last)
    np.testing.assert_array_equal(score.lengths, lengths)


def test_evaluation_says_when_an_episode_outlasts_the_limit():
    still = memoryless(lambda view, obs, key: (jnp.zeros(obs.shape[0], jnp.int32), ()))
    score = evaluate(envs.make("MountainCar-v0"), still, None, KEY, 3, max_steps=7)
    assert not bool(score.completed.any())
    np.testing.assert_array_equal(score.lengths, [7, 7, 7])
    np.testing.assert_array_equal(score.returns, [-7, -7, -7])


def observer():
    """An agent that learns nothing."""
    nothing = Update(lambda key, example: example, lambda s, batch, key: (s, {}), lambda s: None)
    return Agent(memoryless(wavering), memoryless(wavering), nothing)


def test_episode_metrics_are_means_over_finished_episodes_however_they_are_chunked():
    env = auto_reset(vectorize(episode_statistics(envs.make("CartPole-v1")), 4))
    exp = experiment(env, observer(), 16)
    start = exp.init(KEY)
    _, metrics = advance(exp, start, 10)
    world, run, lengths = start.world, start, []
    for step in range(10):
        k_roll, _ = jax.random.split(jax.random.fold_in(run.key, step))
        world, data, info = rollout(env, observer().explore, None, world, k_roll, 16)
        lengths += np.asarray(info["episode_length"])[np.asarray(data.last)].tolist()
    np.testing.assert_allclose(metrics["episode_length"], np.mean(lengths), rtol=1e-5)
    np.testing.assert_allclose(metrics["episode_return"], np.mean(lengths), rtol=1e-5)
    np.testing.assert_allclose(metrics["episodes"], len(lengths) / (10 * 16 * 4), rtol=1e-5)


def test_warm_up_fills_the_buffer_with_random_actions_in_whole_rollouts():
    hp = dqn.Hyperparameters(num_envs=3, rollout_length=4, warmup=100, buffer_size=240)
    run = assemble(dqn.dqn, envs.make("CartPole-v1"), hp).experiment.init(KEY)
    rows = int(run.learner.buffer.added.value)
    assert rows == 36  # 100 steps in 3 lanes, rounded up to whole rollouts of 4
    slots = jnp.arange(rows * hp.num_envs)
    actions = np.asarray(buffers.fetch(run.learner.buffer, slots).action)
    assert 0.3 < actions.mean() < 0.7


def test_no_two_steps_share_randomness():
    env = vectorize(envs.make("CartPole-v1"), 64)
    actor = memoryless(lambda view, obs, key: (jax.random.randint(key, (64,), 0, 2), ()))
    state, now = env.init(KEY)
    assert len(np.unique(np.asarray(now.obs[:, 0]))) == 64
    _, data, _ = rollout(env, actor, None, (state, now, ()), KEY, 50)
    columns = np.asarray(data.action).T
    assert len({tuple(c) for c in columns}) == 64  # lanes differ
    assert len({tuple(r) for r in np.asarray(data.action)}) == 50  # and so do steps


def test_make_train_is_a_function_of_key_and_hyperparameters():
    hp = ppo.Hyperparameters(num_envs=4, rollout_length=16, hidden=(16,))
    train = make_train(ppo.ppo, envs.make("CartPole-v1"), hp, 600, evaluations=3, episodes=2)
    result = jax.jit(jax.vmap(train))(jax.random.split(KEY, 2))
    np.testing.assert_array_equal(result.metrics["env_steps"], [[256, 512, 768]] * 2)
    assert result.metrics["evaluation_return"].shape == (2, 3)
    length = lambda hp: envs.make("CartPole-v1", length=hp.clip)
    make_train(ppo.ppo, length, hp, 600)  # the environment may depend on hyperparameters
    with pytest.raises(ValueError, match="minibatches"):
        make_train(ppo.ppo, envs.make("CartPole-v1"), hp.replace(minibatches=7), 600)
    with pytest.raises(ValueError, match="discrete"):
        make_train(dqn.dqn, envs.make("Pendulum-v1"), dqn.Hyperparameters(), 600)
