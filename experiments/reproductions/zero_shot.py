"""Policies of 32 rewards by agents that learnt without one, from much data and from little.

Forward-backward representations (Touati and Ollivier 2021), their conservative versions (Jeen et
al. 2024), and successor features of Hilbert distances (Park et al. 2024), of the Laplacian and of a
random network learn from random walks through four small rooms. Then 16 goals and 16 random rewards
of cells are told, and each infers its policy from the rewards of the data's own steps. The little
data are 96 of the steps. The references are planning in what the data show, for each reward, and
the imitation of cells where the best policy was, without a reward (RLZero, Sikchi et al. 2025). One
hyperparameter of each agent was chosen from three values, on other walks.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from agents.offline import forward_backward, successor_features
from experiments import options
from experiments.reproductions.plane import learnt
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl.errors import require_positive
from jaxrl.types import Array, Discrete, Key, Spec, Transition
from jaxrl.zero_shot import centred, imitated_task, on_sphere, projected_task, regressed_task

TITLE = "Share of the way from random actions to the best over 32 new rewards, by steps of data"
SIDE, LANES, GAMMA, GOALS, SMOOTH, LITTLE = 5, 16, 0.9, 16, 16, 96
HERE = np.array([(i, j) for i in range(SIDE) for j in range(SIDE)
                 if 2 not in (i, j) or (i, j) in ((2, 0), (2, 4), (0, 2), (4, 2))])  # fmt: skip
CELLS = len(HERE)
PLANNING = "planning in the data"
KINDS: dict[str, tuple[Any, dict[str, Any], str, tuple[float, ...]]] = {
    "FB": (forward_backward, {}, "orthonormality", (0.1, 1.0, 10.0)),
    "VC-FB": (forward_backward, {"penalty": "values"}, "conservatism", (0.01, 0.1, 1.0)),
    "MC-FB": (forward_backward, {"penalty": "measures"}, "conservatism", (0.01, 0.1, 1.0)),
    "HILP": (successor_features, {}, "expectile", (0.5, 0.9, 0.97)),
    "Laplacian features": (
        successor_features, {"features": "laplacian"}, "learning_rate", (1e-3, 3e-3, 1e-2),
    ),
    "random features": (
        successor_features, {"features": "random"}, "learning_rate", (1e-3, 3e-3, 1e-2),
    ),
}  # fmt: skip
SMALL = dict(
    num_envs=LANES, discount=GAMMA, batch_size=32, hidden=(32, 32), size=12, target_rate=0.05,
    learning_rate=3e-3,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Learn without rewards, and act for 32 of them."""

    seeds: int = 6
    """Number of walks, and as many others to choose hyperparameters, two for each value."""
    walk: int = 4_000
    """Number of steps of the larger data sets, of which the smaller ones have the first 96."""
    steps: int = 600
    """Number of gradient steps."""
    out: Path = Path(".reproductions/zero-shot")
    """Folder in which the table, the numbers and the picture are written."""


def successors() -> np.ndarray:
    """The successors [S, 4] of cells; walls stop."""
    name = {tuple(cell): i for i, cell in enumerate(HERE.tolist())}
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    return np.array([[name.get(tuple(at + move), i) for move in moves]
                     for i, at in enumerate(HERE)])  # fmt: skip


def walked(key: Key, steps: int) -> tuple[Array, Array, Array]:
    """The cells [T, LANES] of random walks, their actions, and the cells that follow."""
    to = jnp.asarray(successors())
    k_start, k_walk = jax.random.split(key)
    start = jax.random.randint(k_start, (LANES,), 0, CELLS)
    moves = jax.random.randint(k_walk, (steps // LANES, LANES), 0, 4)

    def step(at: Array, action: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        return to[at, action], (at, action, to[at, action])

    return jax.lax.scan(step, start, moves)[1]


def seen() -> Array:
    """What cells look like: their row and their column, one-hot."""
    rows, columns = (jax.nn.one_hot(HERE[:, i], SIDE) for i in range(2))
    return jnp.concatenate([rows, columns], -1)


def rewards() -> np.ndarray:
    """Rewards [32, CELLS] of being in cells: of 16 goals, and 16 random ones."""
    rng = np.random.default_rng(0)
    goals = np.eye(CELLS)[rng.choice(CELLS, GOALS, replace=False)]
    return np.concatenate([goals, rng.normal(size=(SMOOTH, CELLS))])


def worth(policy: Array, reward: Array) -> Array:
    """The mean value [] over first cells of actions [CELLS] or probabilities [CELLS, 4]."""
    to = jnp.asarray(successors())
    chances = jax.nn.one_hot(policy, 4) if policy.ndim == 1 else policy
    kernel = (chances[..., None] * jax.nn.one_hot(to, CELLS)).sum(1)
    return jnp.linalg.solve(jnp.eye(CELLS) - GAMMA * kernel, kernel @ reward).mean()


def planned(reward: Array, known: Array) -> Array:
    """The best actions [CELLS] among those that are known [CELLS, 4], and any where none is."""
    to = jnp.asarray(successors())

    def improve(value: Array, _: None) -> tuple[Array, None]:
        q = jnp.where(known, (reward + GAMMA * value)[to], -1e6)
        return jnp.where(known.any(1), q.max(1), 0.0), None

    value, _ = jax.lax.scan(improve, jnp.zeros(CELLS), None, 300)
    return jnp.where(known, (reward + GAMMA * value)[to], -1e6).argmax(1)


def scaled(policies: Array) -> Array:
    """The shares [32] of the way from random actions to the best, of policies [32, CELLS]."""
    paid = jnp.asarray(rewards())
    every = jnp.ones((CELLS, 4), bool)
    best = jax.vmap(lambda r: worth(planned(r, every), r))(paid)
    low = jax.vmap(lambda r: worth(every / 4, r))(paid)
    return (jax.vmap(worth)(policies, paid) - low) / (best - low)


def data_of(walk: int, number: Array, key: Key) -> tuple[Transition, Array]:
    """The first `number` [] steps of a walk again and again, and the cells after them."""
    rows = number // LANES
    place = jnp.arange(walk // LANES) % rows
    now, action, after = (x[place] for x in walked(key, walk))
    see, one = seen(), jnp.ones(now.shape)
    last = jnp.broadcast_to((place == rows - 1)[:, None], now.shape)
    data = Transition(see[now], action, 0 * one, one, last, see[after], (), one)
    return data, after


def shares(name: str, walk: int, steps: int, number: Array, point: Array, key: Key) -> Array:
    """The shares [2, 32] of the inferred policies, and of those that imitate the best ones."""
    module, own, field, _ = KINDS[name]
    k_walk, k_learn, k_visit = jax.random.split(key, 3)
    data, after = data_of(walk, number, k_walk)
    size = data.reward.size
    spec = Spec(jax.ShapeDtypeStruct((2 * SIDE,), jnp.float32), Discrete(4))
    hp = module.Hyperparameters(buffer_size=size, warmup=size, **SMALL | own | {field: point})
    make = getattr(module, module.__name__.rsplit(".", 1)[-1])
    params = learnt(make(spec, hp), data, k_learn, steps).inner.params
    made, see, paid = module.model(spec, hp), seen(), jnp.asarray(rewards())
    features = made.features(params, see)
    share = jnp.zeros(CELLS).at[after].add(1.0 / after.size)
    if module is successor_features:
        features = centred(features, share)
    infer = projected_task if module is forward_backward else regressed_task
    tasks = jax.vmap(infer, (None, 0, None))(features, paid, share)
    data_features = None if module is forward_backward else features[after.reshape(-1)]
    visits = jax.vmap(visited, (0, None))(paid, k_visit)
    imitated = jax.vmap(lambda x: imitated_task(features[x], data_features))(visits)

    def acted(z: Array) -> Array:
        wide = jnp.broadcast_to(on_sphere(z)[:, None], (*z.shape[:1], CELLS, z.shape[-1]))
        return made.policy.act(params, jnp.broadcast_to(see, (len(z), *see.shape)), wide)

    return jnp.stack([scaled(acted(z)) for z in (tasks, imitated)])


def visited(reward: Array, key: Key) -> Array:
    """The cells [8 * 20] where the best policy is, from random first cells."""
    best = planned(reward, jnp.ones((CELLS, 4), bool))
    to = jnp.asarray(successors())
    first = jax.random.randint(key, (8,), 0, CELLS)
    step = lambda at, _: (to[at, best[at]],) * 2
    return jax.lax.scan(step, first, None, 20)[1].reshape(-1)


def reference(walk: int, number: Array, key: Key) -> Array:
    """The shares [32] of planning in what the data show, and the share [] of pairs they show."""
    data, after = data_of(walk, number, jax.random.split(key, 3)[0])
    now = (data.obs @ seen().T).argmax(-1)  # rows and columns agree at the cell itself alone
    known = jnp.zeros((CELLS, 4), bool).at[now, data.action].set(True)
    told = jnp.zeros(CELLS, bool).at[after].set(True)
    policies = jax.vmap(lambda r: planned(jnp.where(told, r, 0.0), known))(jnp.asarray(rewards()))
    return jnp.append(scaled(policies), known.mean())


def rows_of(chosen: Options, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The results of some learners, for much and for little data."""
    keys = jax.random.split(jax.random.key(0), 2 + chosen.seeds)
    sizes = (chosen.walk, min(LITTLE, chosen.walk))
    rows: list[dict[str, Any]] = []

    def row(number: int, name: str, how: str, value: str, found: np.ndarray) -> None:
        one: dict[str, Any] = {"steps of data": number, "learner": name, "task from": how}
        one["chosen"] = value
        parts = {"all": found, "goals": found[:, :GOALS], "random rewards": found[:, GOALS:]}
        for kind, part in parts.items():
            mean, low, high = interval(part.mean(1))
            one |= {kind: mean, f"{kind}, low": low, f"{kind}, high": high}
        rows.append(one)

    for name in tqdm(names, unit=" learners"):
        if name == PLANNING:
            run = jax.jit(jax.vmap(partial(reference, chosen.walk), (None, 0)))
            for number in sizes:
                plan = np.asarray(run(jnp.array(number), keys[2:]))
                row(number, name, "reward", f"{plan[:, -1].mean():.2f} of the pairs", plan[:, :-1])
            continue
        _, _, field, grid = KINDS[name]
        run = jax.jit(jax.vmap(partial(shares, name, chosen.walk, chosen.steps), (None, 0, 0)))
        for number in sizes:
            points = jnp.repeat(jnp.array(grid), 2)
            tried = np.asarray(run(jnp.array(number), points, jnp.tile(keys[:2], len(grid))))
            best = grid[int(tried[:, 0].mean(-1).reshape(-1, 2).mean(1).argmax())]
            point = jnp.full(chosen.seeds, best)
            found = np.asarray(run(jnp.array(number), point, keys[2:]))
            for i, how in enumerate(("reward", "imitation")):
                row(number, name, how, f"{field} {best:g}", found[:, i])
    return rows


def pictured(rows: list[dict[str, Any]]) -> Figure:
    """The picture of the results of all learners."""
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained", sharey=True)
    names = [PLANNING, *KINDS]
    sizes = sorted({x["steps of data"] for x in rows}, reverse=True)
    for axes, number in zip(panels, sizes):
        for i, how in enumerate(("reward", "imitation")):
            some = [x for x in rows if x["steps of data"] == number and x["task from"] == how]
            place = np.array([names.index(x["learner"]) for x in some]) + 0.4 * i
            middle, low, high = (np.array([x[k] for x in some])
                                 for k in ("all", "all, low", "all, high"))  # fmt: skip
            away = [middle - low, high - middle]
            axes.bar(place, middle, 0.4, yerr=away, color=f"C{i}", label=f"task from {how}")
        axes.set_xticks(np.arange(len(names)) + 0.2, names, rotation=30, ha="right")
        axes.axhline(0, color="black", linewidth=0.8)
        axes.set(title=f"{number} steps of data")
        axes.grid(alpha=0.3, axis="y")
    panels[0].set_ylabel("share of the way to the best")
    panels[0].legend(frameon=False)
    return figure


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce zero-shot", Options, arguments)
    require_positive(seeds=chosen.seeds, walk=chosen.walk, steps=chosen.steps)
    rows = rows_of(chosen, (PLANNING, *KINDS))
    save(chosen.out, TITLE, rows, pictured(rows))
