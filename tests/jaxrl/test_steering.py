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
from jaxrl.steering import Corrector, disagreeing, edits, executed, frozen, intervened, residual
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
    base = lambda obs, key: jnp.clip(3.0 * obs, -2.0, 2.0)  # in the environment's units
    env = residual(line(), base, 0.25)
    place, ts = env.init(jax.random.key(0))
    for edit in (0.0, 0.4, -7.0):
        _, after = env.step(place, jnp.full(1, edit), jax.random.key(1))
        at = float(ts.obs.obs[0])
        wanted = np.clip(np.clip(3 * at, -2, 2) + 0.5 * np.clip(edit, -1, 1), -2, 2)
        np.testing.assert_allclose(after.reward, at + wanted, rtol=1e-5)
        np.testing.assert_allclose(after.obs.context, np.clip(3 * after.obs.obs, -2, 2), rtol=1e-5)
    assert env.spec.action.high == 1 and env.spec.observation.context.shape == (1,)
    unit = lambda obs, key: jnp.clip(obs, -1.0, 1.0)
    obs = jnp.array([[[0.1], [0.5]]])
    data = steps_of([0.0, 0.0])._replace(
        obs=obs, final=obs + 1, action=jnp.array([[[0.2], [-1.0]]])
    )
    edited = edits(data, unit, 0.5, jax.random.key(0))
    np.testing.assert_allclose(edited.action[0, :, 0], [0.2, -3.0], rtol=1e-5)
    np.testing.assert_allclose(edited.final.context[0, :, 0], [1.0, 1.0])
    # What critics see of the data are the data's own actions, out of reach of edits or not.
    whole = np.clip(edited.obs.context + 0.5 * edited.action, -1, 1)
    np.testing.assert_allclose(whole, data.action, rtol=1e-5)
    with pytest.raises(InputError, match="residual needs continuous actions"):
        residual(envs.make("chain"), base, 0.1)


def test_what_a_random_policy_proposes_is_shown_and_is_what_edits_are_added_to():
    """Also after resets; one action is drawn for each observation, and edits of zero execute it."""
    env = residual(line(end=3.0), lambda obs, key: jax.random.normal(key, obs.shape), 0.25)
    envs.check(env)
    lanes = auto_reset(vectorize(env, 50))
    state, now = lanes.init(jax.random.key(0))
    still = policy_of(lambda obs: jnp.zeros_like(obs.context))
    _, data, _ = rollout(lanes, still, None, (state, now, ()), jax.random.key(1), 20)
    moved = np.clip(data.obs.context, -2, 2)
    np.testing.assert_allclose(data.final.obs, data.obs.obs + moved, atol=1e-5)
    going = ~np.asarray(data.last)[:-1]
    after, shown = data.final.context[:-1][going], data.obs.context[1:][going]
    np.testing.assert_allclose(after, shown, atol=1e-5)
    assert data.last.any() and len(np.unique(data.obs.context)) == 1000


def test_a_trained_policy_acts_on_observations_of_any_leading_axes():
    spec = line().spec
    actor = memoryless(lambda view, obs, key: (view * obs + 0 * jax.random.normal(key), ()))
    policy = frozen(actor, jnp.float32(2.0), spec)
    for lead in ((), (3,), (2, 3)):
        obs = jnp.ones((*lead, 1))
        np.testing.assert_array_equal(policy.act(obs, jax.random.key(0)), 2 * obs)
    with pytest.raises(InputError, match="must have no memory"):
        frozen(actor._replace(init=lambda size: jnp.zeros(size)), (), spec)


def test_a_corrector_that_disagrees_acts_for_a_spell():
    """Against a loop; it begins at the rate of its attention, and never where both agree."""
    expert = lambda obs, key: -jnp.sign(obs)
    step = disagreeing(expert, 0.5, 0.25, 3).step
    obs = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (40, 500, 1)), jnp.float32)
    action = jnp.full((500, 1), 0.6)  # 0.4 from the expert below zero, and 1.6 above

    def act(left, now):
        left, own, acts = jax.vmap(step)(left, now[0], action, jax.random.split(now[1], 500))
        return left, (left, own, acts)

    keys = jax.random.split(jax.random.key(0), 40)
    found = jax.jit(lambda: jax.lax.scan(act, jnp.zeros(500, int), (obs, keys))[1])()
    left, own, acts = map(np.asarray, found)
    np.testing.assert_array_equal(own, -np.sign(obs))
    far, before, began, could = np.asarray(obs[..., 0]) > 0, np.zeros(500, int), 0, 0
    for t in range(40):
        free = before == 0
        assert (acts[t][~free]).all() and not acts[t][free & ~far[t]].any()
        began, could = began + acts[t][free].sum(), could + (free & far[t]).sum()
        before = np.where(acts[t], np.where(free, 3, before) - 1, 0)
        np.testing.assert_array_equal(left[t], before)
    assert abs(began / could - 0.25) < 5 * np.sqrt(0.25 * 0.75 / could)


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
