"""Successor measures and tasks in a table, against linear algebra in numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import dp
from jaxrl.zero_shot import (
    Others,
    drawn_tasks,
    imitated_task,
    measure_excess,
    measure_loss,
    on_sphere,
    orthonormality_loss,
    projected_task,
    regressed_task,
    value_excess,
)

GAMMA, S, A = 0.9, 3, 2
P = np.array([
    [[0.8, 0.2, 0.0], [0.1, 0.6, 0.3]],
    [[0.1, 0.6, 0.3], [0.4, 0.2, 0.4]],
    [[0.0, 0.3, 0.7], [0.5, 0.0, 0.5]],
])  # fmt: skip
MU = np.array([[0.3, 0.3], [0.05, 0.15], [0.1, 0.1]])  # the data's pairs
RHO = np.einsum("sa,sag->g", MU, P)  # and their successors


def measure(policy):
    """The visits [S, A, S] from the next step on, by the successor representation of dp."""
    shape = (S, A, S)
    mdp = dp.from_arrays(P, np.zeros((S, A)), np.ones(shape), np.ones(S) / S)
    visits = dp.successor_representation(mdp, jnp.eye(A)[policy], GAMMA)
    return P @ np.asarray(visits, np.float64)


def losses():
    """The expected losses of two independent steps, as a function of tables, by enumeration."""
    s, a, g = np.indices((S, A, S)).reshape(3, -1)
    rows = np.indices((len(s), len(s))).reshape(2, -1).T
    both = (MU[..., None] * P).reshape(-1)[rows].prod(-1)
    s, a, g = map(jnp.asarray, (s, a, g))

    def expected(forward, backward, future):
        """`future` [S, S] is discounted, from a successor to a goal."""

        def one(k):
            ahead = backward[g[k]]
            matrix = forward[s[k], a[k]] @ ahead.T
            later = future[g[k]][:, g[k]]
            one = jnp.ones(2)
            return measure_loss(matrix, later, one), orthonormality_loss(ahead, one)

        value, spread = jax.vmap(one)(jnp.asarray(rows))
        return (both * value).sum(), (both * spread).sum()

    return jax.jit(jax.value_and_grad(expected, (0, 1), has_aux=True))


def test_the_exact_measure_and_its_best_factors_are_least():
    """Of full rank by bootstrapping, and of lower rank the truncated singular values."""
    slope = losses()
    policy = np.array([0, 1, 0])
    exact = measure(policy)
    following = GAMMA * exact[np.arange(S), policy]  # [S, S] from a successor on
    forward, backward = exact / np.sqrt(RHO), np.diag(1 / np.sqrt(RHO))
    # Pairs of a step with itself, if they were counted, would move the optimum.
    for part in slope(forward, backward, following / RHO)[1]:
        np.testing.assert_allclose(part, 0, atol=1e-4)
    spread = exact / RHO
    noise = np.einsum("k,kg,g->", RHO, (following / RHO) ** 2, RHO) / 2
    weighted = np.sqrt(MU)[..., None] * spread * np.sqrt(RHO)
    u, sigma, v = np.linalg.svd(weighted.reshape(S * A, S), full_matrices=False)
    rng = np.random.default_rng(0)
    for rank in (1, 2, 3):
        kept = np.arange(3) < rank
        own = (u * sigma * kept).reshape(S, A, S) / np.sqrt(MU)[..., None]
        other = (v.T / np.sqrt(RHO)[:, None]) * kept
        (value, _), gradient = slope(own, other, following / RHO)
        np.testing.assert_allclose(value, noise - (sigma[:rank] ** 2).sum() / 2, rtol=1e-4)
        for part in gradient:
            np.testing.assert_allclose(part, 0, atol=2e-4)
        away = own + 0.3 * kept * rng.normal(size=own.shape)
        assert slope(away, other, following / RHO)[0][0] > value + 1e-3
    # |E BB' - I|^2 - d, with the features of the exact factors and with others.
    for features in (backward, rng.normal(size=(S, 3))):
        gram = np.einsum("g,gi,gj->ij", RHO, features, features)
        found = slope(forward, features, following)[0][1]
        np.testing.assert_allclose(found, ((gram - np.eye(3)) ** 2).sum() - 3, rtol=1e-4, atol=1e-4)


def test_the_exact_factors_give_the_values_of_any_reward():
    """For the task of a reward, weighted by the data's distribution; and the best policy of it."""
    reward, policy = np.array([0.0, 1.0, -1.0]), np.zeros(S, int)
    backward = jnp.diag(1 / np.sqrt(RHO))
    z = projected_task(backward, reward, RHO)
    np.testing.assert_allclose(z, np.sqrt(RHO) * reward, rtol=1e-5)
    for _ in range(S + 1):  # policies that are greedy for their own F'z
        value = (measure(policy) / np.sqrt(RHO)) @ z
        policy = value.argmax(-1)
    q = np.zeros((S, A))
    for _ in range(400):
        q = P @ (reward + GAMMA * q.max(-1))
    np.testing.assert_allclose(value, q, atol=1e-4)
    known = [[1.397903, 1.063405], [1.063405, 0.579131], [0.034948, 0.234648]]
    np.testing.assert_allclose(value, known, atol=1e-4)
    # Without the weights the task is that of another reward.
    plain = (measure(policy) / np.sqrt(RHO)) @ projected_task(backward, reward)
    assert np.abs(plain - q).max() > 0.05
    # States of an expert: the task of its distribution over the data's.
    expert = np.array([2, 2, 1, 2, 0, 2])
    share = np.bincount(expert) / len(expert)
    wanted = projected_task(backward, share / RHO, RHO)
    np.testing.assert_allclose(imitated_task(backward[expert]), wanted, rtol=1e-5)


def test_successor_features_need_the_inverse_of_their_second_moments():
    phi = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    rho, reward = np.array([0.2, 0.3, 0.5]), np.array([0.5, 1.5, 2.0])
    np.testing.assert_allclose(regressed_task(phi, reward, rho, 1e-6), [0.5, 1.0], atol=1e-4)
    np.testing.assert_allclose(projected_task(phi, reward, rho), [0.55, 2.45], rtol=1e-5)
    data = phi[np.repeat(np.arange(3), [2, 3, 5])]  # the same distribution, as a sample
    expert = phi[[2, 2, 1]]
    ratio = np.array([0, 1 / 3, 2 / 3]) / rho
    wanted = np.linalg.lstsq(np.sqrt(rho)[:, None] * phi, np.sqrt(rho) * ratio, rcond=None)[0]
    np.testing.assert_allclose(imitated_task(expert, data), wanted, rtol=0.02)


def test_penalties_are_sums_over_other_actions():
    """Against loops, with a forbidden action; and drawn tasks are of either kind."""
    rng = np.random.default_rng(1)
    n, c, e, d, m = 4, 3, 2, 5, 6
    every, z, ahead = (rng.normal(size=x) for x in ((n, c, e, d), (n, d), (m, d)))
    may = np.array([[True, True, False], [True] * 3, [False, True, True], [True] * 3])
    taken = every[:, 1]
    others = Others(jnp.asarray(every), jnp.asarray(may))
    values, measures = np.zeros(n), np.zeros(n)
    for i in range(n):
        for k in range(e):
            q = every[i, may[i], k] @ z[i]
            values[i] += np.log(np.exp(q).sum()) - taken[i, k] @ z[i]
            for g in ahead:
                q = every[i, may[i], k] @ g
                measures[i] += (np.log(np.exp(q).sum()) - taken[i, k] @ g) / m
    np.testing.assert_allclose(value_excess(others, taken, z), values, rtol=1e-4)
    np.testing.assert_allclose(measure_excess(others, taken, ahead), measures, rtol=1e-4)
    assert (values > 0).all() and (measures > 0).all()
    found = drawn_tasks(jax.random.key(0), jnp.asarray(ahead), 0.5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), np.sqrt(d), rtol=1e-5)
    goals = np.asarray(drawn_tasks(jax.random.key(1), jnp.asarray(ahead), 1.0))
    distance = np.abs(goals[:, None] - on_sphere(jnp.asarray(ahead))).max(-1)
    assert sorted(distance.argmin(-1)) == list(range(m)) and distance.min(-1).max() < 1e-5
