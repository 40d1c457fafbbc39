"""The README's example of an environment of one's own: it is checked, and learnt in."""

import jax
import jax.numpy as jnp
import pytest

# example: begin
import envs
from jaxrl.types import Box, Env, Spec, TimeStep


def thermostat(target: float = 20.0, leak: float = 0.1) -> Env:
    """Keep a room at a temperature: heat it with a power in [0, 1], against the cold outside."""

    def emit(temperature, reward, frozen):
        obs = jnp.stack([temperature / 20.0, target / 20.0])
        return TimeStep(
            obs=obs,
            reward=reward,
            discount=1.0 - frozen,  # 0 where the episode terminates
            last=frozen > 0,
            final=obs,  # the successor: one's own environment never resets itself
            info={},
        )

    def init(key):
        temperature = jax.random.uniform(key, minval=10.0, maxval=25.0)
        return temperature, emit(temperature, jnp.float32(0), jnp.float32(0))

    def step(temperature, action, key):
        outside = 5.0 + jax.random.normal(key)
        temperature = temperature + leak * (outside - temperature) + 3.0 * action[0]
        frozen = (temperature < 8.0).astype(jnp.float32)
        return temperature, emit(temperature, -jnp.abs(temperature - target), frozen)

    observation = jax.ShapeDtypeStruct((2,), jnp.float32)
    return Env(init, step, Spec(observation, Box(jnp.zeros(1), jnp.ones(1))))


env = envs.time_limit(thermostat(), 200)  # a truncation: discount stays 1
envs.check(env)  # a sentence that says what to fix, or nothing
# example: end


def play(env, power, steps=400):
    loop = envs.auto_reset(envs.vectorize(envs.episode_statistics(env), 8))

    def step(state, key):
        state, ts = loop.step(state, jnp.full((8, 1), power), key)
        return state, ts

    state, _ = loop.init(jax.random.key(0))
    return jax.lax.scan(step, state, jax.random.split(jax.random.key(1), steps))[1]


def test_it_terminates_and_truncates_like_any_other():
    cold, warm = play(env, 0.0), play(env, 0.5)
    assert (cold.discount == 0).sum() >= 8 and cold.last.sum() == (cold.discount == 0).sum()
    assert (warm.discount == 1).all() and warm.last.sum() == 16
    assert (warm.info["episode_length"][warm.last] == 200).all()
    # The warmth of a room at rest: outside + 3 power / leak, 20 degrees at half the power.
    assert float(warm.final[..., 0].mean()) == pytest.approx(1.0, abs=0.02)


def test_its_parameters_can_be_mapped_over():
    def warmth(leak):
        return play(thermostat(leak=leak), 0.5, 100).final[50:, :, 0].mean()

    mean = jax.vmap(warmth)(jnp.array([0.1, 0.2]))
    assert mean[0] > mean[1]
