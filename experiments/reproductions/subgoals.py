"""Goals at the far end of a folded corridor, by one policy, by subgoals and by values of options.

Park et al. (2023) hold that a policy that chooses subgoals reaches far goals where a single policy
of the same values fails (HIQL beside GCIVL), and Ahn et al. (2025) that HIQL chooses far subgoals
wrongly unless their values are those of options (OTA). A point walks through the corridor towards
random goals, with noise, for 100 steps an episode, which is less than its length. All learners have
the same data, steps and networks, the papers' discounts, expectiles and weights, and each has the
best of three learning rates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import AGENTS
from envs.goals import cells, distances, transitions
from experiments import options
from experiments.reproductions.choosing import tried
from experiments.reproductions.plane import learnt, settings
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import goals, rollout
from jaxrl.conditioned import Conditioned
from jaxrl.errors import require_positive
from jaxrl.types import Agent, Array, Env, Key, Transition, Tree, memoryless

TITLE = "Share of goals that are reached, and of subgoals that values order rightly, by distance"
WIDTH, ROWS, SPEED, LANES, EPISODE, PLAYED = 11, 7, 0.5, 32, 100, 128
OPEN = {0: "." * WIDTH, 1: "#" * (WIDTH - 1) + ".", 3: "." + "#" * (WIDTH - 1)}
LAYOUT = tuple(OPEN[row % 4 if row % 2 else 0] for row in range(ROWS))
LIMIT = 4 * len(cells(LAYOUT))  # steps in which a goal can be reached
HALF = max(WIDTH, ROWS) / 2  # cells in a unit of observations
MIDDLE = np.array([ROWS, WIDTH]) / 2
AHEAD = 10  # cells, to the subgoals that are ordered
BINS = {"1 to 14": (1, 15), "15 to 29": (15, 30), "30 and more": (30, 99)}  # cells
RATES = (1e-3, 3e-3, 1e-2)
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "GCIVL": ("gcivl", {}),
    "HIQL": ("hiql", dict(subgoal_steps=20)),
    "OTA": ("hiql", dict(subgoal_steps=20, option_steps=5)),
}


@dataclass(frozen=True)
class Options:
    """Learn to reach goals in a folded corridor from noisy walks."""

    seeds: int = 6
    """Number of data sets; two others choose the learning rate."""
    steps: int = 2_400
    """Number of gradient steps of each learner."""
    walks: int = 32_000
    """Number of environment steps in a data set."""
    out: Path = Path(".reproductions/subgoals")
    """Folder in which the table, the numbers and the picture are written."""


def number_of(obs: Array) -> Array:
    """The number [...] of the free cell of an observation [..., 2]."""
    table, free = np.zeros((ROWS, WIDTH), int), cells(LAYOUT)
    table[free[:, 0], free[:, 1]] = np.arange(len(free))
    place = jnp.clip(jnp.floor(obs * HALF + MIDDLE), 0, jnp.array([ROWS - 1, WIDTH - 1]))
    row, column = jnp.moveaxis(place.astype(jnp.int32), -1, 0)
    return jnp.asarray(table)[row, column]


def shown(cell: Array) -> Array:
    """The observation [..., 2] of the middle of a free cell [...]."""
    middles = (cells(LAYOUT) + 0.5 - MIDDLE) / HALF
    return jnp.asarray(middles, jnp.float32)[cell]


def nearer(cell: Array, goal: Array) -> Array:
    """The next cell [N] on the shortest path from cells [N] to goals [N], or the cell if there."""
    ways = jnp.asarray(transitions(LAYOUT))[cell]  # [N, 4]
    best = jnp.asarray(distances(LAYOUT))[ways, goal[:, None]].argmin(-1)
    after = jnp.take_along_axis(ways, best[:, None], 1)[:, 0]
    return jnp.where(cell == goal, cell, after)


def walked(env: Env, key: Key, steps: int) -> Transition:
    """Transitions [T, LANES, ...] of walks towards the goals that there are, with noise."""
    k_start, k_walk = jax.random.split(key)
    many = envs.auto_reset(envs.vectorize(env, LANES))

    def act(view: Tree, obs: Conditioned, key: Key) -> tuple[Array, tuple]:
        here, there = number_of(obs.obs), number_of(obs.context)
        aim = jnp.where((here == there)[:, None], obs.context, shown(nearer(here, there)))
        move = (aim - obs.obs) * HALF / SPEED
        return jnp.clip(move + jax.random.normal(key, move.shape), -1, 1), ()

    start = (*many.init(k_start), ())
    data = rollout(many, memoryless(act), (), start, k_walk, steps // LANES)[1]
    return data._replace(signals=(), extras=())


def reached(env: Env, agent: Agent, view: Tree, key: Key) -> tuple[Array, Array]:
    """Whether each of some episodes reaches its goal [N], and how far that was in cells [N]."""
    k_start, k_run = jax.random.split(key)
    many = envs.vectorize(env, PLAYED)
    state, now = many.init(k_start)
    far = jnp.asarray(distances(LAYOUT))[number_of(now.obs.obs), number_of(now.obs.context)]

    def step(carry: tuple, key: Key) -> tuple[tuple, None]:
        state, obs, over, success = carry
        k_act, k_step = jax.random.split(key)
        action = agent.exploit.step(view, (), obs, k_act)[0]
        state, now = many.step(state, action, k_step)
        success = success | (~over & now.info["episode_success"])
        return (state, now.obs, over | now.last, success), None

    none = jnp.zeros(PLAYED, bool)
    start = (state, now.obs, none, none)
    return jax.lax.scan(step, start, jax.random.split(k_run, LIMIT))[0][-1], far


def ordered(value: Callable[[Array, Array], Array], key: Key) -> tuple[Array, Array]:
    """Whether values [N] are higher some cells ahead on the way to goals, and how far these are."""
    far = jnp.asarray(distances(LAYOUT))
    here, there = jax.random.randint(key, (2, 1024), 0, len(far))
    ahead = jax.lax.fori_loop(0, AHEAD, lambda i, cell: nearer(cell, there), here)
    goal = shown(there)
    return value(shown(ahead), goal) > value(shown(here), goal), far[here, there]


def by_distance(right: Array, far: Array) -> Array:
    """The shares [bins] of what is right [N] in each range of distances [N]."""
    within = jnp.stack([(far >= low) & (far < high) for low, high in BINS.values()])
    return (right & within).sum(1) / jnp.maximum(within.sum(1), 1)


def judged(name: str, own: dict, chosen: Options, rate: Array, key: Key) -> Array:
    """The shares [2, bins] of goals that are reached, and of subgoals in the right order."""
    k_walk, k_learn, k_play, k_order = jax.random.split(key, 4)
    make = partial(envs.make, "point-maze", layout=LAYOUT, speed=SPEED)
    data = walked(make(max_steps_in_episode=EPISODE), k_walk, chosen.walks)
    env = make(max_steps_in_episode=LIMIT)
    small = dict(hidden=(64, 64), batch_size=128, learning_rate=rate, target_rate=0.01)
    hp = settings(name, data, **small | own)
    agent = AGENTS[name].make(env.spec, hp)
    view = learnt(agent, data, k_learn, chosen.steps)
    v = goals.goal_values(env.spec, hp.network, size=hp.representation_size)
    params = view.params["far" if hp.option_steps > 1 else "value"]
    value = lambda obs, goal: v.value(params, obs, goal).mean(-1)
    return jnp.stack([
        by_distance(*reached(env, agent, view, k_play)),
        by_distance(*ordered(value, k_order)),
    ])  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce subgoals", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, walks=chosen.walks)
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows = []
    for title, (name, own) in tqdm(LEARNERS.items(), unit=" learners"):
        run = partial(judged, name, own, chosen)  # [2, bins]
        best, held = tried(run, RATES, chosen.seeds, score=lambda x: x[:, 0])
        for i, where in enumerate(BINS):
            reach, order = (interval(held[:, k, i]) for k in (0, 1))
            rows.append({"learner": title, "goals, cells away": where, "reached": reach[0],
                         "low": reach[1], "high": reach[2], "right order": order[0],
                         "order, low": order[1], "order, high": order[2],
                         "rate": f"{RATES[best]:g}"})  # fmt: skip
        for k, axes in enumerate(panels):
            mean, low, high = np.array([interval(held[:, k, i]) for i in range(len(BINS))]).T
            axes.errorbar(
                range(len(BINS)), mean, (mean - low, high - mean), marker="o", capsize=3,
                label=title,
            )  # fmt: skip
    titles = "share of goals that are reached", "share of subgoals in the right order"
    for axes, title in zip(panels, titles):
        axes.set(xticks=range(len(BINS)), xticklabels=[*BINS], title=title)
        axes.set(xlabel="cells between the start and the goal")
        axes.grid(alpha=0.3)
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
