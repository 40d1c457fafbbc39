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
from experiments import datasets, records, results
from jaxrl.errors import InputError, require, require_positive, unknown
from jaxrl.loop import Setup, assemble
from jaxrl.offline import offline
from jaxrl.types import Env

VERSIONED = ("jaxrl", "jax", "jaxlib", "flax", "optax", "gymnax", "brax")


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One training run of a population of seeds, at one or several points of a sweep."""

    agent: str
    env: str
    env_params: dict[str, Any]
    hyperparameters: dict[str, Any]  # of AGENTS[agent], those of records within by dotted names
    sweep: dict[str, list[float]]  # each hyperparameter's value at each point, all one length
    seeds: int
    seed: int  # the first
    steps: int  # environment steps of each member, at least
    evaluations: int
    episodes: int  # in an evaluation
    max_episode_steps: int  # in an evaluation
    members_at_once: int = 0  # in one vmapped run, all of them if 0
    dataset: str = ""  # folder of a data set to learn from, instead of the environment

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

    @property
    def interval_steps(self) -> int:
        """Environment steps of a member between two evaluations."""
        return self.interval * self.steps_per_update


def parts(config: Configuration, folder: Path) -> list[tuple[Path, slice]]:
    """The vmapped runs of a configuration: where each keeps its state, and which members it has."""
    size = config.members_at_once or config.members
    if size >= config.members:
        return [(folder, slice(0, config.members))]
    starts = range(0, config.members, size)
    ends = [min(start + size, config.members) for start in starts]
    return [(folder / f"part-{i}", slice(*ends_)) for i, ends_ in enumerate(zip(starts, ends))]


def hyperparameters(config: Configuration, point: int | None = None) -> Any:
    """The agent's hyperparameters, of a point of the sweep if one is named."""
    values = dict(config.hyperparameters)
    if point is not None:
        values |= {name: column[point] for name, column in config.sweep.items()}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return records.replaced(AGENTS[config.agent].defaults, values)


def make_env(config: Configuration) -> Env:
    """The environment, of one lane."""
    return envs.make(config.env, **config.env_params)


def build(config: Configuration, hp: Any) -> Setup:
    """The agent at work in the environment; `hp` may hold tracers."""
    entry = AGENTS[config.agent]
    env = entry.world(make_env(config), hp)
    if not config.dataset:
        return assemble(entry.maker(env), env, hp)

    require(hasattr(hp, "buffer_size"), f"{config.agent} does not replay, and cannot learn from a "
            "data set: try sac or dqn.")  # fmt: skip
    data = datasets.load(config.dataset, env, hp.num_envs, hp.rollout_length)
    size = data.reward.size
    setup = assemble(entry.maker(env), env, dataclasses.replace(hp, buffer_size=size, warmup=size))
    return setup._replace(experiment=offline(setup.agent, data))


def validate(config: Configuration) -> None:
    """Raise an InputError of one sentence if anything is wrong; traces, but compiles nothing."""
    if config.agent not in AGENTS:
        raise unknown("agent", config.agent, AGENTS)
    require_positive(seeds=config.seeds, steps=config.steps, evaluations=config.evaluations)
    require_positive(episodes=config.episodes, max_episode_steps=config.max_episode_steps)
    require(config.seed >= 0, f"seed must not be negative, but it is {config.seed}.")
    for name, value in config.hyperparameters.items():
        finite = not isinstance(value, float) or np.isfinite(value)
        require(finite, f"{name} must be a finite number, but it is {value}.")
        sizes = value if name.endswith("hidden") else [1]
        text = " ".join(map(str, sizes))
        require(min(sizes, default=1) > 0, f"{name} must be above zero, but it is {text}.")
    try:
        for point in range(config.points):
            setup = build(config, hyperparameters(config, point))
        jax.eval_shape(setup.experiment.init, jax.random.key(0))
    except (TypeError, AttributeError) as error:
        if not config.env_params:
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in config.env_params.items())
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{config.env} does not work with {given}: {reason}.") from None


def member_values(config: Configuration) -> tuple[Any, Any, np.ndarray]:
    """Hyperparameters with swept leaves [members], their vmap axes, and seeds [members].

    Members are ordered by point, then by seed.
    """
    hp = hyperparameters(config)
    columns = {name: np.repeat(column, config.seeds) for name, column in config.sweep.items()}
    axes = records.replaced(jax.tree.map(lambda _: None, hp), dict.fromkeys(columns, 0))
    stacked = records.replaced(hp, {k: np.asarray(v, np.float32) for k, v in columns.items()})
    seeds = np.tile(np.arange(config.seed, config.seed + config.seeds), config.points)
    return stacked, axes, seeds


def save(config: Configuration, folder: Path) -> None:
    """Write `config.json`, with the versions of what it ran on."""
    versions = {name: importlib.metadata.version(name) for name in VERSIONED}
    versions["python"] = platform.python_version()
    text = json.dumps(dataclasses.asdict(config) | {"versions": versions}, indent=2)
    results.write_whole(folder / "config.json", text + "\n")


def load(folder: Path) -> Configuration:
    """Read the configuration of a results folder; an InputError says if it is none."""
    path = folder / "config.json"
    require(path.is_file(), f"{folder} is not a results folder: it has no config.json.")
    try:
        values = json.loads(path.read_text())
        values.pop("versions", None)
        config = Configuration(**values)
        hyperparameters(config)
        return config
    except (json.JSONDecodeError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path} cannot be read as a configuration: {error}.") from None


def require_same(asked: Configuration, stored: Configuration, folder: Path) -> None:
    """Raise an InputError unless a run asked for goes on with a stored one; steps may differ."""
    ours, theirs = dataclasses.asdict(asked), dataclasses.asdict(stored)
    ours |= ours.pop("hyperparameters")
    theirs |= theirs.pop("hyperparameters")
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    for name in sorted((ours.keys() | theirs.keys()) - {"steps"}):
        a, b = plain(ours.get(name)), plain(theirs.get(name))
        require(
            a == b,
            f"{folder} holds a checkpoint of another configuration: its {name} is {b}, not {a}; "
            "leave the option out to go on with it, or choose another folder.",
        )


def extended(stored: Configuration, steps: int) -> Configuration:
    """A stored configuration that goes on to `steps`, evaluated at the same intervals."""
    if steps == stored.steps:
        return stored
    require_positive(steps=steps)
    evaluations = -(-steps // stored.interval_steps)
    steps = evaluations * stored.interval_steps  # so that the interval stays exactly what it was
    return dataclasses.replace(stored, steps=steps, evaluations=evaluations)
