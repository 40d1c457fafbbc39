"""IQL in a table, against exact dynamic programming over the actions that were taken."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.errors import InputError
from jaxrl.types import MultiDiscrete
from tests.agents.offline.logs import compiled, learner, one_step, spec_of
from tests.jaxrl.test_state_values import GAMMA, STATES, iterated, logged

KEYS = jax.random.split(jax.random.key(0), 3)
# Random values make large weights at first, which Adam would remember for a thousand steps.
SHORT = dict(optimiser="rmsprop")
SHARE = lambda n: n / np.maximum(n.sum(-1, keepdims=True), 1)


def at_level(level):
    """The rule by which a state is worth the expectile of what was taken there, by bisection."""

    def choose(q, n):
        points = np.where(n > 0, q, 0.0)
        share = SHARE(n)
        low, high = points.min(-1), points.max(-1)
        for _ in range(60):
            middle = (low + high) / 2
            away = points - middle[:, None]
            up = (share * np.abs(level - (away < 0)) * away).sum(-1) > 0
            low, high = np.where(up, middle, low), np.where(up, high, middle)
        return middle

    return choose


def test_from_the_behaviour_to_the_best_in_the_data():
    """Values are those of exact dynamic programming with expectiles over what was taken.

    Level 0.5 without a temperature is the behaviour's value and its cloning, and a high level with
    a low temperature the best of what was tried. One program for all.
    """
    batch, counts, successor, alive = logged()
    exact = lambda level: iterated(counts, successor, alive, at_level(level))[:-1]
    behaviour = iterated(counts, successor, alive, lambda q, n: (SHARE(n) * q).sum(-1))
    best = iterated(counts, successor, alive, lambda q, n: np.where(n > 0, q, -np.inf).max(-1))
    free = iterated(counts, successor, alive, lambda q, n: q.max(-1))
    assert best[1] < free[1] - 0.9  # the best action of all was not in the data
    np.testing.assert_allclose(exact(0.5), behaviour[:-1], atol=1e-6)
    np.testing.assert_allclose(exact(0.9999), best[:-1], atol=0.01)
    state, action = np.nonzero(counts)
    times = counts[state, action].astype(int)
    rows = jax.tree.map(lambda x: np.repeat(np.asarray(x), times, 0)[:, None], batch)
    data = jax.tree.map(jnp.asarray, rows._replace(weight=np.ones_like(rows.reward)))
    agent, learn = learner(
        "iql", spec_of(STATES, 4), data, batch_size=256, discount=GAMMA, target_rate=0.1,
        learning_rate=3e-3, decay_steps=4000.0, **SHORT,
    )  # fmt: skip
    eye, levels = jnp.eye(STATES), [0.5, 0.9, 0.99]

    def train(key, level, sharpness):
        view, _ = learn(key, 4000, expectile=level, inverse_temperature=sharpness)
        value = view.params["value"]["params"]["Dense_0"]
        v = value["kernel"][:, 0] + value["bias"][0]
        many = jax.random.split(jax.random.key(9), 2000)
        drawn = jax.vmap(lambda k: agent.explore.step(view, (), eye, k)[0])(many)
        return v, jax.nn.one_hot(drawn, 4).mean(0), agent.exploit.step(view, (), eye, key)[0]

    v, drawn, mode = (np.asarray(x) for x in compiled(train)(
        KEYS, jnp.array(levels), jnp.array([0.0, 3.0, 20.0])
    ))  # fmt: skip
    for found, level in zip(v[:, :-1], levels):  # the last state is the end
        np.testing.assert_allclose(found, exact(level), atol=0.25, err_msg=str(level))
    np.testing.assert_allclose(drawn[0, :-1], SHARE(counts)[:-1], atol=0.1)
    q = np.where(counts > 0, -1.0 + GAMMA * alive * best[successor], -np.inf)
    lost = (best - q[np.arange(STATES), mode[1:]])[:, :-1]
    assert (lost < 0.05).all(), lost


def test_luck_is_not_taken_for_skill():
    """One action pays 0.4, another 1 or -1 at random: no expectile makes the second one better.

    An expectile of rewards, in place of values of actions, would be nearly 1. The policy is that of
    the data times exp(beta A).
    """
    rng = np.random.default_rng(0)
    action = np.arange(400) % 2
    reward = np.where(action == 0, 0.4, np.sign(rng.normal(size=400)))
    reward[action == 1] -= reward[action == 1].mean()  # exactly fair
    spec = spec_of(1, 2)
    _, learn = learner(
        "iql", spec, one_step(0 * action, action, reward, spec), batch_size=128, expectile=0.99,
        learning_rate=3e-3, decay_steps=1500.0, target_rate=0.05, inverse_temperature=5.0,
        **SHORT,
    )  # fmt: skip

    def train(key):
        view, _ = learn(key, 1500)
        value = view.params["value"]["params"]["Dense_0"]
        actor = view.params["actor"]["network"]["params"]["Dense_0"]
        logits = actor["kernel"][0] + actor["bias"]
        return value["kernel"][0, 0] + value["bias"][0], jax.nn.softmax(logits)[0]

    v, policy = compiled(train)(KEYS)
    np.testing.assert_allclose(v, 0.4, atol=0.1)
    np.testing.assert_allclose(policy, 1 / (1 + np.exp(5.0 * -0.4)), atol=0.06)


def test_corrupted_rewards_move_a_huber_loss_by_no_more_than_its_width():
    """A fifth of the rewards are 30: means would be 6 too high, and M-estimates are width / 4."""
    rng = np.random.default_rng(0)
    action = np.arange(500) % 2
    reward = action + 0.1 * rng.normal(size=500)
    reward[rng.permutation(500)[:100]] = 30.0
    spec, data = spec_of(1, 2), one_step(0 * action, action, reward, spec_of(1, 2))
    _, learn = learner(
        "riql", spec, data, batch_size=128, expectile=0.5, learning_rate=5e-3, decay_steps=1500.0,
        target_rate=0.05, normalise_observations=False, schedule="cosine", **SHORT,
    )  # fmt: skip

    def estimate(r):
        points = np.linspace(-1, 3, 4001)
        return points[abs(np.clip(r - points[:, None], -1, 1).sum(-1)).argmin()]

    def train(key):
        value = learn(key, 1500)[0].params["value"]["params"]["Dense_0"]
        return value["kernel"][0, 0] + value["bias"][0]

    exact = np.mean([estimate(reward[action == a]) for a in (0, 1)])
    assert exact < 1 and reward.mean() > 6
    np.testing.assert_allclose(compiled(train)(KEYS), exact, atol=0.12)


@pytest.mark.parametrize("name", ["iql", "awac", "crr"])
def test_bad_input_is_one_sentence(name):
    entry, spec = AGENTS[name], spec_of(2, 2)
    several = spec._replace(action=MultiDiscrete((2, 2)))
    with pytest.raises(InputError, match="needs discrete or continuous actions"):
        entry.make(several, entry.defaults)
    with pytest.raises(InputError, match="There is no policy called 'gauss': did you mean"):
        entry.make(spec_of(2, -1), entry.defaults.replace(policy="gauss"))
    wrong = dict(expectile=1.5) if name == "iql" else dict(temperature=0.0)
    with pytest.raises(InputError, match=r"^(expectile must lie|temperature must be above zero)"):
        entry.make(spec, entry.defaults.replace(**wrong))
    if name != "iql":
        with pytest.raises(InputError, match="There is no baseline called 'median'"):
            entry.make(spec, entry.defaults.replace(baseline="median"))
        with pytest.raises(InputError, match="There is no kind of weights called 'softmin'"):
            entry.make(spec, entry.defaults.replace(weights="softmin"))
