"""A student of two teachers, whose least losses are known: it cannot know what it has not seen."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.distillation import distilled, one_of
from jaxrl.settings import Recurrent
from jaxrl.types import Box, Spec, Transition

LENGTH, LANES = 4, 8
SPEC = Spec(jax.ShapeDtypeStruct((1,), jnp.float32), Box(-jnp.ones(1), jnp.ones(1)))


def rollout(cut):
    """Lanes of two systems, which only the second observation tells apart; some are cut after it.

    A system is +1 or -1, its teacher acts by half of that, and it is told as the signal.
    """
    which = jnp.broadcast_to(jnp.arange(LANES) % 2, (LENGTH, LANES))
    obs = jnp.zeros((LENGTH, LANES, 1)).at[1, :, 0].set(1.0 - 2.0 * which[1])
    one = jnp.ones((LENGTH, LANES))
    last = jnp.zeros((LENGTH, LANES), bool).at[1].set(jnp.arange(LANES) < cut)
    action = jnp.zeros((LENGTH, LANES, 1))
    return Transition(obs, action, one, one, last, obs, (), one, which)


def least(memory, cut):
    """The loss after learning, and the actions of a teacher."""
    teachers = jnp.array([0.5, -0.5])
    teacher = one_of(lambda own, obs: own[None], teachers, lambda batch: batch.signals)
    layers = Recurrent(hidden=(8,), memory=memory)
    agent = distilled(SPEC, teacher, layers)
    batch = rollout(cut)
    start = agent.explore.init(LANES)
    extras = jax.tree.map(lambda x: jnp.broadcast_to(x, (LENGTH, *x.shape)), start)
    batch = batch._replace(extras=extras)

    def step(state, key):
        return agent.update.apply(state, batch, key)

    k_init, k_learn = jax.random.split(jax.random.key(0))
    state = agent.update.init(k_init, batch)
    state, told = jax.lax.scan(step, state, jax.random.split(k_learn, 1200))
    return told["imitation_loss"][-1], teacher(batch)


def test_a_memory_is_worth_what_it_can_know():
    """Errors are 1/4 where the system is not known: before it was seen, and after a boundary."""
    run = jax.jit(least, static_argnums=0)
    for memory, cut, unknown in (("gru", 4, LANES + 2 * 4), ("none", 4, 3 * LANES)):
        loss, action = run(memory, cut)
        np.testing.assert_allclose(loss, 0.25 * unknown / (LENGTH * LANES), atol=0.01)
        wanted = 0.5 - (np.arange(LANES) % 2)
        np.testing.assert_array_equal(action[..., 0], np.broadcast_to(wanted, (LENGTH, LANES)))
