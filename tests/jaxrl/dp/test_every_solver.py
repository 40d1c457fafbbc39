"""Every solver on degenerate processes in both precisions, against numpy in float64."""

import functools
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp, values
from jaxrl.dp import robust
from jaxrl.dp.mdp import TabularMDP
from tests.jaxrl.dp.cases import (
    DEGENERATE,
    bellman,
    degenerate_stack,
    evaluated,
    optimal,
    single_state,
)

GAMMA, TEMPERATURE, STRENGTH = 0.9, 0.5, 0.2
POLICY = np.array([[0.5, 0.5], [1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])
FEATURES = np.random.default_rng(0).normal(size=(4, 2, 3))
HORIZON = 3
INTEGER = [name for name, (_, r, _, _) in DEGENERATE.items() if (r % 1 == 0).all()][:-1]


def policy(mdp):
    return jnp.asarray(POLICY, mdp.reward.dtype)


def size(mdp):
    """The largest absolute reward, or one."""
    largest = jnp.abs(mdp.reward).max()
    return jnp.where(largest > 0, largest, 1.0)


def best(p, r, d, _):
    return optimal(p, r, d, GAMMA, 400)


def of_policy(p, r, d, _):
    return evaluated(p, r, d, GAMMA, POLICY)


@functools.cache
def exactly(name, kind):
    """What the oracle of a solver says of a process."""
    return np.asarray(SOLVERS[name][1](*DEGENERATE[kind]))


def iterated(back, start=np.zeros((4, 2)), sweeps=400):
    for _ in range(sweeps):
        start = back(start)
    return start


def soft_values(p, r, d, _):
    """With a temperature in units of the rewards."""
    t = TEMPERATURE * (np.abs(r).max() or 1.0)

    def value(q):
        high = q.max(-1, keepdims=True)
        return high[:, 0] + t * np.log(np.exp((q - high) / t).sum(-1))

    return iterated(lambda q: bellman(p, r, d, GAMMA, value(q)))


def worst_row(name, v, p, strength):
    """The worst case of a row, on its support."""
    v, p = v[p > 0], p[p > 0]
    if name == "price tv":
        return p @ np.minimum(v, v.min() + strength)
    if name == "price kl":
        return v.min() - strength * np.log(p @ np.exp(-(v - v.min()) / strength))
    order = np.argsort(-v)
    left, total = min(strength, 1.0), p @ v
    for i in order:
        moved = min(left, p[i])
        total, left = total + moved * (v.min() - v[i]), left - moved
    return total


def robust_values(name, p, r, d, _, mine=None):
    unit = (np.abs(r).max() or 1.0) if name.startswith("price") else 1.0

    def back(q):
        rows = r + GAMMA * d * (q.max(-1) if mine is None else (mine * q).sum(-1))
        flat = zip(rows.reshape(8, 4), p.reshape(8, 4))
        return np.array([worst_row(name, *row, STRENGTH * unit) for row in flat]).reshape(4, 2)

    return iterated(back, sweeps=300)


def nested_risk(p, r, d, _, level=0.5):
    """With the mean of the lowest `level` of reward plus value, at every step."""

    def lowest(x, weight):
        order = np.argsort(x)
        below = np.cumsum(weight[order]) - weight[order]
        return np.clip(level - below, 0, weight[order]) @ x[order] / level

    def back(q):
        rows = r + GAMMA * d * q.max(-1)
        flat = zip(rows.reshape(8, 4), p.reshape(8, 4))
        return np.array([lowest(*row) for row in flat]).reshape(4, 2)

    return iterated(back, sweeps=300)


def staged(p, r, d, _, choose=lambda q: q.max(-1)):
    tables = [bellman(p, r, d, GAMMA, np.zeros(4))]
    for _ in range(HORIZON - 1):
        tables.insert(0, bellman(p, r, d, GAMMA, choose(tables[0])))
    return np.stack(tables)


def kernel(p, d):
    return np.einsum("sa,sab->sb", POLICY, GAMMA * p * d)


def successor(p, r, d, _):
    visits = np.linalg.inv(np.eye(4) - kernel(p, d))
    following = visits @ np.einsum("sa,sak->sk", POLICY, FEATURES)
    return FEATURES + np.einsum("sab,bk->sak", GAMMA * p * d, following)


def visited(p, r, d, initial):
    return np.linalg.solve((np.eye(4) - kernel(p, d)).T, initial)[:, None] * POLICY


def communicating(p):
    return 0.5 * p + 0.125


def best_average(p, r, d, _):
    """By the stationary distribution of every deterministic policy."""
    p, gains = communicating(p), []
    for action in itertools.product(range(2), repeat=4):
        chain = p[np.arange(4), action]
        matrix = np.vstack([chain.T - np.eye(4), np.ones(4)])
        stationary = np.linalg.lstsq(matrix, np.eye(5)[4], rcond=None)[0]
        gains.append(stationary @ (chain * r[np.arange(4), action]).sum(-1))
    return max(gains)


def average(mdp, tolerance):
    mdp = mdp._replace(transition=communicating(mdp.transition))
    return dp.relative_value_iteration(mdp, tolerance=tolerance)[0]


def greedy_returns(p, r, d, initial):
    """The best return, and the random one, of an episode."""
    best, random = (staged(p, r, d, initial, choose) for choose in (
        lambda q: q.max(-1), lambda q: q.mean(-1)))  # fmt: skip
    return np.array([initial @ best[0].max(-1), initial @ random[0].mean(-1)])


def horizon(mdp, tolerance):
    out = dp.effective_horizon(mdp, HORIZON, gamma=GAMMA, tolerance=1e-6)
    return jnp.stack([out.returns[-1], out.random])  # as deep as the episode it is optimal


def on_grid(mdp):
    """A representation that keeps means, on a grid in units of the rewards."""
    return values.categorical(values.uniform_support(-20 * size(mdp), 20 * size(mdp), 21))


def distributional(mdp, tolerance, solver=dp.distributional_value_iteration, **options):
    family = on_grid(mdp)
    args = (mdp, GAMMA) if "policy" not in options else (mdp, options.pop("policy"), GAMMA)
    options["distance"] = dp.wasserstein_on_grid
    theta = solver(*args, family, tolerance=tolerance, max_iterations=600, **options).theta
    return values.mean(family.decode(theta))


def of_theta(solver, *args, priced=False, **options):
    def solve(mdp, tolerance):
        strength = (STRENGTH * size(mdp),) if priced else ()
        return solver(mdp, *args, *strength, tolerance=tolerance, **options).theta

    return solve


TV = dict(strength=STRENGTH, divergence=robust.constrained_total_variation)
PRICED = {"tv": robust.regularised_total_variation, "kl": robust.regularised_kl}
SWEEPS = (
    dp.anderson_value_iteration,
    dp.gauss_seidel_value_iteration,
    dp.prioritised_sweeping,
)
SOLVERS = {
    "value_iteration": (of_theta(dp.value_iteration, GAMMA), best),
    "policy_iteration": (of_theta(dp.policy_iteration, GAMMA), best),
    "modified_policy_iteration": (
        of_theta(dp.modified_policy_iteration, GAMMA, 5),
        best,
    ),
    "other orders of backups": (
        lambda mdp, tolerance: jnp.stack(
            [solver(mdp, GAMMA, tolerance=tolerance).theta for solver in SWEEPS]
        ),
        lambda *process: np.stack([best(*process)] * len(SWEEPS)),
    ),
    "nested_value_iteration": (
        of_theta(dp.nested_value_iteration, GAMMA, values.cvar(0.5)),
        nested_risk,
    ),
    "soft_value_iteration": (
        lambda mdp, tolerance: (
            dp.soft_value_iteration(mdp, GAMMA, TEMPERATURE * size(mdp), tolerance=tolerance).theta
        ),
        soft_values,
    ),
    "policy_evaluation": (
        lambda mdp, tolerance: (
            dp.policy_evaluation(mdp, policy(mdp), GAMMA, tolerance=tolerance).theta
        ),
        of_policy,
    ),
    "relative_value_iteration": (average, best_average),
    "finite_horizon": (lambda mdp, _: dp.finite_horizon(mdp, HORIZON, GAMMA), staged),
    "effective_horizon": (horizon, greedy_returns),
    "successor_features": (
        lambda mdp, tolerance: (
            dp.successor_features(
                mdp,
                policy(mdp),
                jnp.asarray(FEATURES, mdp.reward.dtype),
                GAMMA,
                tolerance=tolerance,
            ).theta
        ),
        successor,
    ),
    "successor_representation": (
        lambda mdp, _: dp.successor_representation(mdp, policy(mdp), GAMMA),
        lambda p, r, d, _: np.linalg.inv(np.eye(4) - kernel(p, d)),
    ),
    "occupancy": (lambda mdp, _: dp.occupancy(mdp, policy(mdp), GAMMA), visited),
    "occupancy_by_iteration": (
        lambda mdp, tolerance: (
            dp.occupancy_by_iteration(mdp, policy(mdp), GAMMA, tolerance=tolerance).theta
        ),
        visited,
    ),
    "robust_value_iteration": (
        of_theta(dp.robust_value_iteration, GAMMA, **TV),
        partial(robust_values, "radius tv"),
    ),
    "robust_policy_evaluation": (
        lambda mdp, tolerance: (
            dp.robust_policy_evaluation(mdp, policy(mdp), GAMMA, **TV, tolerance=tolerance).theta
        ),
        partial(robust_values, "radius tv", mine=POLICY),
    ),
    "robust_distributions": (
        partial(distributional, mix=dp.robust_mixed(**TV)),
        partial(robust_values, "radius tv"),
    ),
    "distributional_value_iteration": (distributional, best),
    "distributional_policy_iteration": (
        partial(distributional, solver=dp.distributional_policy_iteration),
        best,
    ),
    "distributional_policy_evaluation": (
        lambda mdp, tolerance: distributional(
            mdp, tolerance, dp.distributional_policy_evaluation, policy=policy(mdp)
        ),
        of_policy,
    ),
    "distributional_finite_horizon": (
        lambda mdp, _: values.mean(
            on_grid(mdp).decode(dp.distributional_finite_horizon(mdp, HORIZON, on_grid(mdp), GAMMA))
        ),
        staged,
    ),
} | {
    f"robust_value_iteration, price {name}": (
        of_theta(dp.robust_value_iteration, GAMMA, divergence=divergence, priced=True),
        partial(robust_values, f"price {name}"),
    )
    for name, divergence in PRICED.items()
}


@pytest.mark.parametrize("double", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("name", SOLVERS)
def test_degenerate_processes(name, double):
    solver, _ = SOLVERS[name]
    with jax.enable_x64(double):
        found = jax.jit(jax.vmap(solver, (0, None)))(degenerate_stack(), 1e-13 if double else 1e-6)
        assert found.dtype == (jnp.float64 if double else jnp.float32)
        found = np.asarray(found, np.float64)
    for kind, mine in zip(DEGENERATE, found, strict=True):
        exact = exactly(name, kind)
        reward = np.abs(DEGENERATE[kind][1]).max()
        scale = max(np.abs(exact).max(), reward)  # what is tiny must be right too
        scale = scale if scale > 1e-12 else 1.0
        single = 1e-3 if "distribution" in name else 2e-4
        atol = scale * (1e-9 if double else single)
        np.testing.assert_allclose(mine, exact, atol=atol, err_msg=kind)


def test_a_process_of_float32_in_a_program_of_float64():
    """Indices and tables then have other types than what they are made of."""
    mdp = dp.from_arrays(*DEGENERATE["random"])
    solve = lambda mdp: (
        dp.policy_iteration(mdp, GAMMA).theta,
        dp.modified_policy_iteration(mdp, GAMMA).theta,
        dp.distributional_policy_iteration(mdp, GAMMA, values.scalar()).theta[..., 0],
    )
    with jax.enable_x64(True):
        for theta in jax.jit(solve)(mdp):
            assert theta.dtype == jnp.float64
            np.testing.assert_allclose(theta, best(*DEGENERATE["random"]), atol=2e-2)


def test_one_state_and_one_action():
    mdp, one = dp.from_arrays(*single_state()), np.ones((1, 1), np.float32)

    @jax.jit
    def run(mdp):
        """Tables that are to be 4, that are to be 2, and the rest."""
        solvers = dp.value_iteration, dp.policy_iteration, dp.modified_policy_iteration
        four = [solver(mdp, 0.5) for solver in solvers]
        four += [dp.policy_evaluation(mdp, one, 0.5), dp.robust_value_iteration(mdp, 0.5, **TV)]
        two = [solver(mdp, 0.0) for solver in solvers]
        two += [dp.occupancy_by_iteration(mdp, one, 0.5)]
        gain, solution = dp.relative_value_iteration(mdp)
        tables = [[x.theta for x in found] for found in (four, two)]
        return *tables, gain, solution.theta, dp.effective_horizon(mdp, 3).k

    for form in (mdp, dp.sparse(mdp)):
        four, two, gain, relative, k = jax.tree.map(np.asarray, run(form))
        np.testing.assert_allclose(np.stack(four), 4.0, atol=1e-4)
        np.testing.assert_allclose(np.stack(two[:3]), 2.0, atol=1e-5)
        np.testing.assert_allclose(two[3], 2.0, atol=1e-4)
        assert gain == 2.0 and relative[0, 0] == 0.0 and k == 1
    vectors, eigenvalues = jax.jit(lambda mdp: dp.proto_value_functions(mdp, one, 1))(mdp)
    np.testing.assert_allclose(np.abs(vectors)[0, 0], 1, atol=1e-6)
    np.testing.assert_allclose(eigenvalues, 0, atol=1e-6)


def test_convergence_at_any_scale_of_rewards():
    """Few sweeps where values are large, and enough where they are small."""
    solve = jax.jit(
        jax.vmap(lambda c: dp.value_iteration(mdp._replace(reward=c * mdp.reward), 0.9))
    )
    mdp = dp.from_arrays(*DEGENERATE["random"])
    exact = optimal(*DEGENERATE["random"][:3], 0.9)
    scales = 10.0 ** np.arange(-12, 13, 3)
    solution = solve(jnp.asarray(scales, jnp.float32))
    assert (np.asarray(solution.iterations) < 300).all() and np.asarray(solution.converged).all()
    for scale, theta in zip(scales, solution.theta):
        np.testing.assert_allclose(
            np.asarray(theta) / scale, exact, atol=1e-4 * np.abs(exact).max()
        )


def test_the_worst_world_of_a_degenerate_process():
    """It is possible, and its values are the robust ones."""
    theta = jax.jit(jax.vmap(lambda m: dp.robust_value_iteration(m, GAMMA, **TV, tolerance=1e-6)))
    world = jax.jit(jax.vmap(lambda m, q: dp.worst_case_process(m, q, GAMMA, **TV)))
    stack = degenerate_stack()
    q = theta(stack).theta
    worst = world(stack, q)
    assert (np.asarray(worst.transition)[np.asarray(stack.transition) == 0] == 0).all()
    for i, kind in enumerate(DEGENERATE):
        p, r, d = (np.asarray(x[i], np.float64) for x in worst[:3])
        exact = optimal(p / p.sum(-1, keepdims=True), r, d, GAMMA)
        scale = np.abs(exact).max()
        np.testing.assert_allclose(q[i], exact, atol=5e-4 * scale, err_msg=kind)


def test_stocks_on_degenerate_processes():
    """Against backward induction on states, integer stocks and times."""
    low = 3 * HORIZON
    stocks = jnp.arange(-2.0 * low, 2.0 * low + 1)
    statistic = values.expected_utility(lambda z: -jnp.abs(z))
    family = values.categorical(values.uniform_support(-low, low, 2 * low + 1))

    def solve(mdp):
        model = dp.stock_augmented(mdp, stocks, 1.0)
        select = dp.stock_greedy(statistic, stocks, 4)
        theta = dp.distributional_finite_horizon(model, HORIZON, family, 1.0, select)[0]
        return select.keywords["statistic"](family.decode(theta)).reshape(4, len(stocks), 2)

    found = jax.jit(jax.vmap(solve))(degenerate_stack(INTEGER))
    for kind, mine in zip(INTEGER, found, strict=True):
        p, r, d, _ = DEGENERATE[kind]
        grid = np.arange(-4 * low, 4 * low + 1)
        value = np.tile(-np.abs(grid), (4, 1)).astype(float)
        for _ in range(HORIZON):
            q = np.zeros((4, 2, len(grid)))
            for s, a, b in np.ndindex(*p.shape):
                after = value[b] if d[s, a, b] else -np.abs(grid)
                q[s, a] += p[s, a, b] * np.roll(after, -int(r[s, a, b]))
            value = q.max(1)
        inner = slice(3 * low, 5 * low + 1)
        np.testing.assert_allclose(
            mine.max(-1)[:, low : 3 * low + 1], value[:, inner], atol=1e-4, err_msg=kind
        )


def test_solvers_without_compilation_and_with_checks_for_nan():
    mdp = dp.from_arrays(*DEGENERATE["absorbing"])
    with jax.debug_nans(True):
        theta = dp.value_iteration(mdp, GAMMA).theta
        dp.robust_value_iteration(mdp, GAMMA, **TV)
        models = TabularMDP(*(jnp.stack([x, x]) for x in mdp[:4]))
        solve = lambda m: dp.value_iteration(m, GAMMA).theta
        value = lambda action, m: (
            m.initial @ jnp.take_along_axis(solve(m), action[:, None], 1)[:, 0]
        )
        out = dp.static_robust_control(solve, value, models)
        assert np.isneginf(out.values[1]) and int(out.iterations) == 1
    with jax.disable_jit():
        plain = dp.value_iteration(mdp, GAMMA, tolerance=1e-3).theta
    np.testing.assert_allclose(plain, theta, atol=0.1)
