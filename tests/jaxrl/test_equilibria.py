"""Games of several players in one move, beside loops over joint actions and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.equilibria import (
    congestion_payoffs,
    deviation_gains,
    deviation_values,
    exploitability,
    pure_equilibria,
)
from jaxrl.errors import InputError

PLAYERS, ACTIONS = 4, 3
RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.7, 1.3, 0.0, 1.0])  # the third player is absent
BASE, SLOPE = RNG.uniform(0, 1, ACTIONS), RNG.uniform(0.3, 1, ACTIONS)


def cost(joint, player):
    """What a player pays, by hand."""
    own = joint[player]
    load = sum(w for w, action in zip(WEIGHTS, joint) if action == own)
    return WEIGHTS[player] * (BASE[own] + SLOPE[own] * load)


def every():
    return itertools.product(range(ACTIONS), repeat=PLAYERS)


def test_what_deviations_pay_is_a_loop_over_joint_actions():
    payoffs = congestion_payoffs(*map(jnp.asarray, (WEIGHTS, BASE, SLOPE)))
    policies = RNG.dirichlet(np.ones(ACTIONS), PLAYERS)
    wanted = np.zeros((PLAYERS, ACTIONS))
    for joint in every():
        for i in range(PLAYERS):
            assert payoffs[(i, *joint)] == pytest.approx(-cost(joint, i), abs=1e-5)
            others = np.prod([policies[j, joint[j]] for j in range(PLAYERS) if j != i])
            wanted[i, joint[i]] -= others * cost(joint, i)
    q = jax.jit(deviation_values)(payoffs, jnp.asarray(policies))
    np.testing.assert_allclose(q, wanted, atol=1e-5)
    gains = wanted.max(1) - (policies * wanted).sum(1)
    np.testing.assert_allclose(deviation_gains(payoffs, jnp.asarray(policies)), gains, atol=1e-5)
    assert exploitability(payoffs, jnp.asarray(policies)) == pytest.approx(gains.max(), abs=1e-5)
    # Costs are affine, so that expected loads are enough: a closed form without joint actions.
    load = WEIGHTS[:, None] + (WEIGHTS[:, None] * policies).sum(0) - WEIGHTS[:, None] * policies
    np.testing.assert_allclose(q, -WEIGHTS[:, None] * (BASE + SLOPE * load), atol=1e-5)
    with pytest.raises(InputError, match="3 players need payoffs"):
        deviation_values(payoffs, jnp.ones((3, ACTIONS)))


def test_pure_equilibria_are_those_that_no_deviation_improves_and_there_is_one():
    found = np.asarray(
        pure_equilibria(congestion_payoffs(*map(jnp.asarray, (WEIGHTS, BASE, SLOPE))))
    )
    for joint in every():
        stable = True
        for i, action in itertools.product(range(PLAYERS), range(ACTIONS)):
            other = (*joint[:i], action, *joint[i + 1 :])
            stable &= cost(other, i) > cost(joint, i) - 1e-5
        assert found[joint] == stable
    assert found.any()
    pennies = jnp.array([[1.0, -1.0], [-1.0, 1.0]])
    assert not pure_equilibria(jnp.stack([pennies, -pennies])).any()


@pytest.mark.parametrize("players", [1, 2, 5])
def test_players_who_are_alike_have_the_mixed_equilibrium_of_equal_costs(players):
    """b_a + s_a (1 + (N - 1) p_a) is the same for all resources, solved as a linear equation."""
    base, slope = np.array([0.2, 0.0, 0.1]), np.array([0.5, 0.6, 0.7])
    payoffs = congestion_payoffs(jnp.ones(players), jnp.asarray(base), jnp.asarray(slope))
    if players == 1:
        policy = np.eye(3)[(base + slope).argmin()]
    else:
        matrix = np.block([[np.diag(slope * (players - 1)), -np.ones((3, 1))], [np.ones(3), 0]])
        policy = np.linalg.solve(matrix, np.append(-base - slope, 1))[:3]
    assert (policy >= 0).all()
    assert exploitability(payoffs, jnp.tile(policy, (players, 1))) == pytest.approx(0, abs=1e-5)
    other = np.roll(policy, 1)
    assert exploitability(payoffs, jnp.tile(other, (players, 1))) > 0.01


def test_the_gradient_of_gains_is_that_of_each_players_own_payoff():
    payoffs = jnp.asarray(RNG.normal(size=(2, 2, 2)))
    logits = jnp.asarray(RNG.normal(size=(2, 2)))

    def gain(logits):
        policy = jax.nn.softmax(logits)
        values = jax.lax.stop_gradient(deviation_values(payoffs, policy))
        return deviation_gains(payoffs, policy, values).sum()

    def own(logits, player):
        policy = jax.nn.softmax(logits)
        return jnp.einsum("ab,a,b->", payoffs[player], *policy)

    wanted = [jax.grad(own)(logits, i)[i] for i in range(2)]
    np.testing.assert_allclose(jax.grad(gain)(logits), -np.stack(wanted), atol=1e-5)
