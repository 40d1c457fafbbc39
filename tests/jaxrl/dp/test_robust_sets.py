"""Worst cases within norms and transport costs, against linear programmes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from jaxrl import dp
from jaxrl.dp import robust_sets
from tests.jaxrl.dp.cases import float64, random_mdp, three_arrays

N, GAMMA = 5, 0.9
rng = np.random.default_rng(0)
V = rng.normal(size=(60, N)).round(1)  # with ties
P = rng.dirichlet(np.ones(N), 60)
P[::3, :2] = 0
P[1::7] = np.eye(N)[rng.integers(0, N, 9)]
P /= P.sum(-1, keepdims=True)
RADIUS = rng.choice([0.0, 0.05, 0.3, 1.0, 2.5], 60)
SPOT = rng.normal(size=N)
COST = np.abs(SPOT[:, None] - SPOT)


def programme(name, v, p, radius, anywhere):
    """The least q @ v by a linear programme over q and what moves."""
    n, possible = len(v), (p > 0) | anywhere
    most = [(0, None if ok else 0) for ok in possible]
    eye, one = np.eye(n), np.ones(n)
    if name == "ratio":
        result = linprog(v, A_eq=one[None], b_eq=[1], bounds=[(0, x * (1 + radius)) for x in p])
    elif name == "linf":
        bounds = [
            (max(x - radius, 0), min(x + radius, 1) if ok else 0) for x, ok in zip(p, possible)
        ]
        result = linprog(v, A_eq=one[None], b_eq=[1], bounds=bounds)
    elif name == "l1":
        sides = np.block([[eye, -eye], [-eye, -eye], [np.zeros(n), one]])
        result = linprog(
            np.r_[v, np.zeros(n)],
            A_ub=sides,
            b_ub=np.r_[p, -p, radius],
            A_eq=np.r_[one, np.zeros(n)][None],
            b_eq=[1],
            bounds=most + [(0, None)] * n,
        )
    else:  # the plan [n, n] of transport
        result = linprog(
            np.tile(v, n),
            A_ub=COST.reshape(1, -1),
            b_ub=[radius],
            A_eq=np.kron(eye, one),
            b_eq=p,
            bounds=most * n,
        )
    return result.fun


MAKE = {
    ("ratio", False): lambda: robust_sets.constrained_density_ratio,
    ("l1", False): lambda: robust_sets.constrained_l1(),
    ("l1", True): lambda: robust_sets.constrained_l1(anywhere=True),
    ("linf", False): lambda: robust_sets.constrained_l_infinity(),
    ("linf", True): lambda: robust_sets.constrained_l_infinity(anywhere=True),
    ("w1", False): lambda: robust_sets.constrained_wasserstein(COST),
    ("w1", True): lambda: robust_sets.constrained_wasserstein(COST, anywhere=True),
}


def test_worst_cases_are_those_of_linear_programmes():
    """And their derivatives by values are weights, by the radius those of finite differences."""

    @jax.jit
    def run(v, p, radius):
        def each(f):
            value = lambda v, radius: f(v, p, radius).value.sum()
            h = 1e-7
            near = [f(v, p, jnp.maximum(radius + side, 0)).value for side in (-h, h)]
            slopes = jax.grad(value, (0, 1))(v, radius)
            return f(v, p, radius), slopes, (near[1] - near[0]) / (2 * h)

        return {name: each(make()) for name, make in MAKE.items()}

    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, run(V, P, RADIUS))
    for (name, anywhere), (worst, (by_value, by_radius), slope) in found.items():
        exact = [programme(name, *row, anywhere) for row in zip(V, P, RADIUS)]
        np.testing.assert_allclose(worst.value, exact, atol=1e-9, err_msg=name)
        np.testing.assert_allclose((worst.weights * V).sum(-1), exact, atol=1e-9)
        np.testing.assert_allclose(worst.weights.sum(-1), 1, atol=1e-12)
        assert (worst.weights >= -1e-15).all()
        if not anywhere:
            assert (worst.weights[P == 0] == 0).all()
        else:  # mass on impossible states would not be missed
            assert (worst.weights[P == 0] > 0.01).any()
        np.testing.assert_allclose(by_value, worst.weights, atol=1e-9)
        inside = (RADIUS > 0) & (np.abs(by_radius - slope) > 1e-4)
        assert inside.sum() <= 4, name  # at a kink the derivative is one of its sides


def budget_programme(v, p, radius):
    """max u with a policy and the dual of the adversary: sum_a pi_a q_a v_a >= u for all q."""
    actions, n = v.shape
    # max_pi min_q: for given pi the adversary's minimum is a linear programme; its dual is joined.
    # Variables: pi [A], mu [A], y+ [A, N], lam; pi_a v_a - mu_a - w_a >= 0, |w_a| <= lam.
    size = actions * (2 + n) + 1
    pi, mu = np.arange(actions), actions + np.arange(actions)
    w = 2 * actions + np.arange(actions * n).reshape(actions, n)
    lam, rows, right = size - 1, [], []
    for a in range(actions):
        for i in range(n):
            row = np.zeros(size)  # mu_a + w_ai <= pi_a v_ai
            row[mu[a]], row[w[a, i]], row[pi[a]] = 1, 1, -v[a, i]
            rows.append(row), right.append(0)
            for sign in (1, -1):
                row = np.zeros(size)
                row[w[a, i]], row[lam] = sign, -1
                rows.append(row), right.append(0)
    target = np.zeros(size)
    target[mu], target[lam] = 1, -radius
    target[w] = p
    total = np.zeros(size)
    total[pi] = 1
    bounds = [(0, None)] * actions + [(None, None)] * (actions * (1 + n)) + [(0, None)]
    result = linprog(-target, A_ub=rows, b_ub=right, A_eq=total[None], b_eq=[1], bounds=bounds)
    return -result.fun, result.x[:actions]


def test_actions_that_share_a_budget():
    """Three states in numbers, random rows against a linear programme, and a coin to toss."""
    states = 30
    v, p = rng.normal(size=(states, 3, N)), rng.dirichlet(np.full(N, 0.5), (states, 3))
    budget = rng.choice([0.0, 0.1, 0.5, 2.0, 7.0], states)
    with jax.enable_x64(True):
        three, even = dp.from_arrays(*three_arrays()), np.full((1, 2, 2), 0.5)
        coin = dp.TabularMDP(even, np.array([[[0.0, 1.0]] * 2]), 0 * even, np.ones(1))
        rows = dp.TabularMDP(p, v, 0 * p, np.full(states, 1 / states), np.zeros(p.shape, int))

        @jax.jit
        def run(three, coin, rows, budget, radius):
            solve = lambda mdp, k, **kw: dp.s_rectangular_value_iteration(
                mdp, GAMMA, k, tolerance=1e-13, **kw
            )
            shared = jax.vmap(lambda k: solve(three, k, anywhere=True)[0].theta)(radius)
            sa = dp.robust_value_iteration(
                three, GAMMA, 0.2, robust_sets.constrained_l1(True), tolerance=1e-13
            ).theta
            box = dp.robust_value_iteration(
                three, GAMMA, 0.1, robust_sets.constrained_l_infinity(True), tolerance=1e-13
            ).theta
            line = jnp.abs(jnp.arange(3.0)[:, None] - jnp.arange(3.0))
            transport = dp.robust_value_iteration(
                three, GAMMA, 0.2, robust_sets.constrained_wasserstein(line, True), tolerance=1e-13
            ).theta
            tossed = solve(coin, 0.4)
            slope = jax.grad(lambda k: solve(rows, k)[0].theta.sum())(budget + 0.013)
            by_one = jax.vmap(lambda side: solve(rows, budget + 0.013 + side)[0].theta)(
                jnp.array([-1e-6, 1e-6])
            )
            mine = [q.max(1) for q in (sa, box, transport)]
            return shared, mine, tossed, solve(rows, budget), slope, by_one

        found = run(three, coin, rows, jnp.asarray(budget), jnp.array([0.2, 0.4]))
    shared, mine, tossed, (solution, policy), slope, by_one = jax.tree.map(np.asarray, found)
    known = [[9.322927, 10.122927, 10.991220], [7.821463, 8.621463, 9.489756]]
    np.testing.assert_allclose(shared, known, atol=1e-6)
    np.testing.assert_allclose(mine[0], known[0], atol=1e-6)
    np.testing.assert_allclose(mine[1], known[0], atol=1e-6)
    np.testing.assert_allclose(mine[2], [9.261463, 10.061463, 10.929756], atol=1e-6)
    np.testing.assert_allclose(tossed[0].theta, [0.4], atol=1e-9)  # either action alone: 0.3
    np.testing.assert_allclose(tossed[1], [[0.5, 0.5]], atol=1e-9)
    exact = [budget_programme(*row)[0] for row in zip(v, p, budget)]
    np.testing.assert_allclose(solution.theta, exact, atol=1e-9)
    # The policy attains the value against its own worst case, of all actions together.
    for row in zip(v, p, budget, policy, exact):
        assert against(*row[:4]) == pytest.approx(row[4], abs=1e-8)
    assert (np.count_nonzero(policy > 1e-9, axis=1) > 1).any()
    rate = (by_one[1] - by_one[0]) / 2e-6
    np.testing.assert_allclose(slope, rate, atol=1e-5)


def against(v, p, radius, policy):
    """The worst case of a fixed policy under a budget that actions share."""
    actions, n = v.shape
    size = actions * n
    sides = np.block([[np.eye(size), -np.eye(size)], [-np.eye(size), -np.eye(size)]])
    sides = np.vstack([sides, np.r_[np.zeros(size), np.ones(size)]])
    result = linprog(
        np.r_[(policy[:, None] * v).ravel(), np.zeros(size)],
        A_ub=sides,
        b_ub=np.r_[p.ravel(), -p.ravel(), radius],
        A_eq=np.hstack([np.kron(np.eye(actions), np.ones(n)), np.zeros((actions, size))]),
        b_eq=np.ones(actions),
    )
    return result.fun


def test_soft_robustness_is_between_the_nominal_and_the_worst_process():
    """With all of the probability it is contamination: V = r + gamma ((1 - e) P V + e min V)."""
    mdp, share = random_mdp(end=0.0), 0.2
    p, r, _ = float64(mdp)
    everywhere = robust_sets.softened(robust_sets.constrained_l1(anywhere=True), share)
    found = jax.jit(lambda mdp: dp.robust_value_iteration(mdp, GAMMA, 2.0, everywhere).theta)(mdp)
    q = np.zeros(p.shape[:2])
    for _ in range(400):
        rows = r + GAMMA * q.max(1)
        q = (1 - share) * (p * rows).sum(-1) + share * rows.min(-1)
    np.testing.assert_allclose(found, q, atol=1e-3)
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        robust_sets.softened(robust_sets.constrained_l1(), 1.5)
