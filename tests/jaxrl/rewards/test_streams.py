"""Costs below limits, beside a linear programme, and the prices of a learner, beside a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from jaxrl import dp
from jaxrl.errors import InputError
from jaxrl.rewards import constrained, constrained_replay, mixed_advantages, priced
from jaxrl.types import Agent, Transition, Update, memoryless
from tests.compiling import OPTIMISED
from tests.jaxrl.dp.cases import random_arrays

S, A, K, GAMMA, N = 5, 3, 2, 0.8, 6


def test_prices_lead_to_the_optimum_of_the_linear_programme():
    arrays = [random_arrays(seed, S, A, end=0.1) for seed in range(N)]
    rng = np.random.default_rng(0)
    costs = rng.random((N, K, S, A))
    optima, limits = [], []
    for (p, r, d, start), cost in zip(arrays, costs):
        flow = np.zeros((S, S * A))
        for s, a in np.ndindex(S, A):
            flow[:, s * A + a] -= GAMMA * p[s, a] * d[s, a]
            flow[s, s * A + a] += 1
        reward = (p * r).sum(-1).reshape(-1)
        free = linprog(-reward, A_eq=flow, b_eq=start)
        table = cost.reshape(K, -1)
        least = [linprog(c, A_eq=flow, b_eq=start).fun for c in table]
        limit = 0.5 * (table @ free.x) + 0.5 * np.array(least)
        best = linprog(-reward, table, limit, flow, start)
        limits.append(limit if best.success else table @ free.x)
        optima.append(-best.fun if best.success else -free.fun)

    def solve(mdp, cost, limit):
        return dp.constrained_occupancy(mdp, cost, limit, GAMMA, 1500, 0.5)

    run = jax.jit(jax.vmap(solve), compiler_options=OPTIMISED)
    mdps = dp.stacked(dp.from_arrays(*x) for x in arrays)
    found = run(mdps, jnp.asarray(costs, jnp.float32), jnp.asarray(np.array(limits), jnp.float32))
    np.testing.assert_allclose(found.value, optima, atol=0.05)
    assert (found.costs <= np.array(limits) + 0.05).all()
    assert (found.multipliers.max(-1) > 0.05).sum() >= N // 2  # most limits bind


def test_a_learner_pays_prices_that_follow_its_costs():
    limits, rate = jnp.array([0.3, 0.5]), 0.2
    told = Update(
        lambda key, example: jnp.zeros((4, 3)),
        lambda state, batch, key: (batch.reward, {"loss": jnp.zeros(())}),
        lambda state: state,
    )
    actor = memoryless(lambda view, obs, key: (obs, ()))
    agent = constrained(Agent(actor, actor, told), lambda batch: batch.signals, limits, rate)
    rng = np.random.default_rng(1)
    ones = jnp.ones((4, 3))
    weight = jnp.asarray(rng.random((4, 3)), jnp.float32)
    batch = Transition(ones, ones, ones, ones, ones < 0, ones, (), weight, jnp.zeros((4, 3, 2)))
    state, prices = agent.update.init(jax.random.key(0), batch), np.zeros(2)
    apply = jax.jit(agent.update.apply)
    for scale in (1.0, 2.0, 0.1):
        reward, cost = rng.normal(size=(4, 3)), scale * rng.random((4, 3, 2))
        now = batch._replace(reward=jnp.asarray(reward), signals=jnp.asarray(cost))
        state, metrics = apply(state, now, jax.random.key(0))
        paid = (reward - cost @ prices) / (1 + prices.sum())
        np.testing.assert_allclose(agent.update.read(state), paid, atol=1e-5)
        share = np.asarray(weight) / np.asarray(weight).sum()
        mean = (share[..., None] * cost).sum((0, 1))
        prices = np.maximum(prices + rate * (mean - np.asarray(limits)), 0)
        np.testing.assert_allclose(state.prices, prices, atol=1e-5)
        assert metrics["cost_1"] == pytest.approx(mean[1], abs=1e-5)
    with pytest.raises(InputError, match="rate must be above zero"):
        constrained(agent, lambda batch: batch.signals, limits, 0.0)


def test_what_was_stored_is_paid_by_the_prices_of_now():
    """A replay that gives back the rollout before; and an agent that does not replay is refused."""
    told = Update(
        lambda key, example: jnp.zeros((2, 2)),
        lambda state, batch, key: (batch.reward, {}),
        lambda state: state,
    )

    def remember(inner):
        def apply(state, new, key):
            return (inner.apply(state[0], state[1], key)[0], new), {}

        return Update(
            lambda key, example: (inner.init(key, example), example),
            apply,
            lambda state: inner.read(state[0]),
        )

    update = priced(told, lambda batch: batch.signals, jnp.array([0.2]), 0.5, remember)
    ones, rng = jnp.ones((2, 2)), np.random.default_rng(3)
    batch = Transition(ones, ones, ones, ones, ones < 0, ones, (), ones, jnp.zeros((2, 2, 1)))
    state, price, before = update.init(jax.random.key(0), batch), 0.0, (np.ones((2, 2)), 0.0)
    apply = jax.jit(update.apply)
    for _ in range(4):
        reward, cost = rng.normal(size=(2, 2)), rng.random((2, 2, 1))
        now = batch._replace(reward=jnp.asarray(reward), signals=jnp.asarray(cost))
        state, _ = apply(state, now, jax.random.key(0))
        paid = (before[0] - price * before[1]) / (1 + price)
        np.testing.assert_allclose(update.read(state), paid, atol=1e-5)
        before, price = (reward, cost[..., 0]), max(price + 0.5 * (cost.mean() - 0.2), 0.0)
    assert price > 0.1
    with pytest.raises(InputError, match="are for agents that replay"):
        constrained_replay(lambda spec, hp: told, lambda batch: batch.signals, jnp.array([0.2]))


def test_streams_are_mixed_whatever_their_scale():
    advantages = np.random.default_rng(2).normal(size=(6, 2, 2)) * [1.0, 100.0] + [0.0, 30.0]
    weights = jnp.array([0.7, 0.3])
    found = mixed_advantages(jnp.asarray(advantages), weights)
    normal = (advantages - advantages.mean((0, 1))) / advantages.std((0, 1))
    np.testing.assert_allclose(found, normal @ [0.7, 0.3], atol=1e-4)
    plain = mixed_advantages(jnp.asarray(advantages), weights, normalise=False)
    np.testing.assert_allclose(plain, advantages @ [0.7, 0.3], rtol=1e-4)
