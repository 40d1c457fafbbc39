"""Derivatives of fixed points: closed forms, and finite differences of the solvers themselves."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import dp, values
from jaxrl.dp import robust
from tests.jaxrl.dp.cases import categorical, quantile, random_arrays, three_arrays

STATES, ACTIONS, TIGHT = 4, 2, 1e-13
ARRAYS = random_arrays(3, STATES, ACTIONS)
POLICY = np.random.default_rng(0).dirichlet(np.ones(ACTIONS), STATES)


def along(t):
    """A process and a discount that move with t, probabilities and rewards too."""
    p, r, d, initial = (jnp.asarray(x) for x in ARRAYS)
    kernel = (1 - 0.3 * t) * p + 0.3 * t * jnp.roll(p, 1, 1)
    moved = dp.TabularMDP(kernel, r + t * jnp.cos(7 * r), d, initial)
    return moved, 0.9 - 0.2 * t


def mean_of(family, solver, *args, **options):
    def solve(t):
        mdp, gamma = along(t)
        first = (mdp, *args, gamma, family())  # made in float64
        solution = solver(*first, tolerance=TIGHT, max_iterations=400, **options)
        return values.mean(first[-1].decode(solution.theta))

    return solve


def plain(solver, *args, **options):
    def solve(t):
        mdp, gamma = along(t)
        return solver(mdp, *args, gamma, tolerance=TIGHT, **options).theta

    return solve


def average(t):
    mdp, _ = along(t)
    gain, solution = dp.relative_value_iteration(mdp, tolerance=TIGHT)
    return jnp.concatenate([gain[None], solution.theta.ravel()])


def robustly(divergence, strength=0.2):
    return plain(lambda mdp, gamma, **kw: dp.robust_value_iteration(
        mdp, gamma, strength, divergence, **kw))  # fmt: skip


FEATURES = np.random.default_rng(1).normal(size=(STATES, ACTIONS, 2))
SOLVERS = {
    "value_iteration": plain(dp.value_iteration),
    "policy_iteration": plain(dp.policy_iteration),
    "modified_policy_iteration": plain(dp.modified_policy_iteration),
    "soft_value_iteration": plain(partial(dp.soft_value_iteration, temperature=0.5)),
    "policy_evaluation": plain(dp.policy_evaluation, POLICY),
    "successor_features": plain(dp.successor_features, POLICY, FEATURES),
    "occupancy_by_iteration": plain(dp.occupancy_by_iteration, POLICY),
    "relative_value_iteration": average,
    "robust, price": robustly(robust.regularised_kl),
    "robust, radius": robustly(robust.constrained_kl),
    "robust, total variation": robustly(robust.constrained_total_variation),
    "distributional_value_iteration": mean_of(
        lambda: categorical(-15.0, 15.0, 31), dp.distributional_value_iteration
    ),
    "distributional_policy_iteration": mean_of(
        lambda: categorical(-15.0, 15.0, 31), dp.distributional_policy_iteration
    ),
    "quantiles": mean_of(lambda: quantile(5), dp.distributional_policy_evaluation, POLICY),
    "logits": mean_of(
        lambda: values.categorical(values.uniform_support(-15.0, 15.0, 31)),
        dp.distributional_policy_evaluation,
        POLICY,
    ),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_forward_and_reverse_mode_agree_with_finite_differences(name):
    """Of one direction in which everything moves, vmapped over where it starts."""
    weigh = lambda theta: (theta * jnp.cos(jnp.arange(theta.size)).reshape(theta.shape)).sum()
    f = jax.jit(lambda t: weigh(SOLVERS[name](t)))  # what is differentiated twice is traced once
    every = lambda t: (f(t), jax.jvp(f, (t,), (jnp.ones_like(t),))[1], jax.grad(f)(t))
    h = 1e-5
    with jax.enable_x64(True):
        # In the middle of two values, for a kink may lie where nothing has moved.
        at = np.asarray([0.01, 0.01 - h, 0.01 + h])
        value, forward, backward = (np.asarray(x) for x in jax.jit(jax.vmap(every))(at))
    difference = (value[2] - value[1]) / (2 * h)
    np.testing.assert_allclose(forward[0], difference, rtol=1e-5)
    np.testing.assert_allclose(backward, forward, rtol=1e-8)


def test_evaluation_in_closed_form():
    """dV = (I - gamma P)^-1 dr, and by gamma (I - gamma P)^-1 P V: 120 is not 22.8."""
    p, r, d, initial = ARRAYS
    gamma = 0.99
    with jax.enable_x64(True):
        mdp = dp.from_arrays(p, r, d, initial)
        process = np.einsum("sa,sab->sb", POLICY, p * d)
        inverse = np.linalg.inv(np.eye(STATES) - gamma * process)
        reward = (POLICY * (p * r).sum(-1)).sum(-1)

        def start(reward, gamma, tolerance):
            moved = mdp._replace(reward=reward)
            theta = dp.policy_evaluation(moved, POLICY, gamma, tolerance=tolerance).theta
            return initial @ (POLICY * theta).sum(-1)

        slopes = jax.jit(jax.grad(start, (0, 1)))
        exact = (initial @ inverse)[:, None, None] * POLICY[..., None] * p
        by_gamma = initial @ inverse @ process @ inverse @ reward
        for tolerance in (1e-4, 1e-12):  # however early the loop itself ends
            by = slopes(mdp.reward, gamma, tolerance)
            np.testing.assert_allclose(by[0], exact, rtol=1e-6, atol=1e-9)
            np.testing.assert_allclose(by[1], by_gamma, rtol=5e-2 if tolerance > 1e-6 else 1e-6)


def test_a_static_problem_has_the_derivative_of_its_worst_model():
    each = (dp.from_arrays(*random_arrays(seed, STATES, ACTIONS)) for seed in range(3))
    mdps = jax.tree.map(lambda *x: np.stack(x), *each)
    solve = lambda mdp: dp.value_iteration(mdp, 0.9).theta

    def value(action, mdp):
        theta = dp.policy_evaluation(mdp, jax.nn.one_hot(action, ACTIONS), 0.9).theta
        # By its index: jax looks for what equals a maximum, which XLA may round otherwise.
        return mdp.initial @ jnp.take_along_axis(theta, theta.argmax(-1)[:, None], -1)[:, 0]

    worst = lambda reward: (
        dp.static_robust_control(solve, value, mdps._replace(reward=reward)).value
    )
    slope = np.asarray(jax.jit(jax.grad(worst))(mdps.reward))
    # Rewards that are all higher by one are worth the time until the end, in one model alone.
    touched = np.abs(slope).sum((1, 2, 3)) > 0
    assert touched.sum() == 1 and np.isfinite(slope).all()


def test_three_states_in_numbers():
    """Occupancies are the derivatives by rewards; unrolled iterations would be biased."""
    gamma, uniform = 0.9, np.full((3, 2), 0.5)
    options = {"tolerance": 1e-13}
    with jax.enable_x64(True):
        mdp = dp.from_arrays(*three_arrays())
        paid = lambda reward: mdp._replace(reward=reward[..., None])

        def best(reward, gamma):
            return dp.value_iteration(paid(reward), gamma, **options).theta.max(1).mean()

        def soft(temperature, gamma):
            theta = dp.soft_value_iteration(mdp, gamma, temperature, **options).theta
            return temperature * jax.nn.logsumexp(theta / temperature, axis=1)

        def even(scale, gamma):
            theta = dp.policy_evaluation(
                paid(scale * mdp.reward[..., 0]), uniform, gamma, **options
            )
            return theta.theta.mean()

        @jax.jit
        def run(reward, one, gamma):
            by_reward, by_gamma = jax.grad(best, (0, 1))(reward, gamma)
            curved = jax.hessian(even, (0, 1))(one, gamma)
            return by_reward, by_gamma, jax.jacfwd(soft)(one, gamma), curved

        one = jnp.ones(())
        found = run(mdp.reward[..., 0], one, one * gamma)
    by_reward, by_gamma, by_temperature, curved = jax.tree.map(np.asarray, found)
    np.testing.assert_allclose(by_reward.sum(1), [2.565041, 3.735772, 3.699187], atol=1e-6)
    assert (by_reward.argmax(1) == [1, 0, 1]).all() and by_reward.min() == 0
    np.testing.assert_allclose(by_gamma, 117.507436, atol=1e-5)
    np.testing.assert_allclose(by_temperature, [5.147938, 5.059244, 4.841904], atol=1e-6)
    # The second derivatives of (I - gamma P)^-1 c r by c and gamma.
    p, r, _, mean = three_arrays()
    p, r = p.mean(1), r[..., 0].mean(1)
    inverse = np.linalg.inv(np.eye(3) - gamma * p)
    once = inverse @ p @ inverse @ r
    by_both = [[0, mean @ once], [mean @ once, 2 * mean @ inverse @ p @ once]]
    np.testing.assert_allclose(curved, by_both, rtol=1e-7, atol=1e-7)
