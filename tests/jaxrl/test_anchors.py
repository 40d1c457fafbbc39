"""Anchors where a policy leads back to the data, and networks that are bilinear in them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl import values
from jaxrl.anchors import Anchored, Transducer, anchored, seeker
from jaxrl.errors import InputError
from jaxrl.networks import critic_ensemble
from jaxrl.pair_values import pair_values
from jaxrl.settings import Layers
from jaxrl.types import Agent, Box, Discrete, Spec, Transition, Update, memoryless
from tests.compiling import OPTIMISED


def spec_of(size, actions):
    box = Box(-jnp.ones(actions), jnp.ones(actions))
    return Spec(jax.ShapeDtypeStruct((size,), jnp.float32), box)


def test_critics_of_a_transducer_are_bilinear_in_anchor_and_difference():
    """In numpy: the action stands beside both, and features are sums over the terms."""
    pair = Anchored(*(jax.ShapeDtypeStruct((2,), jnp.float32),) * 2)
    spec = spec_of(2, 1)._replace(observation=pair)
    module = Transducer(hidden=(), features=3, rank=2)
    critics = critic_ensemble(spec, 1, 2, encoder=module)
    rng = np.random.default_rng(0)
    anchor, difference, action = (rng.normal(size=(5, n)) for n in (2, 2, 1))
    obs = Anchored(jnp.asarray(anchor, jnp.float32), jnp.asarray(difference, jnp.float32))

    @jax.jit
    def outputs(key):
        params = jax.tree.map(lambda x: x + 0.1, critics.init(key))
        told = (params, obs, jnp.asarray(action, jnp.float32))
        return params, critics.apply(*told), critics.linear(*told)

    params, found, (features, weights) = outputs(jax.random.key(0))
    one = params["params"]["torso"]
    first, second = (jax.tree.map(np.asarray, one[name]) for name in ("Dense_0", "Dense_1"))
    for e in range(2):
        x, y = (np.concatenate([z, action], 1) for z in (difference, anchor))
        f = (x @ first["kernel"][e] + first["bias"][e]).reshape(5, 3, 2)
        g = (y @ second["kernel"][e] + second["bias"][e]).reshape(5, 3, 2)
        wanted = np.einsum("btd,btd->bt", f, g)
        np.testing.assert_allclose(features[:, e, :-1], wanted, rtol=1e-4, atol=1e-4)
        head = params["params"]["head"]
        out = wanted @ np.asarray(head["kernel"][e]) + np.asarray(head["bias"][e])
        np.testing.assert_allclose(found[:, e], out[:, 0], rtol=1e-4, atol=1e-4)
    whole = np.einsum("beh,ehk->bek", features, weights)[..., 0]
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-4)


def test_the_anchor_is_where_a_step_back_to_the_data_leads():
    """All steps of the data arrive near 0, from 0.5 by the action -1 or from -0.5 by 1.

    Imagined predecessors are there too, and the way back is known from them: the anchor of both is
    0. A model of successors in place of predecessors would lead away, to 1 and -1, and actions
    cloned where they lead, and not where they are taken, would lead nowhere.
    """
    rng = np.random.default_rng(1)
    spec, size = spec_of(1, 1), 128
    action = np.where(np.arange(size) % 2 == 0, 1.0, -1.0)[:, None]
    final = 0.05 * rng.normal(size=(size, 1))
    numbers = (final - 0.5 * action, action, final)
    obs, action, final = (jnp.asarray(x, jnp.float32) for x in numbers)
    one = jnp.ones(size)
    batch = Transition(obs, action, 0 * one, one, one < 0, final, (), one)
    found = seeker(
        spec, optax.adam(1e-2), length=1, scale=1.0, noise=0.0, members=2, elites=2,
        model_hidden=(), layers=Layers((16,)),
    )  # fmt: skip
    seen = lambda state, batch, key: (state, {"obs": batch.obs, "final": batch.final})
    act = memoryless(lambda view, obs, key: (obs.anchor, ()))
    inner = Agent(act, act, Update(lambda key, example: (), seen, lambda state: state))
    agent = anchored(inner, found)

    def train(key):
        k_init, k_learn, k_act = jax.random.split(key, 3)
        state = agent.update.init(k_init, batch)
        learn = lambda state, key: agent.update.apply(state, batch, key)
        state, told = jax.lax.scan(learn, state, jax.random.split(k_learn, 400))
        view = agent.update.read(state)
        ends = jnp.array([[0.5], [-0.5]])
        told = {name: jax.tree.map(lambda x: x[-1, 0], told[name]) for name in ("obs", "final")}
        return agent.exploit.step(view, (), ends, k_act)[0], told

    anchors, told = jax.jit(train, compiler_options=OPTIMISED)(jax.random.key(0))
    np.testing.assert_allclose(anchors, 0.0, atol=0.1)
    for name, given in (("obs", obs), ("final", final)):  # nothing of an observation is lost
        pair = told[name]
        np.testing.assert_allclose(pair.anchor + pair.difference, given, atol=1e-5)
    assert float(jnp.abs(told["obs"].anchor).max()) < 0.3  # near the arrivals of the data


def test_bad_input_is_one_sentence():
    wide = spec_of(2, 1)._replace(observation=jax.ShapeDtypeStruct((2, 2), jnp.float32))
    with pytest.raises(InputError, match="observations that are one vector"):
        seeker(wide, optax.adam(1e-3))

    class Both(Transducer):
        def __call__(self, obs, action=None):
            return obs, action

    with pytest.raises(InputError, match=r"An encoder of critics must return features \[..., H\]"):
        critic_ensemble(spec_of(2, 1), 1, 2, encoder=Both())
    discrete = spec_of(2, 1)._replace(action=Discrete(2))
    with pytest.raises(InputError, match="A critic_encoder needs continuous actions"):
        pair_values(discrete, values.scalar(), 2, encoder=Both())
