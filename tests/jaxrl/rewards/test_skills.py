"""What skills are paid, at the optimum of what is learnt: by hand, on graphs of four states."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.conditioned import Conditioned
from jaxrl.errors import InputError
from jaxrl.rewards.skills import (
    Skills,
    directions,
    paid_by_skills,
    skill_condition,
    skill_reward,
)
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition, Update

SPEC = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(2))
# An update that keeps the rewards that it was given.
KEEP = Update(lambda key, example: example.reward, lambda s, batch, key: (batch.reward, {}), None)


def steps(now, after, skill, weight):
    """Transitions [B] between states, under skills [B, D]."""
    see = lambda at: Conditioned(jnp.eye(4)[at], skill)
    one = jnp.ones(len(now))
    return Transition(see(now), 0 * now, one, one, one < 0, see(after), (), weight)


def learnt(settings, batch, rate, number=600):
    """What each step pays, after some gradient steps on all of them."""
    reward = skill_reward(SPEC, settings, Layers(hidden=()))
    update = paid_by_skills(KEEP._replace(read=lambda state: state), reward, rate)

    def step(state, key):
        return update.apply(state, batch, key)[0], None

    k_init, k_learn = jax.random.split(jax.random.key(0))
    state = update.init(k_init, batch)
    return jax.lax.scan(step, state, jax.random.split(k_learn, number))[0].inner


def test_skills_of_shared_states_are_paid_the_information_of_states():
    """Four skills, of which two end in one state: H(1/4, 1/4, 1/2)."""
    where, skill = jnp.array([[0, 1, 2, 2], [0, 1, 2, 3]]), jnp.eye(4)
    pay = jax.jit(jax.vmap(
        lambda at: learnt(Skills("diayn", 4), steps(at, at, skill, jnp.ones(4)), 0.1)
    ))  # fmt: skip
    shared, apart = np.asarray(pay(where))
    np.testing.assert_allclose(apart, np.log(4), atol=0.05)
    np.testing.assert_allclose(shared[:2], np.log(4), atol=0.05)
    np.testing.assert_allclose(shared[2:], np.log(2), atol=0.02)
    np.testing.assert_allclose(shared.mean(), 1.0397, atol=0.03)


def test_features_of_metra_are_as_far_apart_as_paths_are_long():
    """By the sum of what a path pays: 3 steps along a line, and half of the loop of four."""
    forwards = np.array([[(0, 1), (1, 2), (2, 3), (0, 0)], [(0, 1), (1, 2), (0, 3), (3, 2)]])
    both = np.concatenate([forwards, forwards[..., ::-1]], 1)
    skill = jnp.repeat(jnp.array([1.0, -1.0]), 4)[:, None]
    weight = jnp.array([[1.0, 1.0, 1.0, 0.0] * 2, [1.0] * 8])
    settings = Skills("metra", 1, continuous=True, multiplier=0.1)
    pay = jax.jit(jax.vmap(
        lambda pair, weight: learnt(settings, steps(pair[:, 0], pair[:, 1], skill, weight), 0.02)
    ))  # fmt: skip
    line, loop = np.asarray(pay(jnp.asarray(both), weight))
    np.testing.assert_allclose(line[:3].sum(), 3.0, atol=0.3)
    np.testing.assert_allclose(loop[:2].sum(), 2.0, atol=0.2)
    np.testing.assert_allclose(line[:3], line[4:7], atol=1e-5)
    assert line[3] == 0


def test_skills_are_drawn_uniformly_and_their_directions_sum_to_zero():
    obs, keys = jnp.zeros(4), jax.random.split(jax.random.key(0), 4000)
    for settings in (Skills(skills=4), Skills(skills=4, continuous=True)):
        condition = skill_condition(settings)
        drawn = np.asarray(jax.vmap(condition.init, (0, None))(keys, obs))
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 1, rtol=1e-5)
        np.testing.assert_allclose((drawn**2).mean(0), 0.25, atol=0.04)
    ways = np.asarray(directions(jnp.eye(4), Skills(skills=4)))
    np.testing.assert_allclose(ways.sum(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(ways), 1, rtol=1e-6)
    assert directions(jnp.ones((1, 1)), Skills(skills=1)) == 1
    for wrong, word in ((Skills("dads"), "metra"), (Skills("diayn", continuous=True), "metra")):
        with pytest.raises(InputError, match=word):
            skill_reward(SPEC, wrong)
