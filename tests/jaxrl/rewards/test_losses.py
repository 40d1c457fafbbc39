"""Preference losses beside their optima on a bandit whose pairs are enumerated."""

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import expit

from jaxrl.errors import InputError
from jaxrl.rewards import losses
from jaxrl.values import ReturnDistribution

REWARD, REFERENCE, BETA = np.array([0.0, 1.0, 2.5]), np.array([0.5, 0.3, 0.2]), 0.5
CHANCE = expit(REWARD[:, None] - REWARD)  # of i over j
FIRST, SECOND = (x.reshape(-1) for x in np.indices((3, 3)))
ORDERS = np.array(list(permutations(range(3))))


def tilted(exponent):
    policy = REFERENCE * np.exp(exponent)
    return policy / policy.sum()


def log_ratio(theta):
    return jax.nn.log_softmax(theta) - jnp.log(REFERENCE)


def paired(loss, label):
    """The mean loss of all pairs, as a function of logits."""

    def mean(theta):
        ratio = log_ratio(theta)
        return loss(ratio[FIRST], ratio[SECOND], label.reshape(-1)).mean()

    return mean


def ranked(theta):
    """The mean loss of rankings of the three, which are drawn as Plackett and Luce say."""
    chances = np.array([
        np.prod([np.exp(REWARD[o[i]]) / np.exp(REWARD[o[i:]]).sum() for i in range(3)])
        for o in ORDERS
    ])  # fmt: skip
    return (chances * losses.listwise(BETA * log_ratio(theta)[ORDERS])).sum()


def test_optima_on_a_bandit():
    """By Newton's method; the constant of logits is held by a small penalty."""
    objectives = {
        "dpo": paired(losses.bradley_terry(BETA), CHANCE),
        "list": ranked,
        "identity": paired(losses.identity_preference(BETA), CHANCE),
        "certain": paired(losses.identity_preference(BETA), 1.0 * (CHANCE > 0.5)),
        "squared": paired(losses.squared(BETA), REWARD[:, None] - REWARD),
    }

    @jax.jit
    def solve():
        found = {}
        for name, objective in objectives.items():
            anchored = lambda x, objective=objective: objective(x) + 1e-4 * x.sum() ** 2

            def newton(theta, _, anchored=anchored):
                hessian = jax.hessian(anchored)(theta) + 1e-6 * jnp.eye(3)
                step = jnp.linalg.solve(hessian, jax.grad(anchored)(theta))
                return theta - step * jnp.minimum(1.0, 1 / jnp.abs(step).max()), None

            theta, _ = jax.lax.scan(newton, jnp.log(REFERENCE), None, 40)
            found[name] = jax.nn.softmax(theta)
        return found

    found = jax.device_get(solve())
    dpo = tilted(REWARD / BETA)
    np.testing.assert_allclose(found["dpo"], dpo, atol=1e-3)
    np.testing.assert_allclose(found["list"], dpo, atol=1e-3)
    np.testing.assert_allclose(found["squared"], dpo, atol=1e-3)
    np.testing.assert_allclose(found["identity"], tilted(CHANCE.mean(1) / BETA), atol=1e-3)
    certain = (1.0 * (CHANCE > 0.5)).mean(1)
    np.testing.assert_allclose(found["certain"], tilted(certain / BETA), atol=1e-3)


def test_smoothing_and_margins_of_two_arms():
    """The optimum has the logit of the smoothed label; a margin asks for more of both."""
    grid, smooth = np.linspace(-8, 8, 1601), 0.2
    zero = jnp.zeros(1601)
    for chance in (0.5, 0.9, 1.0):
        label = (1 - smooth) * chance + smooth / 2
        loss = losses.bradley_terry(BETA, smoothing=smooth)(jnp.asarray(grid), zero, chance)
        best = np.log(label / (1 - label)) / BETA
        assert grid[int(loss.argmin())] == pytest.approx(best, abs=0.02)
        loss = losses.bradley_terry(BETA, margin=0.7, bias=0.4)
        found = loss(jnp.asarray(grid), zero + 1.5, chance)
        won, lost = -np.log(expit([BETA * (grid - 0.6) - 0.7, BETA * (1.5 - 0.4 * grid) - 0.7]))
        np.testing.assert_allclose(found, chance * won + (1 - chance) * lost, rtol=1e-4)


def test_of_two_arms_the_hinge_loss_knows_only_the_direction():
    grid = np.linspace(-4, 4, 801)
    for chance in (0.55, 0.95, 0.3):
        loss = losses.hinge(BETA)(jnp.asarray(grid), jnp.zeros(801), jnp.float32(chance))
        assert grid[int(loss.argmin())] == pytest.approx(np.sign(chance - 0.5) / BETA, abs=0.02)
        by_hand = chance * np.maximum(0, 1 - BETA * grid) + (1 - chance) * np.maximum(
            0, 1 + BETA * grid
        )
        np.testing.assert_allclose(loss, by_hand, atol=1e-5)
    # Of three it is a linear programme, in the log-ratio and one slack for each ordered pair.
    pairs = [(i, j) for i in range(3) for j in range(3)]
    rows, cost = [], [0.0] * 3
    for k, (i, j) in enumerate(pairs):
        row = np.zeros(12)
        row[i] -= BETA
        row[j] += BETA
        row[3 + k] = -1
        rows.append(row)
        cost.append((2 * CHANCE[i, j] if i != j else 1.0) / 9)
    bounds = [(0, 0)] + [(None, None)] * 2 + [(0, None)] * 9
    best = linprog(cost, np.array(rows), -np.ones(9), bounds=bounds)
    mean = paired(losses.hinge(BETA), CHANCE)
    at = lambda ratio: float(mean(jnp.asarray(np.log(REFERENCE) + ratio)))
    assert at(best.x[:3]) == pytest.approx(best.fun, abs=1e-4)
    rng = np.random.default_rng(0)
    assert all(at(best.x[:3] + rng.normal(size=3)) >= best.fun - 1e-4 for _ in range(20))


def test_single_scores_push_by_the_balance_of_their_labels():
    """The gradient is minus the slope of the sigmoid times (label a - (1 - label) b)."""
    score, label = jnp.array([0.3, -1.0, 2.0]), jnp.array([0.1, 0.5, 0.9])
    loss = lambda x, z: losses.unpaired(x, label, z, BETA, 1.0, 1.5).sum()
    for z, effective in ((0.4, 0.4), (-3.0, 0.0)):
        above = expit(BETA * (np.asarray(score) - effective))
        balance = label - (1 - label) * 1.5
        expected = -BETA * above * (1 - above) * balance
        np.testing.assert_allclose(jax.grad(loss)(score, z), expected, rtol=1e-4)
        assert jax.grad(loss, 1)(score, z) == 0  # the reference has no gradient


def test_chances_of_distributions_and_bad_input():
    rng = np.random.default_rng(1)
    p, q = rng.dirichlet(np.ones(4), 2)
    atoms = jnp.arange(4.0)
    first, second = (ReturnDistribution(atoms, jnp.asarray(x)) for x in (p, q))
    by_hand = p @ (np.cumsum(q) - q / 2)
    assert losses.chance_above(first, second) == pytest.approx(by_hand, abs=1e-5)
    assert losses.chance_above(first, first) == pytest.approx(0.5, abs=1e-5)
    name = losses.preference_loss("bradley-terry", 2.0)
    plain = name(jnp.array([0.7]), jnp.array([0.2]), jnp.array([1.0]))
    np.testing.assert_allclose(plain, -np.log(expit(1.0)), rtol=1e-5)
    with pytest.raises(InputError, match="did you mean hinge"):
        losses.preference_loss("hing")
    with pytest.raises(InputError, match="scale must be above zero"):
        losses.hinge(0.0)
