"""A small game of Nim whose positions are all listed, for tables and for exact play."""

import jax
import jax.numpy as jnp
import numpy as np

HEAPS = (2, 2, 3)
MOST, SIZES = max(HEAPS), [n + 1 for n in HEAPS]
EVERY = np.stack(np.meshgrid(*map(np.arange, SIZES), indexing="ij"), -1).reshape(-1, 3)
"""All positions [N, 3], the end first."""


def seen_by_place(game):
    """Nim with a one-hot observation of the whole position, for tables."""
    mask = (np.arange(MOST) < EVERY[..., None]).reshape(len(EVERY), -1)

    def see(state, player):
        index = jnp.ravel_multi_index(tuple(state[0]), SIZES, mode="clip")
        return jax.nn.one_hot(index, len(EVERY), dtype=jnp.float32)

    spec = game.spec._replace(
        observation=jax.ShapeDtypeStruct((len(EVERY),), jnp.float32),
        mask=lambda obs: jnp.asarray(mask)[obs.argmax(-1)],
    )
    return game._replace(see=see, spec=spec)
