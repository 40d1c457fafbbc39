"""Weights of actions by hand, and losses of cloning by the densities of numpy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import ppo
from jaxrl import buffers
from jaxrl.cloning import (
    binary_weight,
    bounded_family,
    cloning_loss,
    demonstrated,
    exponential_weight,
    policy_network,
    softmax_weight,
)
from jaxrl.errors import InputError
from jaxrl.loop import assemble
from jaxrl.policies import categorical, tanh_gaussian
from jaxrl.types import Box, Discrete, Spec, Transition

ADVANTAGE = np.array([-3.0, -0.5, 0.0, 0.25, 60.0])
BOX = Box(-jnp.ones(2), jnp.ones(2))


def batch_of(action):
    one = jnp.ones(len(action))
    return Transition(one[:, None], jnp.asarray(action), one, one, one < 0, one[:, None], (), one)


def test_weights_are_those_of_their_equations():
    advantage = jnp.asarray(ADVANTAGE, jnp.float32)
    clipped = np.minimum(np.exp(np.minimum(2.0 * ADVANTAGE, 700)), 100.0)
    np.testing.assert_allclose(exponential_weight(advantage, 2.0, 100.0), clipped, rtol=1e-5)
    np.testing.assert_array_equal(binary_weight(advantage), [0, 0, 0, 1, 1])  # strictly better
    few, share = ADVANTAGE[:4], np.array([1.0, 0.0, 2.0, 1.0])
    grown = np.exp(few / 0.5)
    softmax = softmax_weight(advantage[:4], 0.5, jnp.asarray(share))
    np.testing.assert_allclose(
        softmax * (share > 0),
        grown * (share > 0) * share.sum() / (share * grown).sum(),
        rtol=1e-5,
    )
    alone = softmax_weight(advantage[:4], 0.5, jnp.ones(4))
    np.testing.assert_allclose(
        alone, 4 * np.asarray(jax.nn.softmax(advantage[:4] / 0.5)), rtol=1e-5
    )
    # Without any sample that counts, and with any number, there is no NaN.
    assert np.isfinite(softmax_weight(advantage * 1e6, 1e-3, jnp.zeros(5))).all()
    assert np.isfinite(softmax_weight(advantage * 1e6, 1e-3, jnp.ones(5))).all()


@pytest.mark.parametrize("weigh", [
    lambda a: exponential_weight(a, 1.0, 1e3), binary_weight,
    lambda a: softmax_weight(a, 1.0, jnp.ones_like(a)),
])  # fmt: skip
def test_no_gradient_passes_weights(weigh):
    slope = jax.grad(lambda a: (weigh(a) * jnp.arange(5.0)).sum())(jnp.asarray(ADVANTAGE))
    np.testing.assert_array_equal(slope, 0)


def test_losses_are_weighted_densities_and_errors():
    rng = np.random.default_rng(0)
    raw, free = rng.normal(size=(4, 2)), np.array([-0.5, 7.0])  # beyond the largest deviation
    action, weight = rng.uniform(-0.9, 0.9, (4, 2)), np.array([1.0, 0.0, 2.0, 0.5])
    batch = batch_of(action)
    policy = bounded_family(BOX).distribution(jnp.asarray(raw), jnp.asarray(free))
    log_std, away = np.array([-0.5, 2.0]), action - np.tanh(raw)
    density = -0.5 * (away / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    found = cloning_loss(policy, batch, jnp.asarray(weight))
    np.testing.assert_allclose(found, -weight * density.sum(-1), rtol=1e-4, atol=1e-6)
    found = cloning_loss(policy, batch, jnp.asarray(weight), "squared-error")
    np.testing.assert_allclose(found, weight * (away**2).mean(-1), rtol=1e-4, atol=1e-6)
    logits = jnp.asarray(rng.normal(size=(4, 3)))
    found = cloning_loss(categorical(logits), batch_of(np.array([2, 0, 1, 1])))
    table = np.asarray(jax.nn.log_softmax(logits))
    np.testing.assert_allclose(found, -table[np.arange(4), [2, 0, 1, 1]], rtol=1e-5)


def test_actions_at_their_bounds_have_a_gradient():
    """The density of a squashed policy is infinite there."""
    batch = batch_of(np.array([[1.0, -1.0], [-1.0, 1.0]]))
    loss = lambda mean: cloning_loss(tanh_gaussian(mean, jnp.zeros((2, 2))), batch).mean()
    value, slope = jax.value_and_grad(loss)(jnp.zeros((2, 2)))
    assert np.isfinite(value) and np.isfinite(slope).all() and (slope != 0).all()


def test_samples_are_within_bounds_and_kinds_are_named():
    spec = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), BOX)
    policy = policy_network(spec)
    params = policy.init(jax.random.key(0)) | {"free": jnp.full(2, 1.0)}
    found = policy.sample(params, jnp.ones((500, 3)), jax.random.key(1))
    assert found.shape == (500, 2) and abs(found).max() == 1.0
    with pytest.raises(InputError, match=r"There is no policy called 'gausian'"):
        policy_network(spec, "gausian")
    discrete = policy_network(spec._replace(action=Discrete(4)))
    found = discrete.sample(discrete.init(jax.random.key(0)), jnp.ones((9, 3)), jax.random.key(1))
    assert found.shape == (9,) and found.dtype == jnp.int32


def test_demonstrations_add_their_loss_to_that_of_a_policy():
    """Two steps in one buffer, of which the second has no weight: by hand, and within PPO."""
    data = batch_of(jnp.array([1, 0]))._replace(weight=jnp.array([1.0, 0.0]))
    data = jax.tree.map(lambda x: x[:, None], data)
    term = demonstrated(buffers.init(data, 2), 0.5, 4000)
    logits = np.log([0.2, 0.8])
    policy = lambda params, obs: categorical(jnp.broadcast_to(params, (len(obs), 2)))
    found = term(policy, jnp.asarray(logits, jnp.float32), jax.random.key(0))
    np.testing.assert_allclose(found, 0.5 * 0.5 * -np.log(0.8), rtol=0.1)  # half of the samples

    env, seen = envs.make("chain"), []
    hp = ppo.Hyperparameters(num_envs=2, rollout_length=4, minibatches=2, epochs=1, hidden=(3,))

    def auxiliary(policy, params, key):
        seen.append(policy(params, jnp.eye(10)[:5]).logits.shape)
        return 1e6 * jnp.square(params["network"]["params"]["Dense_0"]["bias"] - 1.0).sum()

    setup = assemble(partial(ppo.ppo, auxiliary=auxiliary), env, hp)
    run, _ = jax.jit(lambda key: setup.experiment.step(setup.experiment.init(key)))(
        jax.random.key(0)
    )
    assert seen and set(seen) == {(5, 2)}
    bias = run.learner.inner.params["network"]["params"]["Dense_0"]["bias"]
    assert (bias > 0).all()  # it moved towards 1
    with pytest.raises(InputError, match="An auxiliary loss is of single observations"):
        recurrent = hp.replace(memory="gru", sequence_length=2, minibatches=1)
        assemble(partial(ppo.ppo, auxiliary=auxiliary), env, recurrent)
