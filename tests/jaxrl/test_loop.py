"""Evaluation, metrics and warm-up against loops in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import dqn, ppo
from jaxrl import advance, assemble, budget, buffers, evaluate, loop, make_train, summarise
from jaxrl.environments import auto_reset, episode_statistics, vectorize
from jaxrl.errors import InputError
from jaxrl.evaluation import Evaluation
from jaxrl.fields import record
from jaxrl.loop import experiment
from jaxrl.rollouts import rollout
from jaxrl.settings import Collection, Optimisation
from jaxrl.types import Agent, Update, count, memoryless

KEY = jax.random.key(3)


def wavering(view, obs, key):
    """Act by the sign of the pole's angle, with some noise: episodes of very different lengths."""
    lean = obs[:, 2] + 0.3 * jax.random.normal(key, obs[:, 2].shape)
    return (lean > 0).astype(jnp.int32), ()


def test_evaluation_counts_every_episode_once_and_whole():
    env, actor = envs.make("CartPole-v1"), memoryless(wavering)
    # The same twelve episodes step by step, each lane read until its first end.
    lanes = vectorize(env, 12)

    @jax.jit
    def start(key):
        k_init, k_run = jax.random.split(key)
        return evaluate(env, actor, None, key, 12), lanes.init(k_init), k_run

    @jax.jit
    def step(state, now, k_run, t):
        k_act, k_env = jax.random.split(jax.random.fold_in(k_run, t))
        return lanes.step(state, wavering(None, now.obs, k_act)[0], k_env)

    score, (state, now), k_run = start(KEY)
    score = jax.tree.map(np.asarray, score)
    assert score.completed.all() and len(set(score.lengths.tolist())) > 4
    np.testing.assert_array_equal(score.returns, score.lengths)  # a reward of 1 at each step
    lengths, alive = np.zeros(12), np.ones(12, bool)
    for t in range(int(score.lengths.max())):
        state, now = step(state, now, k_run, t)
        lengths += alive
        alive &= ~np.asarray(now.last)
    np.testing.assert_array_equal(score.lengths, lengths)


def test_evaluation_says_when_an_episode_outlasts_the_limit():
    still = memoryless(lambda view, obs, key: (jnp.zeros(obs.shape[0], jnp.int32), ()))
    env = envs.make("MountainCar-v0")
    score = jax.jit(lambda key: evaluate(env, still, None, key, 3, max_steps=7))(KEY)
    assert not np.asarray(score.completed).any()
    np.testing.assert_array_equal(score.lengths, [7, 7, 7])
    np.testing.assert_array_equal(score.returns, [-7, -7, -7])


def observer():
    """An agent that learns nothing."""
    nothing = Update(lambda key, example: example, lambda s, batch, key: (s, {}), lambda s: None)
    return Agent(memoryless(wavering), memoryless(wavering), nothing)


def test_episode_metrics_are_means_over_finished_episodes_however_they_are_chunked():
    env = auto_reset(vectorize(episode_statistics(envs.make("CartPole-v1")), 4))
    exp = experiment(env, observer(), 16)

    @jax.jit
    def advanced(key):
        start = exp.init(key)
        return start, advance(exp, start, 10)[1]

    @jax.jit
    def roll(world, key, step):
        k_roll, _ = jax.random.split(jax.random.fold_in(key, step))
        world, data, info = rollout(env, observer().explore, None, world, k_roll, 16)
        return world, data.last, info["episode_length"]

    start, metrics = advanced(KEY)
    world, lengths = start.world, []
    for step in range(10):
        world, last, length = roll(world, start.key, step)
        lengths += np.asarray(length)[np.asarray(last)].tolist()
    np.testing.assert_allclose(metrics["episode_length"], np.mean(lengths), rtol=1e-5)
    np.testing.assert_allclose(metrics["episode_return"], np.mean(lengths), rtol=1e-5)
    np.testing.assert_allclose(metrics["episodes"], len(lengths) / (10 * 16 * 4), rtol=1e-5)


def test_warm_up_fills_the_buffer_with_random_actions_in_whole_rollouts():
    hp = dqn.Hyperparameters(num_envs=3, rollout_length=4, warmup=100, buffer_size=240)
    init = assemble(dqn.dqn, envs.make("CartPole-v1"), hp).experiment.init
    rows = 36  # 100 steps in 3 lanes, rounded up to whole rollouts of 4

    @jax.jit
    def filled(key):
        buffer = init(key).learner.buffer
        slots = jnp.arange(rows * hp.collection.num_envs)
        return buffer.added.value, buffers.fetch(buffer, slots).action

    added, actions = map(np.asarray, filled(KEY))
    assert added == rows
    assert 0.3 < actions.mean() < 0.7


def test_no_two_steps_share_randomness():
    env = vectorize(envs.make("CartPole-v1"), 64)
    actor = memoryless(lambda view, obs, key: (jax.random.randint(key, (64,), 0, 2), ()))

    @jax.jit
    def run(key):
        state, now = env.init(key)
        return now.obs, rollout(env, actor, None, (state, now, ()), key, 50)[1].action

    obs, actions = map(np.asarray, run(KEY))
    assert len(np.unique(obs[:, 0])) == 64
    assert len({tuple(c) for c in actions.T}) == 64  # lanes differ
    assert len({tuple(r) for r in actions}) == 50  # and so do steps


@pytest.mark.parametrize(
    ("warmup", "steps", "evaluations", "blocks"),
    [
        (0, 1000, 3, (21, 21, 21)),  # 62.5 updates of 16 steps
        (0, 1001, 1, (63,)),
        (0, 16 * 250 + 1, 3, (84, 83, 84)),
        (0, 1, 20, (1,)),  # no more evaluations than updates
        (0, 33, 20, (1, 1, 1)),
        (100, 1000, 2, (28, 28)),  # 112 steps of warm-up in whole rollouts, then 55.5 updates
        (100, 50, 2, (1,)),  # one update, however long the warm-up is
        (100, 1e9, 1, (62_499_993,)),
    ],
)
def test_the_budget_spends_at_least_what_is_asked_in_as_few_updates_as_it_takes(
    warmup, steps, evaluations, blocks
):
    hp = dqn.Hyperparameters(num_envs=2, rollout_length=8, warmup=warmup)
    spent = budget(hp, steps, evaluations)
    assert spent.blocks == blocks and spent.updates == sum(blocks) and spent.per_update == 16
    assert spent.steps - 16 < max(steps, spent.warmup + 16) <= spent.steps
    assert spent.warmup == (112 if warmup else 0) == spent.steps_at(0)
    assert spent.steps_at(len(blocks)) == spent.steps
    for wrong in [(0, 1), (-1, 1), (float("nan"), 1), (float("inf"), 1), (10, 0)]:
        with pytest.raises(InputError):
            budget(hp, *wrong)


def test_make_train_is_a_function_of_key_and_hyperparameters():
    hp = ppo.Hyperparameters(num_envs=4, rollout_length=16, hidden=(16,))
    train = make_train(ppo.ppo, envs.make("CartPole-v1"), hp, 600, evaluations=3, episodes=2)
    result = jax.jit(jax.vmap(train))(jax.random.split(KEY, 2))
    np.testing.assert_array_equal(result.metrics["env_steps"], [[192, 448, 640]] * 2)
    assert result.metrics["evaluation_return"].shape == (2, 3)
    other = jax.eval_shape(lambda key: train(key, hp.replace(num_envs=150, minibatches=1)), KEY)
    assert other.metrics["env_steps"].shape == (1,)  # one update is 2400 steps
    length = lambda hp: envs.make("CartPole-v1", length=hp.clip)
    make_train(ppo.ppo, length, hp, 600)  # the environment may depend on hyperparameters
    with pytest.raises(InputError, match="minibatches"):
        make_train(ppo.ppo, envs.make("CartPole-v1"), hp.replace(minibatches=7), 600)
    with pytest.raises(InputError, match="discrete"):
        make_train(dqn.dqn, envs.make("Pendulum-v1"), dqn.Hyperparameters(), 600)
    with pytest.raises(InputError, match="num_envs shapes the program"):
        jax.vmap(lambda n: train(KEY, hp.replace(num_envs=n)))(jnp.array([2, 4]))


@record
class Idle:
    """Hyperparameters of an agent that learns nothing."""

    collection: Collection = Collection(num_envs=4, rollout_length=8, warmup=100)
    optimisation: Optimisation = Optimisation()


def test_env_steps_are_those_that_the_environment_was_charged():
    """Also with other sizes than at construction; the environment counts its own steps."""

    def idle(spec, hp):
        return observer()

    stepped = envs.make("CartPole-v1")

    def step(state, action, key):
        jax.debug.callback(lambda _: calls.append(1), state.time)
        return stepped.step(state, action, key)

    calls = []
    train = make_train(idle, stepped._replace(step=step), Idle(), 300, 3, 1)
    for hp in (Idle(), Idle(num_envs=2, rollout_length=20, warmup=0)):
        spent = budget(hp, 300, 3)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "evaluate", lambda *_: Evaluation(*[jnp.zeros(1)] * 3))
            result = jax.jit(lambda key, hp=hp: train(key, hp))(KEY)
        jax.effects_barrier()
        taken, calls[:] = len(calls), []
        steps = np.asarray(result.metrics["env_steps"]).tolist()
        assert steps == [spent.steps_at(i + 1) for i in range(3)]
        assert taken == spent.steps == steps[-1]


def test_env_steps_go_beyond_the_largest_int32(monkeypatch):
    done = 2**31 // 32 - 1 - 4  # updates, as if taken before; the warm-up is 4 more
    monkeypatch.setattr(loop, "count", lambda: count(done))
    train = make_train(lambda spec, hp: observer(), envs.make("CartPole-v1"), Idle(), 192, 2, 1)
    steps = np.asarray(jax.jit(train)(KEY).metrics["env_steps"], float)
    np.testing.assert_array_equal(steps, [2**31, 2**31 + 32])


def test_a_traced_number_of_steps_gives_what_a_constant_one_gives():
    env = auto_reset(vectorize(episode_statistics(envs.make("CartPole-v1")), 4))
    exp = experiment(env, observer(), 8)
    run = jax.jit(exp.init)(KEY)
    traced = jax.jit(lambda run, n: advance(exp, run, n))
    for n in (1, 7):
        want, means = jax.jit(advance, static_argnums=(0, 2))(exp, run, n)
        got, metrics = traced(run, n)
        np.testing.assert_array_equal(got.step.value, want.step.value)
        for name in means:
            np.testing.assert_allclose(metrics[name], means[name], rtol=1e-5)
    none = {"episodes": 0.0, "episode_return": 0.0, "loss": 1.0}
    assert np.isnan(summarise(none)["episode_return"]) and summarise(none)["loss"] == 1.0
    assert summarise(none | {"episodes": 0.1, "episode_return": 3.0})["episode_return"] == 3.0


def test_decay_is_a_share_of_the_run_unless_steps_are_given():
    make = lambda spec, hp: seen.append(float(hp.optimisation.decay_steps)) or observer()
    env, seen = envs.make("CartPole-v1"), []
    assemble(make, env, Idle(decay=0.5, warmup=0), 3200)
    assemble(make, env, Idle(decay=0.5, warmup=320), 3520)  # the rate falls after the warm-up
    assemble(make, env, Idle(decay=0.5, decay_steps=70.0), 3200)
    assemble(make, env, Idle(decay=0.5), None)
    assert seen == [1600, 1600, 70, 0]
    share = lambda x: loop.resolve_decay(Idle(decay=x, warmup=0), 3200).optimisation.decay_steps
    shares = jax.vmap(share)
    np.testing.assert_allclose(jax.jit(shares)(np.float32([0.0, 1.0])), [0.0, 3200.0])
    fixed = lambda x: loop.resolve_decay(Idle(decay=1.0, warmup=0, decay_steps=x), 3200)
    np.testing.assert_allclose(
        jax.vmap(lambda x: fixed(x).optimisation.decay_steps)(jnp.array([0.0, 9.0])), [3200.0, 9.0]
    )


def test_what_is_observed_is_reported_and_changes_nothing():
    """Of the learner at each evaluation, and before each update: here how often it has learnt."""
    count = lambda view, key: {"updates": 1.0 * view.step, "noise": jax.random.uniform(key)}
    env = envs.make("CartPole-v1")
    hp = ppo.Hyperparameters(num_envs=4, rollout_length=8, hidden=(4,), epochs=1, minibatches=2)
    train = lambda **more: jax.jit(make_train(ppo.ppo, env, hp, 128, 2, 2, **more))(KEY)
    seen, plain = train(observe=count), train()
    np.testing.assert_array_equal(seen.metrics["updates"], [4, 8])
    assert len(set(np.asarray(seen.metrics["noise"]).tolist())) == 2
    for name, value in plain.metrics.items():
        np.testing.assert_allclose(seen.metrics[name], value, rtol=1e-5)
    setup = assemble(ppo.ppo, env, hp)
    lanes = loop.self_resetting(loop.episode_statistics(env), 4)
    exp = loop.experiment(lanes, setup.agent, 8, observe=count)
    told = jax.jit(lambda key: exp.step(exp.step(exp.init(key))[0])[1])(KEY)
    assert told["updates"] == 2
