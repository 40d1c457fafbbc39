"""Worst cases against convex solvers, linear programs, and duals written in numpy."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize, minimize_scalar

from jaxrl.dp import robust
from jaxrl.values import ReturnDistribution, mean

N = 6
rng = np.random.default_rng(0)
V = rng.normal(size=(40, N)) * rng.choice([0.1, 1.0, 30.0], size=(40, 1))
P = rng.dirichlet(np.ones(N), size=40)
P[::3, 0] = 0.0  # padding, with the least value of all
V[::3, 0] = V.min() - 5.0
P /= P.sum(-1, keepdims=True)
V[5, 1:4] = V[5, 1]  # ties
P[7::10] = np.eye(N)[[0, 2, 5, 3]]  # deterministic rows of a dense process
P[8::10] = np.array([0.0, 0.5, 0.5, 0.0, 0.0, 0.0])
V[8::10, 1:3] = 1.0  # all that is possible ties, above and below what is not
V[9::20] = -3.0  # all values are equal
TIED = np.r_[5, 7:40:10, 8:40:10, 9:40:20]

REGULARISED = {
    "tv": robust.regularised_total_variation,
    "kl": robust.regularised_kl,
    "chi": robust.regularised_chi_square,
}
CONSTRAINED = {
    "tv": robust.constrained_total_variation,
    "kl": robust.constrained_kl,
    "chi": robust.constrained_chi_square,
}
ALL = [("price", k) for k in REGULARISED] + [("radius", k) for k in CONSTRAINED]


def divergence(name, q, p):
    """D(q, p) in numpy, where q lives on the support of p."""
    assert (q[p == 0] == 0).all()
    q, p = q[p > 0], p[p > 0]
    if name == "tv":
        return np.abs(q - p).sum() / 2
    if name == "kl":
        return (q[q > 0] * np.log(q[q > 0] / p[q > 0])).sum()
    return ((q - p) ** 2 / p).sum()


def function(kind, name):
    return (REGULARISED if kind == "price" else CONSTRAINED)[name]


compiled = functools.cache(lambda fn: jax.jit(jax.vmap(fn)))


def in_double(fn, *args):
    """fn, compiled and vmapped, in float64."""
    with jax.enable_x64(True):
        return [np.asarray(x) for x in compiled(fn)(*map(jnp.asarray, args))]


def strengths(kind):
    return np.resize([0.02, 0.3, 1.0, 4.0] if kind == "price" else [0.0, 0.01, 0.2, 0.6, 3.0], 40)


def dual(kind, name, v, p, s):
    """The best bound from below that scipy finds, on the support alone."""
    v, p = v[p > 0], p[p > 0]
    low, high = v.min(), v.max()
    spread = high - low
    if spread == 0:
        return low
    search = lambda f, a, b: (
        -minimize_scalar(
            lambda x: -f(x),
            bounds=(a, b),
            method="bounded",
            options={"xatol": 1e-13, "maxiter": 900},
        ).fun
    )
    free_energy = lambda lam: low - lam * np.log(p @ np.exp(-(v - low) / lam))
    if (kind, name) == ("price", "tv"):
        return p @ np.minimum(v, low + s)
    if (kind, name) == ("price", "kl"):
        return free_energy(s)
    if (kind, name) == ("price", "chi"):

        def objective(a):
            w = np.minimum(v, a)
            return p @ w - (p @ w**2 - (p @ w) ** 2) / (4 * s)

        # Concave between two neighbouring values, where the search is sure to end.
        knots = np.unique(v)
        return max(search(objective, a, b) for a, b in itertools.pairwise(knots))
    if (kind, name) == ("radius", "tv"):
        # Variables (q, moved): minimise q @ v, q - p <= moved, sum moved <= radius.
        n = len(v)
        slack = np.hstack([np.eye(n), -np.eye(n)])
        result = linprog(
            np.r_[v, np.zeros(n)],
            A_ub=np.vstack([slack, np.r_[np.zeros(n), np.ones(n)]]),
            b_ub=np.r_[p, s],
            A_eq=np.r_[np.ones(n), np.zeros(n)][None],
            b_eq=[1.0],
        )
        return result.fun
    if (kind, name) == ("radius", "kl"):
        f = lambda log: free_energy(spread * np.exp(log)) - spread * np.exp(log) * s
        return max(search(f, a, a + 4.0) for a in range(-40, 36, 4))
    # In logarithms of the level above the least value, which may be far above all.
    level = lambda log: low + spread * np.exp(log)
    tail = lambda a: np.maximum(a - v, 0)
    f = lambda log: level(log) - np.sqrt((1 + s) * (p @ tail(level(log)) ** 2))
    return max(search(f, a, a + 1.0) for a in range(-40, 12))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_primal_equals_dual(kind, name):
    s = strengths(kind)
    value, weights = in_double(function(kind, name), V, P, s)
    np.testing.assert_allclose(weights.sum(-1), 1.0, atol=1e-12)
    assert (weights >= 0).all() and (weights[P == 0] == 0).all()
    for i in range(40):
        d = divergence(name, weights[i], P[i])
        price = s[i] * d if kind == "price" else 0.0
        if kind == "radius":
            assert d <= s[i] + 1e-9
        primal = np.where(P[i] > 0, weights[i] * V[i], 0).sum() + price
        np.testing.assert_allclose(value[i], primal, atol=1e-9)
        # At a radius of zero the best dual is at infinity, and the nominal is all there is.
        bound = dual(kind, name, V[i], P[i], s[i]) if s[i] > 0 else (P[i] @ V[i])
        assert abs(primal - bound) < 1e-8, (i, s[i], primal - bound)


@pytest.mark.parametrize(("kind", "name"), [k for k in ALL if k[1] != "tv"])
def test_a_convex_solver_finds_nothing_lower(kind, name):
    s = strengths(kind)
    value, _ = in_double(function(kind, name), V, P, s)
    for i in range(0, 40, 4):
        if s[i] == 0:
            continue
        v, p = V[i][P[i] > 0], P[i][P[i] > 0]
        safe = lambda q, p=p: divergence(name, np.maximum(q, 1e-300), p)
        price = s[i] if kind == "price" else 0.0
        constraints = [{"type": "eq", "fun": lambda q: q.sum() - 1}]
        if kind == "radius":
            constraints.append({"type": "ineq", "fun": lambda q, r=s[i], safe=safe: r - safe(q)})
        result = minimize(
            lambda q, v=v, price=price, safe=safe: q @ v + price * safe(q),
            p,
            bounds=[(0, 1)] * len(p),
            constraints=constraints,
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        np.testing.assert_allclose(value[i], result.fun, atol=2e-5 * max(1, np.ptp(v)))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_derivatives_are_the_weights(kind, name):
    s = strengths(kind)[1]  # 0.3, or 0.01
    s = 0.2 if kind == "radius" else s

    def slope(v, p, s):
        fn = lambda v, s: robust.robust_expectation(v, p, s, function(kind, name))
        return jax.grad(fn, (0, 1))(v, s)

    by_value, by_strength = in_double(slope, V, P, np.full(40, s))
    value, weights = in_double(function(kind, name), V, P, np.full(40, s))
    keep = ~np.isin(np.arange(40), TIED)  # where values tie the worst case is not unique
    np.testing.assert_allclose(by_value[keep], weights[keep], atol=1e-7)
    above, below = (
        in_double(function(kind, name), V, P, np.full(40, s + h))[0] for h in (1e-6, -1e-6)
    )
    scale = np.maximum(1, np.abs(value))
    np.testing.assert_allclose(by_strength / scale, (above - below) / 2e-6 / scale, atol=2e-3)
    if kind == "price":
        paid = [divergence(name, w, p) for w, p in zip(weights, P)]
        np.testing.assert_allclose(by_strength, paid, atol=1e-7)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_limits(kind, name):
    nominal = np.where(P > 0, P * V, 0).sum(-1)
    worst = np.where(P > 0, V, np.inf).min(-1)
    tame, harsh = (1e9, 1e-9) if kind == "price" else (0.0, 1e4)
    harsh = 1.0 if name == "tv" and kind == "radius" else harsh
    # float32, as it will be used: no cancellation at strengths far from the values.
    fn = jax.jit(jax.vmap(function(kind, name)))
    single = lambda s: fn(*(jnp.asarray(x, jnp.float32) for x in (V, P, np.full(40, s))))
    scale = np.where(np.ptp(V, -1) > 0, np.ptp(V, -1), 1)
    np.testing.assert_allclose(single(tame).value / scale, nominal / scale, atol=1e-5)
    np.testing.assert_allclose(single(tame).weights, P, atol=1e-6)
    np.testing.assert_allclose(single(harsh).value / scale, worst / scale, atol=1e-5)
    assert np.isfinite(single(harsh).weights).all()


def test_the_free_energy_in_float32_needs_care():
    v, p = jnp.asarray(V[1] * 1e-3, jnp.float32), jnp.asarray(P[1], jnp.float32)
    lam = jnp.float32(1e3)
    naive = -lam * jax.scipy.special.logsumexp(-v / lam, b=p)
    exact = p @ v
    assert abs(float(naive - exact)) > 1e-5  # the wrong version would be seen
    np.testing.assert_allclose(robust.regularised_kl(v, p, lam).value, exact, atol=1e-8)


def test_padding_is_no_successor():
    v, p = jnp.asarray([-100.0, 1.0, 3.0]), jnp.asarray([0.0, 0.5, 0.5])
    for kind, name in ALL:
        value, weights = function(kind, name)(v, p, 0.25)
        assert float(value) >= 1.0 and float(weights[0]) == 0.0
        poisoned = v.at[0].set(jnp.nan)
        np.testing.assert_array_equal(function(kind, name)(poisoned, p, 0.25).value, value)
    np.testing.assert_allclose(robust.regularised_total_variation(v, p, 0.25).value, 1.125)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from(ALL), st.floats(0.01, 3.0))
def test_monotone_translation_equivariant_and_below_the_mean(seed, which, strength):
    r = np.random.default_rng(seed)
    v, w = r.normal(size=(2, N))
    p = r.dirichlet(np.ones(N))
    (a, b, high, shifted), _ = in_double(
        function(*which),
        np.stack([v, w, np.maximum(v, w), v + 7.0]),
        np.stack([p] * 4),
        np.full(4, strength),
    )
    assert high >= max(a, b) - 1e-9  # so that the robust backup is a contraction by gamma
    np.testing.assert_allclose(shifted, a + 7.0, atol=1e-9)
    assert v.min() - 1e-9 <= a <= p @ v + 1e-9


def test_strength_may_be_swept():
    v, p = jnp.asarray(V[1], jnp.float32), jnp.asarray(P[1], jnp.float32)
    for kind, name in ALL:
        sweep = jnp.asarray([0.05, 0.5, 2.0])
        fn = lambda s, k=(kind, name): robust.robust_expectation(v, p, s, function(*k))
        steps = np.diff(jax.jit(jax.vmap(fn))(sweep))
        assert (steps >= -1e-6).all() if kind == "price" else (steps <= 1e-6).all()


def test_a_distribution_is_mixed_with_the_same_weights():
    atoms = jnp.asarray(rng.normal(size=(N, 4)), jnp.float32)
    z = ReturnDistribution(atoms, jnp.full((N, 4), 0.25))
    p = jnp.asarray(P[1], jnp.float32)
    sure = jnp.asarray(np.eye(N)[3], jnp.float32)
    for divergence in [*REGULARISED.values(), *CONSTRAINED.values()]:
        alone = robust.robust_mix(z, sure, 0.2, divergence)
        np.testing.assert_allclose(mean(alone), mean(z)[3], atol=1e-6)
    out = robust.robust_mix(z, p, 0.3, robust.constrained_kl)
    expected = robust.robust_expectation(mean(z), p, 0.3, robust.constrained_kl)
    np.testing.assert_allclose(mean(out), expected, atol=1e-6)
    assert out.atoms.shape == (N * 4,)
    np.testing.assert_allclose(out.probabilities.sum(), 1.0, atol=1e-6)


def test_bad_strengths_are_refused():
    v, p = jnp.asarray(V[1]), jnp.asarray(P[1])
    with pytest.raises(ValueError, match="price must be above zero"):
        robust.regularised_kl(v, p, 0.0)
    with pytest.raises(ValueError, match="radius must be zero or more"):
        robust.constrained_kl(v, p, -0.1)
