"""Programmes, orders of backups, regularity and averages, on three states of known numbers."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp, values
from tests.jaxrl.dp.cases import bellman, float64, random_arrays, random_mdp, three_arrays

GAMMA = 0.9
BEST = np.array([10.824390, 11.624390, 12.492683])


def three():
    return dp.from_arrays(*three_arrays())


def test_other_orders_and_memory_find_the_same_values_with_fewer_backups():
    arrays = random_arrays(5, 12, 3, end=0.05)
    with jax.enable_x64(True):
        mdp, other = three(), dp.from_arrays(*arrays)

        @jax.jit
        def run(mdp, other, gamma):
            solvers = {
                "plain": dp.value_iteration,
                "anderson": dp.anderson_value_iteration,
                "in place": dp.gauss_seidel_value_iteration,
                "priority": dp.prioritised_sweeping,
            }
            found = {
                name: (solve(mdp, GAMMA, tolerance=1e-9), solve(other, gamma, tolerance=1e-12))
                for name, solve in solvers.items()
            }
            slope = jax.grad(lambda g: dp.anderson_value_iteration(mdp, g).theta.max(1).mean())
            return found, slope(gamma)

        found, slope = jax.tree.map(np.asarray, run(mdp, other, 0.9))
    exact = found["plain"][1].theta
    for name, (small, large) in found.items():
        np.testing.assert_allclose(small.theta.max(1), BEST, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(large.theta, exact, atol=1e-9, err_msg=name)
        assert small.converged and large.converged
    backups = {name: int(small.iterations) for name, (small, _) in found.items()}
    assert backups["anderson"] <= 12 < backups["plain"] / 10
    assert backups["in place"] < 0.9 * backups["plain"]
    assert backups["priority"] < 3 * backups["in place"]  # one state each
    np.testing.assert_allclose(slope, 117.507436, atol=1e-4)


def test_anderson_mixing_is_exact_for_linear_operators():
    """After as many applications as unknowns, and a few; a rotation, which VI follows slowly."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0] * 0.999
    with jax.enable_x64(True):
        run = jax.jit(lambda b: dp.accelerated(lambda x: turn @ x + b, 0 * b, 1e-9, 500, memory=6))
        found = jax.tree.map(np.asarray, run(np.ones(6)))
    np.testing.assert_allclose(
        found.theta, np.linalg.solve(np.eye(6) - turn, np.ones(6)), rtol=1e-6
    )
    assert found.iterations <= 12 and found.converged
    with pytest.raises(ValueError, match="memory must be above zero"):
        dp.accelerated(lambda x: x, jnp.zeros(1), 1e-5, 10, memory=0)


def test_linear_programmes_with_and_without_constraints():
    mdp = three()
    plain = dp.linear_programme(mdp, GAMMA)
    np.testing.assert_allclose(plain.state_values, BEST, atol=1e-5)
    np.testing.assert_allclose(plain.occupancy.sum(1), [2.565041, 3.735772, 3.699187], atol=1e-5)
    assert plain.policy.argmax(1).tolist() == [1, 0, 1] and plain.costs.shape == (0,)
    cost = np.zeros((1, 3, 2))
    cost[0, 2, 1] = 1
    limit = np.array([2.0])  # 0.2 of the time
    for form in (mdp, dp.sparse(mdp)):
        found = dp.linear_programme(form, GAMMA, cost, limit)
        np.testing.assert_allclose(found.value, 7.32846, atol=1e-4)
        np.testing.assert_allclose(found.multipliers, [2.541625], atol=1e-5)
        np.testing.assert_allclose(found.policy[2, 1], 0.478803, atol=1e-5)
        np.testing.assert_allclose(found.costs, limit, atol=1e-6)
    with pytest.raises(ValueError, match="No policy keeps the limits"):
        dp.linear_programme(mdp, GAMMA, np.ones((1, 3, 2)), np.array([1.0]))
    with pytest.raises(ValueError, match=r"Constraints need costs \[K, 3, 2\]"):
        dp.linear_programme(mdp, GAMMA, np.ones((3, 2)), np.array([1.0]))


def test_tsallis_entropy_leaves_actions_out():
    """Against a fine grid of policies of two actions, and hard maxima in the cold."""
    mdp = random_mdp(3, states=4, actions=2)
    p, r, d = float64(mdp)
    grid = np.linspace(0, 1, 20001)

    @jax.jit
    def run(mdp):
        solve = lambda t: dp.value_iteration(mdp, GAMMA, partial(values.tsallis, temperature=t))
        return jax.vmap(lambda t: solve(t).theta)(jnp.array([0.7, 1e-4]))

    warm, cold = np.asarray(run(mdp), np.float64)
    best = (grid * warm[:, :1] + (1 - grid) * warm[:, 1:] + 0.7 * grid * (1 - grid)).max(1)
    np.testing.assert_allclose(warm, bellman(p, r, d, GAMMA, best), atol=1e-3)
    np.testing.assert_allclose(cold, bellman(p, r, d, GAMMA, cold.max(1)), atol=1e-3)
    chosen = np.asarray(jax.jit(values.sparsemax)(jnp.asarray(warm / 0.7)))
    np.testing.assert_allclose(chosen[:, 0], grid[(grid * warm[:, :1] + (1 - grid) * warm[:, 1:]
        + 0.7 * grid * (1 - grid)).argmax(1)], atol=1e-3)  # fmt: skip


def test_sparsemax_is_the_projection_onto_the_simplex():
    """By its conditions: what is positive is as high above the scores, and nothing else is."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(200, 5)) * rng.choice([0.1, 1, 10], (200, 1))
    scores[0] = 0
    p = np.asarray(jax.jit(values.sparsemax)(np.float32(scores)))
    np.testing.assert_allclose(p.sum(-1), 1, atol=1e-5)
    tau = np.array([(s - q)[q > 0].mean() for s, q in zip(scores, p)])
    np.testing.assert_allclose(p, np.maximum(scores - tau[:, None], 0), atol=1e-5)
    assert (p == 0).any() and (p[0] == p[0, 0]).all()


def cesaro(p, powers=4096):
    """The average of the first powers of a kernel, by doubling."""
    total, power, count = np.eye(len(p)), p.copy(), 1
    while count < powers:
        total, power, count = total + power @ total, power @ power, 2 * count
    return total / count


def test_gain_and_bias_of_several_and_periodic_classes():
    p = np.array([[0.5, 0.25, 0.25, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])
    r = np.array([0.0, 1.0, 3.0, 1.0])
    arrays = three_arrays()
    with jax.enable_x64(True):
        several = dp.from_arrays(p[:, None], r[:, None], np.ones((4, 1, 4)), np.full(4, 0.25))
        mdp = dp.from_arrays(*arrays)
        policies = np.array(list(itertools.product(range(2), repeat=3)))

        @jax.jit
        def run(several, mdp):
            one = jnp.ones((4, 1))
            gain, bias = dp.gain_and_bias(several, one)
            near = dp.policy_evaluation_by_solving(several, one, 0.999).theta[:, 0]
            each = jax.vmap(lambda a: dp.gain_and_bias(mdp, jax.nn.one_hot(a, 2))[0])(policies)
            even = jnp.full((3, 2), 0.5)
            law = dp.stationary_rewards(mdp._replace(reward=_of_state(mdp)), even)
            centred = dp.centred(mdp._replace(reward=_of_state(mdp)), values.mean(law))
            long = dp.finite_horizon(
                centred, 200, select=partial(values.expected, probabilities=even)
            )[0]
            best = dp.multichain_policy_iteration(mdp)
            limit = dp.limiting_kernel(several, one)
            return gain, bias, near, each, law, (even * long).sum(1), best, limit

        found = jax.tree.map(np.asarray, run(several, mdp))
    gain, bias, near, each, law, long, (highest, _, action), limit = found
    np.testing.assert_allclose(gain, [1.5, 1, 2, 2], atol=1e-12)
    np.testing.assert_allclose(bias, [-2.75, 0, 0.5, -0.5], atol=1e-12)
    np.testing.assert_allclose(near - gain / 0.001, [-2.747378, 0, 0.50025, -0.50025], atol=1e-6)
    np.testing.assert_allclose(limit, cesaro(p), atol=1e-3)
    order = each[:, 0].argsort()
    np.testing.assert_allclose(each, np.repeat(each[:, :1], 3, 1), atol=1e-12)  # one class
    np.testing.assert_allclose(each[order[[-1, -2, 0]], 0], [1.175, 0.881356, -0.248276], atol=1e-6)
    assert policies[order[[-1, -2, 0]]].tolist() == [[1, 0, 1], [1, 1, 1], [1, 1, 0]]
    np.testing.assert_allclose(highest, 1.175, atol=1e-12)
    assert action.tolist() == [1, 0, 1]
    # The law of a step's reward, whose three quantiles have another mean than the gain.
    chance = [law.probabilities[0][law.atoms[0] == x].sum() for x in (0, 1, -1)]
    np.testing.assert_allclose(chance, [0.3125, 0.304167, 0.383333], atol=1e-6)
    np.testing.assert_allclose(values.mean(law), -0.079167, atol=1e-6)
    thirds = jax.jit(values.quantile(3).project)(law)[0]
    np.testing.assert_allclose(thirds, [-1, 0, 1])
    np.testing.assert_allclose(long, [0.621181, 1.204514, -1.462153], atol=1e-6)


def _of_state(mdp):
    return jnp.broadcast_to(jnp.array([0.0, 1.0, -1.0])[:, None, None], mdp.reward.shape)


def test_policy_iteration_on_any_chains_against_enumeration():
    """Processes of classes that do not communicate, where relative iteration has no answer."""
    rng = np.random.default_rng(0)
    processes, exact = [], []
    for _ in range(12):
        p = np.stack([np.eye(4)[rng.integers(0, 4, 4)], rng.dirichlet(np.ones(4), 4)], 1)
        p[0] = np.eye(4)[0]  # a trap
        r = rng.normal(size=(4, 2)).round(1)
        arrays = p, r, np.ones(p.shape), np.full(4, 0.25)
        processes.append(arrays)
        gains = []
        for a in itertools.product(range(2), repeat=4):
            gains.append(cesaro(p[np.arange(4), a], 2**20) @ r[np.arange(4), a])
        exact.append(np.max(gains, 0))
    with jax.enable_x64(True):
        stack = dp.stacked(dp.from_arrays(*x) for x in processes)
        gain, bias, action = jax.jit(jax.vmap(dp.multichain_policy_iteration))(stack)
    np.testing.assert_allclose(gain, exact, atol=1e-4)
    for (p, r, *_), g, h, a in zip(processes, *(np.asarray(x) for x in (gain, bias, action))):
        chain, paid = p[np.arange(4), a], r[np.arange(4), a]
        np.testing.assert_allclose(g + h, paid + chain @ h, atol=1e-9)
        assert ((p @ g).max(1) <= g + 1e-5).all()
