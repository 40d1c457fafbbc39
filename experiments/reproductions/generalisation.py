"""Models beside replay in environments of many parts (Young et al. 2023).

DQN learns from replayed transitions, from rollouts of the policy in a learnt model of independent
bits, or from rollouts in the true model, with the same number of transitions and gradient steps. A
model of the parts generalises to combinations that were never seen, which replay cannot contain.
The environments are a pan flute and mazes that are new in every episode.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import optax

import envs
from agents import dqn
from envs.maze import Maze
from experiments import options
from experiments.reproductions.curves import Trial, learn, panels
from experiments.reproductions.report import save
from jaxrl import models
from jaxrl.errors import require_positive
from jaxrl.types import Agent, Array, Key, Spec, Transition, Tree, Update
from jaxrl.updates import imagined, mixed, replayed

TITLE = "Return of DQN in environments of many parts, by the source of its transitions"
STARTS, LENGTH = 32, 10
SOURCES = ("replay", "factored model", "true model")
PIPES, CELLS, SIZE = 5, 3, 4


@dataclass(frozen=True)
class Options:
    """Train DQN from replay, in a learnt factored model and in the true one."""

    seeds: int = 4
    """Number of seeds of each run."""
    steps: float = 3e4
    """Number of environment steps of each run, with one gradient step each."""
    out: Path = Path(".reproductions/generalisation")
    """Folder in which the table, the numbers and the picture are written."""


def no_update() -> Update:
    """An update that learns nothing."""
    return Update(lambda key, example: (), lambda state, batch, key: (state, {}), lambda state: ())


def levels(obs: Array, key: Key) -> Array:
    """The levels of the pipes in an observation."""
    return obs.reshape(PIPES, CELLS).sum(-1)


def maze(obs: Array, key: Key) -> Maze:
    """The maze in an observation."""
    north, west, place, goal = obs.reshape(4, SIZE, SIZE)
    at = lambda cells: jnp.stack(jnp.divmod(cells.reshape(-1).argmax(), SIZE))
    return Maze(north, west, at(place), at(goal))


GAMES = {
    "PanFlute": (envs.pan_flute(PIPES, CELLS), levels),
    "ProcMaze": (envs.proc_maze(SIZE), maze),
}


def agent(game: str, source: str, spec: Spec, hp: dqn.Hyperparameters) -> Agent:
    """DQN that learns from a source of transitions."""
    if source == "replay":
        return dqn.dqn(spec, hp)
    base = dqn.dqn(spec, hp, schedule=lambda update, hp: update)
    if source == "factored model":
        net = models.factored_mlp(spec)
        world = models.factored_update(net, optax.adam(1e-3))
        model_of = partial(models.factored_model, net)
    else:
        world, model_of = no_update(), lambda params: models.true_model(*GAMES[game])

    def dream(params: Tree, view: Tree, batch: Transition, key: Key) -> Transition:
        starts = jax.tree.map(lambda x: x[:STARTS], batch.obs)
        return models.branched(model_of(params), base.explore, view, starts, key, LENGTH)[0]

    update = imagined(base.update, world, mixed(dream, 0.0))
    return base._replace(update=replayed(update, hp))


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce generalisation", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    hp = dqn.Hyperparameters(
        num_envs=1, updates=1, batch_size=STARTS * LENGTH, discount=0.9, buffer_size=50_000,
        target_period=100, learning_rate=5e-4, epsilon=0.1, epsilon_updates=5_000.0,
    )  # fmt: skip
    trials = {
        (game, source): Trial(partial(agent, game, source), envs.make(game), hp, chosen.steps, 20)
        for game in GAMES
        for source in SOURCES
    }
    rows, figure = panels(learn(trials, chosen.seeds, 32), ("environment", "learns from"))
    save(chosen.out, TITLE, rows, figure)
