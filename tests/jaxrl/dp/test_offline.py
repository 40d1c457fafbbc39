"""Least-squares value iteration: on one-hot features it is exact dynamic programming of counts."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from jaxrl.dp import offline

H, S, A, N = 4, 5, 2, 600
rng = np.random.default_rng(0)
P = rng.dirichlet(np.ones(S), size=(S, A))
REWARD = rng.random((S, A))
# A shared data set of random pairs; state 0 pays nothing for ever and is reached from everywhere.
REWARD[0], P[0] = 0.0, np.eye(S)[0]
P[1:, :, 0] += 0.2
P /= P.sum(-1, keepdims=True)
PAIRS = rng.integers(S, size=(H, N)), rng.integers(A, size=(H, N))
NEXT = np.stack([[rng.choice(S, p=P[s, a]) for s, a in zip(*step)] for step in zip(*PAIRS)])
END = rng.random((H, N)) < 0.05
# Beside the random process one of deterministic rows, tied rewards and a state that is never left.
SURE = rng.integers(1, S, size=(S, A))
SURE[0] = 0
DATA = [(REWARD, NEXT), (np.round(REWARD), SURE[PAIRS])]


def one_hot(s, a):
    return np.eye(S * A)[s * A + a]


def batch(pairs=PAIRS, following=NEXT, end=END, reward=REWARD):
    features = one_hot(*pairs)
    every = np.stack([one_hot(following, np.full_like(following, a)) for a in range(A)], -2)
    arrays = features, reward[pairs], 1.0 - end, every
    return offline.LinearBatch(*(jnp.asarray(x, jnp.float32) for x in arrays))


def worst(name, values, price, floor):
    """The regularised worst case of equally likely values, whose adversary may choose `floor`."""
    if name == "nominal":
        return values.mean()
    if name == "tv":
        return np.minimum(values, floor + price).mean()
    if name == "moved":
        # The best of equal shares give way to the floor, until `price` has moved.
        shares = np.full(len(values), 1 / len(values))
        order = np.argsort(values)
        kept = np.minimum(shares[order], np.maximum(1 - price - shares.cumsum() + shares, 0))
        return (kept * values[order]).sum() + (1 - kept.sum()) * floor
    if name == "kl":
        return -price * np.log(np.exp(-values / price).mean())

    def objective(a):
        capped = np.minimum(values, a)
        return -(capped.mean() - capped.var() / (4 * price))

    knots = np.unique(np.append(values, values.max() + 1e-9))
    each = [
        minimize_scalar(objective, bounds=b, method="bounded", options={"xatol": 1e-10}).fun
        for b in itertools.pairwise(knots)
    ]
    return -min(each)


def by_counting(name, price, pessimism, reward, following):
    """Pessimistic robust dynamic programming of the empirical process, in numpy."""
    q, out = np.zeros((S, A)), []
    for h in reversed(range(H)):
        v = np.where(END[h], 0.0, q.max(-1)[following[h]])
        q = np.zeros((S, A))
        for s in range(S):
            for a in range(A):
                mine = (PAIRS[0][h] == s) & (PAIRS[1][h] == a)
                q[s, a] = reward[s, a] + worst(name, v[mine], price, v.min())
                q[s, a] -= pessimism / np.sqrt(mine.sum())
        q = np.clip(q, 0, H - h)
        out.append(q)
    return np.stack(out[::-1])


def table(values):
    every = jnp.eye(S * A).reshape(S, A, S * A)
    return jax.vmap(offline.linear_action_values, (0, None))(values, every)


EXPECTATIONS = {
    "nominal": (offline.nominal, 1.0),
    "tv": (partial(offline.total_variation, price=0.3), 0.3),
    "kl": (partial(offline.kl, price=0.5), 0.5),
    "chi": (partial(offline.chi_square, price=0.4), 0.4),
    "moved": (partial(offline.constrained_total_variation, radius=0.15), 0.15),
}


@pytest.mark.parametrize("name", EXPECTATIONS)
@pytest.mark.parametrize("pessimism", [0.0, 1.5])
def test_one_hot_features_count(name, pessimism):
    expectation, price = EXPECTATIONS[name]
    solve = jax.jit(partial(offline.least_squares_value_iteration, expectation=expectation))
    for reward, following in DATA:
        data = batch(following=following, reward=reward)
        q = table(solve(data, pessimism=pessimism, ridge=1e-4))
        exact = by_counting(name, price, pessimism, reward, following)
        np.testing.assert_allclose(q, exact, atol=2e-3)


def test_in_double_precision():
    with jax.enable_x64(True):
        data = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), batch())
        data = data._replace(reward=jnp.asarray(REWARD[PAIRS]))
        for name in ("nominal", "tv", "kl"):
            expectation, price = EXPECTATIONS[name]
            q = table(offline.least_squares_value_iteration(data, expectation, 0.5, 1e-11))
            exact = by_counting(name, price, 0.5, REWARD, NEXT)
            np.testing.assert_allclose(q, exact, atol=1e-9)


def test_a_price_that_underflows_is_still_a_worst_case():
    data = batch()
    q = table(offline.least_squares_value_iteration(data, partial(offline.kl, price=1e-4)))
    plain = table(offline.least_squares_value_iteration(data))
    assert np.isfinite(q).all() and (q <= plain + 1e-3).all()


def test_robustness_and_pessimism_only_lower():
    data = batch()
    plain = table(offline.least_squares_value_iteration(data, ridge=1e-3))
    for expectation, _ in EXPECTATIONS.values():
        robust = table(offline.least_squares_value_iteration(data, expectation, ridge=1e-3))
        assert (robust <= plain + 1e-3).all()
    sweep = lambda beta: offline.least_squares_value_iteration(data, pessimism=beta)
    tables = jax.jit(jax.vmap(lambda beta: table(sweep(beta))))(jnp.asarray([0.0, 0.5, 2.0]))
    assert (jnp.diff(tables, axis=0) <= 1e-5).all()


def test_prices_may_be_swept_and_tame_prices_are_nominal():
    data = batch()
    for expectation in (offline.total_variation, offline.kl, offline.chi_square):
        solve = lambda price, expectation=expectation: table(
            offline.least_squares_value_iteration(
                data, partial(expectation, price=price), ridge=1e-3
            )
        )
        q = jax.jit(jax.vmap(solve))(jnp.asarray([0.1, 1.0, 300.0]))
        assert (jnp.diff(q, axis=0) >= -1e-3).all()
        plain = table(offline.least_squares_value_iteration(data, ridge=1e-3))
        np.testing.assert_allclose(q[-1], plain, atol=2e-2)


def test_pessimism_avoids_what_was_hardly_seen():
    # Action 1 was seen once and paid well; action 0 was seen often, and pays a little less.
    s, a = np.zeros((1, 101), int), np.zeros((1, 101), int)
    a[0, -1] = 1
    data = batch((s, a), s, s == 0)._replace(reward=jnp.where(jnp.asarray(a) == 1, 0.9, 0.7))
    action = lambda beta: table(
        offline.least_squares_value_iteration(data, pessimism=beta, ridge=1e-2)
    )[0, 0].argmax()
    assert int(action(0.0)) == 1 and int(action(0.5)) == 0


def test_features_of_factors():
    # Pairs that mix two factors, each with successors of its own: the worst case is the factors'.
    share = rng.dirichlet(np.ones(2), size=4000)
    factor = (rng.random(4000) < share[:, 1]).astype(int)
    value = np.where(factor == 0, rng.choice([0.0, 2.0], 4000), rng.choice([1.0, 1.5], 4000))
    features = jnp.asarray(share, jnp.float32)
    gram = features.T @ features
    regress = lambda y: jnp.linalg.solve(gram, features.T @ y)
    v = jnp.asarray(value, jnp.float32)
    out = offline.total_variation(regress, v, 0.0, 2.0, 0.3)
    np.testing.assert_allclose(out, (0.3 / 2, 0.3), atol=0.05)
    out = offline.kl(regress, v, 0.0, 2.0, 0.5)
    expected = [worst("kl", np.asarray(x), 0.5, 0) for x in ([0.0, 2.0], [1.0, 1.5])]
    np.testing.assert_allclose(out, expected, atol=0.05)
    out = offline.chi_square(regress, v, 0.0, 2.0, 0.5)
    expected = [worst("chi", np.asarray(x), 0.5, 0) for x in ([0.0, 2.0], [1.0, 1.5])]
    np.testing.assert_allclose(out, expected, atol=0.08)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="ridge must be above zero"):
        offline.least_squares_value_iteration(batch(), ridge=0.0)
