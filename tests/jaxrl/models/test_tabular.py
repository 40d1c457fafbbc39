"""Counts of finite processes: numpy and the process itself are the oracles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from jaxrl.models.tabular import counted, most_likely, recalled
from jaxrl.types import Box, Discrete, Spec, Transition

KEY = jax.random.key(0)
MDP = envs.tabular_mdp("garnet", states=5, actions=2, branching=2, end=0.3, seed=1)
SPEC = Spec(jax.ShapeDtypeStruct((5,), jnp.float32), Discrete(2))


def experience(size):
    """Transitions [1, size, ...] from uniformly random pairs."""
    env = envs.from_mdp(MDP)
    k_state, k_action, k_step = jax.random.split(KEY, 3)
    state = jax.random.randint(k_state, (size,), 0, 5)
    action = jax.random.randint(k_action, (size,), 0, 2)
    _, now = jax.vmap(env.step)(state, action, jax.random.split(k_step, size))
    data = Transition(jax.nn.one_hot(state, 5), action, now.reward, now.discount, now.last,
                      now.final, (), jnp.ones(size))  # fmt: skip
    return jax.tree.map(lambda x: x[None], data)


def counts(size):
    update = counted(SPEC)
    data = experience(size)
    part = lambda rows: jax.tree.map(lambda x: x[:, rows], data)
    state = update.init(KEY, part(slice(0, size // 2)))
    return update.apply(state, (part(slice(size // 2, None)), ()), KEY)[0]


def test_the_most_likely_process_tends_to_the_process():
    found = most_likely(counts(40_000))
    np.testing.assert_allclose(found.transition, MDP.transition, atol=0.03)
    seen = np.asarray(MDP.transition) > 0
    np.testing.assert_allclose(found.reward[seen], np.asarray(MDP.reward)[seen], atol=1e-4)
    np.testing.assert_array_equal(found.discount[seen], np.asarray(MDP.discount)[seen])


def test_what_was_never_tried_stays_where_it_is():
    empty = counted(SPEC).init(KEY, jax.tree.map(lambda x: x[:, :0], experience(4)))
    found = most_likely(empty)
    np.testing.assert_array_equal(found.transition, np.broadcast_to(np.eye(5)[:, None], (5, 2, 5)))
    assert (found.reward == 0).all() and (found.discount == 1).all()


def test_memories_have_the_law_of_what_was_seen():
    seen = counts(400)
    seen = jax.tree.map(lambda x: x.at[2, 1].set(0), seen)  # as if never tried
    data = jax.tree.map(lambda x: np.asarray(x[0]), recalled(seen, KEY, 60_000))
    state, final = data.obs.argmax(-1), data.final.argmax(-1)
    pairs = np.bincount(2 * state + data.action, minlength=10) / 60_000
    assert pairs[5] == 0
    np.testing.assert_allclose(np.delete(pairs, 5), 1 / 9, atol=0.01)
    which = (state == 3) & (data.action == 0)
    share = np.bincount(final[which], minlength=5) / which.sum()
    oracle = np.asarray(seen.visits)[3, 0]
    np.testing.assert_allclose(share, oracle / oracle.sum(), atol=0.02)
    reward = np.asarray(MDP.reward)[state, data.action, final]
    np.testing.assert_allclose(data.reward, reward, atol=1e-4)
    np.testing.assert_array_equal(
        data.discount, np.asarray(MDP.discount)[state, data.action, final]
    )


def test_only_finite_processes_are_counted():
    with pytest.raises(ValueError, match="discrete"):
        counted(SPEC._replace(action=Box(-jnp.ones(1), jnp.ones(1))))
    with pytest.raises(ValueError, match="one-hot"):
        counted(SPEC._replace(observation=jax.ShapeDtypeStruct((4, 4, 2), bool)))
