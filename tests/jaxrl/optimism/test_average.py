"""The average reward: losses step by step, distributions by a linear programme, and learning."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import linprog

import envs
from jaxrl import dp, optimism

S, A, N = 4, 2, 50


def test_discrepancy_is_the_excess_of_the_loss_over_the_best_table():
    rng = np.random.default_rng(0)
    s, a, following = (rng.integers(k, size=N) for k in (S, A, S))
    reward, q, gain = rng.random(N), rng.normal(size=(S, A)), 0.4
    target = reward + q.max(-1)[following]
    loss = ((q[s, a] + gain - target) ** 2).sum()
    least = 0.0
    for i, j in itertools.product(range(S), range(A)):
        mine = target[(s == i) & (a == j)]
        least += ((mine - mine.mean()) ** 2).sum() if mine.size else 0.0
    ones = np.ones(N)
    steps = optimism.Steps(*(jnp.asarray(x) for x in (s, a, reward, ones, following, ones)))

    @jax.jit
    def found(q, gain):
        counts = optimism.counted(optimism.no_counts(S, A), steps)
        of_critic = optimism.excess_loss(counts, jnp.stack([q, q]))
        return optimism.discrepancy(counts, q, gain), of_critic

    excess, (first, last) = found(jnp.asarray(q), gain)
    np.testing.assert_allclose(excess, loss - least, rtol=1e-4)
    # The same loss, with no gain, is that of a critic at a time before the last.
    loss = ((q[s, a] - target) ** 2).sum() - least
    np.testing.assert_allclose(first, loss, rtol=1e-4)
    means = np.array([[reward[(s == i) & (a == j)].mean() for j in range(A)] for i in range(S)])
    visits = np.array([[((s == i) & (a == j)).sum() for j in range(A)] for i in range(S)])
    np.testing.assert_allclose(last, (visits * (q - means) ** 2).sum(), rtol=1e-4)


def test_the_best_distribution_nearby_is_that_of_a_linear_programme():
    rng = np.random.default_rng(1)
    p, v = rng.dirichlet(np.ones(S), 8), rng.normal(size=(8, S))
    radius = np.array([0.0, 0.1, 0.3, 0.5, 0.9, 1.3, 2.0, 3.0])
    found = jax.jit(jax.vmap(optimism.best_near))(*(jnp.asarray(x) for x in (p, radius, v)))
    for q, kernel, r, value in zip(np.asarray(found), p, radius, v):
        # Variables are q and the absolute differences from the kernel.
        eye, ones = np.eye(S), np.ones(S)
        above = np.block([[eye, -eye], [-eye, -eye], [0 * ones, ones]])
        limits = np.concatenate([kernel, -kernel, [r]])
        programme = linprog(
            np.concatenate([-value, 0 * ones]),
            A_ub=above, b_ub=limits, A_eq=[np.concatenate([ones, 0 * ones])], b_eq=[1],
        )  # fmt: skip
        np.testing.assert_allclose([q.sum(), q @ value], [1, -programme.fun], atol=1e-5)
        assert np.abs(q - kernel).sum() <= r + 1e-5


def gains(mdp):
    """The average reward of the best deterministic policy, by stationary distributions."""
    p, r = np.asarray(mdp.transition, np.float64), np.asarray(mdp.reward, np.float64)
    states, found = np.arange(len(p)), []
    for act in itertools.product(range(p.shape[1]), repeat=len(p)):
        kernel, paid = p[states, act], (p * r).sum(-1)[states, act]
        slow = np.linalg.matrix_power(0.5 * (kernel + np.eye(len(p))), 4096)
        found.append(slow[1] @ paid)
    return max(found)


def river(strength, length=5):
    """RiverSwim whose current is stronger or weaker."""
    mdp = envs.tabular_mdp("RiverSwim", length=length)
    p = np.asarray(mdp.transition, np.float64).copy()
    for s in range(1, length - 1):
        p[s, 1, s + 1], p[s, 1, s] = strength, 0.9 - strength
    return dp.from_arrays(p, *(np.asarray(x, np.float64) for x in mdp[1:4]))


def test_the_hypothesis_that_is_true_is_found_with_few_switches():
    strengths = (0.05, 0.15, 0.25, 0.35, 0.6)
    mdps = [river(x) for x in strengths]

    @jax.jit
    def run(keys):
        known = optimism.hypotheses(dp.stacked(mdps))
        learner = optimism.lazy_optimism(known, radius=20.0)
        other = optimism.ucrl2(5, 2, 0.3, sweeps=60)
        each = jax.vmap(lambda key: optimism.learn_on(learner, mdps[3], 300, 10, key))
        also = jax.vmap(lambda key: optimism.learn_on(other, mdps[3], 300, 10, key))
        return known.gain, each(keys), also(keys)

    gain, (state, rewards), (doubled, others) = run(jax.random.split(jax.random.key(0), 20))
    exact = [gains(mdp) for mdp in mdps]
    np.testing.assert_allclose(gain, exact, atol=1e-4)
    assert exact[4] > exact[3] + 0.05  # hope begins with the weaker current
    assert (np.asarray(state.switches) <= 6).all() and (np.asarray(doubled.switches) <= 60).all()
    for paid in (rewards, others):
        last = np.asarray(paid)[:, 150:].mean((1, 2))
        error = last.std() / np.sqrt(20)
        # To drift left for ever pays 0.0005.
        assert last.mean() - 4 * error > 0.5 * exact[3], last.mean()
