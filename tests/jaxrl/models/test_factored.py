"""Factored models, against the probabilities of the processes that their data are of."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import envs
from jaxrl.models import factored_mlp, factored_model, factored_update
from jaxrl.models.model import branched
from jaxrl.types import Discrete, Spec, Transition, memoryless

KEY = jax.random.key(0)
CHANCES = np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]])  # of three classes, by action
BIT = np.array([[0.9, 0.4], [0.25, 0.4]])  # of a bit that it is set, by action and by itself


def mixed_data(size: int) -> Transition:
    """A class that depends on the action, and a bit that depends on both; half of all end."""
    k_bit, k_act, k_class, k_next = jax.random.split(KEY, 4)
    bit = jax.random.bernoulli(k_bit, 0.5, (size,)).astype(int)
    action = jax.random.randint(k_act, (size,), 0, 2)
    kind = jax.random.categorical(k_class, jnp.log(CHANCES)[action])
    later = jax.random.bernoulli(k_next, jnp.asarray(BIT)[action, bit])
    obs = jnp.concatenate([jnp.zeros((size, 3)), bit[:, None]], -1)
    final = jnp.concatenate([jax.nn.one_hot(kind, 3), later[:, None]], -1)
    one = jnp.ones(size)
    return Transition(obs, action, 2.0 * action - 1, 1.0 - bit, bit > 0, final, (), one)


def learnt(model, data, steps=600, batch=2048):
    update = factored_update(model, optax.adam(optax.linear_schedule(1e-2, 0.0, steps)))
    size = data.reward.shape[0]

    def step(state, key):
        rows = jax.random.randint(key, (batch,), 0, size)
        part = jax.tree.map(lambda x: x[rows], data)
        return update.apply(state, (part, None), key)[0], None

    state = update.init(KEY, data)
    return jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(KEY, steps))[0])(state).params


@pytest.fixture(scope="module")
def mixture():
    spec = Spec(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(2))
    model = factored_mlp(spec, (3, 1), (32,))
    return model, learnt(model, mixed_data(20_000))


def test_probabilities_of_bits_and_classes_are_those_of_the_process(mixture):
    model, params = mixture
    for action in range(2):
        for bit in range(2):
            obs = jnp.array([0.0, 0.0, 0.0, bit])
            found = model.apply(params, obs, jnp.int32(action))
            np.testing.assert_allclose(jax.nn.softmax(found.logits[:3]), CHANCES[action], atol=0.04)
            np.testing.assert_allclose(jax.nn.sigmoid(found.logits[3]), BIT[action, bit], atol=0.04)
            np.testing.assert_allclose(found.reward, 2 * action - 1, atol=0.05)
            np.testing.assert_allclose(jax.nn.sigmoid(found.survival), 1 - bit, atol=0.05)


def test_draws_have_these_frequencies(mixture):
    """A bit drawn with a logit in place of its probability would be set always, or never."""
    model, params = mixture
    many = 20_000
    obs, action = jnp.zeros((many, 4)), jnp.zeros(many, jnp.int32)
    _, now = factored_model(model, params).step(obs, action, KEY)
    np.testing.assert_allclose(now.final.mean(0), [*CHANCES[0], BIT[0, 0]], atol=0.05)
    np.testing.assert_array_equal(now.final[:, :3].sum(-1), 1)


def test_rollouts_keep_the_type_of_observations():
    env = envs.make("PanFlute")
    model = factored_mlp(env.spec)
    actor = memoryless(lambda view, obs, key: (jnp.zeros(obs.shape[0], jnp.int32), ()))
    data, _ = branched(
        factored_model(model, model.init(KEY)), actor, None, jnp.zeros((4, 15), bool), KEY, 3
    )
    assert data.final.dtype == bool and data.final.shape == (3, 4, 15)


def test_parts_that_do_not_make_an_observation_are_refused():
    with pytest.raises(ValueError, match=r"Parts of sizes \(3, 3\) make observations of 6"):
        factored_mlp(envs.make("PanFlute").spec, (3, 3))
