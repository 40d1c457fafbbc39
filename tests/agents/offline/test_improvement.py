"""Agents that learn from random actions alone are better than these; plain cloning is hardly so."""

import jax
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl import advance, evaluate
from jaxrl.environments import auto_reset, scale_actions, vectorize
from jaxrl.fields import takes
from jaxrl.offline import offline
from jaxrl.rollouts import random_policy, rollout
from tests.agents.test_model_based import KEYS, best_return, point
from tests.compiling import OPTIMISED

EPISODES, SIZE = 16, 2000
SMALL = dict(
    batch_size=64, buffer_size=SIZE, warmup=SIZE, hidden=(32, 32), learning_rate=3e-3,
    discount=0.9, target_rate=0.02,
)  # fmt: skip


def returns_of_random_actions(key):
    """The mean return from the starts of `evaluate`: x^2 grows by 1 / 12 a step."""
    env = envs.vectorize(point(), EPISODES)
    x = np.asarray(jax.jit(lambda key: env.init(jax.random.split(key)[0])[1].obs)(key))[:, 0]
    time = np.arange(1, 21)
    return -(x[:, None] ** 2 + time / 12).sum(-1).mean()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["bc", "iql", "td3-bc"])
def test_random_actions_are_improved_upon_but_by_cloning(name):
    """Shares of the way from the return of random actions to the best one, over eight seeds.

    To clone random actions is to stand still, which is less than half of the way. The others come
    at least three quarters of it, by four standard errors, and cloning less than two thirds.
    """
    entry, env, key = AGENTS[name], scale_actions(point()), jax.random.key(1)
    hp = entry.defaults.replace(**{k: v for k, v in SMALL.items() if takes(entry.defaults, k)})
    agent = entry.make(env.spec, hp)
    lanes = auto_reset(vectorize(env, 1))

    def train(key):
        k_start, k_data, k_learn = jax.random.split(key, 3)
        start = (*lanes.init(k_start), ())
        data = rollout(lanes, random_policy(env.spec, agent), None, start, k_data, SIZE)[1]
        learning = offline(agent, data._replace(extras=()))
        run, _ = advance(learning, learning.init(k_learn), 1200)
        view = agent.update.read(run.learner)
        return evaluate(env, agent.exploit, view, jax.random.key(1), EPISODES).returns.mean()

    found = np.asarray(jax.jit(jax.vmap(train), compiler_options=OPTIMISED)(KEYS))
    random, best = returns_of_random_actions(key), best_return(EPISODES, key)
    share = (found - random) / (best - random)
    error = share.std(ddof=1) / np.sqrt(len(share))
    if name == "bc":
        assert share.mean() + 4 * error < 2 / 3, share
    else:
        assert share.mean() - 4 * error > 0.75, share
