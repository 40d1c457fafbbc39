"""Rewards of stages that are found in demonstrations without labels, by few of many features.

Sermanet et al. (2017), https://arxiv.org/abs/1612.06699, cut demonstrations into stages of small
variance, choose the features that tell each stage, and learn a door's opening from the reward that
these make. Here a key opens the door between two rooms, and behind it is a place to stay at. Who
learns knows the state; rewards see 32 noisy features, five of which tell the stage and 27 the
place and a noise that lasts. Tables learn by Q(lambda) from the reward of the found stages, of
equal ones, of told ones, of the last one, and from the true stages and the true goal. Beside that
stands whether the exactly best policy for the expected reward does the task.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import envs
from agents import AGENTS
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, dp
from jaxrl.environments import begun
from jaxrl.errors import require_positive
from jaxrl.rewards import Stages, segmented, stage_chances, stage_features, stage_reward
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep


class Point(NamedTuple):
    """Settings that are chosen for each way, on other tasks."""

    first: Any  # initial values of the table
    kept: Any  # features by which each stage is told
    others: Any  # size of the features that tell other things


TITLE = "Success of Q(lambda) by the reward, of found stages or of others"
HEIGHT, WIDTH, WALL = 6, 11, 5  # of both rooms, and the column between them
STAGES, ACTIONS = 4, 4
CELLS = HEIGHT * WIDTH
STATES = CELLS * STAGES
TELLING, OTHERS = 5, 27  # features
FEATURES = TELLING + OTHERS
TIME, SPREAD, LASTING, GAMMA, LIMIT, EVALUATIONS, ROUND = 40, 0.1, 0.9, 0.95, 60, 10, 64
CASES = {5: (0.2, 0.6), 1: (0.2,)}  # demonstrations, and sizes of features that tell other things
WAYS = ("found, few features", "found, all features", "equal lengths, few features",
        "told, few features", "the last found alone", "true stages", "true goal")  # fmt: skip
STAGE = np.arange(STATES) // CELLS
TRUE = (2.0**STAGE - 1) / (2 ** (STAGES - 1) - 1)  # what the reward of stages pays if it knows them
START = (STAGE == 0) * (np.arange(STATES) % WIDTH < WALL) / (HEIGHT * WALL)
CHOICES = [(first, kept) for first in (0.0, 10.0) for kept in (2, 5)]


@dataclass(frozen=True)
class Options:
    """Learn a task in stages from rewards of demonstrations without labels."""

    seeds: int = 12
    """Number of tasks, each with features and demonstrations of its own; as many others choose."""
    rounds: int = 200
    """Updates of Q(lambda) in all, each after 64 environment steps; a multiple of 10."""
    out: Path = Path(".reproductions/perceptual-stages")
    """Folder in which the table, the numbers and the picture are written."""


class World(NamedTuple):
    """A task: the successors of states, which are stages of cells, and what is seen there."""

    to: Array  # [S, A]
    seen: Array  # [S, D] mean features


def world(others: Any, key: Key) -> World:
    """A key in the first room, a door, and a goal in the second room, seen by random features.

    Cells count row by row. Stages are those without the key, with it, beyond the door and at the
    goal, where all actions stay.
    """
    k_door, k_key, k_goal, k_stage, k_place = jax.random.split(key, 5)
    row, column = np.divmod(np.arange(CELLS), WIDTH)
    door = jax.random.randint(k_door, (), 0, HEIGHT) * WIDTH + WALL
    there, goal = (
        jax.random.choice(k, np.flatnonzero(side))
        for k, side in ((k_key, column < WALL), (k_goal, column > WALL))
    )
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    to = np.clip(row[:, None] + moves[:, 0], 0, HEIGHT - 1) * WIDTH
    to = to + np.clip(column[:, None] + moves[:, 1], 0, WIDTH - 1)

    def moved(stage: int) -> Array:
        free = (to % WIDTH != WALL) | ((to == door) & (stage > 0))
        place = jnp.where(free & (stage < 3), to, np.arange(CELLS)[:, None])
        on = place == jnp.array([there, door, goal, -1])[stage]
        return (stage + on) * CELLS + place

    by_stage = jnp.tanh(1.5 * jax.random.normal(k_stage, (STAGES, TELLING)))
    where = np.stack([row / HEIGHT, column / WIDTH, np.ones(CELLS)], -1)
    by_place = others * jnp.tanh(2 * where @ jax.random.normal(k_place, (3, OTHERS)))
    seen = jnp.concatenate([jnp.repeat(by_stage, CELLS, 0), jnp.tile(by_place, (STAGES, 1))], -1)
    return World(jnp.concatenate([moved(stage) for stage in range(STAGES)]), seen)


def begin(key: Key) -> Array:
    """A state [] in the first room, without the key."""
    row, column = jax.random.randint(key, (2,), 0, jnp.array([HEIGHT, WALL]))
    return row * WIDTH + column


def spread(others: Any) -> Array:
    """The standard deviations [D] of the noise of features."""
    telling = jnp.arange(FEATURES) < TELLING
    return SPREAD * telling + 0.5 * others * ~telling


def drifted(noise: Array, others: Any, key: Key) -> Array:
    """The next noise [D] of features, which lasts where they do not tell the stage."""
    kept = jnp.where(jnp.arange(FEATURES) < TELLING, 0.0, LASTING)
    fresh = spread(others) * jax.random.normal(key, noise.shape)
    return kept * noise + jnp.sqrt(1 - jnp.square(kept)) * fresh


def greedy(it: World, reward: Any) -> Array:
    """The best action [S] for a reward [S] of the state that a step leads to."""
    ones = jnp.ones((STATES, ACTIONS, 1))
    paid = jnp.asarray(reward)[it.to][..., None]
    mdp = dp.TabularMDP(ones, paid, ones, jnp.asarray(START), it.to[..., None])
    return jnp.argmax(dp.value_iteration(mdp, GAMMA, max_iterations=400).theta, -1)


def demonstrated(it: World, others: Any, number: int, key: Key) -> tuple[Array, Array]:
    """Features [N, T, D] and true stages [N, T] of a demonstrator who errs at times and then waits.

    A tenth of the actions are random; after the goal all frames are of it.
    """
    best = greedy(it, TRUE)

    def one(key: Key) -> tuple[Array, Array]:
        k_start, k_run = jax.random.split(key)

        def step(carry: tuple[Array, Array], key: Key) -> tuple[tuple, tuple[Array, Array]]:
            (state, noise), k = carry, jax.random.split(key, 3)
            noise = drifted(noise, others, k[0])
            action = jnp.where(jax.random.bernoulli(k[1], 0.1),
                               jax.random.randint(k[2], (), 0, ACTIONS), best[state])  # fmt: skip
            return (it.to[state, action], noise), (it.seen[state] + noise, state // CELLS)

        first = (begin(k_start), jnp.zeros(FEATURES))
        return jax.lax.scan(step, first, jax.random.split(k_run, TIME))[1]

    return jax.vmap(one)(jax.random.split(key, number))


class Paying(NamedTuple):
    """A reward: of states, and of the stages that features are of."""

    stages: Stages  # what tells them apart
    worth: Any  # [S] paid for states themselves
    staged: Any  # 1 if the reward of stages is paid
    last: Any  # 1 if the chance of the last stage is paid


def pays(by: Paying, state: Array, features: Array) -> Array:
    """What states [...] with features [..., D] are paid [...]."""
    last = stage_chances(by.stages, features)[..., -1]
    return by.worth[state] + by.staged * stage_reward(by.stages, features) + by.last * last


def rewards_of(it: World, features: Array, stage: Array, kept: Array) -> tuple[Paying, Array]:
    """The rewards of all ways, leaves [ways, ...], and the errors of boundaries.

    `features` [N, T, D] are of demonstrations, and `stage` [N, T] the true stages of these. Errors
    [2] are how many frames a boundary is wrong by, as found and at equal lengths.
    """
    cut = jax.vmap(lambda x: segmented(x, STAGES))(features)
    equal = jnp.broadcast_to(jnp.arange(TIME) * STAGES // TIME, cut.shape)

    def fitted(stage: Array) -> tuple[Stages, Stages]:
        """What tells stages, by few features and by all."""
        few, more, every = (
            stage_features(features.reshape(-1, FEATURES), stage.reshape(-1), STAGES, k)
            for k in (2, 5, FEATURES)
        )
        return few._replace(chosen=jnp.where(kept == 2, few.chosen, more.chosen)), every

    (own, whole), (even, _), (told, _) = (fitted(x) for x in (cut, equal, stage))
    ways = [Paying(found, 0 * TRUE, 1, 0) for found in (own, whole, even, told)]
    ways += [Paying(own, 0 * TRUE, 0, 1), Paying(own, TRUE, 0, 0), Paying(own, TRUE == 1, 0, 0)]
    # Of stages in order, the sum over frames is the sum over boundaries.
    errors = jnp.stack([jnp.abs(x - stage).sum(1).mean() for x in (cut, equal)]) / (STAGES - 1)
    return jax.tree.map(lambda *x: jnp.stack([jnp.asarray(y, float) for y in x]), *ways), errors


def task(it: World, others: Any, by: Paying) -> Env:
    """The task for a learner who sees its state, paid by states and features."""
    eye = jnp.eye(STATES)

    def init(key: Key) -> tuple[tuple[Array, Array], TimeStep]:
        state = begin(key)
        return (state, jnp.zeros(FEATURES)), begun(eye[state])

    def step(now: tuple[Array, Array], action: Array, key: Key) -> tuple[Any, TimeStep]:
        state, noise = it.to[now[0], action], drifted(now[1], others, key)
        reward = pays(by, state, it.seen[state] + noise)
        return (state, noise), begun(eye[state])._replace(reward=reward)

    spec = Spec(jax.ShapeDtypeStruct((STATES,), jnp.float32), Discrete(ACTIONS))
    return envs.time_limit(Env(init, step, spec), LIMIT)


class Found(NamedTuple):
    """What is found out about one task."""

    errors: Array  # [2] of boundaries that are found, and of equal stages
    correlation: Array  # [ways] of the expected reward of states with the true stage
    planned: Array  # [ways] success of the best policy for the expected reward
    learnt: Array  # [ways, evaluations] success of Q(lambda)


def trial(number: int, chosen: Options, point: Point, key: Key) -> Found:
    """What all ways find out about one task from a number of demonstrations."""
    k_world, k_demo, k_noise, k_learn = jax.random.split(key, 4)
    it, others = world(point.others, k_world), point.others
    every, errors = rewards_of(it, *demonstrated(it, others, number, k_demo), point.kept)
    noise = spread(others) * jax.random.normal(k_noise, (32, 1, FEATURES))

    def done(action: Array) -> Array:
        """The success [] of the best action in each state [S]."""
        state = jnp.arange(STATES)
        end = jax.lax.fori_loop(0, LIMIT, lambda _, now: it.to[now, action[now]], state)
        return (jnp.asarray(START) * (end // CELLS == STAGES - 1)).sum()

    def way(by: Paying) -> tuple[Array, Array, Array]:
        expected = pays(by, jnp.arange(STATES), it.seen + noise).mean(0)  # [S]
        curve = learnt(task(it, others, by), point, chosen, done, k_learn)
        return jnp.corrcoef(expected, STAGE)[0, 1], done(greedy(it, expected)), curve

    return Found(errors, *jax.vmap(way)(every))


def learnt(
    env: Env, point: Point, chosen: Options, done: Callable[[Array], Array], key: Key
) -> Array:
    """The exact success [evaluations] of the greedy policy as Q(lambda) goes on."""
    entry: Any = AGENTS["q-lambda"]
    hp = entry.defaults.replace(
        discount=GAMMA, initial_value=point.first, epsilon=0.2, epsilon_updates=0.0,
        num_envs=4, rollout_length=16,
    )  # fmt: skip
    exp = assemble(entry.make, env, hp).experiment

    def block(run: Any, _: None) -> tuple[Any, Array]:
        run = advance(exp, run, chosen.rounds // EVALUATIONS)[0]
        return run, done(run.learner.params.argmax(-1))

    return jax.lax.scan(block, exp.init(key), None, EVALUATIONS)[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce perceptual-stages", Options, arguments)
    require_positive(seeds=chosen.seeds, rounds=chosen.rounds)
    figure, panels = plt.subplots(1, 3, figsize=(13, 4), layout="constrained", sharey=True)
    rows, at = [], np.linspace(0, ROUND * chosen.rounds, EVALUATIONS + 1)[1:]
    every = {}
    for number, sizes in tqdm(CASES.items(), unit=" numbers of demonstrations"):
        points = [Point(*choice, others) for others in sizes for choice in CHOICES]
        scores = scored(partial(trial, number, chosen), points, chosen.seeds)
        for i, others in enumerate(sizes):
            own = slice(i * len(CHOICES), (i + 1) * len(CHOICES))
            every[number, others] = Found(*(x[own] for x in scores))  # [points, 2 seeds, ...]
    for axes, ((number, others), found) in zip(panels, every.items()):
        for w, name in enumerate(WAYS):
            best, curve = tuned(found.learnt[:, :, w])
            errors, alike, planned, _ = (x[best, chosen.seeds :] for x in found)
            mean, low, high = interval(curve[:, -1])
            own, even = errors.mean(0)
            kept = "" if "true" in name else FEATURES if "all" in name else CHOICES[best][1]
            wrong = even if name.startswith("equal") else own if "found" in name else 0.0
            rows.append({"demonstrations": number, "other features": others, "reward": name,
                         "boundary error": float(wrong), "correlation": float(alike[:, w].mean()),
                         "planned": float(planned[:, w].mean()), "learnt": mean, "low": low,
                         "high": high, "mean of the curve": float(curve.mean()),
                         "features": kept})  # fmt: skip
            band(axes, at, curve, name)
        title = f"{number} demonstration{'s' * (number > 1)}, other features {others:g}"
        axes.set(xlabel="environment steps", title=title)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("success")
    panels[0].legend(frameon=False, fontsize=7)
    save(chosen.out, TITLE, rows, figure)
