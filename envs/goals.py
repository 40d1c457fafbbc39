"""Small environments with goals: bits to flip, and mazes of cells or of places.

A layout is lines of text, in which `#` is a wall and all else is free; walls stop, and so does the
edge. `LAYOUTS` has some by name.
"""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require, require_known
from jaxrl.goals import goaled
from jaxrl.rewards import costly
from jaxrl.types import Array, Box, Discrete, Env, Goals, Key, Spec, TimeStep

Layout = str | tuple[str, ...]

LAYOUTS = {
    "four-rooms": (
        ".....#.....",
        ".....#.....",
        "...........",
        ".....#.....",
        ".....#.....",
        "#.####.....",
        ".....###.##",
        ".....#.....",
        ".....#.....",
        "...........",
        ".....#.....",
    ),
    "u": (
        "...",
        "##.",
        "...",
    ),
    "serpentine": (
        ".........",
        "########.",
        ".........",
        ".########",
        ".........",
        "########.",
        ".........",
        ".########",
        ".........",
    ),
}  # fmt: skip
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


def bit_flips(bits: int = 10) -> Env:
    """Flip one of several bits at a time until they are those of the goal.

    Observations and goals are bools [bits]; an action is the bit that is flipped. An episode begins
    with random bits and another random goal. Rewards are -1, and 0 where the goal is reached, which
    ends the episode: random actions almost never do with many bits. Source: Andrychowicz et al.
    (2017), https://arxiv.org/abs/1707.01495. Raises an InputError for less than one
    bit.
    """
    require(bits >= 1, f"bit-flips needs at least one bit, not {bits}.")

    def init(key: Key) -> tuple[Array, TimeStep]:
        state = jax.random.bernoulli(key, 0.5, (bits,))
        return state, seen(state)

    def step(state: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        state = state ^ (jnp.arange(bits) == action)
        return state, seen(state)

    def other(key: Key, obs: Array) -> Array:
        """Random bits, of which at least one differs."""
        k_one, k_all = jax.random.split(key)
        flips = jax.random.bernoulli(k_all, 0.5, (bits,))
        one = jnp.arange(bits) == jax.random.randint(k_one, (), 0, bits)
        return obs ^ jnp.where(flips.any(), flips, one)

    shape = jax.ShapeDtypeStruct((bits,), jnp.bool_)
    env = Env(init, step, Spec(shape, Discrete(bits)), fresh=1.0)
    return goaled(env, Goals(shape, lambda obs: obs, same), other)


def grid_maze(layout: Layout = "four-rooms", slip: float | Array = 0.0) -> Env:
    """Walk from a random free cell of a maze to another one, at a cost of 1 a step.

    Observations and goals are one-hot bools [cells], of the free cells row by row. Actions are up,
    right, down, left; with probability `slip` a random one is taken instead. Raises an InputError
    for a layout that is not known, or whose cells cannot all be reached.
    """
    free = cells(layout)
    count, moves = len(free), jnp.asarray(transitions(layout), jnp.int32)
    show = lambda place: seen(jnp.arange(count) == place)

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = jax.random.randint(key, (), 0, count)
        return place, show(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        k_slip, k_action = jax.random.split(key)
        other = jax.random.randint(k_action, (), 0, 4)
        action = jnp.where(jax.random.uniform(k_slip) < slip, other, action)
        place = moves[place, action]
        return place, show(place)

    def elsewhere(key: Key, obs: Array) -> Array:
        offset = jax.random.randint(key, (), 1, count)
        return jnp.roll(obs, offset)

    shape = jax.ShapeDtypeStruct((count,), jnp.bool_)
    env = Env(init, step, Spec(shape, Discrete(4)), fresh=1.0)
    return goaled(env, Goals(shape, lambda obs: obs, same), elsewhere)


def point_maze(layout: Layout = "u", speed: float | Array = 0.5, noise: float | Array = 0.0) -> Env:
    """Move a point through a maze to a goal within half a cell, at a cost of 1 a step.

    An action in [-1, 1]^2 moves it by `speed` times as many cells, downwards and to the right, plus
    normal noise; a coordinate that would enter a wall stays. Observations and goals are places [2],
    in units in which the longer side of the maze is from -1 to 1. An episode begins at a random
    place, with a goal in another cell. Raises an InputError for a layout that is not known, or
    whose cells cannot all be reached.
    """
    walls, free = np.asarray(walls_of(layout)), cells(layout)
    rows, columns = walls.shape
    half, middle = max(rows, columns) / 2, np.array([rows, columns], np.float32) / 2
    count, corners = len(free), jnp.asarray(free, jnp.float32)
    closed = jnp.asarray(np.pad(walls, 1, constant_values=True))
    show = lambda place: (place - middle) / half

    def inside(place: Array) -> Array:
        row, column = jnp.floor(place).astype(jnp.int32) + 1
        return ~closed[row, column]

    def init(key: Key) -> tuple[Array, TimeStep]:
        k_cell, k_within = jax.random.split(key)
        cell = jax.random.randint(k_cell, (), 0, count)
        place = corners[cell] + within(k_within)
        return place, seen(show(place))

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        move = speed * jnp.clip(action, -1.0, 1.0) + noise * jax.random.normal(key, (2,))
        move = jnp.clip(move, -0.9, 0.9).astype(jnp.float32)  # never through a wall
        down = place.at[0].add(move[0])
        place = jnp.where(inside(down), down, place)
        right = place.at[1].add(move[1])
        place = jnp.where(inside(right), right, place)
        return place, seen(show(place))

    def elsewhere(key: Key, obs: Array) -> Array:
        k_cell, k_within = jax.random.split(key)
        here = jnp.abs(corners + 0.5 - (obs * half + middle)).max(-1) <= 0.5
        cell = jax.random.categorical(k_cell, jnp.where(here, -jnp.inf, 0.0))
        return show(corners[cell] + within(k_within))

    def near(achieved: Array, goal: Array) -> Array:
        return jnp.square(half * (achieved - goal)).sum(-1) <= 0.25

    shape = jax.ShapeDtypeStruct((2,), jnp.float32)
    box = Box(-jnp.ones(2), jnp.ones(2))
    env = Env(init, step, Spec(shape, box), fresh=1.0)
    return goaled(env, Goals(shape, lambda obs: obs, near), elsewhere)


def point_hazards(speed: float | Array = 0.5, noise: float | Array = 0.0) -> Env:
    """Move a point over a free square to a goal, past a hazard in its middle that costs.

    It is `point_maze` on 5 x 5 free cells. The cost `hazard` of a step is 1 where it ends within a
    cell's length of the middle, and 0 elsewhere.
    """
    middle = lambda obs: jnp.square(2.5 * obs.obs).sum(-1) <= 1.0
    hazard = lambda obs, action, final: middle(final).astype(jnp.float32)
    return costly(point_maze((".....",) * 5, speed, noise), {"hazard": hazard})


def within(key: Key) -> Array:
    """A random place [2] of a cell, away from its edges."""
    return jax.random.uniform(key, (2,), jnp.float32, 0.05, 0.95)


def seen(obs: Array) -> TimeStep:
    """A step without a reward or an end."""
    zero = jnp.zeros((), jnp.float32)
    return TimeStep(obs, zero, zero + 1.0, zero > 0, obs, {})


def same(achieved: Array, goal: Array) -> Array:
    """Whether vectors [..., n] are equal."""
    return (achieved == goal).all(-1)


def walls_of(layout: Layout) -> np.ndarray:
    """Whether each cell [rows, columns] of a layout is a wall.

    Raises an InputError for a name that is not known, and unless at least two cells are free and
    each can be reached from all others.
    """
    if isinstance(layout, str):
        require_known("layout", layout, LAYOUTS)
        layout = LAYOUTS[layout]
    lines = [*layout]
    require(
        len(lines) > 0 and len({len(line) for line in lines}) == 1,
        "A layout must be lines of equal lengths.",
    )
    walls = np.array([[cell == "#" for cell in line] for line in lines])
    require(int((~walls).sum()) > 1, "A layout must have at least two free cells.")
    require(
        bool((_paths(_transitions(walls), 0) >= 0).all()),
        "Every free cell of a layout must be reached from all others.",
    )
    return walls


def cells(layout: Layout) -> np.ndarray:
    """The rows and columns [cells, 2] of the free cells of a layout, row by row."""
    return np.argwhere(~walls_of(layout))


def transitions(layout: Layout) -> np.ndarray:
    """The free cell [cells, 4] that each of the actions up, right, down and left leads to."""
    return _transitions(walls_of(layout))


def distances(layout: Layout) -> np.ndarray:
    """The numbers of steps [cells, cells] on the shortest paths between free cells."""
    graph = transitions(layout)
    return np.stack([_paths(graph, start) for start in range(len(graph))])


def _transitions(walls: np.ndarray) -> np.ndarray:
    free = np.argwhere(~walls)
    index = {tuple(cell): i for i, cell in enumerate(free.tolist())}
    return np.array([
        [index.get((row + down, column + right), i) for down, right in MOVES]
        for i, (row, column) in enumerate(free.tolist())
    ])  # fmt: skip


def _paths(graph: np.ndarray, start: int) -> np.ndarray:
    """The lengths [cells] of the shortest paths from a cell, -1 where there is none."""
    found, queue = np.full(len(graph), -1), deque([start])
    found[start] = 0
    while queue:
        here = queue.popleft()
        for there in graph[here]:
            if found[there] < 0:
                found[there] = found[here] + 1
                queue.append(there)
    return found
