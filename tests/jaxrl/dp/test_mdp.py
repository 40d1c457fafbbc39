"""The arrays of a process: dense against sparse, and maps that keep what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp
from tests.jaxrl.dp.cases import bellman, float64, random_arrays, random_mdp


def test_arrive_expect_and_contract_agree_dense_and_sparse():
    dense = random_mdp()
    sparse = dp.sparse(dense)
    assert sparse.transition.shape[-1] < dense.transition.shape[-1]
    x = np.random.default_rng(1).normal(size=(7, 4)).astype(np.float32)
    exact = np.einsum("sat,tn->san", float64(dense)[0], x)
    np.testing.assert_allclose(dp.expect(dense, jnp.asarray(x)), exact, atol=1e-6)
    np.testing.assert_allclose(dp.expect(sparse, jnp.asarray(x)), exact, atol=1e-6)
    np.testing.assert_allclose(dp.expect(sparse, jnp.asarray(x[:, 0])), exact[..., 0], atol=1e-6)
    assert dp.arrive(sparse, jnp.asarray(x)).shape == (*sparse.transition.shape, 4)
    back = dp.dense(sparse)
    np.testing.assert_allclose(back.transition, dense.transition, atol=1e-6)
    seen = np.asarray(dense.transition) > 0
    for mine, theirs in zip(back[1:3], dense[1:3]):
        np.testing.assert_allclose(np.asarray(mine)[seen], np.asarray(theirs)[seen], atol=1e-5)


@pytest.mark.parametrize("form", [lambda mdp: mdp, dp.sparse])
def test_averaged_processes_have_the_same_backups(form):
    mdp = form(random_mdp(end=0.4))
    arrays = float64(dp.dense(mdp))
    policy = np.random.default_rng(2).dirichlet(np.ones(3), 7)
    value = np.random.default_rng(3).normal(size=7)
    q = bellman(*arrays, 0.9, value)
    model = dp.discounted(dp.averaged(mdp), 0.9)
    np.testing.assert_allclose(model.transition.sum(-1), 1, atol=1e-6)
    mine = model.reward[..., 0] + model.discount[..., 0] * dp.expect(model, jnp.asarray(value))
    np.testing.assert_allclose(mine, q, atol=1e-5)
    model = dp.discounted(dp.averaged_under(mdp, jnp.asarray(policy)), 0.9)
    mine = model.reward[..., 0] + model.discount[..., 0] * dp.expect(model, jnp.asarray(value))
    np.testing.assert_allclose(mine[:, 0], (policy * q).sum(-1), atol=1e-5)
    action = policy.argmax(-1)
    model = dp.discounted(dp.averaged(dp.chosen(mdp, jnp.asarray(action))), 0.9)
    mine = model.reward[..., 0] + model.discount[..., 0] * dp.expect(model, jnp.asarray(value))
    np.testing.assert_allclose(mine[:, 0], q[np.arange(7), action], atol=1e-5)


def test_averaging_where_every_successor_ends_the_episode():
    p, r, d, initial = random_arrays()
    mdp = dp.averaged(dp.from_arrays(p, r, 0 * d, initial))
    np.testing.assert_allclose(mdp.transition, p, atol=1e-6)
    assert (mdp.discount == 0).all()


def test_a_process_under_a_policy_keeps_whole_distributions():
    mdp = random_mdp()
    policy = jnp.asarray(np.random.default_rng(2).dirichlet(np.ones(3), 7), jnp.float32)
    process = dp.under(mdp, policy)
    assert process.transition.shape == (7, 1, 21)
    square = (process.transition * process.reward**2).sum((1, 2))
    exact = np.einsum("sa,sat,sat->s", policy, mdp.transition, mdp.reward**2)
    np.testing.assert_allclose(square, exact, rtol=1e-5)


def test_the_arrays_may_be_batched():
    mdps = dp.stacked(random_mdp(s) for s in range(3))
    x = jnp.ones((3, 7))
    np.testing.assert_allclose(jax.vmap(dp.expect)(mdps, x), 1, atol=1e-6)


def test_bad_arrays():
    p, r, d, initial = random_arrays()
    with pytest.raises(ValueError, match=r"successors \[S, A, B\]"):
        dp.from_arrays(p, r, d, initial, np.zeros((7, 3, 2), int))
    with pytest.raises(ValueError, match="states, 0 to 6"):
        dp.from_arrays(p, r, d, initial, np.full(p.shape, 7))
    with pytest.raises(ValueError, match="at least one state and one action"):
        dp.from_arrays(p[:, :0], r[:, :0], d[:, :0], initial)
    with pytest.raises(ValueError, match="rewards of an MDP must be finite"):
        dp.from_arrays(p, np.where(r > 1, np.nan, r), d, initial)
    with pytest.raises(ValueError, match="discounts of an MDP must lie between 0"):
        dp.from_arrays(p, r, 2 * d, initial)
    for gamma in (-0.1, 1.5):
        with pytest.raises(ValueError, match="gamma must lie between 0 and 1"):
            dp.value_iteration(random_mdp(), gamma)
    with pytest.raises(ValueError, match="horizon must be above zero"):
        dp.finite_horizon(random_mdp(), 0)
    with pytest.raises(ValueError, match="temperature must be above zero"):
        dp.soft_value_iteration(random_mdp(), 0.9, 0.0)
    with pytest.raises(ValueError, match="sparse already"):
        dp.sparse(dp.sparse(random_mdp()))
