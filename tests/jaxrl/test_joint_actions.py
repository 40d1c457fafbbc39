"""Soft values of joint actions beside their enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxrl import joint_actions
from jaxrl.dp import from_arrays, soft_value_iteration
from jaxrl.errors import InputError
from jaxrl.joint_actions import Digits
from jaxrl.types import Discrete, Spec
from tests.jaxrl.dp.cases import random_arrays

BINS, LENGTH, STATES, TEMPERATURE, GAMMA = 3, 2, 3, 0.3, 0.7
DIGITS = Digits(LENGTH, BINS)


def test_any_joint_value_is_a_sum_of_normalised_advantages():
    digits = Digits(3, 3)
    q = 5 * np.random.default_rng(0).normal(size=(4, 27))
    with jax.enable_x64(True):
        value, advantages = joint_actions.factorised(jnp.asarray(q), digits, 0.5)
        back = joint_actions.joint(value, advantages)
        value, back, *advantages = (np.asarray(x) for x in (value, back, *advantages))
        every = np.asarray(joint_actions.all_digits(digits))
    np.testing.assert_allclose(back, q, atol=1e-12)
    np.testing.assert_allclose(value, 0.5 * np.log(np.exp(q / 0.5).sum(-1)), rtol=1e-12)
    np.testing.assert_array_equal(every, list(itertools.product(range(3), repeat=3)))
    policy = np.exp(q / 0.5) / np.exp(q / 0.5).sum(-1, keepdims=True)
    for i, advantage in enumerate(advantages):
        np.testing.assert_allclose(np.exp(advantage / 0.5).sum(-1), 1, atol=1e-12)
        # A digit has its probability under the soft policy, given those before it.
        total = policy.reshape(4, 3**i, 3, -1).sum(-1)
        share = total / total.sum(-1, keepdims=True)
        np.testing.assert_allclose(np.exp(advantage / 0.5), share, rtol=1e-9)
    with pytest.raises(InputError, match="need 27 actions, not 4"):
        joint_actions.factorised(jnp.zeros(4), digits, 1.0)


def test_digits_go_from_coarse_to_fine():
    low, high = jnp.array([-1.0, 0.0]), jnp.array([1.0, 4.0])
    action = jnp.array([[-1.0, 4.0], [0.3, 1.1], [-0.9, 3.9], [7.0, -7.0]])
    digits = joint_actions.coarse_to_fine(action, low, high, levels=2, bins=2)
    # Quarters, by hand: halves of both dimensions first, then halves of these.
    by_hand = [[0, 1, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 1, 0]]
    np.testing.assert_array_equal(digits, by_hand)
    middle = joint_actions.from_digits(digits, low, high, levels=2, bins=2)
    np.testing.assert_allclose(middle, [[-0.75, 3.5], [0.25, 1.5], [-0.75, 3.5], [0.75, 0.5]])
    with pytest.raises(InputError, match="at least two bins"):
        joint_actions.coarse_to_fine(action, low, high, levels=2, bins=1)


def test_soft_temporal_differences_have_the_exact_soft_values_of_joint_actions():
    """And digits that do not see each other have not: the rewards are of pairs of digits."""
    arrays = random_arrays(5, states=STATES, actions=BINS**LENGTH, end=0.0)
    mdp = from_arrays(*arrays)
    p, r, d, _ = (jnp.asarray(x, jnp.float32) for x in arrays)
    spec = Spec(jax.ShapeDtypeStruct((STATES,), jnp.float32), Discrete(BINS**LENGTH))
    obs, every = jnp.eye(STATES), joint_actions.all_digits(DIGITS)

    def learnt(sees, key):
        q = joint_actions.joint_values(spec, DIGITS, TEMPERATURE, (16,), "tanh", sees_before=sees)
        params = q.init(key)
        rule = optax.adam(optax.exponential_decay(2e-2, 600, 0.02))

        def table(params):
            pairs = jnp.broadcast_to(obs[:, None], (STATES, len(every), STATES))
            chosen = jnp.broadcast_to(every, (STATES, *every.shape))
            value, advantage = q.outputs(params, pairs, chosen)
            return value[:, 0], value + advantage.sum(-1)

        def loss(params):
            value, joint = table(params)
            target = (p * (r + GAMMA * d * jax.lax.stop_gradient(value))).sum(-1)
            return ((joint - target) ** 2).mean()

        def step(carry, _):
            params, opt = carry
            change, opt = rule.update(jax.grad(loss)(params), opt)
            return (optax.apply_updates(params, change), opt), None

        params, _ = jax.lax.scan(step, (params, rule.init(params)), None, 600)[0]
        draws = jax.vmap(q.sample, (None, None, 0))(params, obs, jax.random.split(key, 1000))
        return table(params), draws, q.best(params, obs)

    @jax.jit
    def run(key):
        exact = soft_value_iteration(mdp, GAMMA, TEMPERATURE).theta
        return exact, learnt(True, key), learnt(False, key)

    exact, (tables, draws, best), ((_, apart), _, _) = run(jax.random.key(0))
    value, joint = tables
    assert np.abs(joint - exact).max() < 0.1
    soft = TEMPERATURE * np.log(np.exp(np.asarray(exact) / TEMPERATURE).sum(-1))
    np.testing.assert_allclose(value, soft, atol=0.1)
    assert np.abs(apart - exact).max() > 0.5
    # Samples have the probabilities of the soft policy that the table tells.
    index = np.asarray(draws) @ np.array([BINS, 1])
    share = np.stack([np.bincount(x, minlength=BINS**LENGTH) for x in index.T]) / len(index)
    policy = np.asarray(jax.nn.softmax(joint / TEMPERATURE))
    assert np.abs(share - policy).max() < 4 * 0.5 / np.sqrt(len(index)) + 0.01
    first = np.asarray(best)[:, 0]
    np.testing.assert_array_equal(first, policy.reshape(STATES, BINS, BINS).sum(-1).argmax(-1))
