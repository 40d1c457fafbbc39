"""Learning from dreams: who sees what, in which order, is checked against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import updates
from jaxrl.types import Transition, Update

KEY = jax.random.key(0)


def adder(name):
    """An update whose state is the sum of all rewards it was shown."""

    def apply(state, batch, key):
        return state + batch.reward.sum(), {name: batch.reward.sum()}

    return Update(lambda key, example: jnp.zeros(()), apply, lambda state: 10 * state)


def model_adder():
    def apply(state, batch, key):
        data, view = batch
        return state + data.reward.sum() + view, {"model": view}

    return Update(lambda key, example: jnp.ones(()), apply, lambda state: -state)


def batch(size=4):
    one = jnp.arange(1.0, size + 1)
    return Transition(one, one, one, one, one < 0, one, (), one)


def dream(model, view, data, key):
    """Rewards that tell who was asked."""
    return data._replace(reward=data.reward * 0 + model + view)


def test_the_model_learns_first_and_the_learner_dreams_with_what_it_then_knows():
    update = updates.imagined(adder("inner"), model_adder(), dream, times=3)
    state = update.init(KEY, jax.tree.map(lambda x: x[None], batch()))
    state, metrics = jax.jit(update.apply)(state, batch(), KEY)
    model = 1 + 10 + 0  # itself, the batch, the learner's view before
    inner, seen = 0.0, []
    for _ in range(3):
        seen.append(4 * (-model + 10 * inner))
        inner += seen[-1]
    np.testing.assert_allclose([state.model, state.inner], [model, inner])
    np.testing.assert_allclose(metrics["inner"], seen)
    np.testing.assert_allclose(update.read(state), 10 * inner)


def test_to_wake_and_to_dream_in_turn():
    inner = adder("inner")
    both = updates.in_turn(updates.waking(inner), updates.dreaming(inner, dream))
    update = updates.fitting(both, model_adder())
    state = update.init(KEY, jax.tree.map(lambda x: x[None], batch()))
    state, _ = update.apply(state, batch(), KEY)
    np.testing.assert_allclose(state.inner, 10 + 4 * (-11 + 100))


@pytest.mark.parametrize(
    ("size", "length", "share"),
    [(10, 2, 0.3), (64, 4, 0.5), (64, 16, 0.2), (12, 1, 0.25), (16, 16, 0.5), (8, 2, 1.0)],
)
def test_a_share_of_a_batch_is_real_and_the_rest_has_all_depths(size, length, share):
    """Imagined rewards tell the depth, from -1 downwards, and their observation the rollout."""
    lanes, real = size // length, round(share * size)

    def dream(model, view, data, key):
        depth = jnp.broadcast_to(-1.0 - jnp.arange(length)[:, None], (length, lanes))
        made = jax.tree.map(lambda x: jnp.zeros((length, lanes), x.dtype), data)
        place = jnp.arange(length * lanes, dtype=float).reshape(length, lanes)
        return made._replace(reward=depth, obs=place)

    found = updates.mixed(dream, share)((), (), batch(size), KEY)
    np.testing.assert_array_equal(found.reward[:real], np.arange(1, real + 1))
    imagined = np.asarray(found.reward[real:])
    assert len(imagined) == size - real and (imagined < 0).all()
    counts = [(imagined == -1 - depth).sum() for depth in range(length)]
    assert max(counts) - min(counts) <= 1
    assert len(set(np.asarray(found.obs[real:]).tolist())) == size - real  # none twice


def test_no_share_of_a_batch_is_real():
    none = updates.mixed(lambda *a: batch(10)._replace(reward=jnp.zeros(10)), 0.0)
    assert (none((), (), batch(10), KEY).reward == 0).all()
