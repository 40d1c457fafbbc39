"""Correctors, edits and tasks in turn, each by a loop in numpy over what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import hil_serl
from jaxrl import updates
from jaxrl.environments import auto_reset, begun, vectorize
from jaxrl.errors import InputError
from jaxrl.evaluation import evaluate
from jaxrl.loop import advance, assemble
from jaxrl.rollouts import rollout
from jaxrl.steering import (
    Corrector,
    Task,
    autonomous,
    edits,
    executed,
    intervened,
    misjudged,
    residual,
)
from jaxrl.types import Agent, Box, Env, Spec, TimeStep, Transition, Update, memoryless


def line(end=1e9):
    """Move along a line by actions in [-2, 2]; the reward is the place, and `end` ends it."""

    def init(key):
        place = jax.random.uniform(key)
        return place, begun(place[None])

    def step(place, action, key):
        place = place + action[0]
        there = jnp.abs(place) >= end
        obs = place[None]
        return place, TimeStep(obs, place, 1.0 - there, there, obs, {})

    shape = jax.ShapeDtypeStruct((1,), jnp.float32)
    return Env(init, step, Spec(shape, Box(-2 * jnp.ones(1), 2 * jnp.ones(1))), fresh=1.0)


def back(limit=2.0, hold=3):
    """A corrector that goes home for some steps, by a quarter of the largest action."""

    def step(memory, obs, action, key):
        memory = jnp.where(jnp.abs(obs[0]) > limit, hold, memory)
        acts = memory > 0
        return jnp.maximum(memory - 1, 0), -0.25 * jnp.sign(obs), acts

    return Corrector(lambda: jnp.int32(0), step)


def policy_of(function):
    return memoryless(lambda view, obs, key: (function(obs), ()))


def test_what_the_corrector_did_is_executed_and_told():
    env = intervened(line(), back())
    envs.check(env)
    lanes = auto_reset(vectorize(env, 3))
    state, now = lanes.init(jax.random.key(0))
    actor = policy_of(lambda obs: jnp.full_like(obs, 0.375))
    _, data, _ = rollout(lanes, actor, None, (state, now, ()), jax.random.key(1), 30)
    place, memory = np.asarray(now.obs)[:, 0], np.zeros(3, int)
    for t in range(30):
        memory = np.where(np.abs(place) > 2, 3, memory)
        acts = memory > 0
        action = np.where(acts, -0.25 * np.sign(place), 0.375)
        memory = np.maximum(memory - 1, 0)
        np.testing.assert_array_equal(data.signals.corrected[t], acts)
        np.testing.assert_allclose(data.signals.action[t, :, 0], action, atol=1e-6)
        place = place + 2 * action
        np.testing.assert_allclose(data.final[t, :, 0], place, rtol=1e-4)
    assert 0.1 < np.mean(data.signals.corrected) < 0.9
    assert (data.action == 0.375).all()  # the agent's, which is not what is learnt from:

    seen = []
    keep = lambda state, batch, key: (seen.append(batch), (state, {}))[1]
    agent = Agent(actor, actor, Update(lambda key, example: example, keep, lambda state: state))
    begun_, metrics = executed(agent).update.apply((), data, jax.random.key(2))
    assert begun_ == ()
    np.testing.assert_array_equal(seen[0].action, data.signals.action)
    np.testing.assert_allclose(metrics["intervention_rate"], np.mean(data.signals.corrected))
    first = executed(agent).update.init(jax.random.key(0), data)
    np.testing.assert_array_equal(first.action, data.signals.action)
    # Nobody corrects an agent that is judged: it walks away for good.
    score = evaluate(env.trial.env, actor, None, jax.random.key(3), 2, 30)
    assert (score.returns > 300).all()


def steps_of(reward, lanes=2):
    reward = jnp.asarray(reward, jnp.float32).reshape(-1, lanes)
    place = jnp.arange(reward.size, dtype=jnp.float32).reshape(reward.shape)
    one = jnp.ones_like(reward)
    return Transition(place, reward, reward, one, one < 0, place, (), one)


def test_marked_steps_have_their_share_of_every_batch_as_long_as_they_are_there():
    tell = Update(lambda key, x: (), lambda s, batch, key: (s, {"r": batch.reward}), lambda s: s)
    update = updates.symmetric(tell, 8, 10, 30, lambda steps: steps.reward > 0, share=0.3)
    none, some = np.zeros(8), np.array([0, 0, 0, 0, 0, 5, 7, 0])  # four rows of two lanes

    @jax.jit
    def run(key):
        state = update.init(key, steps_of(none))
        keys = jax.random.split(key, 4)
        found = []
        for new, k in zip((none, some, none, none), keys):
            state, metrics = update.apply(state, steps_of(new), k)
            found.append(metrics["r"])
        return found

    before, with_them, kept, gone = map(np.asarray, run(jax.random.key(0)))
    assert (before == 0).all()
    for batch in (with_them, kept):  # 30 batches of ten
        assert (batch[:, :3] > 0).all() and set(np.unique(batch)) == {0, 5, 7}
        assert abs((batch[:, :3] == 5).mean() - 0.5) < 0.25
        assert (batch[:, 3:] == 0).mean() > 0.6  # the rest is of all steps alike
    # The ring holds eight rows: the fourth rollout overwrites the marked ones.
    assert (gone == 0).all()


def test_edits_are_added_to_the_base_within_bounds_and_are_those_of_data():
    base = lambda obs: jnp.clip(3.0 * obs, -2.0, 2.0)  # a policy in the environment's units
    env = residual(line(), base, 0.25)
    envs.check(env)
    place, ts = env.init(jax.random.key(0))
    for edit in (0.0, 0.4, -7.0):
        _, after = env.step(place, jnp.full(1, edit), jax.random.key(1))
        at = float(ts.obs.obs[0])
        wanted = np.clip(np.clip(3 * at, -2, 2) + 0.5 * np.clip(edit, -1, 1), -2, 2)
        np.testing.assert_allclose(after.reward, at + wanted, rtol=1e-5)
        np.testing.assert_allclose(after.obs.context, np.clip(3 * after.obs.obs, -2, 2), rtol=1e-5)
    assert env.spec.action.high == 1 and env.spec.observation.context.shape == (1,)
    unit = lambda obs: jnp.clip(obs, -1.0, 1.0)
    obs = jnp.array([[[0.1], [0.5]]])
    data = steps_of([0.0, 0.0])._replace(
        obs=obs, final=obs + 1, action=jnp.array([[[0.2], [-1.0]]])
    )
    edited = edits(data, unit, 0.5)
    np.testing.assert_allclose(edited.action[0, :, 0], [0.2, -1.0], rtol=1e-5)
    np.testing.assert_allclose(edited.final.context[0, :, 0], [1.0, 1.0])
    with pytest.raises(InputError, match="residual needs continuous actions"):
        residual(envs.make("chain"), base, 0.1)


def test_tasks_follow_each_other_from_where_the_last_one_ended():
    """Right to 3, then left to 0, at one a step, against a loop; every fourth task resets."""
    tasks = [
        Task(lambda obs: -jnp.ones(()), lambda obs: obs[0] >= 3.0),
        Task(lambda obs: jnp.abs(obs[0]), lambda obs: obs[0] <= 0.0),
    ]
    env = autonomous(line(end=6.0), tasks, limit=3, turns=4)
    lanes = vectorize(env, 2)
    actor = policy_of(lambda obs: jnp.where(obs.context[:, :1] > 0, 1.0, -1.0))
    state, now = lanes.init(jax.random.key(0))
    _, data, _ = rollout(lanes, actor, None, (state, now, ()), jax.random.key(1), 40)
    for lane in range(2):
        place, task, elapsed, turns = float(now.obs.obs[lane, 0]), 0, 0, 0
        for t in range(40):
            row = jax.tree.map(lambda x, t=t, lane=lane: np.asarray(x[t, lane]), data)
            assert row.obs.context.argmax() == row.final.context.argmax() == task
            np.testing.assert_allclose(row.obs.obs[0], place, atol=1e-4)
            place += 1 - 2 * task
            solved = place >= 3 if task == 0 else place <= 0
            np.testing.assert_allclose(row.final.obs[0], place, atol=1e-4)
            np.testing.assert_allclose(row.reward, abs(place) if task else -1, atol=1e-4)
            elapsed += 1
            assert row.discount == (not solved) and row.last == (solved or elapsed == 3)
            if row.last:
                task, elapsed, turns = 1 - task, 0, turns + 1
                if turns == 4:
                    task, turns = 0, 0
                    place = float(data.obs.obs[t + 1, lane, 0]) if t < 39 else place
                    assert 0 <= place < 1
    with pytest.raises(InputError, match="at least two tasks, but it has 1"):
        autonomous(line(), tasks[:1], 3)


def test_a_classifier_errs_at_its_rates_and_the_truth_is_told():
    """On a line where every step beyond 3 succeeds: shares of 4000 steps, and who is judged how."""
    paid = line()
    succeed = lambda ts: ts._replace(reward=(ts.final[0] > 3).astype(jnp.float32))
    step = lambda state, action, key: (lambda x: (x[0], succeed(x[1])))(
        paid.step(state, action, key)
    )
    env = misjudged(paid._replace(step=step), 0.1, 0.3)
    lanes = vectorize(env, 1000)
    actor = policy_of(lambda obs: jnp.full_like(obs, 1.0))
    state, now = lanes.init(jax.random.key(0))
    _, data, _ = rollout(lanes, actor, None, (state, now, ()), jax.random.key(1), 8)
    true = np.asarray(data.signals.reward) > 0
    np.testing.assert_array_equal(true, data.final[..., 0] > 3)
    reward = np.asarray(data.reward)
    assert set(np.unique(reward)) == {0, 1}
    assert reward[~true].mean() == pytest.approx(0.1, abs=0.03)
    assert reward[true].mean() == pytest.approx(0.7, abs=0.03)
    score = evaluate(env.trial.env, actor, None, jax.random.key(3), 2, 8)
    assert (score.returns == 6).all()
    with pytest.raises(InputError, match="false_positive must lie between 0 and 1"):
        misjudged(paid, 1.5, 0.0)


def test_hil_serl_stores_what_was_executed_and_reports_who_acted():
    env = envs.time_limit(intervened(line(), back()), 20)
    hp = hil_serl.Hyperparameters(
        num_envs=2, warmup=8, buffer_size=64, batch_size=8, hidden=(4,), rollout_length=4,
    )  # fmt: skip
    setup = assemble(hil_serl.hil_serl, env, hp)
    run = jax.jit(setup.experiment.init)(jax.random.key(0))
    run, metrics = jax.jit(lambda run: advance(setup.experiment, run, 2))(run)
    assert 0 <= metrics["intervention_rate"] <= 1 and np.isfinite(metrics["critic_loss"])
    with pytest.raises(InputError, match="needs an environment with a corrector"):
        assemble(hil_serl.hil_serl, line(), hp)
