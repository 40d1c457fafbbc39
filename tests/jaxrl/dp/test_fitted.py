"""Sampled backups of random play against exact ones."""

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
    start = GRID._replace(initial=np.float32([1 / 8] * 8 + [0.0]))  # see every state often

    @jax.jit
    def run(key):
        suffixes = fitted.random_suffixes(from_mdp(start), lambda t, obs: 0, 0, 80, 12_000, key)
        exact = [policy_evaluation(MDP, jnp.full((9, 4), 0.25), GAMMA).theta]
        model = discounted(averaged(MDP), GAMMA)
        for _ in range(3):
            exact.append(optimal_backups(model, jnp.stack([exact[-1]] * 2))[0])
        return fitted.fitted_backups(learner, suffixes, 4, GAMMA), exact

    learnt, exact = jax.tree.map(np.asarray, run(KEY))
    for k, q in enumerate(exact):
        # The goal itself is never acted in: it is worth what it is read as, 0 by its discount.
        np.testing.assert_allclose(learnt[k][:8], q[:8], atol=0.12)
        if k:
            assert np.abs(learnt[k][:8] - learnt[k - 1][:8]).max() > 0.2  # another Q would be seen


def test_suffixes_begin_at_the_switch_and_end_with_the_episode():
    mdp = mdps.chain(5)
    act = lambda t, obs: jnp.int32(1)  # to the right, and to the end in four steps
    draw = lambda switch, key: fitted.random_suffixes(from_mdp(mdp), act, switch, 12, 200, key)
    program = jax.jit(lambda switch: draw(switch, jax.random.key(switch)))
    for switch in (0, 2, 4):
        out = jax.tree.map(np.asarray, program(switch))
        weight, state = out.weight, out.obs.argmax(-1)
        assert (weight[:switch] == 0).all()
        np.testing.assert_array_equal(state[min(switch, 3)], min(switch, 3))
        over = np.cumsum(out.discount == 0, 0) - (out.discount == 0) > 0
        expected = (np.arange(12)[:, None] >= switch) & ~over
        np.testing.assert_array_equal(weight > 0, expected)
        free = out.action[expected]
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
    horizon, grid = 8, mdps.gridworld(2, 3, 0.1)
    mdp = TabularMDP(*grid)

    @jax.jit
    def run(key):
        q = fitted.sqirl(from_mdp(grid), fitted.table(6, 4), horizon, depth, 2000, key)
        return effective_horizon(mdp, horizon), q

    effective, q = jax.tree.map(np.asarray, run(jax.random.key(1)))
    assert effective.k <= depth
    assert value_of(q.argmax(-1), mdp, horizon) > effective.optimal - 0.05


def test_sqirl_vmaps_over_keys_and_discounts():
    chain = mdps.chain(4)

    @jax.jit
    def run(gamma):
        env = from_mdp(chain)
        learn = lambda key, gamma: fitted.sqirl(env, fitted.table(4, 2), 5, 2, 32, key, gamma)
        keys = jax.random.split(KEY, 3)
        return jax.vmap(learn, (0, None))(keys, gamma)[1], learn(keys[1], gamma)

    np.testing.assert_allclose(*run(0.9), atol=1e-5)


def test_deterministic_processes_are_learnt_exactly():
    """One action, ties, zero rewards, absorbing states and terminations, from one episode each."""
    to = np.array([1, 2, 2, 3])  # state 2 is absorbing, and state 3 unreachable
    p, d = np.eye(4)[to][:, None], np.ones((4, 1, 4))

    @jax.jit
    def run(mdp):
        suffixes = fitted.random_suffixes(from_mdp(mdp), lambda t, obs: 0, 0, 40, 1, KEY)
        learnt = fitted.fitted_backups(fitted.table(4, 1), suffixes, 2, 0.5)[:, :2, 0]
        return learnt[0], policy_evaluation(mdp, jnp.ones((4, 1)), 0.5, tolerance=1e-7).theta[:2, 0]

    for reward, end in (([1.0, 1, 0.5, 9], 1.0), ([0.0, 0, 0, 0], 1.0), ([1.0, 2, 3, 4], 0.0)):
        d[1, 0, 2] = end
        mdp = from_arrays(p, np.array(reward)[:, None], d, np.eye(4)[0])
        np.testing.assert_allclose(*run(mdp), atol=1e-4)


def test_bad_input_is_refused():
    draw = lambda: fitted.random_suffixes(from_mdp(GRID), lambda t, obs: 0, 0, 3, 2, KEY)
    suffixes = jax.eval_shape(draw)
    with pytest.raises(ValueError, match="depth must be above zero"):
        fitted.fitted_backups(fitted.table(9, 4), suffixes, 0)
