"""Finite Markov decision processes to test deep agents against exact dynamic programming."""

import numpy as np

from envs.tabular import TabularMDP, from_arrays
from jaxrl.errors import InputError


def chain(length: int = 10, slip: float = 0.0) -> TabularMDP:
    """Walk left or right on a line; the right end pays 1 and ends, the left end pays 0.01.

    `length` states, starting in the leftmost; action 1 is right; with probability `slip` the
    walk goes the other way. Moving left in the leftmost state stays there and pays 0.01, the
    trap of the exploration chain of Strens (2000).
    """
    _require(length >= 2, f"chain needs a length of at least 2, not {length}")
    _require(0 <= slip <= 1, f"chain needs a slip in [0, 1], not {slip}")
    p, r, d = _zeros(length, 2)
    for s in range(length):
        for a in range(2):
            for direction, weight in ((a, 1 - slip), (1 - a, slip)):
                new = min(s + 1, length - 1) if direction else max(s - 1, 0)
                p[s, a, new] += weight
                r[s, a, new] = 1.0 if new == length - 1 else 0.01 * (s == 0 and new == 0)
                d[s, a, new] = float(new != length - 1)
    return from_arrays(p, r, d, _one_hot(0, length))


def gridworld(rows: int = 5, columns: int = 5, slip: float = 0.1) -> TabularMDP:
    """Find the bottom-right corner from the top-left one, at a cost of 1 a step.

    Actions are up, right, down, left; with probability `slip` a random one of the four is
    taken instead. Walking into the edge stays. Entering the goal ends the episode.
    """
    _require(rows > 0 and columns > 0 and rows * columns > 1, "gridworld needs two cells or more")
    _require(0 <= slip <= 1, f"gridworld needs a slip in [0, 1], not {slip}")
    states, goal = rows * columns, rows * columns - 1
    p, r, d = _zeros(states, 4)
    for s in range(states):
        for a in range(4):
            for b, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
                new = move(s, down, right, rows, columns)
                p[s, a, new] += slip / 4 + (1 - slip) * (a == b)
                r[s, a, new] = -1.0
                d[s, a, new] = float(new != goal)
    return from_arrays(p, r, d, _one_hot(0, states))


def garnet(
    states: int = 20, actions: int = 4, branching: int = 3, end: float = 0.0, seed: int = 0
) -> TabularMDP:
    """A random MDP: each pair leads to `branching` random states, with random probabilities.

    Rewards are standard normal, one a pair; each (s, a, s') ends the episode with probability
    `end`, drawn once. Source: Archibald, McKinnon and Thomas (1995), "On the generation of
    Markov decision processes".
    """
    _require(1 <= branching <= states, f"garnet needs a branching in 1..{states}, not {branching}")
    _require(actions >= 1, f"garnet needs at least one action, not {actions}")
    rng = np.random.default_rng(seed)
    p, r, d = _zeros(states, actions)
    for s in range(states):
        for a in range(actions):
            successors = rng.choice(states, branching, replace=False)
            p[s, a, successors] = rng.dirichlet(np.ones(branching))
    r += rng.standard_normal((states, actions, 1))
    d += rng.random(d.shape) >= end
    return from_arrays(p, r, d, np.full(states, 1 / states))


_HAZARDS = ("SHHHG", "..H..", "..H..", ".....")


def hazard_grid(slip: float = 0.1, end: float = 0.02) -> TabularMDP:
    """Walk to the right again and again, through hazards or around them: 1 for each arrival.

    Actions are up, right, down, left on 4 x 5 cells; with probability `slip` a random one of the
    four is taken instead. Entering the top right cell pays 1 and leads back to the top left one.
    The way of 4 steps enters three hazards, that of 6 steps one, and that of 10 steps none. Each
    step ends the episode with probability `end`, in a last state, so that means over steps are
    those of occupancies.
    """
    _require(0 <= slip <= 1, f"hazard-grid needs a slip in [0, 1], not {slip}")
    _require(0 < end < 1, f"hazard-grid needs an end in (0, 1), not {end}")
    rows, columns, goal = len(_HAZARDS), len(_HAZARDS[0]), "".join(_HAZARDS).index("G")
    cells = rows * columns
    p, r, d = _zeros(cells + 1, 4)
    for s in range(cells):
        for a in range(4):
            for b, (down, right) in enumerate(((-1, 0), (0, 1), (1, 0), (0, -1))):
                new = move(s, down, right, rows, columns)
                weight = (1 - end) * (slip / 4 + (1 - slip) * (a == b))
                into, paid = (0, 1.0) if new == goal else (new, 0.0)
                # From next to the goal nothing else leads to the start, so that this is exact.
                p[s, a, into] += weight
                r[s, a, into] = max(r[s, a, into], paid)
                d[s, a, into] = 1.0
            p[s, a, cells] = end
    p[cells, :, cells] = 1.0
    return from_arrays(p, r, d, _one_hot(0, cells + 1))


def hazards() -> np.ndarray:
    """Whether each state [21] of `hazard_grid` is a hazard."""
    return np.array([cell == "H" for cell in "".join(_HAZARDS)] + [False])


_LAKES = {
    "4x4": ("SFFF", "FHFH", "FFFH", "HFFG"),
    "8x8": (
        "SFFFFFFF",
        "FFFFFFFF",
        "FFFHFFFF",
        "FFFFFHFF",
        "FFFHFFFF",
        "FHHFFFHF",
        "FHFFHFHF",
        "FFFHFFFG",
    ),
}


def frozen_lake(map_name: str = "4x4", is_slippery: bool = True) -> TabularMDP:
    """Cross a frozen lake without falling into a hole; the goal pays 1. As in Gymnasium.

    Actions are left, down, right, up; slippery ice goes one third of the time in the direction
    meant, and one third each in the two perpendicular to it.
    """
    _require(map_name in _LAKES, f"FrozenLake has the maps 4x4 and 8x8, not {map_name!r}")
    lake = _LAKES[map_name]
    size, cells = len(lake), "".join(lake)
    p, r, d = _zeros(size * size, 4)
    moves = ((0, -1), (1, 0), (0, 1), (-1, 0))
    for s, cell in enumerate(cells):
        for a in range(4):
            if cell in "GH":
                p[s, a, s] = 1.0
                continue
            for b in ((a - 1) % 4, a, (a + 1) % 4) if is_slippery else (a,):
                new = move(s, *moves[b], size, size)
                p[s, a, new] += 1 / 3 if is_slippery else 1.0
                r[s, a, new] = float(cells[new] == "G")
                d[s, a, new] = float(cells[new] not in "GH")
    return from_arrays(p, r, d, _one_hot(0, size * size))


def river_swim(length: int = 6) -> TabularMDP:
    """Swim right against the current for 1 a step, or drift left for 0.0005. It never ends.

    Source: Strehl and Littman (2008), "An analysis of model-based interval estimation for
    Markov decision processes", figure 3, with rewards divided by 10000.
    """
    _require(length >= 3, f"RiverSwim needs a length of at least 3, not {length}")
    p, r, d = _zeros(length, 2)
    d += 1.0
    end = length - 1
    for s in range(length):
        p[s, 0, max(s - 1, 0)] = 1.0
    p[0, 1, [0, 1]] = 0.7, 0.3
    for s in range(1, end):
        p[s, 1, [s - 1, s, s + 1]] = 0.1, 0.6, 0.3
    p[end, 1, [end - 1, end]] = 0.7, 0.3
    r[0, 0] = 0.0005
    r[end, 1] = 1.0
    initial = np.zeros(length)
    initial[[1, 2]] = 0.5
    return from_arrays(p, r, d, initial)


def cliff(is_slippery: bool = False) -> TabularMDP:
    """Walk along a cliff to the goal: -1 a step, -100 and back to the start for a fall.

    Actions are up, right, down, left on 4 x 12 cells; slippery as in `frozen_lake`. As in
    Gymnasium. Source: Sutton and Barto (2018), example 6.6.
    """
    rows, columns = 4, 12
    states, start = rows * columns, (rows - 1) * columns
    p, r, d = _zeros(states, 4)
    moves = ((-1, 0), (0, 1), (1, 0), (0, -1))
    for s in range(states):
        for a in range(4):
            for b in ((a - 1) % 4, a, (a + 1) % 4) if is_slippery else (a,):
                new = move(s, *moves[b], rows, columns)
                fell = start < new < states - 1
                new = start if fell else new
                weight = 1 / 3 if is_slippery else 1.0
                # Both a fall and a step may lead to the start: keep the mean of their rewards.
                total = p[s, a, new] + weight
                paid = p[s, a, new] * r[s, a, new] + weight * (-100.0 if fell else -1.0)
                p[s, a, new], r[s, a, new] = total, paid / total
                d[s, a, new] = float(new != states - 1)
    return from_arrays(p, r, d, _one_hot(start, states))


def _zeros(states: int, actions: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shape = (states, actions, states)
    return np.zeros(shape), np.zeros(shape), np.zeros(shape)


def _one_hot(index: int, size: int) -> np.ndarray:
    return np.eye(size)[index]


def move(cell: int, down: int, right: int, rows: int, columns: int) -> int:
    """The cell one step away from `cell`, counted row by row, or at the edge `cell` itself."""
    row = min(max(cell // columns + down, 0), rows - 1)
    column = min(max(cell % columns + right, 0), columns - 1)
    return row * columns + column


def _require(condition: bool, sentence: str) -> None:
    if not condition:
        raise InputError(f"{sentence}.")
