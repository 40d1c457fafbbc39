"""Actions that mean several actions, or latents."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl import data
from jaxrl.errors import InputError
from jaxrl.types import Box, Transition
from tests.envs.test_transforms import play, recorder

UNIT = Box(-jnp.ones(1), jnp.ones(1))


def test_chunks_add_discounted_rewards_and_stop_at_the_end():
    """Rewards are 10^time and the end is after six steps: four of one chunk, two of the next."""
    env = envs.chunked(recorder(end=6), 4, 0.5)
    envs.check(env, steps=5)
    _, ts = play(env, [[3, 1, 2, 0], [1, 2, 3, 3]])
    rewards = 10.0 ** np.arange(1, 7)
    wanted = [(rewards[:4] * 0.5 ** np.arange(4)).sum(), rewards[4] + 0.5 * rewards[5]]
    np.testing.assert_allclose(ts.reward, wanted, rtol=1e-6)
    np.testing.assert_allclose(ts.discount, [0.5**3, 0.0])
    np.testing.assert_array_equal(ts.last, [False, True])
    np.testing.assert_array_equal(ts.final, [[4, 0], [6, 2]])  # time and last action


def test_a_time_limit_within_a_chunk_truncates():
    """Two steps were taken, so that an agent with the same discount bootstraps with 0.5^2."""
    env = envs.chunked(envs.time_limit(recorder(end=9), 2), 4, 0.5)
    _, ts = play(env, [[1, 1, 1, 1]])
    assert bool(ts.last[0]) and float(ts.discount[0]) == 0.5 and float(ts.reward[0]) == 60
    np.testing.assert_array_equal(ts.final[0], [2, 1])


@pytest.mark.parametrize("limit", [5, 9])  # the other end is a termination after six steps
def test_logged_steps_become_the_transitions_of_the_chunked_environment(limit):
    base = envs.time_limit(recorder(end=6, action=UNIT), limit)
    steps, length = min(limit, 6), 4
    action = np.linspace(-1, 1, 2 * length, dtype=np.float32)[:, None]
    first, one = play(base, action[:steps])
    obs = np.concatenate([first.obs[None], one.obs[:-1]])
    logged = Transition(obs, action[:steps], one.reward, one.discount, one.last, one.final, (),
                        np.ones(steps, np.float32))  # fmt: skip
    logged = jax.tree.map(lambda x: jnp.asarray(x)[:, None], logged)
    found = data.joined(data.chunked(logged, length), 0.5)
    _, ts = play(envs.chunked(base, length, 0.5), action.reshape(2, length, 1))
    for name in ("reward", "discount", "last", "final"):
        np.testing.assert_allclose(getattr(found, name), getattr(ts, name), rtol=1e-6)
    np.testing.assert_array_equal(found.action[0, :, 0], action[:length, 0])
    np.testing.assert_array_equal(found.obs[:, 0], [0, 4])


def test_latents_are_decoded_at_the_observation_that_is_shown():
    """Also where an episode has begun anew. The action is the time plus the latent."""
    base = recorder(end=2, action=Box(-9 * jnp.ones(1), 9 * jnp.ones(1)))
    env = envs.decoded(base, lambda obs, latent: obs[:1] + latent, UNIT, tell=True)
    envs.check(env, steps=5)
    _, ts = play(envs.auto_reset(env), [[0.5], [0.25], [-1.0]])
    np.testing.assert_array_equal(ts.signals[:, 0], [0.5, 1.25, -1.0])
    np.testing.assert_array_equal(ts.final[:, 1], ts.signals[:, 0])
    quiet = envs.decoded(base, lambda obs, latent: obs[:1] + latent, UNIT)
    assert quiet.spec.signals == () and quiet.spec.action is UNIT


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="length must be above zero"):
        envs.chunked(recorder(), 0)
    with pytest.raises(InputError, match="discount must lie between 0 and 1"):
        envs.chunked(recorder(), 2, 1.5)
    with pytest.raises(InputError, match="chunked needs actions of one kind"):
        envs.chunked(envs.chunked(recorder(), 2), 2)
    with pytest.raises(InputError, match="decoded needs continuous actions"):
        envs.decoded(recorder(), lambda obs, latent: latent, UNIT)
    box = Box(-jnp.ones(2), jnp.ones(2))
    with pytest.raises(InputError, match=r"actions of shape \(1,\), but this .* takes \(2,\)"):
        envs.decoded(recorder(action=box), lambda obs, latent: latent, UNIT)
    told = envs.decoded(recorder(action=UNIT), lambda obs, latent: latent, UNIT, tell=True)
    with pytest.raises(InputError, match="has signals already"):
        envs.decoded(told, lambda obs, latent: latent, UNIT, tell=True)
