"""Models as environments: oracles are the simulator itself, and sums by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl import models
from jaxrl.models.model import reached
from jaxrl.rollouts import random_actions
from jaxrl.types import Box, Discrete, Env, Spec, TimeStep, memoryless


def line(size=6, end=5):
    """A walk on 0, ..., size - 1, right with action 1 and left with 0, that ends at `end`."""

    def show(state, reward=0.0):
        out = state == end
        obs = jax.nn.one_hot(state, size)
        return TimeStep(obs, jnp.float32(reward), 1.0 - out, out, obs, {})

    def step(state, action, key):
        new = jnp.clip(state + 2 * action - 1, 0, size - 1)
        return new, show(new, -0.1 * state)

    observation = jax.ShapeDtypeStruct((size,), jnp.float32)
    init = lambda key: (jnp.int32(0), show(jnp.int32(0)))
    return Env(init, step, Spec(observation, Discrete(2)))


MODEL = models.true_model(line(), lambda obs, key: obs.argmax(-1))
RIGHT = memoryless(lambda view, obs, key: (jnp.ones(obs.shape[0], jnp.int32), ()))
KEY = jax.random.key(0)


def at(*states):
    return jax.nn.one_hot(jnp.array(states), 6)


def test_a_rollout_in_the_true_model_is_one_in_the_simulator():
    env = envs.make("Pendulum-v1")
    state, now = env.init(KEY)

    locate = lambda obs, key: state.replace(theta=jnp.arctan2(obs[1], obs[0]), theta_dot=obs[2])
    model = models.true_model(env, locate)
    world = models.starting_from(model, now.obs[None])
    other, first = world.init(KEY)
    np.testing.assert_array_equal(first.obs[0], now.obs)
    for i in range(5):
        action = random_actions(env.spec, 1, jax.random.key(i))
        state, now = env.step(state, action[0], KEY)
        other, found = world.step(other, action, KEY)
        np.testing.assert_allclose(found.obs[0], now.obs, atol=1e-5)
        np.testing.assert_allclose(found.reward[0], now.reward, atol=1e-5)


def test_branched_rollouts_count_until_they_end():
    data, _ = models.branched(MODEL, RIGHT, None, at(0, 3, 4), KEY, 4)
    np.testing.assert_array_equal(data.obs.argmax(-1)[:, 0], [0, 1, 2, 3])
    np.testing.assert_allclose(data.reward[:, 0], [0, -0.1, -0.2, -0.3])
    np.testing.assert_array_equal(data.weight.T, [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 0, 0]])
    # Cut by its length, a rollout has not ended; at the end of the line it has.
    np.testing.assert_array_equal(data.discount[:, 0], 1)
    assert data.discount[1, 1] == 0 and not data.last[:, 0].any()


def test_expected_terminations_weigh_what_follows():
    discount = jnp.array([[0.9], [0.5], [1.0], [0.2]])
    weight = reached(discount, jnp.zeros((4, 1), bool))
    np.testing.assert_allclose(weight[:, 0], [1, 0.9, 0.45, 0.45])
    cut = reached(discount, jnp.array([[False], [True], [False], [False]]))
    np.testing.assert_allclose(cut[:, 0], [1, 0.9, 0, 0])


def test_penalties_ends_and_known_parts():
    where = lambda now: now.final.argmax(-1)
    start = lambda model: models.branched(model, RIGHT, None, at(1), KEY, 3)[0]
    plain = start(MODEL)
    dear = start(models.penalised(MODEL, where, 2.0))
    np.testing.assert_allclose(dear.reward[:, 0], plain.reward[:, 0] - 2.0 * np.array([2, 3, 4]))
    beyond = lambda now: where(now) >= 3
    cut = start(models.truncated(MODEL, beyond))
    np.testing.assert_array_equal(cut.weight[:, 0], [1, 1, 0])
    np.testing.assert_array_equal(cut.discount[:, 0], 1)
    halt = start(models.halted(MODEL, beyond, 7.0))
    np.testing.assert_array_equal(halt.weight[:, 0], [1, 1, 0])
    np.testing.assert_array_equal(halt.discount[:2, 0], [1, 0])
    np.testing.assert_allclose(halt.reward[:2, 0], [-0.1, -7.0])
    short = start(models.terminating(MODEL, 2))
    np.testing.assert_array_equal(short.discount[:2, 0], [1, 0])
    np.testing.assert_array_equal(short.weight[:, 0], [1, 1, 0])
    ends = start(models.known_termination(MODEL, lambda obs: obs.argmax(-1) == 2))
    np.testing.assert_array_equal(ends.discount[:, 0], [0, 1, 1])
    np.testing.assert_array_equal(ends.weight[:, 0], [1, 0, 0])
    paid = lambda obs, action, final: 10.0 * obs.argmax(-1) + final.argmax(-1)
    np.testing.assert_allclose(start(models.known_reward(MODEL, paid)).reward[:, 0], [12, 23, 34])


def by_hand(state, parts):
    """The first time step (reward, discount, last) of the walk to the right, stage by stage."""
    end = state + 1
    reward, out, cut = -0.1 * state, end == 5, False
    if "reward" in parts:
        reward = 10.0 * state + end
    if "termination" in parts:
        out = end == 2
    if "penalty" in parts:
        reward -= 2.0 * end
    cut = "truncation" in parts and end in (2, 3)
    out = out or "limit" in parts  # after one step
    if "halt" in parts and end in (3, 4):
        reward, out = -7.0, True
    return reward, 0.0 if out else 1.0, out or cut


def test_transforms_have_the_same_result_in_any_order():
    """All orders of four of them, against the stages by hand, where several hold at once."""
    where = lambda now: now.final.argmax(-1)
    among = lambda *states: lambda now: jnp.isin(where(now), jnp.array(states))
    transforms = {
        "reward": lambda m: models.known_reward(
            m, lambda obs, action, final: 10.0 * obs.argmax(-1) + final.argmax(-1)
        ),
        "termination": lambda m: models.known_termination(m, lambda obs: obs.argmax(-1) == 2),
        "penalty": lambda m: models.penalised(m, where, 2.0),
        "truncation": lambda m: models.truncated(m, among(2, 3)),
        "limit": lambda m: models.terminating(m, 1),
        "halt": lambda m: models.halted(m, among(3, 4), 7.0),
    }
    starts = range(5)
    for chosen in itertools.combinations(transforms, 4):
        expected = np.array([by_hand(state, chosen) for state in starts], float)
        for order in itertools.permutations(chosen):
            model = MODEL
            for name in order:
                model = transforms[name](model)
            state = model.enter(at(*starts), KEY)
            _, now = model.step(state, jnp.ones(5, jnp.int32), KEY)
            found = np.stack([now.reward, now.discount, now.last], -1)
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=str(order))


def test_what_was_replaced_by_hand_stays_below_later_transforms():
    model = models.truncated(MODEL, lambda now: now.final.argmax(-1) == 3)
    free = model._replace(step=MODEL.step)
    _, now = models.penalised(free, lambda now: now.reward, 0.0).step(
        jnp.array([2]), jnp.ones(1, jnp.int32), KEY
    )
    assert not now.last.any()


def test_what_is_not_a_number_ends_a_rollout():
    nan = lambda now: jnp.full(now.reward.shape, jnp.nan)
    for model in (models.truncated(MODEL, nan), models.halted(MODEL, nan)):
        assert models.branched(model, RIGHT, None, at(0), KEY, 1)[0].last.all()


def test_a_rollout_has_the_weight_of_its_start():
    weight = jnp.array([0.5, 2.0])
    data, _ = models.branched(MODEL, RIGHT, None, at(0, 3), KEY, 3, weight)
    np.testing.assert_allclose(data.weight.T, [[0.5] * 3, [2, 2, 0]])


def test_gradients_flow_through_a_model():
    """The slope of the return of an unstable linear system in the feedback, by hand."""

    def step(x, action, key):
        new = 1.1 * x + action
        zero = jnp.zeros(())
        return new, TimeStep(new, -(x[0] ** 2), zero + 1, zero > 0, new, {})

    spec = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
    model = models.true_model(Env(lambda key: None, step, spec), lambda obs, key: obs)
    linear = memoryless(lambda view, obs, key: (-view * obs, ()))

    def total(gain):
        start = jnp.full((1, 1), 2.0)
        return models.branched(model, linear, gain, start, KEY, 3)[0].reward.sum()

    # x_t = 2 (1.1 - k)^t, and the return is the sum of -x_t^2 over t = 0, 1, 2.
    c = 1.1 - 0.4
    np.testing.assert_allclose(jax.grad(total)(0.4), 4 * (2 * c + 4 * c**3), rtol=1e-5)


def test_a_rollout_has_a_length():
    with pytest.raises(ValueError, match="length must be above zero"):
        models.branched(MODEL, RIGHT, None, at(0), KEY, 0)
