"""Robust dynamic programming against numpy, and static problems against brute force."""

import functools
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import mdps
from jaxrl import values
from jaxrl.dp import robust
from jaxrl.dp.mdp import TabularMDP, discounted, sparse, stacked
from jaxrl.dp.operator import backup, zeros
from jaxrl.dp.robust_control import (
    robust_mixed,
    robust_policy_evaluation,
    robust_value_iteration,
    static_robust_control,
    worst_case_process,
)
from jaxrl.values import scalar
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.cases import categorical

GAMMA = 0.9
PRICED = [robust.regularised_total_variation, robust.regularised_kl, robust.regularised_chi_square]
WITHIN = [
    robust.constrained_total_variation,
    robust.constrained_kl,
    robust.constrained_chi_square,
]
DENSE = TabularMDP(*mdps.garnet(12, 3, 4, end=0.1, seed=1))
SPARSE = sparse(DENSE)
solve = jax.jit(robust_value_iteration, static_argnums=3)


@functools.cache
def by_row(divergence):
    return jax.jit(jax.vmap(divergence, (0, 0, None)))


def worst(divergence, values, p, strength):
    """Worst-case expectations of the rows by the function under test for one row in float64.

    That function has its own oracle: what is tested here is what it is given.
    """
    with jax.enable_x64(True):
        return np.asarray(by_row(divergence)(values, p, strength).value)


def robust_values(mdp, gamma, strength, divergence, policy=None):
    """Robust values in numpy, one row of successors for each pair."""
    p, r, d, _ = (np.asarray(x, np.float64) for x in mdp[:4])
    q = np.zeros(p.shape[:2])
    for _ in range(250):
        v = q.max(-1) if policy is None else (policy * q).sum(-1)
        rows = (r + gamma * d * v).reshape(-1, p.shape[-1])
        q = worst(divergence, rows, p.reshape(rows.shape), strength).reshape(q.shape)
    return q


@pytest.mark.parametrize("divergence", PRICED + WITHIN)
def test_robust_value_iteration_dense_and_sparse(divergence):
    strength = 0.5 if divergence in PRICED else 0.15
    expected = robust_values(DENSE, GAMMA, strength, divergence)
    for mdp in (DENSE, SPARSE):
        out = solve(mdp, GAMMA, strength, divergence, tolerance=1e-6)
        np.testing.assert_allclose(out.theta, expected, atol=2e-4)
        assert 10 < int(out.iterations) < 300


def test_robust_policy_evaluation():
    policy = np.random.default_rng(0).dirichlet(np.ones(3), size=12)
    expected = robust_values(DENSE, GAMMA, 0.15, robust.constrained_kl, policy)
    evaluate = jax.jit(robust_policy_evaluation, static_argnums=4)
    args = SPARSE, np.float32(policy), GAMMA, 0.15, robust.constrained_kl
    out = evaluate(*args, tolerance=1e-6)
    np.testing.assert_allclose(out.theta, expected, atol=2e-4)


@pytest.mark.parametrize("divergence", WITHIN)
def test_the_worst_world_is_a_world_of_that_value(divergence):
    theta = np.asarray(solve(DENSE, GAMMA, 0.15, divergence, tolerance=1e-6).theta)
    world = jax.jit(worst_case_process, static_argnums=4)(DENSE, theta, GAMMA, 0.15, divergence)
    p, r, d, _ = (np.asarray(x, np.float64) for x in world[:4])
    q = np.zeros(theta.shape)
    for _ in range(300):
        q = (p * (r + GAMMA * d * q.max(-1))).sum(-1)
    np.testing.assert_allclose(q, theta, atol=2e-4)
    # A harmless world, as of padding that is taken for a successor, would be seen.
    nominal = solve(DENSE, GAMMA, 0.0, divergence, tolerance=1e-6).theta
    assert (np.asarray(nominal) - theta).min() > 0.1


def test_the_backup_contracts_by_gamma():
    rng = np.random.default_rng(0)
    mdp = DENSE._replace(discount=np.full(DENSE.discount.shape, GAMMA, np.float32))
    for divergence in PRICED + WITHIN:
        operator = partial(backup, mdp, scalar(), mix=robust_mixed(0.3, divergence))
        pair = np.float32(rng.normal(size=(2, 12, 3, 1)))
        x, y = np.asarray(jax.jit(jax.vmap(operator))(pair))
        assert np.abs(x - y).max() <= GAMMA * np.abs(pair[0] - pair[1]).max() + 1e-5


def test_distributions_are_backed_up_under_the_same_worst_case():
    policy = np.full((12, 3), 1 / 3, np.float32)
    family = categorical(-40.0, 40.0, 81)  # linear projection keeps the mean
    select = partial(values.expected, probabilities=policy)

    @partial(jax.jit, static_argnums=1, compiler_options=OPTIMISED)
    def run(mdp, divergence, strength):
        model, mix = discounted(mdp, GAMMA), robust_mixed(strength, divergence)
        sweep = lambda _, theta: backup(model, family, theta, select, mix)
        theta = jax.lax.fori_loop(0, 120, sweep, zeros(family, 12, 3))
        expected = robust_policy_evaluation(mdp, policy, GAMMA, strength, divergence).theta
        return values.mean(family.decode(theta)), expected

    for divergence, strength in ((WITHIN[1], 0.15), (PRICED[0], 0.5)):
        np.testing.assert_allclose(*run(SPARSE, divergence, strength), atol=2e-3)


def test_vmapped_over_processes_discounts_and_strengths():
    batch = [TabularMDP(*mdps.garnet(6, 2, 3, seed=i)) for i in range(3)]
    gammas, radii = np.float32([0.8, 0.9]), np.float32([0.0, 0.1, 0.5])
    fn = lambda mdp, g, s: robust_value_iteration(mdp, g, s, robust.constrained_kl).theta
    each = jax.vmap(jax.vmap(jax.vmap(fn, (None, None, 0)), (None, 0, None)), (0, None, None))
    out = np.asarray(jax.jit(each)(stacked(batch), gammas, radii))
    assert out.shape == (3, 2, 3, 6, 2)
    one = solve(batch[1], 0.9, 0.1, robust.constrained_kl).theta
    np.testing.assert_allclose(out[1, 1, 1], one, atol=1e-4)
    assert (np.diff(out, axis=2) <= 1e-4).all()


def test_robust_policies_do_better_where_the_world_shifts():
    # A short way along a cliff, or a longer one away from it.
    cliff = TabularMDP(*mdps.cliff())
    p, r, d = (np.asarray(x, np.float64) for x in cliff[:3])
    r, d = r.min(1, keepdims=True) + 0 * p, d.max(1, keepdims=True) + 0 * p

    def world(slip):
        kernel = (1 - slip) * p + slip * p.mean(1, keepdims=True)
        return TabularMDP(*map(np.float32, (kernel, r, d)), cliff.initial)

    def value(slip, theta):
        rows = np.arange(48), np.asarray(theta).argmax(-1)
        kernel = (1 - slip) * p + slip * p.mean(1, keepdims=True)
        v = np.linalg.solve(np.eye(48) - (0.95 * kernel * d)[rows], (kernel * r).sum(-1)[rows])
        return np.asarray(cliff.initial) @ v

    bold, careful = (
        solve(world(0.002), 0.95, radius, robust.constrained_kl).theta for radius in (0.0, 0.1)
    )
    assert value(0.002, bold) > value(0.002, careful) + 0.5
    assert value(0.1, bold) < value(0.1, careful) - 10.0


# Static robustness: a chain whose slip is the parameter.
def family(seed, num=5):
    """A line of random processes between two, and the maps that static control needs."""
    one, other = (jax.tree.map(np.asarray, mdps.garnet(4, 2, 2, seed=seed + i)) for i in (100, 200))
    share = np.linspace(0, 1, num, dtype=np.float32)[:, None, None, None]
    line = lambda x, y: (1 - share) * x + share * y
    many = lambda x: np.broadcast_to(x, (num, *x.shape))
    return TabularMDP(
        line(one.transition, other.transition),
        many(one.reward[:, :, :1] * np.ones_like(one.reward)),
        many(one.discount),
        many(one.initial),
    )


def optimum(mdp):
    def sweep(q, _):
        return (mdp.transition * (mdp.reward + GAMMA * mdp.discount * q.max(-1))).sum(-1), None

    return jax.lax.scan(sweep, jnp.zeros(mdp.transition.shape[:2]), None, 200)[0]


def return_of(action, mdp):
    rows = jnp.arange(4), action
    kernel = (GAMMA * mdp.transition * mdp.discount)[rows]
    reward = (mdp.transition * mdp.reward).sum(-1)[rows]
    return mdp.initial @ jnp.linalg.solve(jnp.eye(4) - kernel, reward)


def test_static_problems_end_and_grow_and_keep_the_best():
    families = jax.tree.map(lambda *x: np.stack(x), *(family(seed) for seed in range(12)))
    policies = np.array(list(itertools.product((0, 1), repeat=4)))
    every = jax.vmap(jax.vmap(return_of, (None, 0)), (0, None))

    @jax.jit
    def run(families):
        control = jax.vmap(partial(static_robust_control, optimum, return_of))
        return control(families), jax.vmap(lambda models: every(policies, models))(families)

    out, returns = jax.tree.map(np.asarray, run(families))
    solved = 0
    for i in range(12):
        worst = returns[i].min(-1)  # of each deterministic policy
        rounds = int(out.iterations[i])
        assert 1 <= rounds <= 5
        assert int(out.active[i].sum()) == rounds  # each round solved a new model
        seen = [0, *out.worst[i][: rounds - 1]]
        assert len(set(seen)) == rounds and out.active[i][seen].all()
        assert int(out.worst[i][rounds - 1]) in seen
        values = out.values[i]
        assert np.isneginf(values[rounds:]).all()
        np.testing.assert_allclose(out.value[i], values[:rounds].max(), rtol=1e-6)
        chosen = int((policies == out.policy[i]).all(-1).argmax())
        np.testing.assert_allclose(out.value[i], worst[chosen], atol=1e-4)
        assert out.value[i] <= worst.max() + 1e-4
        solved += out.value[i] > worst.max() - 1e-4
    assert solved >= 6  # the best static policy often, not always


def test_static_problems_find_the_extreme_parameter():
    slips = np.linspace(0, 0.4, 9, dtype=np.float32)
    base = TabularMDP(*mdps.gridworld(2, 2, 0.0))

    def model(slip):  # the environment's parameter is a vmapped axis
        p = base.transition
        return base._replace(transition=(1 - slip) * p + slip * p.mean(1, keepdims=True))

    @jax.jit
    def run(slips):
        best = return_of(optimum(model(0.4)).argmax(-1), model(0.4))
        return static_robust_control(optimum, return_of, jax.vmap(model)(slips)), best

    out, best = jax.tree.map(np.asarray, run(slips))
    assert out.worst[0] == 8 and out.iterations == 2
    np.testing.assert_allclose(out.value, best, atol=1e-4)
