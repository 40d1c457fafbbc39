"""What a run is told: everything that its results depend on, as one value that goes into JSON."""

import dataclasses
import importlib.metadata
import json
import platform
from pathlib import Path
from typing import Any

import jax
import numpy as np

import envs
from agents import AGENTS
from jaxrl.errors import require, require_positive, unknown
from jaxrl.loop import Setup, assemble
from jaxrl.types import Env


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One training run of a population of seeds, at one or several points of a sweep."""

    agent: str
    env: str
    env_params: dict[str, Any]
    hyperparameters: dict[str, Any]  # of AGENTS[agent]
    sweep: dict[str, list[float]]  # each hyperparameter's value at each point, all one length
    seeds: int
    seed: int  # the first
    steps: int  # environment steps of each member, at least
    evaluations: int
    episodes: int  # in an evaluation
    max_episode_steps: int  # in an evaluation

    @property
    def points(self) -> int:
        """Points of the sweep, 1 if there is none."""
        return len(next(iter(self.sweep.values()))) if self.sweep else 1

    @property
    def members(self) -> int:
        """Points times seeds."""
        return self.points * self.seeds

    @property
    def steps_per_update(self) -> int:
        """Environment steps in a step of the experiment."""
        hp = self.hyperparameters
        return hp["num_envs"] * hp["rollout_length"]

    @property
    def interval(self) -> int:
        """Steps of the experiment between two evaluations."""
        return -(-self.steps // (self.steps_per_update * self.evaluations))


def hyperparameters(config: Configuration, point: int | None = None) -> Any:
    """The agent's hyperparameters, of a point of the sweep if one is named."""
    values = dict(config.hyperparameters)
    if point is not None:
        values |= {name: column[point] for name, column in config.sweep.items()}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return AGENTS[config.agent].hyperparameters(**values)


def make_env(config: Configuration) -> Env:
    """The environment, of one lane."""
    return envs.make(config.env, **config.env_params)


def build(config: Configuration, hp: Any) -> Setup:
    """The agent at work in the environment; `hp` may hold tracers."""
    return assemble(AGENTS[config.agent].make, make_env(config), hp)


def validate(config: Configuration) -> None:
    """Raise a ValueError of one sentence if anything is wrong; compiles nothing."""
    if config.agent not in AGENTS:
        raise unknown("agent", config.agent, AGENTS)
    require_positive(seeds=config.seeds, steps=config.steps, evaluations=config.evaluations)
    require_positive(episodes=config.episodes, max_episode_steps=config.max_episode_steps)
    require(config.seed >= 0, f"seed must not be negative, but it is {config.seed}.")
    for point in range(config.points):
        build(config, hyperparameters(config, point))


def member_values(config: Configuration) -> tuple[Any, Any, np.ndarray]:
    """Hyperparameters with swept leaves [members], their vmap axes, and seeds [members].

    Members are ordered by point, then by seed.
    """
    hp = hyperparameters(config)
    columns = {name: np.repeat(column, config.seeds) for name, column in config.sweep.items()}
    axes = jax.tree.map(lambda _: None, hp)
    stacked = hp.replace(**{k: np.asarray(v, np.float32) for k, v in columns.items()})
    axes = axes.replace(**dict.fromkeys(columns, 0))
    seeds = np.tile(np.arange(config.seed, config.seed + config.seeds), config.points)
    return stacked, axes, seeds


def save(config: Configuration, folder: Path) -> None:
    """Write `config.json`, with the versions of what it ran on."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("jaxrl", "jax", "jaxlib", "flax", "optax", "gymnax", "brax")
    }
    versions["python"] = platform.python_version()
    text = json.dumps(dataclasses.asdict(config) | {"versions": versions}, indent=2)
    (folder / "config.json").write_text(text + "\n")


def load(folder: Path) -> Configuration:
    """Read the configuration of a results folder; a ValueError says if it is none."""
    path = folder / "config.json"
    require(path.is_file(), f"{folder} is not a results folder: it has no config.json.")
    try:
        values = json.loads(path.read_text())
        values.pop("versions", None)
        return Configuration(**values)
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"{path} cannot be read as a configuration: {error}.") from None


def require_same(asked: Configuration, stored: Configuration, folder: Path) -> None:
    """Raise a ValueError unless a run asked for goes on with a stored one; steps may differ."""
    ours, theirs = dataclasses.asdict(asked), dataclasses.asdict(stored)
    ours |= ours.pop("hyperparameters")
    theirs |= theirs.pop("hyperparameters")
    for name in sorted(ours.keys() | theirs.keys()):
        if name in ("steps", "evaluations"):
            continue
        a, b = (_plain(x.get(name)) for x in (ours, theirs))
        require(
            a == b,
            f"{folder} holds a checkpoint of another configuration: its {name} is {b}, not {a}; "
            "leave the option out to go on with it, or choose another folder.",
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
