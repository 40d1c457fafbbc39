"""OER: a policy of two tasks, of which one is only remembered; and what is worth keeping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import AGENTS
from jaxrl.data import nearest_steps
from jaxrl.errors import InputError
from jaxrl.offline import offline
from jaxrl.types import Transition
from tests.agents.offline.logs import compiled, one_step, spec_of


def test_the_policy_of_a_task_keeps_what_it_remembers_of_another():
    """The second task pays 1 + a for actions near 0.2; of the first -0.7 is remembered.

    The actor that is optimised by values is that of TD3+BC, which knows nothing of the first task,
    and the policy clones it in the second one.
    """
    rng = np.random.default_rng(0)
    spec, second = spec_of(2, -1), np.ones(400, int)
    action = (0.2 + 0.05 * rng.normal(size=400))[:, None]
    data = one_step(second, action, 1 + action[:, 0], spec)
    first = one_step(np.zeros(20, int), np.full((20, 1), -0.7), np.zeros(20), spec)
    kept = jax.tree.map(lambda x: x[:, 0], first)
    hp = AGENTS["oer"].defaults.replace(
        buffer_size=400, warmup=400, hidden=(), batch_size=64, optimiser="rmsprop",
        schedule="cosine", decay_steps=1200.0, learning_rate=0.01, value_weight=0.1,
        target_noise=0.0, target_rate=0.05,
    )  # fmt: skip

    def train(key):
        agent = AGENTS["oer"].make(spec, hp, kept)
        exp = offline(agent, data)
        run, _ = jax.lax.scan(lambda run, _: exp.step(run), exp.init(key), None, 1200)
        view = agent.update.read(run.learner)
        return agent.exploit.step(view, (), jnp.eye(2), key)[0][:, 0]

    found = compiled(train)(jax.random.split(jax.random.key(0), 2))
    wanted = action.mean()
    for _ in range(50):  # where TD3+BC stops
        wanted = action.mean() + 0.1 / (2 * (1 + wanted))
    np.testing.assert_allclose(found, np.tile([-0.7, wanted], (2, 1)), atol=0.06)


def test_what_a_policy_visits_is_kept():
    """Of a data set of all places, the steps from those that a rollout visits, and no others."""
    rng = np.random.default_rng(1)
    place = rng.permutation(np.repeat(np.arange(10), 4)).reshape(8, 5)
    obs, one = jnp.asarray(place, float)[..., None], jnp.ones((8, 5))
    data = Transition(obs, obs, one, one, one < 0, obs, (), one)
    visited = jnp.array([[2.0], [3.0], [4.1], [4.9]])
    np.testing.assert_array_equal(nearest_steps(data, visited).obs[:, 0], [2, 3, 4, 5])


def test_bad_input_is_one_sentence():
    entry, spec = AGENTS["oer"], spec_of(2, -1)
    with pytest.raises(InputError, match="leave normalise_observations off"):
        entry.make(spec, entry.defaults.replace(normalise_observations=True))
    with pytest.raises(InputError, match="oer learns from one-step returns"):
        entry.make(spec, entry.defaults.replace(n_step=2))
