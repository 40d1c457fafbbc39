"""EXPO and DSRL: the best of candidates and edits, and critics of noise by actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS, dsrl
from jaxrl import advance, generators
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble
from jaxrl.offline import offline
from jaxrl.settings import Layers
from jaxrl.types import Box, Spec, Transition
from jaxrl.updates import Learner
from jaxrl.values import Ensemble
from tests.agents.offline.logs import compiled, learner, one_step, spec_of

KEYS = jax.random.split(jax.random.key(0), 4)


def test_the_best_of_uniform_values_is_their_greatest_order_statistic():
    """N / (N + 1) on average, of a variance below 1 / (N + 2)^2; actions come with their values."""
    for number in (1, 4, 64):
        value = jax.random.uniform(KEYS[0], (number, 4000))
        best = generators.best(jnp.stack([value, -value], -1), value)
        np.testing.assert_array_equal(best[:, 0], -best[:, 1])
        error = 5 / (number + 1) / np.sqrt(4000)
        assert abs(float(best[:, 0].mean()) - number / (number + 1)) < error


def test_many_candidates_of_full_support_are_the_maximum():
    """Of a value that is linear in actions, whose clipped candidates are often at a bound."""
    entry = AGENTS["expo"]
    hp = entry.defaults.replace(
        hidden=(), candidates=128, edit_size=0.0, ensemble=Ensemble(1), critic_layer_norm=False,
        generation=generators.Generation("flow", denoising_steps=1),
    )  # fmt: skip
    agent = entry.make(spec_of(3, -1), hp)
    example = one_step(np.arange(3), np.zeros((3, 1)), np.zeros(3), spec_of(3, -1))

    def act(key):
        view = agent.update.read(agent.update.init(key, jax.tree.map(lambda x: x[:0], example)))
        action = agent.exploit.step(view, (), jax.random.normal(key, (50, 3)), key)[0]
        return action[:, 0], view.params["critics"]["params"]["head"]["kernel"].reshape(-1)[-1]

    action, slope = map(np.asarray, jax.jit(jax.vmap(act))(KEYS))
    assert len(set(np.sign(slope))) == 2  # both directions occur
    np.testing.assert_array_equal(action, np.broadcast_to(np.sign(slope)[:, None], action.shape))


def test_edits_go_beyond_what_the_generator_makes():
    """The reward is the action, and edits change it by up to 0.3."""
    action = 0.1 * np.random.default_rng(0).normal(size=(200, 1))
    data = one_step(np.zeros(200, int), action, action[:, 0], spec_of(1, -1))
    options = dict(
        batch_size=64, learning_rate=1e-2, hidden=(16,), target_rate=0.05, edit_size=0.3,
        candidates=4, ensemble=Ensemble(2), initial_temperature=0.01, denoising_steps=5,
    )  # fmt: skip
    agent, learn = learner("expo", spec_of(1, -1), data, **options)

    def train(key):
        k_learn, k_act = jax.random.split(key)
        view, metrics = learn(k_learn, 300)
        return agent.exploit.step(view, (), jnp.ones((200, 1)), k_act)[0], metrics["entropy"]

    made = np.asarray(compiled(train)(KEYS)[0])
    assert (made.mean((1, 2)) > 0.25).all() and (made.max((1, 2)) < 0.8).all(), made.mean((1, 2))


def test_latents_that_make_the_same_action_have_the_same_value():
    """Positive ones were tried alone; the sign makes no difference to the action w^2."""
    box = Box(-jnp.ones(1), jnp.ones(1))
    signals = jax.ShapeDtypeStruct((1,), jnp.float32)
    spec = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), box, signals=signals)
    latent = jnp.linspace(0, 1, 200)[:, None, None]
    one = jnp.ones((200, 1))
    action = jnp.square(latent)
    reward = -jnp.square(action[..., 0] - 0.5)
    data = Transition(
        one[..., None], latent, reward, 0 * one, one > 0, one[..., None], (), one, action
    )
    hp = dsrl.Hyperparameters(
        buffer_size=200, warmup=200, batch_size=64, learning_rate=5e-3, hidden=(64,),
        initial_temperature=0.01, target_entropy=-2.0,
    )  # fmt: skip
    agent = dsrl.dsrl(spec, hp, lambda obs, latent: jnp.square(latent))
    critic = critic_ensemble(spec, 1, 1, Layers((64,), layer_norm=True))
    at = jnp.linspace(-0.9, 0.9, 19)[:, None]

    def train(key):
        exp = offline(agent, data)
        view: Learner = agent.update.read(advance(exp, exp.init(key), 600)[0].learner)
        acted = agent.exploit.step(view, (), jnp.ones((1, 1)), key)[0]
        return critic.apply(view.params["aliased"], jnp.ones((19, 1)), at)[:, 0], acted[0, 0]

    value, acted = map(np.asarray, compiled(train)(KEYS))
    wanted = -np.square(np.square(np.asarray(at[:, 0])) - 0.5)
    assert np.abs(value - wanted).mean() < 0.06
    alike = np.array([np.corrcoef(x[:9], wanted[:9])[0, 1] for x in value])  # never tried
    assert alike.mean() > 0.8 and (alike > 0.5).all(), alike
    np.testing.assert_allclose(np.square(acted), 0.5, atol=0.3)


def test_bad_input_is_one_sentence():
    with pytest.raises(InputError, match="expo needs continuous actions"):
        AGENTS["expo"].make(spec_of(2, 2), AGENTS["expo"].defaults)
    with pytest.raises(InputError, match="dsrl learns from actions that the environment tells"):
        dsrl.dsrl(spec_of(2, -1), dsrl.Hyperparameters(), lambda obs, latent: latent)
    env = envs.make("Pendulum-v1")
    told = envs.decoded(env, lambda obs, w: 2 * w, Box(-jnp.ones(1), jnp.ones(1)), tell=True)
    assert dsrl.dsrl(told.spec, dsrl.Hyperparameters(), lambda obs, w: 2 * w).update is not None
