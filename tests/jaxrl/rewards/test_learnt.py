"""Rewards that are learnt from preferences: by themselves, and while agents learn from them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.special import expit

from agents import AGENTS
from envs import from_mdp, make
from jaxrl import values
from jaxrl.dp import from_arrays
from jaxrl.environments import time_limit
from jaxrl.errors import InputError
from jaxrl.loop import make_train
from jaxrl.rewards import (
    Preferences,
    boltzmann,
    preference_fitted,
    preferring,
    reward_model,
    rewarded,
)
from jaxrl.rewards.learnt import Asking, preference_learner, simulated
from jaxrl.rewards.losses import bradley_terry
from jaxrl.rewards.models import RewardModel, disagreement
from jaxrl.rewards.segments import Comparisons, partial_return
from jaxrl.settings import Layers
from jaxrl.types import Discrete, Spec, Transition, Update
from tests.compiling import OPTIMISED

SPEC = Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(2))


def table(members=1):
    """A reward for each of three observations, and each member its own."""
    init = lambda key: jax.random.normal(key, (members, 3))
    return RewardModel(init, lambda p, obs, action: obs @ p.T, lambda x: x.mean(-1))


def segments(states, reward=None):
    """Segments [L, N, ...] that visit states [L, N], of which -1 does not count."""
    obs = jax.nn.one_hot(states, 3)
    weight = (states >= 0).astype(jnp.float32)
    paid = jnp.zeros(states.shape) if reward is None else reward[states]
    none = jnp.zeros(states.shape, jnp.int32)
    return Transition(obs, none, paid, weight * 0 + 1, weight < 0, obs, (), weight)


def test_the_fitted_reward_is_the_true_one_up_to_a_constant_and_mistakes_shrink_it():
    """Segments of one length tell differences; of unequal lengths, all of the reward."""
    true = jnp.array([0.0, 1.0, -0.5])
    pairs = jnp.array([(i, j) for i in range(3) for j in range(3) if i != j]).T
    padded = lambda states: jnp.concatenate([states, jnp.full((2 - len(states), 6), -1)])
    one, other = segments(padded(pairs[:1]), true), segments(padded(pairs[1:]), true)
    two = segments(jnp.array([[0, 1, 1, 2, 0, 1], [1, -1, 2, -1, 1, -1]]), true)
    alone = segments(jnp.array([[1, 0, 0, 2, 1, 0], [-1, 0, -1, 1, -1, 0]]), true)
    exact = boltzmann(partial_return(), sampled=False)
    update = preference_fitted(table(), bradley_terry(), optax.adam(0.1))

    @jax.jit
    def fitted(first, second, rate):
        label, weight = exact(jax.random.key(0), first, second)
        batch = Comparisons(first, second, (1 - rate) * label + rate * (1 - label), weight)
        state = update.init(jax.random.key(1), first)
        step = lambda state, key: (update.apply(state, batch, key)[0], None)
        keys = jax.random.split(jax.random.key(2), 800)
        return jax.lax.scan(step, state, keys)[0].params[0]

    found = fitted(one, other, 0.0)
    np.testing.assert_allclose(found - found[0], true, atol=0.02)
    np.testing.assert_allclose(fitted(two, alone, 0.0), true, atol=0.02)
    # With one pair of states alone, the logit is that of the chance with its mistakes.
    rate = 0.2
    chance = (1 - rate) * expit(1.0) + rate * (1 - expit(1.0))
    same = [segments(padded(jnp.full((1, 6), state)), true) for state in (0, 1)]
    found = fitted(same[1], same[0], rate)
    assert found[1] - found[0] == pytest.approx(np.log(chance / (1 - chance)), abs=0.02)
    assert found[1] - found[0] < 0.6


def test_pairs_are_chosen_asked_stored_and_fitted_at_every_period():
    true = np.array([0.0, 1.0, -0.5])
    common = dict(segment=2, members=2, fits=3, pairs=4, exploration=3)
    settings = Preferences(labels=5, queries=2, period=3, **common)
    model, rounds = table(2), 4
    learning = preference_learner(model, simulated(settings), settings, rounds)
    told = Update(
        lambda key, example: jnp.zeros(4),
        lambda state, batch, key: (batch.reward, {}),
        lambda state: state,
    )
    update = rewarded(told, learning, model)
    rng = np.random.default_rng(0)
    states = rng.integers(0, 3, (20, 2, 4))
    last = rng.random((20, 2, 4)) < 0.3
    example = segments(jnp.zeros((0, 4), jnp.int32), jnp.asarray(true))
    step = jax.jit(update.apply)
    state = update.init(jax.random.key(0), example)
    answers = 0
    for t in range(20):
        batch = segments(jnp.asarray(states[t]), jnp.asarray(true, jnp.float32))
        batch = batch._replace(last=jnp.asarray(last[t]))
        before = state
        state, metrics = step(state, batch, jax.random.key(t))
        params = np.asarray(state.model.learner.params)
        np.testing.assert_allclose(state.inner, params.mean(0)[states[t][0]], atol=1e-5)
        due = t % 3 == 0 and 1 <= t // 3 <= rounds  # not before three steps of exploration
        moved = np.abs(params - before.model.learner.params).max() > 0
        assert isinstance(state.model, Asking) and moved == due
        if due:
            counts = np.stack([np.ones(4), 1 - last[t][0]])
            scores = (counts[..., None] * np.asarray(before.model.learner.params).T[states[t]]).sum(
                0
            )
            doubt = expit(scores[:2] - scores[2:]).std(-1)
            order = np.argsort(-doubt, kind="stable")
            asked = jax.tree.map(lambda x, row=t // 3 - 1: np.asarray(x[row]), state.model.answers)
            np.testing.assert_array_equal(asked.first.obs.argmax(-1), states[t][:, :2][:, order])
            returns = (counts * true[states[t]]).sum(0)
            gap = (returns[:2] - returns[2:])[order]
            np.testing.assert_allclose(asked.label, (1 + np.sign(gap)) / 2)
            np.testing.assert_array_equal(asked.weight, (answers + np.arange(2)) < 5)
            answers = min(5, answers + 2)
        assert metrics["labels"] == answers
    assert answers == 5


def test_members_that_agree_have_no_doubt_and_pessimism_pays_less():
    model, params = table(3), jnp.array([[0.0, 1.0, 2.0], [0.0, 1.0, -2.0], [0.0, 1.0, 0.0]])
    one, other = segments(jnp.array([[1, 2]])), segments(jnp.array([[0, 0]]))
    doubt = disagreement(model, params, one, other)
    assert doubt[0] == 0
    np.testing.assert_allclose(doubt[1], expit([2, -2, 0]).std(), rtol=1e-5)
    lower = reward_model(SPEC, values.Ensemble(3, "lower-confidence", level=2.0), Layers((4,)), 0.5)

    @jax.jit
    def paid(key):
        params, obs = lower.init(key), 50 * jax.random.normal(key, (40, 3))
        action = jnp.zeros(40, jnp.int32)
        return lower.each(params, obs, action), lower.reward(params, obs, action)

    each, found = map(np.asarray, paid(jax.random.key(0)))
    assert each.shape == (40, 3) and 0.1 < np.abs(each).max() <= 0.5
    np.testing.assert_allclose(found, each.mean(-1) - 2 * each.std(-1), atol=1e-4)


def test_an_agent_learns_from_preferences_alone():
    """One action of a bandit with two states is better, and 60 comparisons tell which."""
    p = np.full((2, 2, 2), 0.5)
    reward = np.array([[0.0, 1.0], [1.0, 0.0]])
    process = from_arrays(p, reward, np.ones((2, 2, 2)), np.full(2, 0.5))
    env = time_limit(from_mdp(process), 10)
    entry = AGENTS["dqn"]
    hp = entry.defaults.replace(
        num_envs=2, buffer_size=400, warmup=40, batch_size=32, updates=1, hidden=(16,),
        discount=0.5, epsilon_updates=200.0, n_step=2, target_period=10, learning_rate=3e-3,
    )  # fmt: skip
    settings = Preferences(
        labels=60, queries=10, period=20, segment=4, fits=60, pairs=30, rate=1e-2, hidden=(16,)
    )
    train = make_train(preferring(entry.make, settings), env, hp, 1_640, evaluations=1)
    run = jax.jit(jax.vmap(train), compiler_options=OPTIMISED)
    result = run(jax.random.split(jax.random.key(0), 8))
    returns = np.asarray(result.metrics["evaluation_return"])[:, -1]
    assert returns.mean() - 5 > 4 * max(returns.std() / np.sqrt(8), 0.3)  # 5 at random, 10 at best
    answers = result.run.learner.inner.model.answers
    np.testing.assert_array_equal(answers.weight.sum((1, 2)), 60)


def test_what_cannot_be_learnt_is_refused_in_a_sentence():
    pendulum = make("Pendulum-v1").spec
    for words, agent, settings, hp in (
        ("learnt by agents that replay, such as sac", "ppo", {}, {}),
        ("choice must be disagreement or uniform", "sac", {"choice": "entropy"}, {}),
        ("One network cannot disagree", "sac", {"members": 1}, {}),
        ("queries 50 must be at most labels 10", "sac", {"labels": 10, "queries": 50}, {}),
        ("loss must be one of bradley-terry, hinge", "sac", {"loss": "squared"}, {}),
        ("n_step 5 must be at most the segment of 4", "d4pg", {"segment": 4}, {}),
    ):
        entry = AGENTS[agent]
        with pytest.raises(InputError, match=words):
            preferring(entry.make, Preferences(**settings))(pendulum, entry.defaults.replace(**hp))
    settings = Preferences(queries=3)
    learning = preference_learner(table(2), simulated(settings), settings)
    few = segments(jnp.zeros((16, 4), jnp.int32))
    with pytest.raises(InputError, match="a batch_size of at least 6, not 16 and 4"):
        learning.apply(learning.init(jax.random.key(0), few), (few, ()), jax.random.key(0))
