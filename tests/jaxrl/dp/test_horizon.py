"""The effective horizon against numbers of another program, and against brute force in numpy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from envs import mdps
from jaxrl.dp.horizon import effective_horizon
from jaxrl.dp.mdp import TabularMDP, sparse, stacked

diagnose = jax.jit(effective_horizon, static_argnums=(1, 2))


def brute_force(mdp, horizon, depth, gamma=1.0):
    """Returns of the greedy policies of Q_1, ..., Q_depth, and the optimal return."""
    p, r, d, initial = (np.asarray(x, np.float64) for x in mdp[:4])

    def back(value):
        return (p * (r + gamma * d * value)).sum(-1)

    def run(choose):
        value, tables = np.zeros(len(initial)), []
        for t in reversed(range(horizon)):
            q = back(value)
            tables.append(q)
            value = choose(t, q)
        return initial @ value, tables[::-1]

    best, _ = run(lambda t, q: q.max(-1))
    _, tables = run(lambda t, q: q.mean(-1))
    returns = []
    for _ in range(depth):

        def worst(t, q, tables=tables):
            ties = tables[t] >= tables[t].max(-1, keepdims=True) - 1e-9
            return np.where(ties, q, np.inf).min(-1)

        returns.append(run(worst)[0])
        tables = [back(q.max(-1)) for q in tables[1:]] + [back(0 * initial)]
    return returns, best


def test_frozen_lake():
    out = diagnose(TabularMDP(*mdps.frozen_lake()), 100, 12)
    np.testing.assert_allclose(out.optimal, 0.744, atol=5e-4)
    np.testing.assert_allclose(out.random, 0.014, atol=5e-4)
    known = {1: 0.730, 2: 0.511, 3: 0.511, 5: 0.447, 8: 0.711, 12: 0.730}
    for k, value in known.items():
        np.testing.assert_allclose(out.returns[k - 1], value, atol=6e-4)
    assert int(out.k) == 13  # not within the 12 that were tried
    easy = diagnose(TabularMDP(*mdps.frozen_lake(is_slippery=False)), 100, 4)
    assert int(easy.k) == 1 and float(easy.optimal) == 1.0


def test_against_brute_force():
    for seed in range(3):
        mdp = TabularMDP(*mdps.garnet(6, 3, 2, end=0.1, seed=seed))
        returns, best = brute_force(mdp, 8, 8, 0.9)
        for process in (mdp, sparse(mdp)):
            out = diagnose(process, 8, 8, 0.9, tolerance=1e-6)
            np.testing.assert_allclose(out.returns, returns, atol=1e-4)
            np.testing.assert_allclose(out.optimal, best, atol=1e-4)
        solves = np.asarray(returns) >= best - 1e-5
        assert int(out.k) == 1 + solves.argmax()


def test_backups_as_deep_as_the_episode_solve_everything():
    # A trap at one end: random play prefers it, and looking ahead to the other end does not.
    mdp = TabularMDP(*mdps.chain(6))
    mdp = mdp._replace(reward=mdp.reward.at[0, 0, 0].set(0.1))
    out = diagnose(mdp, 9, None)
    assert 1 < int(out.k) <= 9
    np.testing.assert_allclose(out.returns[-1], out.optimal, rtol=1e-6)


def test_every_greedy_policy_must_be_optimal():
    # Action 1 costs 1 if its successor acts well, and random play cannot tell them apart.
    p, r, d = np.zeros((3, 2, 3)), np.zeros((3, 2, 3)), np.ones((3, 2, 3))
    p[0, 0, 1] = p[0, 1, 2] = p[1, :, 1] = p[2, :, 2] = 1.0
    r[1, 0], r[1, 1] = 1.0, 1.0  # surely 1
    r[2, 0], r[2, 1] = 2.0, 0.0  # 1 on average, 2 at best
    d[1:] = 0.0
    for swap in (False, True):
        order = [1, 0] if swap else [0, 1]
        mdp = TabularMDP(*(jnp.asarray(x[:, order]) for x in (p, r, d)), jnp.asarray([1.0, 0, 0]))
        out = diagnose(mdp, 2, 2)
        assert int(out.k) == 2  # also where argmax happens to choose well
        np.testing.assert_allclose(out.returns, [1.0, 2.0])


def test_vmapped_over_processes_and_discounts():
    batch = [TabularMDP(*mdps.garnet(5, 2, 2, seed=i)) for i in range(3)]
    fn = functools.partial(effective_horizon, horizon=5, depth=5)
    gammas = jnp.asarray([0.9, 1.0])
    each = jax.vmap(lambda m: jax.vmap(lambda g: fn(m, gamma=g))(gammas))
    out = jax.jit(each)(stacked(batch))
    assert out.k.shape == (3, 2)
    np.testing.assert_allclose(out.returns[2, 0], diagnose(batch[2], 5, 5, 0.9).returns, atol=1e-5)
