"""Gradients through models, against finite differences; and what is learnt by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import assemble, models, returns
from jaxrl.types import Box, Env, Spec, TimeStep, memoryless
from tests.agents.test_model_based import scores

A, B = np.array([[1.0, 0.2], [-0.3, 0.9]]), np.array([0.1, 0.5])
GAMMA, LAM, LENGTH = 0.9, 0.8, 6


def regulator():
    """x' = A x + B u, for a reward of -(x'x + u^2 / 10)."""

    def step(x, action, key):
        reward = -(x @ x) - 0.1 * action[0] ** 2
        x = jnp.asarray(A, jnp.float32) @ x + jnp.asarray(B, jnp.float32) * action[0]
        one = jnp.ones(())
        return x, TimeStep(x, reward, one, one < 0, x, {})

    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))
    return models.true_model(Env(lambda key: None, step, spec), lambda obs, key: obs)


def by_hand(gain, start):
    """The lambda-return of u = gain x from `start`, with values -3 x'x, in float64."""
    x, rewards, bootstraps = np.array(start, np.float64), [], []
    for _ in range(LENGTH):
        u = gain @ x
        rewards.append(-(x @ x) - 0.1 * u**2)
        x = A @ x + B * u
        bootstraps.append(-3 * x @ x)
    goal = bootstraps[-1]
    for reward, value in zip(rewards[::-1], bootstraps[::-1]):
        goal = reward + GAMMA * ((1 - LAM) * value + LAM * goal)
    return goal


def test_the_gradient_of_an_imagined_return_is_that_of_the_policy():
    start, gain = np.array([[0.7, -0.4]]), np.array([0.3, -0.8])
    actor = memoryless(lambda gain, obs, key: ((obs @ gain)[:, None], ()))

    def imagined(gain):
        data, _ = models.branched(
            regulator(), actor, gain, jnp.asarray(start, jnp.float32), jax.random.key(0), LENGTH
        )
        value = -3 * jnp.square(data.final).sum(-1)
        goal = returns.lambda_returns(data.reward, GAMMA * data.discount, data.last, value, LAM)
        return goal[0, 0]

    value, slope = jax.value_and_grad(imagined)(jnp.asarray(gain, jnp.float32))
    assert value == pytest.approx(by_hand(gain, start[0]), rel=1e-5)
    for i, unit in enumerate(np.eye(2) * 1e-5):
        rise = (by_hand(gain + unit, start[0]) - by_hand(gain - unit, start[0])) / 2e-5
        assert slope[i] == pytest.approx(rise, rel=1e-4)


@pytest.mark.thorough
def test_it_is_near_the_best_after_few_steps():
    small = dict(
        batch_size=32, warmup=64, buffer_size=1024, hidden=(32, 32), members=2, elites=2,
        model_hidden=(32, 32), model_learning_rate=3e-3, updates=8,
    )  # fmt: skip
    found = scores("svg", 300, **small)
    assert np.median(found) > -4, found


@pytest.mark.parametrize(
    ("env", "options", "words"),
    [
        ("CartPole-v1", {}, "svg needs continuous actions"),
        ("Pendulum-v1", dict(elites=9), "elites 9 must be at most members 5"),
        ("Pendulum-v1", dict(horizon=0), "horizon must be above zero"),
    ],
)
def test_bad_input_is_one_sentence(env, options, words):
    entry = AGENTS["svg"]
    with pytest.raises(ValueError, match=words):
        assemble(entry.make, envs.make(env), entry.defaults.replace(**options))
