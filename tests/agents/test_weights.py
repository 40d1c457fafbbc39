"""Every loss is weighted by `Transition.weight`: steps of weight zero are as good as absent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from jaxrl.environments import scale_actions, vectorize
from jaxrl.fields import takes
from jaxrl.rollouts import random_policy, rollout
from jaxrl.types import Box

TINY = dict(
    num_envs=4, rollout_length=8, epochs=1, minibatches=1, hidden=(8,), batch_size=8,
    buffer_size=64, warmup=32, updates=1, burn_in=1, sequence_length=3, normalise_rewards=False,
    max_gradient_norm=1e9, tasks=2,
)  # fmt: skip


def made(name, env):
    """An agent, a learner, and a rollout [8, 4] of its exploration."""
    entry = AGENTS[name]
    options = {k: v for k, v in TINY.items() if takes(entry.defaults, k)}
    options |= dict(sequence_length=1) if name == "ppo" else {}
    env = envs.make(env)
    env = scale_actions(env) if isinstance(env.spec.action, Box) else env
    agent = entry.make(env.spec, entry.defaults.replace(**options))

    @jax.jit
    def begin(key):
        k_env, k_learn, k_roll = jax.random.split(key, 3)
        state, now = vectorize(env, 4).init(k_env)
        blank = agent.update.init(k_learn, None) if name in ("ppo", "pqn") else None
        actor = agent.explore if blank else random_policy(env.spec, agent)
        start = (state, now, actor.init(4))
        data = rollout(vectorize(env, 4), actor, blank, start, k_roll, 8)[1]
        data = data._replace(last=data.last.at[3, 1].set(True))
        return (agent.update.init(k_learn, data._replace(weight=0 * data.weight))), data

    return agent, *begin(jax.random.key(0))


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "env"),
    [
        ("ppo", "CartPole-v1"), ("pqn", "CartPole-v1"), ("r2d2", "CartPole-v1"),
        ("rainbow", "CartPole-v1"), ("proto-value", "CartPole-v1"), ("redq", "Pendulum-v1"),
        ("d4pg", "Pendulum-v1"), ("bc", "Pendulum-v1"), ("iql", "Pendulum-v1"),
        ("awac", "CartPole-v1"), ("rebrac", "Pendulum-v1"), ("cql", "Pendulum-v1"),
        ("discrete-bcq", "CartPole-v1"), ("o-dice", "Pendulum-v1"),
        ("flow-bc", "Pendulum-v1"), ("idql", "Pendulum-v1"),
        ("fql", "Pendulum-v1"), ("expo", "Pendulum-v1"),
    ],
)  # fmt: skip
def test_data_without_weight_teach_nothing(name, env):
    """No gradient, no NaN, and so the parameters stay."""
    agent, learner, data = made(name, env)
    apply = jax.jit(agent.update.apply)
    with jax.debug_nans(True):
        apply(learner, data, jax.random.key(1))
        after, metrics = apply(learner, data._replace(weight=0 * data.weight), jax.random.key(1))
    before, now = agent.update.read(learner).params, agent.update.read(after).params
    for x, y in zip(jax.tree.leaves(before), jax.tree.leaves(now), strict=True):
        np.testing.assert_array_equal(x, y)
    assert float(jnp.max(metrics["gradient_norm"])) == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(metrics))
    if name not in ("ppo", "pqn"):
        return
    # Lanes without weight are as good as absent: gradients are means over all, so 4 : 3.
    lanes = jnp.arange(4) != 2
    weighted = data._replace(weight=data.weight * lanes, reward=data.reward + 100.0 * ~lanes)
    fewer = jax.tree.map(lambda x: x[:, np.array([0, 1, 3])], data)
    one, some = apply(learner, weighted, jax.random.key(1))
    other, every = apply(learner, fewer, jax.random.key(1))
    for metric in every:
        ratio = 1.0 if metric == "explained_variance" else 0.75
        np.testing.assert_allclose(some[metric], every[metric] * ratio, rtol=1e-3, atol=1e-5)
    assert float(jnp.max(every["gradient_norm"])) > 1e-3
    if name == "ppo":  # Adam divides by the size of the gradient, so that the step is the same
        for x, y in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-4)
