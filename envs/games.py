"""Two-player games for `jaxrl.games`: matrix games, Nim, and noughts and crosses."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require
from jaxrl.games import Game
from jaxrl.types import Array, Discrete, Key, Spec

Position = tuple[Array, Array]
"""What lies on the table, and the player to move, []."""


def matrix_game(payoff: Any) -> Game:
    """Both players choose at once, player 0 a row and player 1 a column of `payoff` [A, A].

    The entry is what player 0 wins and player 1 loses. Observations are the player, one-hot [2].
    Raises an InputError unless the matrix is square and finite.
    """
    payoff = np.asarray(payoff, np.float32)
    square = payoff.ndim == 2 and payoff.shape[0] == payoff.shape[1] and payoff.size > 0
    require(
        square and bool(np.isfinite(payoff).all()),
        f"A matrix game needs a square matrix of finite numbers, not one of shape {payoff.shape}.",
    )

    def step(state: tuple, action: Array, key: Key) -> tuple[tuple, Array, Array]:
        return state, jnp.asarray(payoff)[action[0], action[1]], jnp.bool_(True)

    see = lambda state, player: jax.nn.one_hot(player, 2, dtype=jnp.float32)
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Discrete(len(payoff)))
    return Game(lambda key: (), step, see, None, spec)


def nim(heaps: Sequence[int] = (3, 4, 5), anywhere: bool = True) -> Game:
    """Take any number of objects from one heap in turn; who takes the last one wins 1.

    `heaps` are the largest sizes, and the game begins with them, or if `anywhere` with a uniformly
    random position of two heaps or more. Action a takes a % m + 1 objects of heap a // m, where m
    is the largest size; heaps that have fewer forbid it. Observations are the sizes, one-hot
    [heaps, m + 1]. The player to move wins if and only if the bitwise sum of sizes is not 0: Bouton
    (1901), "Nim, a game with a complete mathematical theory". Raises an InputError unless there
    are two heaps or more and none is empty.
    """
    full = np.asarray(heaps, np.int32)
    most = int(full.max(initial=0))
    positive = full.ndim == 1 and len(full) > 1 and bool((full > 0).all())
    require(positive, f"Nim needs two heaps of one object or more, not {tuple(heaps)}.")
    positions = np.stack(np.meshgrid(*(np.arange(n + 1) for n in full), indexing="ij"), -1)
    positions = positions.reshape(-1, len(full)).astype(np.int32)
    positions = positions[(positions > 0).sum(-1) > 1] if anywhere else full[None]

    def init(key: Key) -> Position:
        place = jax.random.randint(key, (), 0, len(positions))
        return jnp.asarray(positions)[place], jnp.int32(0)

    def step(state: Position, action: Array, key: Key) -> tuple[Position, Array, Array]:
        sizes, player = state
        heap, taken = action // most, action % most + 1
        sizes = jnp.maximum(sizes.at[heap].add(-taken), 0)
        over = sizes.sum() == 0
        reward = jnp.where(over, 1.0 - 2.0 * player, 0.0)
        return (sizes, 1 - player), reward, over

    def mask(obs: Array) -> Array:
        sizes = obs.argmax(-1)
        allowed = jnp.arange(most) < sizes[..., None]
        return allowed.reshape(*allowed.shape[:-2], -1)

    see = lambda state, player: jax.nn.one_hot(state[0], most + 1, dtype=jnp.float32)
    shape = jax.ShapeDtypeStruct((len(full), most + 1), jnp.float32)
    spec = Spec(shape, Discrete(len(full) * most), mask)
    return Game(init, step, see, lambda state: state[1], spec)


# The three in a row, as cells 0 to 8 from the top left.
LINES = np.array(
    [[0, 1, 2], [3, 4, 5], [6, 7, 8], [0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 4, 8], [2, 4, 6]]
)


def tic_tac_toe() -> Game:
    """Noughts and crosses: three in a row win 1, and a full board without them is a draw.

    Action a marks cell a, counted row by row. Observations are bits [2, 9]: the player's own marks
    and the other's. The value of the game is 0.
    """

    def init(key: Key) -> Position:
        return jnp.zeros((2, 9), bool), jnp.int32(0)

    def step(state: Position, action: Array, key: Key) -> tuple[Position, Array, Array]:
        marks, player = state
        marks = marks.at[player, action].set(True)
        won = marks[player][LINES].all(-1).any()
        over = won | marks.any(0).all()
        return (marks, 1 - player), jnp.where(won, 1.0 - 2.0 * player, 0.0), over

    see = lambda state, player: jnp.where(player == 0, state[0], state[0][::-1])
    shape = jax.ShapeDtypeStruct((2, 9), jnp.bool_)
    spec = Spec(shape, Discrete(9), lambda obs: ~obs.any(-2))
    return Game(init, step, see, lambda state: state[1], spec)
