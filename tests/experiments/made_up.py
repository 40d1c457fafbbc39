"""Results folders whose scores are made up: no agent is trained."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from agents import AGENTS
from experiments import configuration, records, results
from experiments.configuration import Configuration

STEP = 100
"""Environment steps of an update, after each of which there is an evaluation."""


def config_of(seeds: int, evaluations: int, agent: str = "ppo", **changes: Any) -> Configuration:
    """The configuration of a run whose evaluations, after the first, are `STEP` steps apart."""
    own = {"num_envs": 4, "rollout_length": STEP // 4, "warmup": 0, "minibatches": 4}
    given = records.flat(AGENTS[agent].defaults)
    given |= {name: value for name, value in own.items() if name in given}
    fields: dict[str, Any] = {
        "agent": agent, "env": "CartPole-v1", "env_params": {}, "hyperparameters": given,
        "sweep": {}, "seeds": seeds, "seed": 0, "steps": STEP * evaluations,
        "evaluations": evaluations, "episodes": 4, "max_episode_steps": 500,
    }  # fmt: skip
    return Configuration(**fields | changes)


def write(folder: Path, curves: ArrayLike, config: Configuration | None = None) -> Path:
    """Write a results folder with curves [members, evaluations], NaN where a member diverged.

    Members are ordered by point, then by seed. The rows of a NaN are written, with the return left
    out, and those that follow it are not.
    """
    values = np.asarray(curves, float)
    config = config or config_of(len(values), values.shape[1] - 1)
    folder.mkdir(parents=True)
    configuration.save(config, folder)
    for step in range(values.shape[1]):
        append(folder, config, values, step)
    return folder


def append(folder: Path, config: Configuration, values: np.ndarray, step: int) -> None:
    """Add the rows of one evaluation, which is column `step` of values [members, evaluations]."""
    rows = [
        {"env_steps": STEP * step, "wall_time": 2.0 * step, "seed": config.seed + i % config.seeds}
        | {name: column[i // config.seeds] for name, column in config.sweep.items()}
        | {"return_mean": None if math.isnan(curve[step]) else curve[step]}
        for i, curve in enumerate(values)
        if not np.isnan(curve[:step]).any()
    ]
    if rows:
        results.append_metrics(folder, rows)
