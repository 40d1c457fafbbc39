"""A recurrent agent must see, when it learns, exactly what it saw when it acted."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import ppo
from jaxrl import advance, assemble, evaluate
from jaxrl.environments import auto_reset, time_limit, vectorize
from jaxrl.errors import InputError
from jaxrl.networks import network
from jaxrl.networks.backbones import BACKBONES
from jaxrl.rollouts import rollout
from jaxrl.types import Actor
from tests.compiling import OPTIMISED


@pytest.mark.parametrize("memory", BACKBONES)
def test_unroll_repeats_what_acting_computed(memory):
    """Over boundaries inside a sequence, and from memories stored in its middle."""
    env = auto_reset(vectorize(time_limit(envs.make("CartPole-v1"), 5), 3))
    net = network(env.spec, (2, 1), (1.0, 1.0), (8, 8), memory=memory)
    net = net._replace(step=jax.jit(net.step), unroll=jax.jit(net.unroll))
    params = net.init(jax.random.key(0))

    def act(view, memory, obs, key):
        outputs, after = net.step(params, memory, obs)
        return jax.random.randint(key, (3,), 0, 2), after, (outputs, memory)

    actor = Actor(net.memory, act)
    state, now = env.init(jax.random.key(1))
    start = (state, now, actor.init(3))
    _, data, _ = jax.jit(lambda: rollout(env, actor, None, start, jax.random.key(2), 24))()
    outputs, memories = data.extras
    assert data.last.any(0).all()
    # A loop over single lanes and steps that forgets by hand is the oracle for both.
    for lane in range(3):
        own = net.memory(1)
        for t in range(24):
            out, own = net.step(params, own, data.obs[t, lane][None])
            np.testing.assert_allclose(out[0][0], outputs[0][t, lane], atol=1e-5)
            own = net.memory(1) if data.last[t, lane] else own
    for begin in (0, 8, 13):
        first = jax.tree.map(lambda x, at=begin: x[at], memories)
        again, after = net.unroll(params, first, data.obs[begin:], data.last[begin:])
        # What follows the last step of an episode is its memory, not the next one's.
        _, expected = net.step(
            params, jax.tree.map(lambda x, at=begin: x[at:], memories), data.obs[begin:]
        )
        chex.assert_trees_all_close(after, expected, atol=1e-5)
        for a, b in zip(again, outputs, strict=True):
            np.testing.assert_allclose(a, b[begin:], atol=1e-5)
    assert float(jnp.abs(jax.tree.leaves(memories)[0][0]).max()) == 0.0


@pytest.mark.thorough
@pytest.mark.parametrize("memory", ["none", "state-space", "transformer"])
def test_ppo_with_a_memory_remembers_what_it_cannot_without(memory):
    """The action that pays is shown at the first of six steps; three seeds."""
    env = envs.make("MemoryChain-bsuite")
    hp = ppo.Hyperparameters(
        memory=memory, window=8, hidden=(16,), num_envs=32, rollout_length=16, sequence_length=8,
        minibatches=2, learning_rate=5e-3, decay=1.0, entropy_coefficient=0.03,
    )  # fmt: skip
    updates = 120
    setup = assemble(ppo.ppo, env, hp, updates * 32 * 16)

    def run(key):
        run, _ = advance(setup.experiment, setup.experiment.init(key), updates)
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, setup.agent.exploit, view, key, 64).returns.mean()

    keys = jax.random.split(jax.random.key(0), 3)
    scores = jax.jit(jax.vmap(run), compiler_options=OPTIMISED)(keys)
    assert (scores < 0.5).all() if memory == "none" else (scores > 0.9).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (dict(memory="transformer", hidden=(6,)), "^A transformer needs a size divisible by 4"),
        (dict(memory="state-space", hidden=(5,)), "^A state-space backbone needs an even size"),
        (dict(memory="transformer", window=0), "^window must be above zero, but it is 0"),
        (dict(memory="mamba"), "^There is no memory called 'mamba'"),
    ],
)
def test_memories_that_cannot_be_are_refused(options, sentence):
    hp = ppo.Hyperparameters(sequence_length=8, **options)
    with pytest.raises(InputError, match=sentence):
        assemble(ppo.ppo, envs.make("CartPole-v1"), hp)
