"""Expected values: against linear systems and value iteration in float64, and their bounds."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import mdps
from jaxrl import dp
from jaxrl.values import expected, greedy, mean, scalar, soft
from tests.jaxrl.dp.cases import bellman, evaluated, float64, optimal, random_mdp

GAMMA = 0.9
JITTED = {f: jax.jit(f) for f in (dp.value_iteration, dp.policy_iteration,
          dp.modified_policy_iteration, dp.policy_evaluation, dp.soft_value_iteration)}  # fmt: skip


def solved(method, *args):
    """What one program of a solver gives, in numpy."""
    return jax.tree.map(np.asarray, JITTED[method](*args))


PROCESSES = {
    "random": random_mdp(),
    "sparse": dp.sparse(random_mdp()),
    "lake": mdps.frozen_lake(),
    "grid": mdps.gridworld(),
    "cliff": mdps.cliff(is_slippery=True),
}
each_process = pytest.mark.parametrize("name", PROCESSES)


@each_process
@pytest.mark.parametrize(
    "method",
    [dp.value_iteration, dp.policy_iteration, dp.modified_policy_iteration],
    ids=lambda method: method.__name__,
)
def test_the_optimum(name, method):
    mdp = PROCESSES[name]
    exact = optimal(*float64(dp.dense(mdp)), GAMMA)
    solution = solved(method, mdp, GAMMA)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(solution.theta, exact, atol=2e-4 * scale)
    bound = GAMMA / (1 - GAMMA) * solution.residual + 1e-5 * scale / (1 - GAMMA)
    assert np.abs(solution.theta - exact).max() <= bound
    assert solution.converged and solution.iterations < 300


def test_policy_iteration_needs_few_policies_and_sweeps_save_iterations():

    @jax.jit
    def run(mdp):
        by_policies = dp.policy_iteration(mdp, 0.99)
        plain = dp.value_iteration(mdp, 0.99, tolerance=1e-4)
        swept = dp.modified_policy_iteration(mdp, 0.99, 20, tolerance=1e-4)
        return by_policies.iterations, plain.iterations, swept.iterations

    by_policies, plain, swept = map(int, run(PROCESSES["random"]))
    assert by_policies <= 6
    assert swept * 10 < plain


@each_process
def test_the_value_of_a_policy(name):
    mdp = PROCESSES[name]
    arrays = float64(dp.dense(mdp))
    policy = np.random.default_rng(0).dirichlet(np.ones(arrays[0].shape[1]), arrays[0].shape[0])
    exact = evaluated(*arrays, GAMMA, policy)
    solution = solved(dp.policy_evaluation, mdp, np.float32(policy), GAMMA)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(solution.theta, exact, atol=2e-4 * scale)


def test_the_bound_holds_at_every_iteration():
    mdp = PROCESSES["random"]
    exact = optimal(*float64(mdp), GAMMA)
    run = jax.jit(
        jax.vmap(lambda n: dp.value_iteration(mdp, GAMMA, tolerance=0.0, max_iterations=n))
    )
    solution = jax.tree.map(np.asarray, run(np.arange(1, 40)))
    np.testing.assert_array_equal(solution.iterations, np.arange(1, 40))
    error = np.abs(solution.theta - exact).max((1, 2))
    assert (error <= GAMMA / (1 - GAMMA) * solution.residual + 1e-5).all()
    assert (error > GAMMA / (1 - GAMMA) * solution.residual * 1e-2).any()  # not a vacuous one


def test_the_operator_with_a_scalar_table_is_the_bellman_operator():
    """In any way of writing it: mixing whole distributions, or means of an averaged process."""
    for mdp in (PROCESSES["random"], PROCESSES["sparse"]):
        p, r, d = float64(dp.dense(mdp))
        q = np.random.default_rng(0).normal(size=p.shape[:2])
        exact = bellman(p, r, GAMMA * d, 1.0, q.max(-1))

        @jax.jit
        def run(mdp, theta):
            model = dp.discounted(mdp, GAMMA)
            fast = dp.backup(dp.averaged(model), scalar(), theta, mix=dp.expectation)
            return dp.backup(model, scalar(), theta), fast

        for found in run(mdp, np.float32(q)[..., None]):
            np.testing.assert_allclose(np.asarray(found)[..., 0], exact, atol=1e-5)
    with pytest.raises(ValueError, match="needs rewards and discounts of pairs"):
        jax.eval_shape(lambda q: dp.backup(mdp, scalar(), q, mix=dp.expectation), q[..., None])


def test_soft_value_iteration():
    mdp, temperature = PROCESSES["random"], 0.5
    p, r, d = float64(mdp)
    prior = np.log(np.random.default_rng(1).dirichlet(np.ones(3), 7))
    for reference in (np.zeros((7, 3)), prior):
        q = np.zeros((7, 3))
        for _ in range(1000):
            value = temperature * np.log(np.exp(reference + q / temperature).sum(-1))
            q = bellman(p, r, d, GAMMA, value)
        args = mdp, GAMMA, temperature, np.float32(reference)
        np.testing.assert_allclose(solved(dp.soft_value_iteration, *args).theta, q, atol=5e-4)
    # Cold, it is value iteration; a bonus outside the discount would add to it for ever.
    cold = solved(dp.soft_value_iteration, mdp, GAMMA, 1e-3).theta
    np.testing.assert_allclose(cold, optimal(p, r, d, GAMMA), atol=0.02)


def test_the_average_reward():
    mdp = mdps.river_swim()
    p, r, _ = float64(mdp)
    gains = []
    for policy in np.ndindex(*(2,) * 6):  # by the stationary distribution of every policy
        chain = p[np.arange(6), policy]
        matrix = np.vstack([chain.T - np.eye(6), np.ones(6)])
        law = np.linalg.lstsq(matrix, np.eye(7)[6], rcond=None)[0]
        gains.append(law @ (chain * r[np.arange(6), policy]).sum(-1))
    gain, solution = jax.tree.map(np.asarray, jax.jit(dp.relative_value_iteration)(mdp))
    assert abs(gain - max(gains)) <= solution.residual / 2 + 1e-5
    assert solution.converged
    value = np.asarray(solution.theta).max(-1)
    np.testing.assert_allclose(solution.theta, bellman(p, r, 1, 1, value) - gain, atol=1e-4)


def test_a_periodic_process_needs_relaxation():
    swap = np.array([[[0.0, 1.0]], [[1.0, 0.0]]])
    mdp = dp.from_arrays(swap, np.array([[0.0], [1.0]]), np.ones_like(swap), np.array([1.0, 0.0]))
    solve = jax.jit(dp.relative_value_iteration)
    gain, solution = solve(mdp)
    np.testing.assert_allclose(gain, 0.5, atol=1e-5)
    _, plain = solve(mdp, relaxation=1.0, max_iterations=1000)
    assert solution.converged and not plain.converged and plain.residual > 1e-4


def test_finite_horizon():
    mdp = PROCESSES["random"]
    p, r, d = float64(mdp)
    policy = np.random.default_rng(0).dirichlet(np.ones(3), 7)
    selects = {
        greedy: lambda q: q.max(-1),
        partial(expected, probabilities=jnp.asarray(policy)): lambda q: (policy * q).sum(-1),
        partial(soft, temperature=1.0): lambda q: np.log(np.exp(q).sum(-1)),
    }
    for select, value in selects.items():
        exact = [bellman(p, r, d, 0.95, np.zeros(7))]  # at the end no choice, and no bonus for one
        for _ in range(3):
            exact.insert(0, bellman(p, r, d, 0.95, value(exact[0])))
        out = jax.jit(lambda mdp, select=select: dp.finite_horizon(mdp, 4, 0.95, select))(mdp)
        np.testing.assert_allclose(out, exact, atol=1e-5)

    @jax.jit
    def run(gamma):
        first = lambda gamma: dp.finite_horizon(mdp, 4, gamma)[0]
        return first(gamma), jax.grad(lambda gamma: first(gamma).sum())(gamma)

    low, high = (np.asarray(run(gamma)[0], np.float64).sum() for gamma in (0.89, 0.91))
    np.testing.assert_allclose(run(0.9)[1], (high - low) / 0.02, rtol=1e-2)


def test_populations_of_processes_discounts_and_temperatures():
    stack = jax.tree.map(lambda *x: np.stack(x), *(random_mdp(s) for s in range(3)))
    gammas = np.float32([0.5, 0.9])
    both = jax.vmap(jax.vmap(dp.value_iteration, (None, 0)), (0, None))
    solution = jax.tree.map(np.asarray, jax.jit(both)(stack, gammas))
    assert solution.theta.shape == (3, 2, 7, 3)
    for i in range(3):
        for j, gamma in enumerate(gammas):
            exact = optimal(*float64(random_mdp(i)), float(gamma))
            np.testing.assert_allclose(solution.theta[i, j], exact, atol=1e-3)
    for method in (dp.policy_iteration, dp.modified_policy_iteration):
        theta = jax.jit(jax.vmap(method, (None, 0)))(random_mdp(), gammas).theta
        np.testing.assert_allclose(theta, solution.theta[0], atol=2e-3)
    soften = jax.jit(jax.vmap(dp.soft_value_iteration, (None, None, 0)))
    cool, warm = np.asarray(soften(random_mdp(), 0.9, np.float32([0.1, 1.0])).theta)
    assert (warm > cool).all()  # entropy is paid for


def test_a_huge_sparse_process_is_never_dense():
    states, rng = 200_000, np.random.default_rng(0)
    shape = (states, 2, 2)  # a dense one would be 80 GB a kernel
    p = np.full(shape, 0.5)
    successors = rng.integers(0, states, shape)
    mdp = dp.from_arrays(
        p, rng.normal(size=shape), np.ones(shape), np.full(states, 1 / states), successors
    )
    solution = solved(dp.value_iteration, mdp, 0.5)
    value = solution.theta.astype(np.float64).max(-1)
    again = (p * (np.asarray(mdp.reward) + 0.5 * value[successors])).sum(-1)
    np.testing.assert_allclose(solution.theta, again, atol=1e-4)


def test_selecting_keeps_the_mean_only_where_told():
    selected = jax.jit(lambda theta: mean(dp.collapsed(greedy)(scalar(), theta)))
    assert selected(np.float32([[[1.0], [3.0]]])) == 3
