"""The configuration of a run: everything that its results depend on, as one value in JSON."""

import dataclasses
import itertools
import json
import types
from pathlib import Path
from typing import Any

import jax
import numpy as np

import envs
from agents import AGENTS
from experiments import lanes, provenance, records, results, stored
from jaxrl.budget import Budget, budget, decay_over
from jaxrl.errors import InputError, require, require_positive, unknown
from jaxrl.types import Env


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One training run of a population of seeds, at one or several points of a sweep."""

    agent: str
    env: str
    env_params: dict[str, Any]
    hyperparameters: dict[str, Any]  # of AGENTS[agent], those of nested records by dotted names
    sweep: dict[str, list[float]]  # each hyperparameter's value at each point, all one length
    seeds: int
    seed: int  # the first
    steps: int  # environment steps of each member as asked for; `budget` has those that are taken
    evaluations: int  # as asked for, after training has begun
    episodes: int  # in an evaluation
    max_episode_steps: int  # in an evaluation
    members_at_once: int = 0  # in one vmapped run, all of them if 0
    dataset: str = ""  # folder of a data set to learn from, instead of the environment
    data: dict[str, Any] = dataclasses.field(default_factory=dict)  # its size and fingerprint
    reward: dict[str, Any] = dataclasses.field(default_factory=dict)
    # reward: {} for the environment's, else its kind and parameters, see `rewarding`
    goal: dict[str, Any] = dataclasses.field(default_factory=dict)
    # goal: {} for each transition's own, else the shares of others, see `goaling`
    cost_limits: dict[str, float] = dataclasses.field(default_factory=dict)
    # cost_limits: {} for none, else limits by name and the rate of prices, see `costing`
    base: str = ""  # folder of a run whose learners this one goes on from
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)  # their fingerprint
    frozen: str = ""  # folder of a run whose policy acts beside the agent
    frozen_of: dict[str, Any] = dataclasses.field(default_factory=dict)  # its fingerprint
    spacing: list[int] = dataclasses.field(default_factory=list)
    # of an extended run: the updates and evaluations that it was begun with
    shards: int = 1  # of the lanes, the replay and the batches of each member
    precision: str = ""  # of products of matrices: see `experiments.precision`

    @property
    def points(self) -> int:
        """Points of the sweep, 1 if there is none."""
        return len(next(iter(self.sweep.values()))) if self.sweep else 1

    @property
    def members(self) -> int:
        """Points times seeds."""
        return self.points * self.seeds

    @property
    def offline(self) -> bool:
        """Whether it learns from its data set alone, and not beside an environment."""
        return bool(self.dataset) and not self.hyperparameters.get("data_share", 0)

    @property
    def steps_per_update(self) -> int:
        """Environment steps in a step of the experiment."""
        hp = self.hyperparameters
        return hp["num_envs"] * hp["rollout_length"]

    @property
    def budget(self) -> Budget:
        """How the environment steps of a member are spent; a data set costs no warm-up.

        In an extended run the evaluations keep the spacing with which the run was begun.
        """
        names = ("num_envs", "rollout_length", "warmup")
        own = {name: self.hyperparameters[name] for name in names}
        own |= {"warmup": 0} if self.offline else {}
        hp = types.SimpleNamespace(collection=types.SimpleNamespace(**own))
        found = budget(hp, self.steps, self.evaluations)
        if not self.spacing:
            return found
        updates, number = self.spacing
        before = [0]
        while (end := (2 * len(before) * updates + number) // (2 * number)) < found.updates:
            before.append(end)
        ends = [*before, found.updates]
        return found._replace(blocks=tuple(b - a for a, b in itertools.pairwise(ends)))

    @property
    def interval_steps(self) -> float:
        """Environment steps of a member between two evaluations, on average."""
        return self.budget.steps / self.evaluations


def parts(config: Configuration, folder: Path) -> list[tuple[Path, slice]]:
    """The vmapped runs of a configuration: the folder and the members of each."""
    size = config.members_at_once or config.members
    if size >= config.members:
        return [(folder, slice(0, config.members))]
    starts = range(0, config.members, size)
    ends = [min(start + size, config.members) for start in starts]
    return [(folder / f"part-{i}", slice(*ends_)) for i, ends_ in enumerate(zip(starts, ends))]


def hyperparameters(config: Configuration, point: int | None = None) -> Any:
    """The agent's hyperparameters, at a point of the sweep if one is given."""
    column = {} if point is None else {name: x[point] for name, x in config.sweep.items()}
    return resolved(config, column)


def resolved(config: Configuration, swept: dict[str, Any]) -> Any:
    """Hyperparameters with their swept values, and with the learning rate's decay in steps.

    So programs have the decay as an argument, and are those of a run of any length.
    """
    values = config.hyperparameters | swept
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    spent = config.budget
    found = records.replaced(AGENTS[config.agent].defaults, values)
    return decay_over(found, float(spent.steps - spent.warmup))


def make_env(config: Configuration) -> Env:
    """The environment, of one lane; of one outside of compiled functions, what they know of it."""
    if lanes.outside(config.env):
        return lanes.described(config.env, config.env_params)
    return envs.make(config.env, **config.env_params)


def member_values(config: Configuration) -> tuple[Any, Any, np.ndarray]:
    """Hyperparameters with swept leaves [members], their vmap axes, and seeds [members].

    Members are ordered by point, then by seed.
    """
    columns = {
        name: np.repeat(np.asarray(column, np.float32), config.seeds)
        for name, column in config.sweep.items()
    }
    stacked = resolved(config, columns)
    axes = jax.tree.map(lambda x: 0 if np.ndim(x) else None, stacked)
    seeds = np.tile(np.arange(config.seed, config.seed + config.seeds), config.points)
    return stacked, axes, seeds


def save(config: Configuration, folder: Path) -> None:
    """Write `config.json`: the configuration, the steps that are taken, and the provenance.

    The provenance of earlier sessions, if the run was resumed, is kept in `sessions`.
    """
    path, earlier = folder / "config.json", []
    if path.is_file():
        try:
            before = json.loads(path.read_text())
            earlier = [*before.get("sessions", []), before.get("provenance", {})]
        except (ValueError, AttributeError, TypeError):
            earlier = []  # torn: written whole below
    record = {
        "environment_steps": config.budget.steps,
        "versions": provenance.versions(),
        "provenance": provenance.provenance(),
        "sessions": earlier,
    }
    text = json.dumps(dataclasses.asdict(config) | record, indent=2)
    results.write_whole(path, text + "\n")


def load(folder: Path) -> Configuration:
    """Read the configuration of a results folder; an InputError says if it is none.

    What an older version did not have yet takes its default; see `defaulted`.
    """
    path, values = folder / "config.json", stored.read(folder)
    stored.require_fields(path, values, Configuration)
    config = Configuration(**values)
    if config.agent not in AGENTS:
        raise InputError(f"{path}: {unknown('agent', config.agent, AGENTS)}")
    own = records.flat(AGENTS[config.agent].defaults)
    for name, value in config.hyperparameters.items():
        if name not in own:
            raise InputError(f"{path}: {unknown('hyperparameter', name, own)}")
        stored.require_kind(f"{path}: {name}", value, own[name])
    for name, column in config.sweep.items():
        require(
            name in records.numeric(AGENTS[config.agent].defaults) and isinstance(column, list),
            f"{path}: {name} cannot be swept: it is no list of numbers of a numeric option.",
        )
        for value in column:
            stored.require_kind(f"{path}: {name}", value, 0.0)
    lengths = {len(column) for column in config.sweep.values()}
    require(lengths in (set(), {config.points}) and 0 not in lengths,
            f"{path}: the columns of sweep must have one length, above zero.")  # fmt: skip
    spaced = len(config.spacing) in (0, 2) and all(type(x) is int for x in config.spacing)
    require(spaced and all(x > 0 for x in config.spacing),
            f"{path}: spacing must be the numbers of updates and evaluations.")  # fmt: skip
    require(
        not config.data or type(config.data.get("transitions")) is int,
        f"{path}: data must have the number of transitions.",
    )
    for name in ("seeds", "steps", "evaluations", "episodes", "max_episode_steps"):
        require(getattr(config, name) > 0, f"{path}: {name} must be above zero.")
    return dataclasses.replace(config, hyperparameters=own | config.hyperparameters)


def defaulted(folder: Path) -> dict[str, Any]:
    """The hyperparameters that a stored run lacks, with the defaults that they take."""
    values = stored.read(folder)["hyperparameters"]
    own = records.flat(AGENTS[load(folder).agent].defaults)
    return {name: value for name, value in own.items() if name not in values}


def require_same(asked: Configuration, stored: Configuration, folder: Path) -> None:
    """Raise an InputError unless a run asked for continues a stored one; steps may differ.

    So may the places of the data set and of the frozen policy, which are compared when they are
    read.
    """
    ours, theirs = dataclasses.asdict(asked), dataclasses.asdict(stored)
    ours |= ours.pop("hyperparameters")
    theirs |= theirs.pop("hyperparameters")
    plain = lambda value: list(value) if isinstance(value, tuple) else value
    free = {"steps", "data", "spacing", "members_at_once", "origin", "frozen_of"}
    both = lambda name: getattr(asked, name) and getattr(stored, name)
    free |= {name for name in ("dataset", "frozen") if both(name)}
    for name in sorted((ours.keys() | theirs.keys()) - free):
        a, b = plain(ours.get(name)), plain(theirs.get(name))
        require(
            a == b,
            f"{folder} holds a checkpoint of another configuration: its {name} is {b}, not {a}; "
            "leave the option out to continue it, or choose another folder.",
        )


def extended(
    stored: Configuration, steps: int, dataset: str = "", frozen: str = ""
) -> Configuration:
    """A stored configuration that goes on to `steps`, evaluated with the same spacing.

    Schedules that are shares of the run follow its new length. `dataset` and `frozen` are where the
    data set and the frozen policy are now, if they have moved.
    """
    moved = {"dataset": dataset or stored.dataset, "frozen": frozen or stored.frozen}
    stored = dataclasses.replace(stored, **moved)
    if steps == stored.steps:
        return stored
    require_positive(steps=steps)
    begun = stored.spacing or [stored.budget.updates, len(stored.budget.blocks)]
    longer = dataclasses.replace(stored, steps=steps, spacing=begun)
    return dataclasses.replace(longer, evaluations=len(longer.budget.blocks))
