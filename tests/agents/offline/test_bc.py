"""Behaviour cloning, against frequencies and moments of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import assemble
from jaxrl.errors import InputError
from tests.agents.offline.logs import compiled, learner, one_step, spec_of

KEYS = jax.random.split(jax.random.key(0), 2)
EYE = jnp.eye(3)
FALLING = dict(batch_size=256, schedule="cosine", decay_steps=600.0)


def counted(rng, size=90):
    """States and actions with equal numbers of each state, and rewards of the second action."""
    state = np.arange(size) % 3
    action = (rng.random((size, 1)) > np.array([[0.2, 0.7], [0.5, 0.6], [0.1, 0.3]])[state]).sum(-1)
    return state, action, (action == 1).astype(float)


def test_a_table_of_discrete_actions_learns_their_frequencies():
    """Over two seeds and two learning rates in one program."""
    state, action, reward = counted(np.random.default_rng(0))
    spec = spec_of(3, 3)
    agent, learn = learner("bc", spec, one_step(state, action, reward, spec), **FALLING)

    def train(key, rate):
        view, _ = learn(key, 600, learning_rate=rate)
        many = jax.random.split(jax.random.key(5), 4000)
        drawn = jax.vmap(lambda k: agent.explore.step(view, (), EYE, k)[0])(many)
        return jax.nn.one_hot(drawn, 3).mean(0), agent.exploit.step(view, (), EYE, key)[0]

    drawn, mode = compiled(train)(KEYS, jnp.array([0.05, 0.1]))
    counts = np.zeros((3, 3))
    np.add.at(counts, (state, action), 1)
    frequency = counts / counts.sum(-1, keepdims=True)
    np.testing.assert_allclose(drawn, np.tile(frequency, (2, 1, 1)), atol=0.07)
    assert (np.asarray(mode) == frequency.argmax(-1)).all()


@pytest.mark.parametrize("only", [True, False])
def test_only_the_best_episodes_are_imitated(only):
    """Those that took the second action, a third of all, are the only ones with a reward."""
    state, action, reward = counted(np.random.default_rng(1))
    spec = spec_of(3, 3)
    data = one_step(state, action, reward, spec)
    best = float(np.mean(reward)) if only else 1.0
    agent, learn = learner("bc", spec, data, best_share=best, **FALLING)
    view, _ = jax.jit(lambda key: learn(key, 150, learning_rate=0.1))(KEYS[0])
    mode = np.asarray(agent.exploit.step(view, (), EYE, KEYS[0])[0])
    assert (mode == 1).all() == only


@pytest.mark.parametrize("loss", ["likelihood", "squared-error"])
def test_continuous_actions_learn_their_means_and_deviations(loss):
    """Bimodal actions too, of which the mean is the worst."""
    rng = np.random.default_rng(2)
    state = np.arange(120) % 3
    centre = np.array([[0.5, -0.2], [-0.6, 0.1], [0.0, 0.0]])[state]
    noise = rng.normal(scale=[0.05, 0.1], size=(120, 2))
    action = np.where(state[:, None] == 2, np.sign(noise) * 0.7, np.clip(centre + noise, -1, 1))
    spec = spec_of(3, -2)
    data = one_step(state, action, np.zeros(120), spec)
    agent, learn = learner("bc", spec, data, loss=loss, **FALLING)

    def train(key):
        view, _ = learn(key, 600, learning_rate=0.05)
        return agent.exploit.step(view, (), EYE, key)[0], view.params["actor"]["free"]

    mode, free = compiled(train)(KEYS)
    means = np.stack([action[state == s].mean(0) for s in range(3)])
    np.testing.assert_allclose(mode, np.tile(means, (2, 1, 1)), atol=0.06)
    if loss == "likelihood":
        deviation = np.sqrt(((action - means[state]) ** 2).mean(0))
        np.testing.assert_allclose(np.exp(free), np.tile(deviation, (2, 1)), rtol=0.1)


def test_bad_input_is_one_sentence():
    defaults, discrete = AGENTS["bc"].defaults, envs.make("CartPole-v1")
    with pytest.raises(InputError, match="A squared error needs continuous actions"):
        assemble(AGENTS["bc"].make, discrete, defaults.replace(loss="squared-error"))
    with pytest.raises(InputError, match="There is no loss called 'mse': choose from"):
        assemble(AGENTS["bc"].make, discrete, defaults.replace(loss="mse"))
    with pytest.raises(InputError, match="best_share must lie between 0 and 1"):
        assemble(AGENTS["bc"].make, discrete, defaults.replace(best_share=1.5))
