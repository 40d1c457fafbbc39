"""Transforms of rewards in environments, beside sums that are made by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import check, from_mdp, mdps
from jaxrl.conditioned import conditioned
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.rewards import (
    bonus_once,
    capped,
    differenced,
    lexicographic,
    marginal_gains,
    relative_to,
    rewarded_by,
    shaped,
    unseen,
)
from jaxrl.rollouts import random_actions, rollout
from jaxrl.types import memoryless

S, STEPS, LANES, GAMMA = 6, 40, 3, 0.9
WALK = mdps.garnet(S, 2, 3, end=0.1, seed=4)
PHI = np.random.default_rng(0).normal(size=S).astype(np.float32)


def played(env):
    """A rollout of random actions, on the host."""
    lanes = auto_reset(vectorize(env, LANES))

    @jax.jit
    def run(key):
        k_start, k_run = jax.random.split(key)
        start = (*lanes.init(k_start), ())
        act = lambda view, obs, key: (random_actions(env.spec, LANES, key), ())
        return rollout(lanes, memoryless(act), (), start, k_run, STEPS)[1]

    return jax.device_get(run(jax.random.key(0)))


def test_potentials_and_proxies_in_an_environment():
    walk = time_limit(from_mdp(WALK), 7)
    proxy = lambda obs, action, final: obs @ jnp.arange(6.0) + 10 * action
    env = rewarded_by(shaped(walk, lambda obs: obs @ PHI, GAMMA), proxy)
    check(env)
    data = played(env)
    at, to = data.obs.argmax(-1), data.final.argmax(-1)
    np.testing.assert_allclose(data.reward, at + 10 * data.action, atol=1e-5)
    gold = np.asarray(WALK.reward)[at, data.action, to]
    expected = gold + GAMMA * data.discount * PHI[to] - PHI[at]
    np.testing.assert_allclose(data.signals.reward, expected, atol=1e-5)
    ended = data.last
    assert (ended & (data.discount == 0)).any() and (ended & (data.discount == 1)).any()
    trial = played(env.trial.env)  # both are left out where agents are evaluated
    at, to = trial.obs.argmax(-1), trial.final.argmax(-1)
    gold = np.asarray(WALK.reward)[at, trial.action, to]
    np.testing.assert_allclose(trial.reward, gold, atol=1e-5)
    states = [jax.eval_shape(x.init, jax.random.key(0))[0] for x in (env.trial.env, env)]
    assert jax.eval_shape(env.trial.within, states[0]) == states[1]
    with pytest.raises(InputError, match="here two take turns"):
        shaped(walk._replace(spec=walk.spec._replace(players=2)), lambda obs: obs[0], GAMMA)


def test_gains_of_sets_telescope_and_bonuses_are_paid_once():
    walk = time_limit(from_mdp(WALK), 15)
    there = lambda action, step: step.final > 0
    covers = lambda held: jnp.sqrt(held.sum(-1).astype(jnp.float32))
    data = played(conditioned(walk, marginal_gains(S, there, covers, 2.0)))
    assert data.obs.context.shape == (STEPS, LANES, S) and not data.obs.context[0].any()
    once = bonus_once(2, lambda action, step: step.final[..., :2] > 0, 5.0)
    hidden = played(unseen(conditioned(walk, once)))
    assert hidden.obs.shape == (STEPS, LANES, S)
    for lane in range(LANES):
        held, seen = set(), set()
        for t in range(STEPS):
            to = int(data.final.obs[t, lane].argmax())
            gain = 2 * (np.sqrt(len(held | {to})) - np.sqrt(len(held)))
            told = data.signals.reward[t, lane]
            assert data.reward[t, lane] - told == pytest.approx(gain, abs=1e-5)
            held = set() if data.last[t, lane] else held | {to}
            to = int(hidden.final[t, lane].argmax())
            first = to < 2 and to not in seen
            told = hidden.signals.reward[t, lane]
            assert hidden.reward[t, lane] - told == pytest.approx(5.0 * first, abs=1e-5)
            seen = set() if hidden.last[t, lane] else seen | {to}


def test_bounded_forms_of_scores():
    rng = np.random.default_rng(1)
    score, last = rng.normal(size=(9, 2)), rng.random((9, 2)) < 0.3
    delta = np.asarray(differenced(jnp.asarray(score), jnp.asarray(last)))
    for lane in range(2):
        for t in range(9):
            end = next((u for u in range(t, 9) if last[u, lane]), 8)
            assert delta[t : end + 1, lane].sum() == pytest.approx(score[t, lane], abs=1e-5)
    np.testing.assert_allclose(capped(jnp.array([0.2, 0.9]), 0.5), [-0.3, 0.0], atol=1e-6)
    references = np.array([0.0, 1.0])
    chance = (1 / (1 + np.exp(-2 * (score[..., None] - references)))).mean(-1)
    found = relative_to(jnp.asarray(score), jnp.asarray(references), 2.0)
    np.testing.assert_allclose(found, chance, rtol=1e-5)
    low = relative_to(jnp.array([-50.0]), jnp.asarray(references), 2.0, logarithmic=True)
    np.testing.assert_allclose(low, [-101.0], rtol=1e-5)


def test_the_first_entry_beyond_its_margin_decides():
    """By a loop; scaling an entry and its margin changes nothing, and margins make cycles."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 200, 3))
    margins = np.array([0.5, 0.2, 1.0])

    def by_hand(x, y):
        for a, b, margin in zip(x, y, margins):
            if abs(a - b) > margin:
                return np.sign(a - b)
        return 0.0

    expected = [by_hand(x, y) for x, y in zip(first, second)]
    assert {-1.0, 0.0, 1.0} == set(expected)
    for scale in (1.0, np.array([10.0, 0.1, 3.0])):
        found = lexicographic(jnp.asarray(scale * first), jnp.asarray(scale * second),
                              jnp.asarray(scale * margins))  # fmt: skip
        np.testing.assert_array_equal(found, expected)
    cycle = jnp.array([[0.0, 2.0], [0.4, 1.0], [0.8, 0.0]])  # a > b > c by the second entry
    wins = lexicographic(cycle, jnp.roll(cycle, -1, 0), jnp.array([0.5, 0.1]))
    np.testing.assert_array_equal(wins, [1, 1, 1])
