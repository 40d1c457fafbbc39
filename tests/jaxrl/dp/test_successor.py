"""Successor representations and occupancies against linear systems and linear programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from envs import mdps
from jaxrl.dp.mdp import TabularMDP, sparse, stacked
from jaxrl.dp.scalar import value_iteration
from jaxrl.dp.successor import (
    generalised_policy_improvement,
    occupancy,
    occupancy_by_iteration,
    policy_kernel,
    projection_error,
    proto_value_functions,
    successor_basis,
    successor_features,
    successor_representation,
)

GAMMA, S, A = 0.9, 9, 3
DENSE = TabularMDP(*mdps.garnet(S, A, 4, end=0.1, seed=2))
BOTH = [DENSE, sparse(DENSE)]
rng = np.random.default_rng(0)
POLICY = rng.dirichlet(np.ones(A), size=S)
P, R, D, START = (np.asarray(x, np.float64) for x in DENSE[:4])
KERNEL = np.einsum("sa,sab->sb", POLICY, GAMMA * P * D)
VISITS = np.linalg.inv(np.eye(S) - KERNEL)
REWARD = (P * R).sum(-1)
PI = jnp.asarray(POLICY, jnp.float32)


def action_values(policy, reward):
    v = np.linalg.solve(
        np.eye(S) - np.einsum("sa,sab->sb", policy, GAMMA * P * D), (policy * reward).sum(-1)
    )
    return reward + (GAMMA * P * D) @ v


@pytest.mark.parametrize("mdp", BOTH)
def test_successor_representation(mdp):
    np.testing.assert_allclose(policy_kernel(mdp, PI, GAMMA), KERNEL, atol=1e-6)
    out = jax.jit(successor_representation)(mdp, PI, GAMMA)
    np.testing.assert_allclose(out, VISITS, atol=1e-4)
    # Forgetting that episodes end would be seen.
    endless = successor_representation(
        mdp._replace(discount=jnp.ones_like(mdp.discount)), PI, GAMMA
    )
    assert np.abs(np.asarray(endless) - VISITS).max() > 0.1


@pytest.mark.parametrize("mdp", BOTH)
def test_successor_features(mdp):
    identity = jnp.broadcast_to(jnp.eye(S)[:, None], (S, A, S))
    out = jax.jit(successor_features)(mdp, PI, identity, GAMMA, tolerance=1e-6)
    pairs = np.eye(S)[:, None] + (GAMMA * P * D) @ VISITS
    np.testing.assert_allclose(out.theta, pairs, atol=1e-4)
    # Features of rewards are action values.
    features = rng.normal(size=(S, A, 2))
    out = successor_features(mdp, PI, jnp.asarray(features, jnp.float32), GAMMA, tolerance=1e-6)
    for w in ([1.0, 0.0], [0.3, -2.0]):
        q = action_values(POLICY, features @ w)
        np.testing.assert_allclose(out.theta @ jnp.asarray(w), q, atol=1e-3)


def test_generalised_policy_improvement():
    # Each policy is good at a task of its own; on a new one theirs together is no worse than any.
    for seed in range(5):
        r = np.random.default_rng(seed)
        policies = [np.eye(A)[r.integers(A, size=S)] for _ in range(3)]
        q = np.stack([action_values(policy, REWARD) for policy in policies])
        for noise in (0.0, 0.2):
            seen = q + r.uniform(-noise, noise, q.shape)
            action = np.asarray(generalised_policy_improvement(jnp.asarray(seen)))
            improved = action_values(np.eye(A)[action], REWARD)
            allowed = 2 * noise / (1 - GAMMA)
            assert (improved >= q.max(0) - allowed - 1e-5).all()
        # That the best of the policies' own actions would do as well is not so.
    assert np.abs(improved - q.max(0)).max() > 1e-3


@pytest.mark.parametrize("mdp", BOTH)
def test_occupancy(mdp):
    expected = (START @ VISITS)[:, None] * POLICY
    np.testing.assert_allclose(jax.jit(occupancy)(mdp, PI, GAMMA), expected, atol=1e-5)
    out = jax.jit(occupancy_by_iteration)(mdp, PI, GAMMA)
    np.testing.assert_allclose(out.theta, expected, atol=1e-5)
    value = START @ (POLICY * action_values(POLICY, REWARD)).sum(-1)
    np.testing.assert_allclose((expected * REWARD).sum(), value, rtol=1e-6)
    endless = mdp._replace(discount=jnp.ones_like(mdp.discount))
    np.testing.assert_allclose(occupancy(endless, PI, GAMMA).sum(), 1 / (1 - GAMMA), rtol=1e-4)


def test_linear_programs_agree_with_value_iteration():
    # Primal: the least V with V >= r + K V for every pair. Dual: the best occupancy.
    flow = np.repeat(np.eye(S), A, 0) - (GAMMA * P * D).reshape(S * A, S)
    primal = linprog(START, A_ub=-flow, b_ub=-REWARD.ravel(), bounds=(None, None))
    dual = linprog(-REWARD.ravel(), A_eq=flow.T, b_eq=START, bounds=(0, None))
    for mdp in BOTH:
        q = np.asarray(value_iteration(mdp, GAMMA, tolerance=1e-6).theta)
        np.testing.assert_allclose(q.max(-1), primal.x, atol=1e-4)
        np.testing.assert_allclose(START @ q.max(-1), -dual.fun, atol=1e-4)
        best = jax.nn.one_hot(q.argmax(-1), A)
        np.testing.assert_allclose(occupancy(mdp, best, GAMMA).ravel(), dual.x, atol=1e-4)


def test_vmapped_over_processes_and_discounts():
    batch = [TabularMDP(*mdps.garnet(5, 2, 2, seed=i)) for i in range(3)]
    policy, gammas = jnp.full((5, 2), 0.5), jnp.asarray([0.5, 0.9])
    features = jnp.broadcast_to(jnp.eye(5)[:, None], (5, 2, 5))

    def both(mdp, gamma):
        kernel = policy_kernel(mdp, policy, gamma)
        psi = successor_features(mdp, policy, features, gamma, tolerance=1e-6).theta.mean(1)
        visits = occupancy_by_iteration(mdp, policy, gamma).theta - occupancy(mdp, policy, gamma)
        return psi - kernel @ psi, visits

    identity, none = jax.jit(jax.vmap(jax.vmap(both, (None, 0)), (0, None)))(stacked(batch), gammas)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(5), identity.shape), atol=1e-4)
    np.testing.assert_allclose(none, 0.0, atol=1e-4)


def ring(states):
    """A walk on a ring that never ends."""
    p = np.zeros((states, 2, states))
    for s in range(states):
        p[s, 0, (s - 1) % states] = p[s, 1, (s + 1) % states] = 1.0
    zero = np.zeros_like(p)
    arrays = (jnp.asarray(x) for x in (p, zero, zero + 1, np.full(states, 1 / states)))
    return TabularMDP(*arrays)


def test_proto_value_functions_of_a_ring_are_waves():
    vectors, eigenvalues = proto_value_functions(ring(12), jnp.full((12, 2), 0.5), 5)
    expected = [0.0] + [1 - np.cos(2 * np.pi * k / 12) for k in (1, 1, 2, 2)]
    np.testing.assert_allclose(eigenvalues, expected, atol=1e-5)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(5), atol=1e-5)
    waves = np.stack(
        [f(2 * np.pi * k * np.arange(12) / 12) for k in (1, 2) for f in (np.cos, np.sin)], 1
    )
    np.testing.assert_allclose(projection_error(vectors, jnp.asarray(waves)), 0.0, atol=1e-5)


def test_columns_that_depend_on_others_explain_nothing_more():
    basis, targets = rng.normal(size=(9, 2)), rng.normal(size=(9, 5))
    alone = np.linalg.lstsq(basis, targets, rcond=None)[0]
    exact = np.linalg.norm(targets - basis @ alone) / np.linalg.norm(targets)
    for more in (basis, 0 * basis[:, :1], basis[:, :1] + basis[:, 1:]):
        wide = jnp.asarray(np.hstack([basis, more]), jnp.float32)
        np.testing.assert_allclose(projection_error(wide, jnp.asarray(targets)), exact, atol=1e-5)
    assert projection_error(jnp.zeros((9, 2)), jnp.asarray(targets)) == 1
    assert projection_error(jnp.asarray(basis), jnp.zeros((9, 1))) == 0


def test_the_successor_basis_is_the_best_of_its_size():
    mdp = TabularMDP(*mdps.gridworld(4, 4, 0.2))
    policy = jnp.full((16, 4), 0.25)
    values = successor_representation(mdp, policy, 0.95)  # of all one-hot rewards
    spectrum = np.linalg.svd(np.asarray(values), compute_uv=False)
    basis = successor_basis(mdp, policy, 0.95, 5)
    error = float(projection_error(basis, values))
    np.testing.assert_allclose(
        error, np.linalg.norm(spectrum[5:]) / np.linalg.norm(spectrum), atol=1e-5
    )
    for seed in range(3):
        other = jax.random.normal(jax.random.key(seed), (16, 5))
        assert projection_error(other, values) > error
    assert projection_error(proto_value_functions(mdp, policy, 5)[0], values) > error
