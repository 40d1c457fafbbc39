"""Planning with bonuses, beside loops in numpy and every policy of small processes."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import dp, optimism
from tests.jaxrl.dp.cases import random_arrays

S, A, H, N = 4, 2, 3, 60
SCALE = 0.3


def data(seed):
    """N steps of random pairs; pair (0, 0) was never tried, and some steps end the episode."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(S, 0.5), (S, A))
    s, a = rng.integers(S, size=N), rng.integers(A, size=N)
    a[s == 0] = 1
    following = np.array([rng.choice(S, p=p[i, j]) for i, j in zip(s, a)])
    reward, kept = rng.random(N) * (s + a) / (S + A), 1.0 * (rng.random(N) < 0.8)
    weight = 1.0 * (np.arange(N) < N - 5)
    return s, a, reward, kept, following, weight


def by_counting(steps, policy, width, sign):
    """Tables [H, S, A] of bounds, pair by pair."""
    s, a, reward, kept, following, weight = steps
    value, tables = np.zeros(S), []
    for h in reversed(range(H)):
        q = np.zeros((S, A))
        for i, j in itertools.product(range(S), range(A)):
            mine = (s == i) & (a == j) & (weight > 0)
            if not mine.any():
                q[i, j] = H - h if sign > 0 else 0
                continue
            future = kept[mine] * value[following[mine]]
            b = width(mine.sum(), reward[mine], future)
            bound = reward[mine].mean() + future.mean() + sign * b
            q[i, j] = min(bound, H - h) if sign > 0 else max(bound, 0)
        tables.append(q)
        value = q.max(-1) if policy is None else (policy[h] * q).sum(-1)
    return np.stack(tables[::-1])


def by_hoeffding(n, reward, future):
    return SCALE / np.sqrt(n)


def by_bernstein(n, reward, future):
    return SCALE * (future.std() + reward.std()) * np.sqrt(2 / n) + SCALE**2 * H / n


def nothing(n, reward, future):
    return 0.0


@jax.jit
@jax.vmap
def planned(steps, policy):
    counts = optimism.counted(optimism.no_counts(S, A), steps)
    first, second = optimism.hoeffding(SCALE), optimism.bernstein(SCALE, H)
    return (
        optimism.optimistic(counts, first, H),
        optimism.optimistic(counts, second, H, policy),
        optimism.pessimistic(counts, second, H),
        optimism.pessimistic(counts, first, H, policy),
        optimism.certain(counts, H),
    )


def test_bounds_are_those_of_counting_pair_by_pair():
    rng = np.random.default_rng(0)
    every = [data(seed) for seed in range(6)]
    policies = rng.dirichlet(np.ones(A), (6, H, S))
    steps = optimism.Steps(*(jnp.asarray(np.stack(x)) for x in zip(*every)))
    found = planned(steps, jnp.asarray(policies, jnp.float32))
    for i, steps in enumerate(every):
        expected = (
            by_counting(steps, None, by_hoeffding, 1),
            # The policy of the next time mixes the values of this one.
            by_counting(steps, policies[i], by_bernstein, 1),
            by_counting(steps, None, by_bernstein, -1),
            by_counting(steps, policies[i], by_hoeffding, -1),
            by_counting(steps, None, nothing, -1),
        )
        for mine, oracle in zip(found, expected):
            np.testing.assert_allclose(mine[i], oracle, atol=2e-5)


def test_a_policy_that_depends_on_the_time_has_the_value_of_its_paths():
    """And the best of all deterministic ones has the value of the planner."""
    p, r, d, initial = random_arrays(3, states=3, actions=2, end=0.3)
    mdp = dp.from_arrays(p, r, d, initial)
    acts = np.array(list(itertools.product(range(2), repeat=3 * 3))).reshape(-1, 3, 3)
    evaluate = jax.jit(jax.vmap(lambda a: optimism.episode_return(mdp, jax.nn.one_hot(a, 2))))
    found = np.asarray(evaluate(jnp.asarray(acts)))
    for act, value in list(zip(acts, found))[::37]:
        total, reached = 0.0, initial
        for h in range(3):
            rows = np.arange(3), act[h]
            total += reached @ (p[rows] * r[rows]).sum(-1)
            reached = reached @ (p[rows] * d[rows])
        np.testing.assert_allclose(value, total, atol=1e-5)
    best = jax.jit(optimism.best_return, static_argnums=1)(mdp, 3)
    np.testing.assert_allclose(best, found.max(), atol=1e-5)
