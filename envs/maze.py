"""Mazes that are new in every episode: what was learnt of one must hold in the next.

After ProcMaze of Young et al. (2023), "The benefits of model-based generalization in reinforcement
learning", with mazes of another kind.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import InputError
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep


class Maze(NamedTuple):
    """The state: where walls, the walker and the goal are."""

    north: Array  # [N, N] bool, whether one can go up from a cell, and down into it
    west: Array  # [N, N] bool, whether one can go left from a cell, and right into it
    place: Array  # [2] int32, row and column
    goal: Array  # [2] int32


def proc_maze(size: int = 4) -> Env:
    """Walk to a goal, at a cost of 1 a step, in a maze drawn anew for each episode.

    Each cell has an opening up or to the left, by a coin, those at the edge the one they can have:
    a maze without loops, in which every cell can be reached. Actions are up, right, down, left;
    walls stop. Observations are bits [2 N N + 2 N N]: the openings upwards and to the left, the
    walker's cell and the goal's. Raises an InputError for a size below 2.
    """
    if size < 2:
        raise InputError(f"ProcMaze needs a size of at least 2, not {size}.")

    cells = size * size

    def show(state: Maze) -> Array:
        cell = lambda at: jnp.arange(cells) == at[0] * size + at[1]
        openings = state.north.reshape(-1), state.west.reshape(-1)
        return jnp.concatenate([*openings, cell(state.place), cell(state.goal)])

    def emit(state: Maze, reward: float) -> TimeStep:
        obs, there = show(state), (state.place == state.goal).all()
        return TimeStep(obs, jnp.float32(reward), 1.0 - there, there, obs, {})

    def init(key: Key) -> tuple[Maze, TimeStep]:
        k_maze, k_place = jax.random.split(key)
        row, column = jnp.mgrid[:size, :size]
        up = jax.random.bernoulli(k_maze, 0.5, (size, size))
        north = (row > 0) & (up | (column == 0))
        west = (column > 0) & ~north
        first, offset = jax.random.randint(k_place, (2,), 0, jnp.array([cells, cells - 1]))
        ends = first, (first + 1 + offset) % cells  # two that differ, each pair equally likely
        place, goal = (jnp.stack(jnp.divmod(x, size)) for x in ends)
        state = Maze(north, west, place, goal)
        return state, emit(state, 0.0)

    def step(state: Maze, action: Array, key: Key) -> tuple[Maze, TimeStep]:
        move = jnp.array([[-1, 0], [0, 1], [1, 0], [0, -1]])[action]
        new = jnp.clip(state.place + move, 0, size - 1)
        # Going down or right takes an opening of the cell that is entered.
        gate = jnp.where(action % 3 == 0, state.place, new)
        openings = jnp.where(action % 2 == 0, state.north, state.west)
        free = openings[gate[0], gate[1]] & (new != state.place).any()
        state = state._replace(place=jnp.where(free, new, state.place))
        return state, emit(state, -1.0)

    observation = jax.ShapeDtypeStruct((4 * size * size,), jnp.bool_)
    return Env(init, step, Spec(observation, Discrete(4)), fresh=1.0)
