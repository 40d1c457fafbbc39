"""Sampled backups of random play against exact ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import mdps
from envs.tabular import from_mdp
from jaxrl.dp import fitted
from jaxrl.dp.horizon import effective_horizon, optimal_backups
from jaxrl.dp.mdp import TabularMDP, averaged, discounted, from_arrays
from jaxrl.dp.scalar import policy_evaluation

GAMMA = 0.9
GRID = mdps.gridworld(3, 3, 0.1)
MDP = TabularMDP(*GRID)
KEY = jax.random.key(0)


def test_fitted_backups_are_the_exact_ones():
    learner = fitted.table(9, 4)
    start = GRID._replace(initial=jnp.full(9, 1 / 8).at[8].set(0.0))  # see every state often
    env = from_mdp(start)
    learn = lambda key: fitted.fitted_backups(
        learner, fitted.random_suffixes(env, lambda t, obs: 0, 0, 80, 12_000, key), 4, GAMMA
    )
    learnt = np.asarray(jax.jit(learn)(jax.random.key(0)))
    q = policy_evaluation(MDP, jnp.full((9, 4), 0.25), GAMMA).theta
    model = discounted(averaged(MDP), GAMMA)
    for k in range(4):
        # The goal itself is never acted in: it is worth what it is read as, 0 by its discount.
        np.testing.assert_allclose(learnt[k][:8], q[:8], atol=0.12)
        if k:
            assert np.abs(learnt[k][:8] - learnt[k - 1][:8]).max() > 0.2  # another Q would be seen
        q = optimal_backups(model, jnp.stack([q, q]))[0]


def test_suffixes_begin_at_the_switch_and_end_with_the_episode():
    env = from_mdp(mdps.chain(5))
    act = lambda t, obs: jnp.int32(1)  # to the right, and to the end in four steps
    for switch in (0, 2, 4):
        out = fitted.random_suffixes(env, act, switch, 12, 200, jax.random.key(switch))
        weight, state = np.asarray(out.weight), np.asarray(out.obs.argmax(-1))
        assert (weight[:switch] == 0).all()
        np.testing.assert_array_equal(state[min(switch, 3)], min(switch, 3))
        over = np.cumsum(np.asarray(out.discount) == 0, 0) - (np.asarray(out.discount) == 0) > 0
        expected = (np.arange(12)[:, None] >= switch) & ~over
        np.testing.assert_array_equal(weight > 0, expected)
        free = np.asarray(out.action)[expected]
        if free.size:
            assert abs(free.mean() - 0.5) < 0.1  # at random once it is free


def value_of(policy, mdp, horizon):
    """The return in numpy of acting by policy [horizon, S]."""
    p, r, d, initial = (np.asarray(x, np.float64) for x in mdp[:4])
    v = np.zeros(len(initial))
    for t in reversed(range(horizon)):
        rows = np.arange(len(initial)), policy[t]
        v = (p * (r + d * v)).sum(-1)[rows]
    return initial @ v


@pytest.mark.parametrize("depth", [1, 2])
def test_sqirl_solves_what_its_depth_can(depth):
    horizon, env = 8, from_mdp(mdps.gridworld(2, 3, 0.1))
    mdp = TabularMDP(*mdps.gridworld(2, 3, 0.1))
    assert int(effective_horizon(mdp, horizon).k) <= depth
    learn = partial(fitted.sqirl, env, fitted.table(6, 4), horizon, depth, 2000)
    q = np.asarray(jax.jit(learn)(jax.random.key(1)))
    best = float(effective_horizon(mdp, horizon).optimal)
    assert value_of(q.argmax(-1), mdp, horizon) > best - 0.05


def test_sqirl_vmaps_over_keys_and_discounts():
    env = from_mdp(mdps.chain(4))
    learn = lambda key, gamma: fitted.sqirl(env, fitted.table(4, 2), 5, 2, 32, key, gamma)
    keys = jax.random.split(jax.random.key(0), 3)
    out = jax.jit(jax.vmap(learn, (0, None)))(keys, 0.9)
    np.testing.assert_allclose(out[1], learn(keys[1], 0.9), atol=1e-5)


def test_deterministic_processes_are_learnt_exactly():
    """One action, ties, zero rewards, absorbing states and terminations, from one episode each."""
    to = np.array([1, 2, 2, 3])  # state 2 is absorbing, and state 3 unreachable
    p, d = np.eye(4)[to][:, None], np.ones((4, 1, 4))
    for reward, end in (([1.0, 1, 0.5, 9], 1.0), ([0.0, 0, 0, 0], 1.0), ([1.0, 2, 3, 4], 0.0)):
        d[1, 0, 2] = end
        mdp = from_arrays(p, np.array(reward)[:, None], d, np.eye(4)[0])
        suffixes = fitted.random_suffixes(from_mdp(mdp), lambda t, obs: 0, 0, 40, 1, KEY)
        learnt = fitted.fitted_backups(fitted.table(4, 1), suffixes, 2, 0.5)[:, :2, 0]
        exact = policy_evaluation(mdp, jnp.ones((4, 1)), 0.5, 1e-7).theta[:2, 0]
        np.testing.assert_allclose(learnt[0], exact, atol=1e-4)


def test_bad_input_is_refused():
    suffixes = fitted.random_suffixes(from_mdp(GRID), lambda t, obs: 0, 0, 3, 2, jax.random.key(0))
    with pytest.raises(ValueError, match="depth must be above zero"):
        fitted.fitted_backups(fitted.table(9, 4), suffixes, 0)
