"""What the tests of all suites do with an environment."""

from typing import Any

import jax
import numpy as np

import envs
from jaxrl.types import Env, TimeStep


def played(env: Env, actions: Any, key: Any) -> tuple[Any, TimeStep, TimeStep]:
    """The states [T, ...], the first time step, and the time steps [T] of given actions."""

    @jax.jit
    def run(key):
        first_key, *keys = jax.random.split(key, len(actions) + 1)
        state, first = env.init(first_key)

        def step(state, inputs):
            state, ts = env.step(state, *inputs)
            return state, (state, ts)

        _, (states, ts) = jax.lax.scan(step, state, (actions, jax.numpy.stack(keys)))
        return states, first, ts

    return run(key)


def require_truncation(ts: TimeStep, limit: int) -> None:
    """The last of `limit` steps [T] is a truncation, and none before is an end."""
    np.testing.assert_array_equal(ts.last, np.arange(1, limit + 1) == limit)
    np.testing.assert_array_equal(ts.discount, np.ones(limit))


def require_pictures(name: str, params: dict, states: Any, least: int = 2) -> list[np.ndarray]:
    """One picture a state, of bytes in three colours, at least `least` of them different."""
    from envs import suites

    images = suites.frames(name, params, states)
    assert len(images) == len(jax.tree.leaves(states)[0])
    assert {(x.dtype, x.ndim, x.shape) for x in images} == {(np.dtype("uint8"), 3, images[0].shape)}
    assert images[0].shape[2] == 3 and min(images[0].shape[:2]) >= 32
    assert len({x.tobytes() for x in images}) >= least
    assert all(x.std() > 0 for x in images)
    return images


def checked(name: str, **params: Any) -> Env:
    """The environment, which keeps its promises for a few steps."""
    env = envs.make(name, **params)
    envs.check(env, steps=12)
    return env
