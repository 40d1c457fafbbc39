"""The best ordered list beside all ordered lists, and cascades beside their enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import dp, optimism

N, M, S, H = 5, 3, 3, 3
LISTS = [x for k in range(M + 1) for x in itertools.permutations(range(N), k)]
PADDED = np.array([list(x) + [N] * (M - len(x)) for x in LISTS])


def value(q, w, none, items):
    total, left = 0.0, 1.0
    for i in items:
        total += left * q[i] * w[i]
        left *= 1 - q[i]
    return total + left * none


def instances():
    rng = np.random.default_rng(0)
    q, w, none = rng.random((60, N)), rng.normal(size=(60, N)), rng.normal(size=60)
    q[:10] = np.round(q[:10])  # certain, and impossible
    w[10:20] = np.round(w[10:20])  # ties
    w[20:25] -= 10  # no item is worth a click
    none[25:30] = -10
    return q, w, none


def test_the_best_list_is_the_best_of_all_ordered_lists():
    arrays = [jnp.asarray(x, jnp.float32) for x in instances()]
    best = jax.vmap(lambda q, w, none: optimism.best_list(q, w, none, M))
    found, lists = (np.asarray(x) for x in jax.jit(best)(*arrays))
    by_attraction = 0
    for q, w, none, v, items in zip(*instances(), found, lists):
        exact = max(value(q, w, none, x) for x in LISTS)
        np.testing.assert_allclose(v, exact, atol=1e-5)
        chosen = [i for i in items if i < N]
        assert len(set(chosen)) == len(chosen)
        np.testing.assert_allclose(value(q, w, none, chosen), exact, atol=1e-5)
        # What ranks by attraction, as cascading bandits do, is something else.
        ranked = np.argsort(-q)
        prefixes = [ranked[:k] for k in range(M + 1)]
        by_attraction += max(value(q, w, none, x) for x in prefixes) > exact - 1e-3
    assert by_attraction < 30


def cascade(seed):
    rng = np.random.default_rng(seed)
    arrays = (
        0.2 + 0.6 * rng.random((S, N)),
        rng.random((S, N)),
        rng.dirichlet(np.full(S, 0.3), (S, N + 1)),
        rng.dirichlet(np.ones(S)),
    )
    return optimism.Cascade(*(jnp.asarray(x, jnp.float32) for x in arrays))


def test_plans_of_cascades_are_those_of_the_enumerated_process():
    process, lists = cascade(0), jnp.asarray(PADDED)

    @jax.jit
    def solve():
        planned, best = optimism.cascading_values(process, H, M)
        table = optimism.enumerated(process, lists)
        tables = dp.finite_horizon(table, H)
        play = jax.vmap(optimism.cascade_play(process), (None, 0))
        data = play(best, jax.random.split(jax.random.key(0), 4000))
        counts = optimism.cascade_counted(
            optimism.no_cascade_counts(S, N), jax.tree.map(lambda x: x[0], data)
        )
        return planned, tables, optimism.list_return(process, best), table, data, counts

    planned, tables, earned, table, data, counts = jax.tree.map(np.asarray, solve())
    np.testing.assert_allclose(planned, tables.max(-1), atol=1e-5)
    np.testing.assert_allclose(earned, np.asarray(process.initial) @ planned[0], atol=1e-5)
    np.testing.assert_allclose(table.transition.sum(-1), 1, atol=1e-5)
    # Episodes that were played have that return, clicks their chances, and nothing after a click
    # was seen.
    returns = data.reward.sum(-1)
    assert abs(returns.mean() - earned) < 4 * returns.std() / np.sqrt(len(returns))
    first = data.items[:, 0, 0], data.state[:, 0]
    clicks, chance = data.click[:, 0] == 0, np.asarray(process.attraction)[first[1], first[0]]
    assert abs((clicks - chance).mean()) < 4 * 0.5 / np.sqrt(len(clicks))
    examined, moves = np.zeros((S, N)), np.zeros((S, N + 1, S))
    for s, items, click, following in zip(
        data.state[0], data.items[0], data.click[0], data.following[0]
    ):
        for item in [x for x in items[: click + 1] if x < N]:
            examined[s, item] += 1
        moves[s, items[click] if click < M else N, following] += 1
    np.testing.assert_array_equal(counts.examined, examined)
    np.testing.assert_array_equal(counts.moves, moves)
