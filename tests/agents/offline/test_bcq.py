"""BCQ for continuous actions: its generator, and values of the best that the data would do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.action_vae import action_vae, divergence
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble
from jaxrl.offline import from_arrays
from jaxrl.settings import Layers
from tests.agents.offline.logs import compiled, learner, spec_of

KEYS = jax.random.split(jax.random.key(0), 4)


def test_the_divergence_is_its_integral():
    z = np.linspace(-30, 30, 60_001)
    density = lambda mean, std: np.exp(-0.5 * ((z - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    mean, log_std = np.array([[0.0, 1.5], [-0.7, 0.3]]), np.array([[0.0, -1.0], [0.8, 0.2]])
    one = lambda m, s: (density(m, np.exp(s)) * (
        -0.5 * ((z - m) / np.exp(s)) ** 2 - s + 0.5 * z**2
    )).sum() * (z[1] - z[0])  # fmt: skip
    wanted = np.array([[one(m, s) for m, s in zip(*row)] for row in zip(mean, log_std)]).mean(-1)
    np.testing.assert_allclose(
        divergence(jnp.asarray(mean), jnp.asarray(log_std)), wanted, atol=1e-4
    )


def test_latents_of_no_size_generate_one_action():
    """Samples are within bounds, and differ by their latents alone."""
    spec = spec_of(2, -3)
    for clip in (0.0, 0.5):
        vae = action_vae(spec, Layers((8,)), clip=clip)
        found = vae.sample(vae.init(KEYS[0]), jnp.ones((50, 2)), KEYS[1])
        assert found.shape == (50, 3) and abs(found).max() <= 1
        assert (found.std(0).max() < 1e-6) == (clip == 0)


def test_values_and_actions_are_the_best_of_those_in_the_data():
    """Two steps, of which the second pays where the action is near 1/2, and not near -1/2.

    A value of the behaviour would be half as high, and one without a constraint higher: payment
    seems to grow with the action. With a pessimism of 0.5 targets are means of two critics.
    """
    rng = np.random.default_rng(0)
    side = np.sign(rng.normal(size=(300, 2)))
    action = 0.5 * side + 0.03 * rng.normal(size=(300, 2))
    step = np.tile([0, 1], 300)
    reward = np.where(step == 1, np.repeat(side[:, 1] > 0, 2), 0.0)
    see, ends, spec = np.eye(3, dtype=np.float32), step == 1, spec_of(3, -1)
    data = from_arrays(
        see[step], action.reshape(-1, 1), reward, ends, 0 * ends, spec,
        next_observations=see[step + 1],
    )  # fmt: skip
    hidden = (64,)
    _, learn = learner(
        "bcq", spec, data, batch_size=64, hidden=hidden, generator_hidden=hidden, discount=0.9,
        target_rate=0.02, learning_rate=3e-3, candidates=30,
    )  # fmt: skip
    entry, critics = AGENTS["bcq"], critic_ensemble(spec, 1, 2, Layers(hidden))

    def train(key, pessimism):
        view, _ = learn(key, 1000, pessimism=pessimism)
        agent = entry.make(spec, entry.defaults.replace(hidden=hidden, generator_hidden=hidden))
        many = jnp.tile(jnp.eye(3)[1:2], (40, 1))
        taken = agent.exploit.step(view, (), many, key)[0]
        first = critics.apply(view.params["critics"], jnp.eye(3)[:1], jnp.full((1, 1), 0.5))
        return first.mean(), taken[:, 0]

    value, taken = compiled(train)(KEYS, jnp.array([0.75, 0.75, 0.5, 1.0]))
    np.testing.assert_allclose(value, 0.9, atol=0.2)
    assert (np.asarray(taken) > 0.2).all() and (np.asarray(taken) < 0.75).all(), taken


def test_bad_input_is_one_sentence():
    entry = AGENTS["bcq"]
    with pytest.raises(InputError, match="bcq needs continuous actions"):
        entry.make(spec_of(2, 3), entry.defaults)
    with pytest.raises(InputError, match="pessimism must lie between 0 and 1"):
        entry.make(spec_of(2, -1), entry.defaults.replace(pessimism=1.5))
