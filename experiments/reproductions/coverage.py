"""How much of an open square skills cover: METRA, DIAYN, SAC without a reward, random actions.

A point begins in the middle and can come to any side within an episode. Park et al. (2024) hold
that skills which are only told apart (DIAYN) need not go far, and that those of METRA cover what
there is. The coverage is the share of 400 equal squares that are visited in 64 episodes, 8 of each
skill on average, whose actions are drawn as in learning. Each has the best of three learning rates:
of what pays skills, or of SAC where nothing does.
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

import envs
from agents import skills
from experiments import options
from experiments.reproductions.choosing import tried
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, rollout
from jaxrl.errors import require, require_positive
from jaxrl.rollouts import random_policy
from jaxrl.types import Actor, Array, Box, Env, Key, Spec, TimeStep, Tree

TITLE = "Share of an open square that 64 episodes cover, by what skills are paid"
STRIDE, LIMIT, BINS, EPISODES = 0.05, 32, 20, 64
WAYS = {
    "METRA": ("metra", "skill_rate", (3e-4, 1e-3, 3e-3)),
    "DIAYN": ("diayn", "skill_rate", (3e-4, 1e-3, 3e-3)),
    "SAC without a reward": ("none", "learning_rate", (3e-4, 1e-3, 3e-3)),
}
SMALL: dict[str, Any] = dict(
    num_envs=16, rollout_length=4, warmup=1_024, updates=16, batch_size=64, buffer_size=16_384,
    hidden=(32, 32), learning_rate=1e-3, discount=0.97, target_rate=0.01, initial_temperature=0.1,
)  # fmt: skip


@dataclass(frozen=True)
class Options:
    """Learn skills without a reward."""

    seeds: int = 6
    """Number of learners, and two others to choose the learning rate."""
    steps: int = 9_216
    """Number of environment steps of a learner, the warm-up included."""
    out: Path = Path(".reproductions/coverage")
    """Folder in which the table, the numbers and the picture are written."""


def square() -> Env:
    """A point in [-1, 1]^2 that begins near the middle; actions are its steps, of up to 0.05."""

    def emit(place: Array) -> TimeStep:
        one = jnp.ones(())
        return TimeStep(place, 0 * one, one, one < 0, place, {})

    def init(key: Key) -> tuple[Array, TimeStep]:
        place = 0.02 * jax.random.uniform(key, (2,), minval=-1.0)
        return place, emit(place)

    def step(place: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        place = jnp.clip(place + STRIDE * action, -1.0, 1.0)
        return place, emit(place)

    one = jnp.ones(2)
    spec = Spec(jax.ShapeDtypeStruct((2,), jnp.float32), Box(-one, one))
    return envs.time_limit(Env(init, step, spec), LIMIT)


def paths(env: Env, actor: Actor, view: Tree, key: Key) -> tuple[Array, Array]:
    """The places [LIMIT, EPISODES, 2] of whole episodes, and their skills [EPISODES, D]."""
    lanes = envs.vectorize(env, EPISODES)
    k_start, k_run = jax.random.split(key)
    start = (*lanes.init(k_start), actor.init(EPISODES))
    data = rollout(lanes, actor, view, start, k_run, LIMIT)[1]
    return data.final.obs, data.obs.context[0]


def covered(places: Array) -> Array:
    """The share [] of the squares in which there is one of the places [..., 2]."""
    index = jnp.clip(((places.reshape(-1, 2) + 1) / 2 * BINS).astype(int), 0, BINS - 1)
    there = jnp.zeros(BINS * BINS).at[index[:, 0] * BINS + index[:, 1]].set(1.0)
    return there.mean()


def outcome(kind: str, steps: int, field: str, value: Array, key: Key) -> Tree:
    """The coverage and the mean distance of ends, of learnt and of random actions; and paths."""
    k_init, k_play, k_random = jax.random.split(key, 3)
    hp = skills.Hyperparameters(kind=kind, skills=8, **SMALL | {field: value})
    env = skills.world(square(), hp)
    setup = assemble(skills.skilled_sac, env, hp)
    rounds = (steps - SMALL["warmup"]) // (SMALL["num_envs"] * SMALL["rollout_length"])
    run, _ = advance(setup.experiment, setup.experiment.init(k_init), rounds)
    view = setup.agent.update.read(run.learner)
    found, skill = paths(setup.env, setup.agent.explore, view, k_play)
    noise, _ = paths(setup.env, random_policy(setup.env.spec, setup.agent), None, k_random)
    measured = [[covered(x), jnp.linalg.norm(x[-1], axis=-1).mean()] for x in (found, noise)]
    return jnp.array(measured), found, skill.argmax(-1)


def row(paid: str, chosen: str, found: np.ndarray) -> dict[str, Any]:
    """One row of the table, of the coverage and the distance of ends [seeds, 2]."""
    one = {"paid": paid, "chosen": chosen}
    for i, what in enumerate(("coverage", "distance of ends")):
        mean, low, high = interval(found[:, i])
        one |= {what: mean, f"{what}, low": low, f"{what}, high": high}
    return one


def pictured(all_paths: dict[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """The paths of 64 episodes of each way, in the colours of their skills."""
    figure, panels = plt.subplots(1, len(WAYS), figsize=(11, 4), layout="constrained")
    for axes, (name, (paths, which)) in zip(panels, all_paths.items()):
        for path, skill in zip(np.moveaxis(paths, 1, 0), which):
            axes.plot(*path.T, color=f"C{skill}", linewidth=0.8)
        axes.set(title=name, xlim=(-1.02, 1.02), ylim=(-1.02, 1.02), aspect="equal")
    return figure


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce coverage", Options, arguments)
    require_positive(seeds=chosen.seeds)
    least = SMALL["warmup"] + SMALL["num_envs"] * SMALL["rollout_length"]
    require(chosen.steps >= least, f"steps must be at least {least}, not {chosen.steps}.")
    rows, drawn = [], {}
    for name, (kind, field, grid) in tqdm(WAYS.items(), unit=" rewards"):
        run = partial(outcome, kind, chosen.steps, field)
        best, (found, paths, which) = tried(run, grid, chosen.seeds, score=lambda x: x[0][:, 0, 0])
        rows.append(row(name, f"{field} {grid[best]:g}", found[:, 0]))
        drawn[name] = paths[0], which[0]
    rows.append(row("random actions", "-", found[:, 1]))  # the same beside each of them
    save(chosen.out, TITLE, rows, pictured(drawn))
