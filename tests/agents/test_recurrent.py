"""A recurrent agent must see, when it learns, exactly what it saw when it acted."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.loop import rollout
from jaxrl.networks import network
from jaxrl.types import Actor


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_unroll_repeats_what_acting_computed(memory):
    """Over boundaries inside a sequence, and from memories stored in its middle."""
    env = auto_reset(vectorize(time_limit(envs.make("CartPole-v1"), 5), 3))
    net = network(env.spec, (2, 1), (1.0, 1.0), (8, 8), memory=memory)
    params = net.init(jax.random.key(0))

    def act(view, memory, obs, key):
        outputs, after = net.step(params, memory, obs)
        return jax.random.randint(key, (3,), 0, 2), after, (outputs, memory)

    actor = Actor(net.memory, act)
    state, now = env.init(jax.random.key(1))
    start = (state, now, actor.init(3))
    _, data, _ = rollout(env, actor, None, start, jax.random.key(2), 24)
    outputs, memories = data.extras
    assert data.last.any(0).all()
    # A loop over single lanes and steps that forgets by hand is the oracle for both.
    for lane in range(3):
        own = net.memory(1)
        for t in range(24):
            out, own = net.step(params, own, data.obs[t, lane][None])
            np.testing.assert_allclose(out[0][0], outputs[0][t, lane], atol=1e-6)
            own = net.memory(1) if data.last[t, lane] else own
    for begin in (0, 8, 13):
        first = jax.tree.map(lambda x, at=begin: x[at], memories)
        again, after = net.unroll(params, first, data.obs[begin:], data.last[begin:])
        # What follows the last step of an episode is its memory, not the next one's.
        _, expected = net.step(
            params, jax.tree.map(lambda x, at=begin: x[at:], memories), data.obs[begin:]
        )
        chex.assert_trees_all_close(after, expected, atol=1e-6)
        for a, b in zip(again, outputs, strict=True):
            np.testing.assert_allclose(a, b[begin:], atol=1e-6)
    assert float(jnp.abs(jax.tree.leaves(memories)[0][0]).max()) == 0.0
