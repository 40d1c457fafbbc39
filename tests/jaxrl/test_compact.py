"""Observations that are stored in fewer bits, against rounding by numpy."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jaxrl import updates
from jaxrl.errors import InputError
from jaxrl.types import Transition, Update

SEEN = Update(
    lambda key, example: jax.tree.map(lambda x: jnp.zeros((32, *x.shape[2:]), x.dtype), example),
    lambda state, batch, key: (batch, {}),
    lambda state: state,
)


def steps(seed, lanes=3):
    rng = np.random.default_rng(seed)
    real = lambda *more: rng.normal(3, 1, (2, lanes, *more)).astype(np.float32)
    obs = lambda: {"real": real(5), "bytes": rng.integers(0, 256, (2, lanes, 2), np.uint8)}
    one = np.ones((2, lanes), np.float32)
    return Transition(obs(), real(2), real(), one, one < 0, obs(), real(), one)


@pytest.fixture(scope="module")
def learnt():
    """The first and second rollout, and what is learnt from after them, by storage."""
    first, second, key = steps(0), steps(1), jax.random.key(0)
    found = {}
    for storage in ("float32", "bfloat16"):
        kept = lambda update: updates.replay(update, rows=4, batch_size=32)
        update = updates.compact(SEEN, kept, storage)
        found[storage] = update.apply(update.init(key, first), second, key)[0]
    return first, second, found


def test_real_observations_are_rounded_and_all_else_is_not(learnt):
    first, second, found = learnt
    batch, plain = found["bfloat16"].inner, found["float32"].inner
    for mine, whole in ((batch.obs, plain.obs), (batch.final, plain.final)):
        rounded = np.asarray(whole["real"]).astype(ml_dtypes.bfloat16).astype(np.float32)
        assert mine["real"].dtype == jnp.float32
        np.testing.assert_array_equal(mine["real"], rounded)
        np.testing.assert_array_equal(mine["bytes"], whole["bytes"])
        assert (rounded != whole["real"]).any()
    for name in ("action", "reward", "extras"):
        np.testing.assert_array_equal(getattr(batch, name), getattr(plain, name))
    stored = np.concatenate([first.obs["real"], second.obs["real"]]).reshape(-1, 5)
    assert all((row == stored).all(1).any() for row in np.asarray(plain.obs["real"]))


def test_observations_take_half_the_memory(learnt):
    """Per step: 2 x 5 reals of 4 or 2 bytes, 2 x 2 bytes, and what is not of observations."""
    *_, found = learnt
    words = {name: state.buffer.words.shape[-1] for name, state in found.items()}
    assert words["float32"] - words["bfloat16"] == 2 * (5 - 3)  # the sixth half is filled up


def test_an_unknown_storage_is_refused():
    with pytest.raises(InputError, match="no storage called 'float16'"):
        updates.compact(SEEN, lambda update: update, "float16")
