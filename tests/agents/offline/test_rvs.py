"""RvS: average returns by a loop, and policies that are posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline.rvs import average_returns
from tests.agents.offline.logs import compiled, learner, one_step, spec_of
from tests.jaxrl.data.made import made, walked

KEYS = jax.random.split(jax.random.key(0), 2)


def test_average_returns_are_over_the_steps_left_of_the_longest_episode():
    data = made()
    parts = walked(data)
    longest, wanted = max(map(len, parts)), np.zeros(data.reward.shape)
    for part in parts:
        for time, (row, lane) in enumerate(part):
            left = sum(data.reward[place] for place in part[time:])
            wanted[row, lane] = left / (longest - time)
    found = average_returns(jax.tree.map(jnp.asarray, data)).extras
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("share", "chances", "known"),
    [(0.5, (0.9, 0.1), 0.9), (0.1, (0.9, 0.1), 0.5), (0.1, (0.6, 0.4), 1 / 7)],
)
def test_a_bandit_is_played_as_its_winners_did(share, chances, known):
    """pi(a | w) ~ mu(a) P(w | a): of lucky winners it takes a bad action for a good one.

    The first action is taken in a `share` of the data; each action wins with its chance. Both
    targets, to win and to lose, are in one program.
    """
    size = 1000
    action = (np.arange(size) >= share * size).astype(int)
    reward = np.zeros(size)
    for a, chance in enumerate(chances):
        rows = np.flatnonzero(action == a)
        reward[rows[: round(chance * len(rows))]] = 1.0
    spec = spec_of(1, 2)
    data = one_step(0 * action, action, reward, spec)
    _, learn = learner(
        "rvs", spec, data, batch_size=500, learning_rate=0.03, schedule="cosine", decay_steps=600.0
    )
    entry = AGENTS["rvs"]

    def train(key, target):
        view, _ = learn(key, 600)
        agent = entry.make(spec, entry.defaults.replace(hidden=(), target=target))
        drawn, _, _ = agent.explore.step(view, (), jnp.ones((4000, 1)), key)
        return (drawn == 0).mean()

    found = compiled(train)(KEYS, jnp.array([1.0, 0.0]))
    mu = np.array([share, 1 - share])
    for chance, policy in zip((np.array(chances), 1 - np.array(chances)), found):
        assert policy == pytest.approx((mu * chance)[0] / (mu * chance).sum(), abs=0.06)
    assert found[0] == pytest.approx(known, abs=0.06)


def test_steps_that_are_not_of_the_data_teach_nothing():
    spec = spec_of(2, 2)
    state = np.arange(8) % 2
    data = one_step(state, state, np.ones(8), spec)
    entry = AGENTS["rvs"]
    small = dict(hidden=(4,), batch_size=8, buffer_size=8, num_envs=1)
    agent = entry.make(spec, entry.defaults.replace(**small, warmup=4))
    none = jax.tree.map(lambda x: x[:0], data)

    @jax.jit
    def apply(key):
        begun = agent.update.init(key, none)
        return begun, *agent.update.apply(begun, data, key)

    before, after, metrics = apply(KEYS[0])
    same = jax.tree.map(lambda x, y: bool((x == y).all()), before.inner.params, after.inner.params)
    assert all(jax.tree.leaves(same)) and float(metrics["gradient_norm"].max()) == 0
