"""Policies of rewards that are known only after learning, against exact ones on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from agents.offline import forward_backward, successor_features
from jaxrl.errors import InputError
from jaxrl.offline import from_arrays
from jaxrl.types import Transition
from jaxrl.zero_shot import projected_task, toward
from tests.agents.offline.logs import compiled, learner, spec_of

SIDE, GAMMA, REWARDS = 3, 0.8, 16
CELLS = SIDE * SIDE
SMALL = dict(
    hidden=(32, 32), batch_size=64, discount=GAMMA, learning_rate=3e-3,
    target_rate=0.05, moment_rate=0.02,
)  # fmt: skip


def grid():
    """The successors [S, 4] of cells."""
    to = np.zeros((CELLS, 4), int)
    for s in range(CELLS):
        for a, (down, right) in enumerate([(-1, 0), (0, 1), (1, 0), (0, -1)]):
            y, x = np.clip([s // SIDE + down, s % SIDE + right], 0, SIDE - 1)
            to[s, a] = y * SIDE + x
    return to


def walks(reward):
    """A random walk that begins anew after 30 steps, paid for its successors."""
    rng, to = np.random.default_rng(0), grid()
    state, action = np.zeros(960, int), rng.integers(0, 4, 960)
    after = state.copy()
    for t in range(960):
        state[t] = rng.integers(0, CELLS) if t % 30 == 0 else after[t - 1]
        after[t] = to[state[t], action[t]]
    see, ends = np.eye(CELLS, dtype=np.float32), np.arange(960) % 30 == 29
    return from_arrays(
        see[state], action.astype(np.int32), reward[after].astype(np.float32), ends & False, ends,
        spec_of(CELLS, 4), next_observations=see[after], lanes=8,
    )  # fmt: skip


def worth(policy, reward):
    """The mean exact value over states of a policy [S, 4]."""
    to = grid()
    kernel = (policy[..., None] * np.eye(CELLS)[to]).sum(1)
    value = np.linalg.solve(np.eye(CELLS) - GAMMA * kernel, kernel @ reward)
    return value.mean()


def best(reward):
    value = np.zeros(CELLS)
    for _ in range(200):
        q = (reward + GAMMA * value)[grid()]
        value = q.max(1)
    return np.eye(4)[q.argmax(1)]


def test_policies_of_new_rewards_are_nearly_the_best():
    """Of 16 random rewards that FB has never seen, by 4 learners; and of the data's own."""
    reward = np.random.default_rng(1).normal(size=(REWARDS, CELLS))
    spec, data = spec_of(CELLS, 4), walks(reward[0])
    _, learn = learner("forward-backward", spec, data, **SMALL, size=CELLS)
    made = forward_backward.model(spec, forward_backward.Hyperparameters(**SMALL, size=CELLS))
    see, paid = jnp.eye(CELLS), jnp.asarray(reward)
    share = data.final.reshape(-1, CELLS).mean(0)

    def policies(key):
        view, _ = learn(key, 800)
        params = view.inner.params
        infer = jax.vmap(projected_task, (None, 0, None))
        tasks = infer(made.features(params, see), paid, share)
        tasks = jnp.concatenate([tasks, -tasks[:1], view.task[None]])
        wide = jnp.broadcast_to(tasks[:, None], (*tasks.shape[:1], CELLS, CELLS))
        obs = jnp.broadcast_to(see, (len(tasks), CELLS, CELLS))
        return made.policy.act(params, obs, wide)

    acted = np.asarray(compiled(policies)(jax.random.split(jax.random.key(0), 4)))
    random = np.full((CELLS, 4), 0.25)

    def scaled(policy, reward):
        low = worth(random, reward)
        return (worth(np.eye(4)[policy], reward) - low) / (worth(best(reward), reward) - low)

    shares = np.array([[scaled(p, r) for p, r in zip(one, reward)] for one in acted])
    assert shares.mean() > 0.8, shares.mean(1)
    own = np.array([[scaled(one[k], reward[0]) for k in (-1, -2)] for one in acted])
    assert own[:, 0].mean() > 0.6 and own[:, 1].max() < 0, own


def test_hilbert_features_lead_to_goals():
    """Most actions for the direction to a goal are the first ones of shortest paths, by HILP."""
    spec, data = spec_of(CELLS, 4), walks(np.zeros(CELLS))
    _, learn = learner("hilp", spec, data, **SMALL, size=4)
    made = successor_features.model(spec, successor_features.Hyperparameters(**SMALL, size=4))
    see = jnp.eye(CELLS)

    def chosen(key):
        params = learn(key, 600)[0].inner.params
        features = made.features(params, see)
        ways = toward(features[:, None], features[None])  # [S, G, d]
        return made.policy.act(params, jnp.broadcast_to(see[:, None], (CELLS,) * 3), ways)

    action = np.asarray(compiled(chosen)(jax.random.split(jax.random.key(0), 4)))
    place = np.stack(np.divmod(np.arange(CELLS), SIDE), -1)
    steps = np.abs(place[:, None] - place).sum(-1)
    start = np.arange(CELLS)[:, None]
    nearer = steps[grid()[start, action], np.arange(CELLS)] < steps
    share = nearer[:, steps > 0].mean(-1)
    assert share.mean() > 0.9, share  # a random action has 0.37


CASES = [("forward-backward", 3, "values"), ("forward-backward", -2, "measures"),
         ("forward-backward", -2, "none"), ("hilp", 3, "values"), ("hilp", -2, "none")]  # fmt: skip


@pytest.mark.parametrize(("name", "actions", "penalty"), CASES)
def test_penalties_can_be_traced(name, actions, penalty):
    """With both kinds of actions; nothing is computed."""
    entry = AGENTS[name]
    tiny = dict(hidden=(4,), size=3, batch_size=4, buffer_size=16, warmup=8)
    agent = entry.make(spec_of(5, actions), entry.defaults.replace(penalty=penalty, **tiny))
    obs, one = jnp.zeros((8, 1, 5)), jnp.ones((8, 1))
    action = jnp.zeros((8, 1, 2)) if actions < 0 else jnp.zeros((8, 1), jnp.int32)
    data = Transition(obs, action, one, one, one < 0, obs, (), one)

    def life(key):
        state = agent.update.init(key, data)
        return agent.update.apply(state, jax.tree.map(lambda x: x[:0], data), key)[1]

    assert ("penalty" in jax.eval_shape(life, jax.random.key(0))) == (penalty != "none")


def test_unknown_choices_are_refused():
    spec = spec_of(5, 3)
    for name, wrong in (("hilp", {"penalty": "measures"}), ("hilp", {"features": "hilbrt"}),
                        ("forward-backward", {"penalty": "value"})):  # fmt: skip
        with pytest.raises(InputError, match=r"did you mean (values|hilbert)"):
            AGENTS[name].make(spec, AGENTS[name].defaults.replace(**wrong))
