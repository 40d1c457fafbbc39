"""Playing complete episodes with what training left in a results folder."""

import json
from pathlib import Path
from typing import Any

import jax

from experiments import checkpoints, configuration
from experiments.configuration import Configuration
from experiments.population import gather
from jaxrl.errors import InputError
from jaxrl.loop import evaluate
from jaxrl.types import Counter, Run

Row = dict[str, Any]


def scores(
    config: Configuration, folder: Path, episodes: int, seed: int, sampled: bool = False
) -> list[Row]:
    """One row for each member of a results folder: return and length of its episodes.

    Raises `InputError`, before anything is compiled, for a checkpoint that cannot be read.
    """
    rows = []
    for inner, members in configuration.parts(config, folder):
        p = gather(config, members)
        runs = checkpoints.restore(inner, p.like)[1]

        def play(run: Run, hp: Any, key: jax.Array) -> Any:
            setup = configuration.build(config, hp)
            actor = setup.agent.explore if sampled else setup.agent.exploit
            view = setup.agent.update.read(run.learner)
            return evaluate(setup.env, actor, view, key, episodes, config.max_episode_steps)

        # The same episodes for everybody: differences are then of the agents.
        axes = (p.axes, p.hp_axes, None)
        score = jax.device_get(jax.jit(jax.vmap(play, axes))(runs, p.hp, jax.random.key(seed)))
        for i, point in enumerate(p.points):
            rows.append(
                {"seed": int(p.seeds[i])}
                | {name: column[point] for name, column in config.sweep.items()}
                | {
                    "return_mean": float(score.returns[i].mean()),
                    "return_std": float(score.returns[i].std()),
                    "return_min": float(score.returns[i].min()),
                    "return_max": float(score.returns[i].max()),
                    "length_mean": float(score.lengths[i].mean()),
                    "completed": float(score.completed[i].mean()),
                }
            )
    return rows


def save(rows: list[Row], folder: Path) -> None:
    """Write `evaluation.json`."""
    (folder / "evaluation.json").write_text(json.dumps(rows, indent=2) + "\n")


def restore_member(config: Configuration, folder: Path, index: int) -> tuple[Any, Run]:
    """The hyperparameters and the run of one member of a results folder."""
    for inner, members in configuration.parts(config, folder):
        if members.start <= index < members.stop:
            p = gather(config, members)
            runs = checkpoints.restore(inner, p.like)[1]
            break
    else:
        raise InputError(f"{folder} has {config.members} members, and none numbered {index}.")
    # Each counter is the same in every member and has no axis of members.
    pick = lambda x: x if isinstance(x, Counter) else x[index - members.start]
    run = jax.tree.map(pick, runs, is_leaf=lambda node: isinstance(node, Counter))
    point = index // config.seeds
    return configuration.hyperparameters(config, point if config.sweep else None), run
