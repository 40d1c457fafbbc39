"""Contexts: goals, skills and returns-to-go, each in a few lines."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import from_mdp, mdps
from jaxrl.conditioned import (
    Conditioned,
    conditioned,
    constant,
    goal,
    relabelled,
    return_to_go,
    under,
)
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.types import Discrete, Env, Spec, TimeStep, Transition, Update


def bits(number):
    """An environment without rewards or ends: an action flips one of the bits that are shown."""

    def show(state):
        zero = jnp.zeros(())
        return TimeStep(state, zero, zero + 1.0, zero > 0, state, {})

    def init(key):
        state = jax.random.bernoulli(key, 0.5, (number,)).astype(jnp.float32)
        return state, show(state)

    def step(state, action, key):
        state = state.at[action].set(1 - state[action])
        return state, show(state)

    spec = Spec(jax.ShapeDtypeStruct((number,), jnp.float32), Discrete(number))
    return Env(init, step, spec, fresh=1.0)


def target(number):
    """The goal of showing certain random bits."""
    draw = lambda key, obs: jax.random.bernoulli(key, 0.5, (number,)).astype(jnp.float32)
    shape = jax.ShapeDtypeStruct((number,), jnp.float32)
    return goal(shape, draw, lambda wanted, obs: (wanted == obs).all(-1))


SEE = Update(lambda key, example: (), lambda s, batch, key: (s, {"seen": batch}), lambda s: s)


@pytest.fixture(scope="module")
def flips():
    """Transitions of 3 bits with goals, of episodes of 4 steps at most, in numpy."""
    env = time_limit(conditioned(bits(3), target(3)), 4)
    key = jax.random.key(0)
    lanes = auto_reset(vectorize(env, 200))

    def step(carry, key):
        state, now = carry
        k_act, k_step = jax.random.split(key)
        action = jax.random.randint(k_act, (200,), 0, 3)
        state, new = lanes.step(state, action, k_step)
        data = Transition(
            now.obs, action, new.reward, new.discount, new.last, new.final, (),
            jnp.ones(200), new.signals,
        )  # fmt: skip
        return (state, new), data

    run = lambda key: jax.lax.scan(step, lanes.init(key), jax.random.split(key, 12))[1]
    return jax.tree.map(np.asarray, jax.jit(run)(key))


def test_goals_pay_and_end_where_they_are_reached(flips):
    there = (flips.final.obs == flips.obs.context).all(-1)
    np.testing.assert_array_equal(flips.reward, np.where(there, 0.0, -1.0))
    np.testing.assert_array_equal(flips.discount, np.where(there, 0.0, 1.0))
    assert (flips.last | ~there).all() and (flips.last & ~there).any()
    np.testing.assert_array_equal(flips.final.context, flips.obs.context)
    same = (flips.obs.context[1:] == flips.obs.context[:-1]).all(-1)
    assert same[~flips.last[:-1]].all() and not same[flips.last[:-1]].all()
    # What the environment itself paid is told besides: nothing, without an end.
    assert (flips.signals.reward == 0).all() and (flips.signals.discount == 1).all()


def test_steps_are_judged_again_only_if_the_environment_told_its_own(flips):
    with pytest.raises(InputError, match="only if the environment told"):
        under(target(3), flips.obs.context, flips._replace(signals=()))


def test_a_skill_is_held_for_an_episode():
    """It is one number of four, shown with the state; what it pays is up to the learner."""
    skill = constant(
        jax.ShapeDtypeStruct((4,), jnp.float32),
        lambda key, obs: jax.nn.one_hot(jax.random.randint(key, (), 0, 4), 4),
    )
    env = auto_reset(vectorize(time_limit(conditioned(bits(3), skill), 5), 300))
    assert env.spec.signals == ()  # nothing is judged, so nothing is told

    def step(carry, key):
        state, now = carry
        state, new = env.step(state, jnp.zeros(300, jnp.int32), key)
        return (state, new), (now.obs.context, new.final.context)

    run = lambda key: jax.lax.scan(step, env.init(key), jax.random.split(key, 10))[1]
    held, final = map(np.asarray, jax.jit(run)(jax.random.key(0)))
    np.testing.assert_array_equal(held, final)
    for episode in (held[:5], held[5:]):
        assert (episode == episode[0]).all()
        np.testing.assert_allclose(episode[0].mean(0), 0.25, atol=5 * 0.025)
    assert (held[0] != held[5]).any(-1).mean() > 0.5
    relabel = relabelled(SEE, skill, lambda key, batch: jnp.roll(batch.obs.context, 1, -1))
    obs = Conditioned(jnp.zeros((2, 3)), jnp.eye(4)[:2])
    one = jnp.ones(2)
    batch = Transition(obs, one, one, one, one > 1, obs, (), one)
    seen = jax.jit(relabel.apply)((), batch, jax.random.key(0))[1]["seen"]
    np.testing.assert_array_equal(seen.obs.context, np.eye(4)[1:3])
    np.testing.assert_array_equal(seen.final.context, np.eye(4)[1:3])


def test_a_return_to_go_falls_by_the_reward():
    gamma = 0.9
    env = conditioned(from_mdp(mdps.garnet()), return_to_go(lambda key, obs: jnp.float32(7), gamma))

    def step(carry, key):
        state, now = carry
        state, new = env.step(state, jnp.int32(0), key)
        return (state, new), (now.obs.context, new.reward)

    run = lambda key: jax.lax.scan(step, env.init(key), jax.random.split(key, 8))[1]
    asked, reward = map(np.asarray, jax.jit(run)(jax.random.key(0)))
    left = 7.0
    for t in range(8):
        np.testing.assert_allclose(asked[t], left, rtol=1e-5)
        left = (left - reward[t]) / gamma
