"""Projections do not expand distances, and projected backups contract."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxrl import values
from tests.jaxrl.values import families
from tests.jaxrl.values.families import (
    ATOMS,
    EXACT_MEAN,
    FAMILIES,
    HIGH,
    LOW,
    PESSIMISTIC,
    arrays,
    close,
    cramer,
    decode,
    distributions,
    project,
    rows,
    wasserstein_infinity,
)

BIN = (HIGH - LOW) / (ATOMS - 1)
EVERY = pytest.mark.parametrize("name", FAMILIES)
FAITHFUL = pytest.mark.parametrize("name", [n for n in FAMILIES if n not in PESSIMISTIC])
few = settings(max_examples=15, deadline=None, derandomize=True)
some = settings(max_examples=40, deadline=None, derandomize=True)
GAMMA = 0.9


# Distances: projections do not expand, and so the projected backup contracts.


@pytest.mark.parametrize("name", ["categorical", "categorical symlog", "categorical asinh"])
@some
@given(d=distributions(low=-13, high=13))
def test_linear_projection_does_not_expand_cramer_distance(name, d):
    a, b = rows(d)
    pa, pb = rows(decode[name](project[name](d)))
    assert cramer(pa, pb) <= cramer(a, b) + 1e-4


@pytest.mark.parametrize("name", ["quantile", "implicit", "particles", "expectile"])
@some
@given(atoms=arrays((2, 10), -9, 9))
def test_quantiles_and_expectiles_do_not_expand_wasserstein_infinity(name, atoms):
    d = families.distribution(atoms, np.ones((2, 10)))
    a, b = rows(d)
    theta = np.asarray(project[name](d))[:, :9]
    assert np.abs(theta[0] - theta[1]).max() <= wasserstein_infinity(a, b) + 1e-4


@some
@given(d=distributions())
def test_means_do_not_expand(d):
    theta = project["scalar"](d)
    a, b = rows(d)
    assert abs(theta[0, 0] - theta[1, 0]) <= families.wasserstein(a, b) + 1e-4


def chain(seed, states=4):
    """A random Markov reward process: transition [S, S] and reward [S, S], per successor."""
    rng = np.random.default_rng(seed)
    transition = jnp.asarray(rng.dirichlet(np.ones(states) * 0.5, states), jnp.float32)
    return transition, jnp.asarray(rng.uniform(-1, 1, (states, states)), jnp.float32)


def backup(name, theta, transition, reward, gamma=GAMMA):
    """The projected policy-evaluation backup of outputs [S, K]."""
    d = FAMILIES[name].decode(theta)
    d = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(transition), *x.shape)), d)
    return FAMILIES[name].project(values.mix(values.push(d, reward, gamma), transition))


def ratios(name, distance, count=40):
    """How much one backup shrinks the largest distance over states, for random pairs."""
    step = jax.jit(lambda *args: backup(name, *args))
    out = []
    for seed in range(count):
        transition, reward = chain(seed)
        pair = [project[name](families.sample(2 * seed + i, (4, 12), -9, 9)) for i in (0, 1)]
        after = [step(theta, transition, reward) for theta in pair]
        largest = lambda thetas: max(
            distance(*ab) for ab in zip(*(rows(decode[name](theta)) for theta in thetas))
        )
        out.append(largest(after) / largest(pair))
    return max(out)


def test_categorical_backup_contracts_by_the_root_of_gamma_in_cramer_distance():
    worst = ratios("categorical", cramer)
    assert 0.3 < worst <= GAMMA**0.5 + 1e-4


def test_root_of_gamma_is_attained_and_gamma_is_not_enough():
    """A pair for which the factor is the root exactly, so that the bound cannot be gamma."""
    support = values.uniform_support(0.0, 10.0, 11)
    family = values.categorical(support)
    theta = jnp.stack([family.project(values.dirac(jnp.array(x))) for x in (0.0, 10.0)])
    after = family.project(values.push(family.decode(theta), jnp.zeros(2), jnp.full(2, 0.5)))
    factor = cramer(*rows(family.decode(after))) / cramer(*rows(family.decode(theta)))
    assert factor == pytest.approx(0.5**0.5, abs=1e-4)


def test_quantile_backup_contracts_by_gamma_in_wasserstein_infinity():
    worst = ratios("quantile", wasserstein_infinity)
    assert 0.3 < worst <= GAMMA + 1e-4


@EVERY
def test_policy_evaluation_converges_to_a_fixed_point(name):
    """From two starts to the same distribution, with the mean of the linear system where exact."""
    transition, reward = chain(7)
    gamma = 0.8
    iterate = jax.jit(
        lambda theta: jax.lax.fori_loop(
            0, 150, lambda _, t: backup(name, t, transition, reward, gamma), theta
        )
    )
    ends = [
        values.mean(decode[name](iterate(project[name](families.sample(s, (4, 12), -5, 5)))))
        for s in (0, 1)
    ]
    close(*ends, 1e-3)
    p, r = np.asarray(transition, np.float64), np.asarray(reward, np.float64)
    exact = np.linalg.solve(np.eye(4) - gamma * p, (p * r).sum(-1))
    if name in EXACT_MEAN:
        close(ends[0], exact, 1e-3)
    elif name not in PESSIMISTIC:
        close(ends[0], exact, 0.6)
