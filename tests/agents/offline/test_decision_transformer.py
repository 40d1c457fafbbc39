"""Decision transformers: posteriors of a bandit, sequences by their return, and causality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline.decision_transformer import told
from jaxrl import advance
from jaxrl.conditioned import Conditioned
from jaxrl.errors import InputError
from jaxrl.networks import Network
from jaxrl.offline import offline
from jaxrl.types import Discrete, Spec, Transition
from tests.agents.offline.logs import compiled
from tests.jaxrl.data.made import made, walked

ENTRY = AGENTS["decision-transformer"]


def spec_of(states, actions):
    one = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    return Spec(Conditioned(one(states), one()), Discrete(actions))


def played(state, action, reward, last, states):
    """A data set [T, B] of arrays [T, B]; every boundary is a termination."""
    to = lambda x: jnp.asarray(x, jnp.float32)
    seen = jax.nn.one_hot(jnp.asarray(state), states)
    ends = jnp.asarray(last)
    return Transition(
        seen, jnp.asarray(action, jnp.int32), to(reward), to(~ends), ends, seen, (), to(ends | True)
    )


def trained(spec, data, key, updates, **options):
    """The agent, and its view after learning from the data alone."""
    size = data.reward.size
    whole = dict(buffer_size=size, warmup=size, num_envs=data.reward.shape[1], weight_decay=0.0)
    rate = dict(learning_rate=0.01, schedule="cosine", decay_steps=float(updates * 1e6))
    agent = ENTRY.make(spec, ENTRY.defaults.replace(**whole | rate | options))
    exp = offline(agent, data)
    run, _ = advance(exp, exp.init(key), updates)
    return agent, agent.update.read(run.learner)


def test_returns_to_go_are_sums_to_the_end_of_the_episode():
    data = made()
    wanted = np.zeros(data.reward.shape)
    for part in walked(data):
        for time, (row, lane) in enumerate(part):
            wanted[row, lane] = sum(data.reward[place] for place in part[time:])
    seen = told(jax.tree.map(jnp.asarray, data), ENTRY.defaults)
    np.testing.assert_allclose(seen.obs.context, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(seen.final.context, wanted - data.reward, rtol=1e-4, atol=1e-5)
    again = told(seen, ENTRY.defaults)
    assert again.obs.obs is seen.obs.obs


def test_a_bandit_is_played_as_its_winners_did_and_never_better():
    """pi(good | win) = mu P(win | good) / sum: 0.9 of even data, and 0.5 where a tenth is good.

    Both data sets, of exact shares, are in one program; episodes are single steps, so that a window
    which reached into other episodes would see luck that is not there.
    """
    shares, size = (0.5, 0.1), 400

    def log(share):
        good = np.arange(size) < share * size
        reward = np.zeros(size)
        for rows, chance in ((np.flatnonzero(good), 0.9), (np.flatnonzero(~good), 0.1)):
            reward[rows[: round(chance * len(rows))]] = 1.0
        order = np.random.default_rng(0).permutation(size)
        one = np.zeros((size, 1), int)
        return played(one, (~good)[order, None], reward[order, None], one == 0, 1)

    data = jax.tree.map(lambda *x: jnp.stack(x), *map(log, shares))
    spec = spec_of(1, 2)

    def train(key, data):
        agent, view = trained(
            spec, told(data, ENTRY.defaults), key, 300,
            sequence_length=3, window=4, hidden=(8,), memory="transformer", batch_size=100,
        )  # fmt: skip
        obs = Conditioned(jnp.ones((4000, 1)), jnp.ones(4000))
        return (agent.explore.step(view, agent.explore.init(4000), obs, key)[0] == 0).mean()

    found = compiled(train)(jax.random.split(jax.random.key(0), 2), data)
    assert found[0] == pytest.approx(0.9, abs=0.05)
    assert found[1] == pytest.approx(0.5, abs=0.07)


def test_of_sequences_that_differ_in_return_it_plays_the_one_that_is_asked_for():
    """All four of two actions each, worth 2 a + b: the second action depends on what is left.

    The state is the same at both times, so that only the memory and the return tell which it is.
    """
    a, b = np.repeat([0, 0, 1, 1], 8), np.repeat([0, 1, 0, 1], 8)
    lanes = np.stack([a, b]).reshape(2, 32)
    rows = np.tile(lanes, (4, 1))  # four episodes in each lane
    reward = rows * np.array([2, 1] * 4)[:, None]
    last = np.tile(np.array([[False], [True]]), (4, 32))
    data, spec = played(0 * rows, rows, reward, last, 1), spec_of(1, 2)

    def play(key):
        agent, view = trained(
            spec, told(data, ENTRY.defaults), key, 400,
            sequence_length=5, window=4, hidden=(16,), return_scale=3.0, batch_size=32,
        )  # fmt: skip
        left, memory = jnp.arange(4.0), agent.exploit.init(4)
        taken = []
        for worth in (2, 1):
            obs = Conditioned(jnp.ones((4, 1)), left)
            action, memory, _ = agent.exploit.step(view, memory, obs, key)
            left = left - worth * action
            taken.append(action)
        return 2 * taken[0] + taken[1], left

    earned, left = compiled(play)(jax.random.split(jax.random.key(1), 2))
    np.testing.assert_array_equal(earned, [[0, 1, 2, 3]] * 2)
    np.testing.assert_array_equal(left, np.zeros((2, 4)))


def summing(size):
    """A network whose outputs are linear in the sum of what it has seen of an episode."""

    def token(obs):
        seen, before = obs
        return jnp.concatenate([seen.obs, seen.context[..., None], before], -1)

    def step(params, memory, obs):
        memory = memory + token(obs)
        return (memory @ params,), memory

    def unroll(params, memory, obs, last):
        found = []
        for t in range(last.shape[0]):
            memory = memory + token(jax.tree.map(lambda x, t=t: x[t], obs))
            found.append(memory)
            memory = jnp.where(last[t][:, None], 0.0, memory)
        found = jnp.stack(found)
        return (found @ params,), found

    init = lambda key: jax.random.normal(key, (size, 2))
    return Network(init, lambda lanes: jnp.zeros((lanes, size)), step, unroll)


def test_a_step_sees_its_return_the_action_before_it_and_nothing_of_other_episodes():
    """The loss of the only window of seven steps, by a loop in numpy, and what the actor reads."""
    spec, rows = spec_of(2, 2), 7
    rng = np.random.default_rng(0)
    state, action = rng.integers(2, size=(2, rows, 1))
    reward = rng.normal(size=(rows, 1))
    last = np.zeros((rows, 1), bool)
    last[3] = True
    hp = ENTRY.defaults.replace(
        sequence_length=rows - 1,
        num_envs=1,
        buffer_size=8,
        warmup=7,
        batch_size=3,
        return_scale=2.0,
    )
    agent = ENTRY.make(spec, hp, network=summing(5))
    data = told(played(state, action, reward, last, 2), hp)
    begun = agent.update.init(jax.random.key(0), data)
    none = jax.tree.map(lambda x: x[:0], data)
    _, metrics = agent.update.apply(begun, none, jax.random.key(1))
    w = np.asarray(begun.inner.params["actor"]["network"])
    memory, losses, sums = np.zeros(5), [], []
    for t in range(1, rows):
        begins = last[t - 1, 0]
        end = 4 if t < 4 else rows
        before = np.zeros(2) if begins else np.eye(2)[action[t - 1, 0]]
        memory = (0 if begins else memory) + np.concatenate(
            [np.eye(2)[state[t, 0]], [reward[t:end, 0].sum() / 2], before]
        )
        logits = memory @ w
        losses.append(np.log(np.exp(logits).sum()) - logits[action[t, 0]])
        sums.append(memory)
    np.testing.assert_allclose(metrics["policy_loss"], [np.mean(losses)], rtol=1e-4)
    # The actor begins with no action, and remembers the one that it takes.
    row = jax.tree.map(lambda x: x[1], data.obs)
    held = agent.explore.init(1)
    _, (seen, before), _ = agent.explore.step(begun.inner, held, row, jax.random.key(2))
    np.testing.assert_allclose(seen[0, :3], sums[0][:3], rtol=1e-5)
    assert (seen[0, 3:] == 0).all() and before.sum() == 1


def test_what_it_cannot_learn_from_is_refused():
    plain = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(2))
    with pytest.raises(InputError, match="needs observations with a return to go"):
        ENTRY.make(plain, ENTRY.defaults)
    with pytest.raises(InputError, match="reads sequences: set memory"):
        ENTRY.make(spec_of(2, 2), ENTRY.defaults.replace(memory="none"))
    with pytest.raises(InputError, match="too few for sequences of 21"):
        ENTRY.make(spec_of(2, 2), ENTRY.defaults.replace(buffer_size=20, warmup=20))
