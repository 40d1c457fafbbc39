"""Mazes, against a search through the walls that they show."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import proc_maze

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


def neighbours(obs, size):
    """The cells [N * N][4] that each action leads to, read from an observation."""
    north, west = np.asarray(obs[: 2 * size**2]).reshape(2, size, size)
    found = []
    for row in range(size):
        for column in range(size):
            to = [
                (row - 1, column) if north[row, column] else (row, column),
                (row, column + 1) if column + 1 < size and west[row, column + 1] else (row, column),
                (row + 1, column) if row + 1 < size and north[row + 1, column] else (row, column),
                (row, column - 1) if west[row, column] else (row, column),
            ]
            found.append([r * size + c for r, c in to])
    return found


def cells(obs, size):
    """Where the walker and the goal are."""
    return (int(np.argmax(x)) for x in np.asarray(obs[2 * size**2 :]).reshape(2, -1))


@pytest.mark.parametrize("size", [2, 4])
def test_every_cell_is_reached_in_one_way(size):
    env = proc_maze(size)
    for seed in range(20):
        obs = env.init(jax.random.key(seed))[1].obs
        graph, seen, queue = neighbours(obs, size), {0}, deque([0])
        while queue:
            for new in graph[queue.popleft()]:
                if new not in seen:
                    seen.add(new)
                    queue.append(new)
        assert len(seen) == size**2
        doors = sum(new != old for old, row in enumerate(graph) for new in row) // 2
        assert doors == size**2 - 1  # a tree
        assert len({*cells(obs, size)}) == 2


def test_steps_go_where_the_walls_say():
    env, size = proc_maze(4), 4
    step = jax.jit(env.step)
    rng = np.random.default_rng(0)
    for seed in range(5):
        state, now = env.init(jax.random.key(seed))
        graph = neighbours(now.obs, size)
        for _ in range(30):
            place, goal = cells(now.obs, size)
            action = rng.integers(4)
            state, now = step(state, jnp.int32(action), jax.random.key(0))
            new, _ = cells(now.obs, size)
            assert new == graph[place][action] and now.reward == -1
            assert bool(now.last) == (new == goal) and now.discount == (new != goal)
            if now.last:
                break


def test_mazes_differ_and_fit_the_rules_of_environments():
    env = envs.make("ProcMaze")
    envs.check(env)
    first = [np.asarray(env.init(jax.random.key(i))[1].obs[:32]) for i in range(20)]
    assert len({x.tobytes() for x in first}) > 15
    with pytest.raises(ValueError, match="at least 2"):
        envs.make("ProcMaze", size=1)
    with pytest.raises(ValueError, match="no parameter 'sise'"):
        envs.make("ProcMaze", sise=4)
