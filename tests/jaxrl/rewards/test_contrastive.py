"""Policies from preferences without a reward: a soft process whose segments are enumerated."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxrl import dp
from jaxrl.rewards import (
    bradley_terry,
    deterministic_regret,
    log_likelihood,
    partial_return,
    regret,
)
from jaxrl.types import Transition
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.cases import random_arrays

S, A, GAMMA, ALPHA = 4, 2, 0.8, 0.5
P, R, D, START = random_arrays(3, S, A, end=0.0)
R = np.broadcast_to((P * R).sum(-1, keepdims=True), P.shape)  # rewards of pairs


def enumerated():
    """All segments [2, N] of two steps, and their probabilities from uniform pairs on."""
    s, a, t, b = (x.reshape(-1) for x in np.indices((S, A, S, A)))
    chance = P[s, a, t] / S / A / A
    states, actions = np.stack([s, t]), np.stack([a, b])
    eye, ones = jnp.eye(S), jnp.ones(states.shape)
    obs = eye[states]
    reward = jnp.asarray(R[states, actions, 0], jnp.float32)
    data = Transition(obs, jnp.asarray(actions), reward, ones, ones < 0, obs, (), ones)
    return data, jnp.asarray(chance, jnp.float32)


def test_the_policy_is_the_best_one_where_discounts_match_and_the_bias_is_one():
    """The optimal advantage is alpha log pi, so that labels by regret are those of the policy."""
    data, chance = enumerated()
    weight = chance[:, None] * chance

    def pick(table):
        return lambda obs, action: (obs @ table * jax.nn.one_hot(action, A)).sum(-1)

    @jax.jit
    def advantages(mdp):
        q = dp.soft_value_iteration(mdp, GAMMA, ALPHA, tolerance=1e-7).theta
        return q - ALPHA * jax.nn.logsumexp(q / ALPHA, -1, keepdims=True)

    best = advantages(dp.from_arrays(P, R, D, START))

    def loss(theta, variant):
        """Of labels by regret or by partial returns, a discount in the loss, and a bias."""
        gamma, bias, partial = variant
        scores = regret(pick(best), GAMMA)(data), partial_return(GAMMA)(data)
        truth = jnp.where(partial > 0, scores[1], scores[0])
        label = jax.nn.sigmoid(truth[:, None] - truth)
        log_prob = pick(jax.nn.log_softmax(theta))
        score = log_likelihood(log_prob, ALPHA, gamma)(data)
        each = bradley_terry(bias=bias)(score[:, None], score[None], label)
        return (weight * each).sum()

    @jax.vmap
    def fitted(variant):
        slope = jax.grad(loss)(best / ALPHA, variant)
        rule = optax.adam(optax.cosine_decay_schedule(0.1, 700))

        def step(carry, _):
            theta, opt = carry
            change, opt = rule.update(jax.grad(loss)(theta, variant), opt)
            return (theta + change, opt), None

        zero = jnp.zeros((S, A))
        theta = jax.lax.scan(step, (zero, rule.init(zero)), None, 700)[0][0]
        gap = jnp.abs(jax.nn.softmax(theta) - jax.nn.softmax(best / ALPHA))
        return jnp.abs(slope).max(), gap.sum(-1).mean() / 2

    variants = jnp.array([[GAMMA, 1, 0], [1, 1, 0], [GAMMA, 0.5, 0], [GAMMA, 1, 1]])
    slope, gap = jax.jit(fitted, compiler_options=OPTIMISED)(variants)
    assert slope[0] < 1e-5 and (slope[1:] > 1e-3).all()
    assert gap[0] < 0.005 and gap[1] > 0.01 and gap[2] > 0.05 and gap[3] > 0.05


def test_steps_of_one_reward_tell_nothing_by_their_sums_and_much_by_their_regrets():
    """A corridor of six states with its goal at the right, where each step costs one."""
    states = np.arange(6)
    to = np.clip(states[:, None] + np.array([-1, 1]), 0, 5)
    cost = -np.ones((6, 2, 6)) * (states < 5)[:, None, None]
    mdp = dp.from_arrays(np.eye(6)[to], cost, np.ones((6, 2, 6)), np.eye(6)[0])
    q = np.asarray(dp.value_iteration(mdp, 1.0, max_iterations=50).theta)
    np.testing.assert_allclose(q.max(1), states - 5.0)
    value = lambda obs: obs @ jnp.asarray(q.max(1))
    paths = [(s, a, to[s, a], b) for s in range(5) for a in range(2) for b in range(2)]
    paths = np.array([path for path in paths if path[2] < 5])
    s = paths[:, [0, 2]].T
    after = np.stack([paths[:, 2], to[paths[:, 2], paths[:, 3]]])
    ones = jnp.ones(s.shape)
    action = jnp.asarray(paths[:, [1, 3]].T)
    data = Transition(jnp.eye(6)[s], action, -ones, ones, ones < 0, jnp.eye(6)[after], (), ones)
    np.testing.assert_array_equal(partial_return()(data), -2.0)
    found = np.asarray(deterministic_regret(value)(data))
    by_hand = -2 + (after[1] - 5) - (s[0] - 5.0)
    np.testing.assert_allclose(found, by_hand, atol=1e-4)
    advantage = lambda obs, action: (obs @ (q - q.max(1, keepdims=True))
                                     * jax.nn.one_hot(action, 2)).sum(-1)  # fmt: skip
    np.testing.assert_allclose(regret(advantage)(data), found, atol=1e-4)
    np.testing.assert_array_equal(np.unique(np.round(-found)), range(5))
