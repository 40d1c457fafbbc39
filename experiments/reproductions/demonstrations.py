"""A few demonstrations for PPO in rooms that are always new (Andres et al. 2023).

A walker fetches a key, goes through a door in a wall and reaches a corner, which alone pays; where
the key, the wall and the door are is drawn for each episode. PPO alone is compared with PPO that
begins with a cloned policy, and with PPO whose loss has that of cloning as a further term, with 2,
10 and 100 demonstrations. For each the learning rate, with a coefficient if it clones along, was
chosen from two on other seeds.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import envs
from agents import AGENTS, ppo
from experiments import options
from experiments.plots import band
from experiments.reproductions.choosing import scored, tuned
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import advance, assemble, buffers, evaluate, rollout
from jaxrl.cloning import demonstrated
from jaxrl.errors import require_positive
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Transition, Tree, memoryless

TITLE = "Success in new rooms at the end, and its mean over training, by demonstrations"
SIZE, LIMIT, MOST, PATH = 6, 40, 100, 20
NUMBERS = (2, 10, 100)
RATES = (1e-3, 3e-3)
COEFFICIENTS = (0.1, 0.3)
HP = AGENTS["ppo"].defaults.replace(
    num_envs=8, rollout_length=64, epochs=3, minibatches=4, hidden=(32, 32),
    normalise_rewards=False,
)  # fmt: skip


class Rooms(NamedTuple):
    """The state: cells [2], the column of the wall and the row of its door."""

    place: Array
    key: Array
    held: Array  # [] bool
    wall: Array  # [] int32
    door: Array  # [] int32


class Setting(NamedTuple):
    """How demonstrations are used."""

    rate: Any
    coefficient: Any  # of cloning in PPO's loss
    cloned: Any  # whether PPO begins with a cloned policy
    number: Any  # of demonstrations


@dataclass(frozen=True)
class Options:
    """Train PPO with and without demonstrations."""

    seeds: int = 5
    """Number of runs; as many others choose the learning rate."""
    steps: int = 24_576
    """Number of environment steps."""
    evaluations: int = 6
    """Number of evaluations during a run."""
    out: Path = Path(".reproductions/demonstrations")
    """Folder in which the table, the numbers and the picture are written."""


def rooms() -> Env:
    """Two rooms with a key in the left one; moves are up, right, down, left."""
    goal = jnp.array([SIZE - 1, SIZE - 1])

    def emit(state: Rooms) -> TimeStep:
        cell = lambda at: (jnp.arange(SIZE * SIZE) == at[0] * SIZE + at[1]).astype(float)
        door = cell(jnp.stack([state.door, state.wall]))
        seen = [cell(state.place), cell(state.key) * ~state.held, door]
        seen += [jax.nn.one_hot(state.wall, SIZE), state.held[None].astype(float)]
        obs = jnp.concatenate(seen)
        there = (state.place == goal).all()
        return TimeStep(obs, there.astype(float), 1.0 - there, there, obs, {})

    def init(key: Key) -> tuple[Rooms, TimeStep]:
        k_wall, k_door, k_place, k_key = jax.random.split(key, 4)
        wall = jax.random.randint(k_wall, (), 2, SIZE - 1)
        left = lambda k: jax.random.randint(k, (2,), 0, jnp.stack([SIZE, wall]))
        door = jax.random.randint(k_door, (), 0, SIZE)
        state = Rooms(left(k_place), left(k_key), jnp.zeros((), bool), wall, door)
        return state, emit(state)

    def step(state: Rooms, action: Array, key: Key) -> tuple[Rooms, TimeStep]:
        move = jnp.array([[-1, 0], [0, 1], [1, 0], [0, -1]])[action]
        new = jnp.clip(state.place + move, 0, SIZE - 1)
        open_ = (new[0] == state.door) & state.held
        place = jnp.where((new[1] == state.wall) & ~open_, state.place, new)
        held = state.held | (place == state.key).all()
        state = state._replace(place=place, held=held)
        return state, emit(state)

    shape = jax.ShapeDtypeStruct((3 * SIZE * SIZE + SIZE + 1,), jnp.float32)
    return envs.time_limit(Env(init, step, Spec(shape, Discrete(4))), LIMIT)


def guide(obs: Array) -> Array:
    """The action [] of a demonstration: to the key, through the door, to the corner."""
    cells = obs[: 3 * SIZE * SIZE].reshape(3, SIZE * SIZE)
    where = lambda bits: jnp.stack(jnp.divmod(bits.argmax(), SIZE))
    (place, key, door), held = (where(bits) for bits in cells), obs[-1] > 0
    corner = jnp.array([SIZE - 1, SIZE - 1])
    aim = jnp.where(held, jnp.where(place[1] < door[1], door, corner), key)
    # In the doorway one can only go on to the right, and elsewhere the row comes first.
    inside = (place[1] == door[1]) & held
    row, column = aim - place
    upright = (row != 0) & ~inside
    return jnp.where(upright, jnp.where(row > 0, 2, 0), jnp.where(column > 0, 1, 3))


def demonstrations(env: Env, number: Array, key: Key) -> buffers.Buffer:
    """The steps of the first `number` of demonstrations, each as often as all of them need."""
    lanes = envs.vectorize(env, MOST)
    k_start, k_run = jax.random.split(key)
    act = memoryless(lambda view, obs, key: (jax.vmap(guide)(obs), ()))
    start = (*lanes.init(k_start), ())
    steps: Transition = rollout(lanes, act, (), start, k_run, PATH)[1]
    before = jnp.cumsum(steps.last, 0) - steps.last
    weight = (before == 0).astype(float)
    steps = jax.tree.map(lambda x: x[:, jnp.arange(MOST) % number], steps._replace(weight=weight))
    steps = steps._replace(weight=steps.weight / steps.weight.mean())
    return buffers.init(steps, PATH)


def clone(policy: Any, data: buffers.Buffer, params: Tree, key: Key) -> Tree:
    """The parameters of a policy after cloning demonstrations."""
    term, rule = demonstrated(data, 1.0, 64), optax.adam(1e-3)

    def step(state: tuple, key: Key) -> tuple[tuple, None]:
        params, opt = state
        slope = jax.grad(lambda own: term(policy, own, key))(params)
        change, opt = rule.update(slope, opt)
        return (optax.apply_updates(params, change), opt), None

    return jax.lax.scan(step, (params, rule.init(params)), jax.random.split(key, 500))[0][0]


def curve(chosen: Options, setting: Setting, key: Key) -> Array:
    """The shares [evaluations] of rooms that are solved during a run."""
    k_data, k_clone, k_run, k_evaluate = jax.random.split(key, 4)
    env, hp = rooms(), HP.replace(learning_rate=setting.rate)
    data = demonstrations(env, setting.number, k_data)
    term = demonstrated(data, setting.coefficient, 64)
    setup = assemble(partial(ppo.ppo, auxiliary=term), env, hp)
    run = setup.experiment.init(k_run)
    first = run.learner.params
    begun = clone(ppo.parts(env.spec, hp).policy, data, first, k_clone)
    params = jax.tree.map(lambda x, y: jnp.where(setting.cloned, x, y), begun, first)
    run = run._replace(learner=run.learner._replace(params=params))
    rounds = chosen.steps // (hp.collection.num_envs * hp.collection.rollout_length)

    def block(run: Any, key: Key) -> tuple[Any, Array]:
        run, _ = advance(setup.experiment, run, rounds // chosen.evaluations)
        view = setup.agent.update.read(run.learner)
        return run, evaluate(env, setup.agent.explore, view, key, 64).returns.mean()

    return jax.lax.scan(block, run, jax.random.split(k_evaluate, chosen.evaluations))[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce demonstrations", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps, evaluations=chosen.evaluations)
    points = tuple(zip(RATES, COEFFICIENTS))
    tried = {"PPO alone": [Setting(rate, 0.0, False, 1) for rate in RATES]}
    for number in NUMBERS:
        tried[f"cloned before, {number}"] = [Setting(r, 0.0, True, number) for r in RATES]
        tried[f"cloned along, {number}"] = [Setting(r, c, False, number) for r, c in points]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    steps = np.linspace(0, chosen.steps, chosen.evaluations + 1)[1:]
    rows = []
    settings = [setting for grid in tried.values() for setting in grid]
    every = scored(partial(curve, chosen), settings, chosen.seeds)
    for (name, grid), scores in zip(tried.items(), np.split(every, len(tried))):
        point, found = tuned(scores)  # [seeds, evaluations]
        best = grid[point]
        end, low, high = interval(found[:, -1])
        rows.append(
            {"demonstrations": name, "learning rate": best.rate, "coefficient": best.coefficient,
             "success": end, "low": low, "high": high, "mean": float(found.mean())}
        )  # fmt: skip
        for axes, word in zip(panels, ("before", "along")):
            if word in name or "alone" in name:
                band(axes, steps, found, name)
    for axes in panels:
        axes.set(xlabel="environment steps")
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of new rooms that are solved")
    save(chosen.out, TITLE, rows, figure)
