"""A factored, combinatorial environment: many states, each made of a few simple parts.

After the pan flute of Young et al. (2023), "The benefits of model-based generalization in
reinforcement learning", with rules of our own.
"""

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep


def pan_flute(pipes: int = 5, length: int = 3, leak: float | Array = 0.02) -> Env:
    """Fill all pipes at once, and a chord sounds that pays 1 and empties them.

    Observations are the bits [pipes * length] of cells that are full, from the bottom up. Action i
    blows a cell more into pipe i, but empties it if it was full; every other pipe loses a cell with
    probability `leak`. Where all pipes are full, any action sounds the chord. Given the state and
    the action, the next bits are independent. It never ends. Raises an InputError for sizes that
    are not positive.
    """
    if min(pipes, length) < 1:
        raise InputError(f"PanFlute needs pipes and cells, not {pipes} of length {length}.")

    def show(level: Array) -> Array:
        return (jnp.arange(length) < level[:, None]).reshape(-1)

    def emit(level: Array, reward: Array) -> TimeStep:
        obs, never = show(level), jnp.zeros((), bool)
        return TimeStep(obs, reward, jnp.ones(()), never, obs, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        level = jnp.zeros(pipes, jnp.int32)
        return level, emit(level, jnp.zeros(()))

    def step(level: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        chord = (level == length).all()
        blown = jnp.where(level == length, 0, level + 1)
        leaked = jnp.maximum(level - jax.random.bernoulli(key, leak, (pipes,)), 0)
        level = jnp.where(jnp.arange(pipes) == action, blown, leaked)
        level = jnp.where(chord, 0, level)
        return level, emit(level, chord.astype(jnp.float32))

    observation = jax.ShapeDtypeStruct((pipes * length,), jnp.bool_)
    return Env(init, step, Spec(observation, Discrete(pipes)), fresh=1.0)
