"""The configuration of a run: everything that its results depend on, as one value in JSON."""

import dataclasses
import itertools
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import envs
from agents import AGENTS, AgentEntry
from experiments import (
    blocks,
    datasets,
    goaling,
    lanes,
    programs,
    provenance,
    records,
    results,
    rewarding,
    stored,
)
from experiments.frozen import entry_of
from experiments.precision import require_precision
from jaxrl.budget import Budget, budget, decay_over
from jaxrl.continuing import beginning, retaining
from jaxrl.errors import InputError, require, require_known, require_positive, unknown
from jaxrl.goals import has_goals, with_signals
from jaxrl.logged import empty
from jaxrl.loop import Setup, assemble, fitted, in_shards
from jaxrl.offline import offline, stored_data
from jaxrl.sharding import divided
from jaxrl.types import Actor, Agent, Env, Experiment, Key, Run, Spec, Transition, Tree


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


UNTRACED = ("seeds", "seed", "steps", "evaluations", "episodes", "max_episode_steps",
            "members_at_once", "spacing")  # fmt: skip
"""What changes nothing in what a configuration builds."""


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


def build(
    config: Configuration,
    hp: Any,
    data: Transition | None = None,
    env: Env | None = None,
    base: Tree | None = None,
) -> Setup:
    """The agent at work in the environment; `hp`, `data` and `base` may hold tracers.

    With a data set, the experiment learns from `data`, alone or beside the environment. Without
    `data` it has none of its transitions, but its runs have the same shapes, and the agent is the
    same. `env`, if given, is the environment of one lane in place of `make_env(config)`. `base` is
    the learner to go on from; runs have the same shapes without it.
    """
    entry, shards = entry_of(config), config.shards
    own = make_env(config) if env is None else env
    env = entry.world(own, hp)
    make = making(config, entry, env)
    if lanes.outside(config.env):
        require(shards == 1, f"{config.env} runs outside of compiled functions and cannot be "
                "divided into shards: leave --shards and data= out.")  # fmt: skip
        require(
            env is own and not entry.plans,
            f"{config.agent} transforms its environment or plans in it, which {config.env} does "
            "not allow: it runs outside of compiled functions.",
        )
        return assemble(make, env, hp, lanes=lanes.blank_lanes, base=base)
    if not config.dataset:
        return assemble(make, env, hp, base=base, shards=shards)
    hp = divided(hp, shards)
    data = empty(env.spec, hp.collection.num_envs) if data is None else data
    if has_goals(env.spec) and not config.offline:  # as what is collected beside the data
        data = with_signals(data)
    found = config.data or described(config)
    size = found.get("block", found["transitions"])
    whole = dataclasses.replace(hp, buffer_size=size, warmup=size, data_share=0.0)
    try:
        alone = assemble(make, env, whole)
    except InputError as error:
        if not str(error).startswith("buffer_size"):
            raise
        sentence = f"The data set {config.dataset} is too short to be the whole buffer: {error}"
        raise InputError(sentence) from None
    if config.offline:
        learning = offline(alone.agent, data)
        learning = learning if base is None else beginning(learning, base)
        return in_shards(alone._replace(experiment=learning), shards)
    beside = assemble(make, env, hp, base=base)

    def init(key: Key) -> Run:
        # Here and not outside, so that whoever only builds an agent computes nothing.
        kept = stored_data(alone.agent.update.init(jax.random.key(0), data))
        words = f"{config.agent} takes no share of its batches from a data set: try sac."
        require(bool(kept), words)
        return retaining(beside.experiment, kept[0]).init(key)

    learning = Experiment(init, beside.experiment.step)
    return in_shards(beside._replace(experiment=learning), shards)


def making(config: Configuration, entry: AgentEntry, env: Env) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent with the rewards and the goals that it learns from.

    `env` is of one lane, as the agent sees it.
    """
    require(
        not (config.reward and config.goal),
        "--reward preferences and --goal hindsight cannot be learnt from at once: leave one out.",
    )
    make = rewarding.maker(config.reward, entry.maker(env), config.agent)
    return goaling.maker(config.goal, make, config.agent, config.offline)


def load_data(config: Configuration) -> Transition:
    """The data set that a configuration learns from, as arrays [T, num_envs, ...] on the host.

    Raises an InputError if it is not there, does not fit the environment, or is not the data set
    with which the run was begun.
    """
    return read_data(config)[0]


def read_data(config: Configuration) -> tuple[Transition, dict[str, Any]]:
    """The data set of a configuration, see `load_data`, and its summary."""
    require(
        not lanes.outside(config.env),
        f"A data set cannot be learnt from for {config.env}, which runs outside of compiled "
        "functions: leave --dataset out.",
    )
    hp = hyperparameters(config, 0 if config.sweep else None)
    require(
        hasattr(hp, "replay"),
        f"{config.agent} does not replay, and cannot learn from a data set: try sac or dqn.",
    )
    entry, env = entry_of(config), make_env(config)
    if blocks.stored(config.dataset):
        return first_block(config, entry)
    env = env if entry.told else entry.world(env, hp)
    own = divided(hp, config.shards).collection
    data = datasets.load(config.dataset, env, own.num_envs, own.rollout_length)
    # What a trained policy makes of the data may differ in its last bits on another machine.
    logged = data if entry.beside else None
    require(
        not (entry.beside and "edit_size" in config.sweep),
        "The data set is told as edits of one size: sweep another option than --edit-size, or set "
        "--data-share 0.",
    )
    data = entry.told(data, hp) if entry.told else data
    data = jax.tree.map(np.asarray, data)
    return data, require_same_data(config, summary_of(data if logged is None else logged))


def seen(config: Configuration) -> Spec:
    """The spec of the environment as the agent sees it."""
    hp = hyperparameters(config, 0 if config.sweep else None)
    return entry_of(config).world(make_env(config), hp).spec


def first_block(config: Configuration, entry: AgentEntry) -> tuple[Transition, dict[str, Any]]:
    """The block with which a run from a data set of blocks begins, and the summary of all."""
    require(
        config.offline and entry.told is None,
        f"{config.agent} cannot learn from a data set of blocks beside an environment, or if it "
        "sees data otherwise: take a folder of Minari or an .npz file.",
    )
    require(
        not config.hyperparameters.get("prioritised"),
        f"{config.agent} cannot learn from a data set of blocks by priorities: leave prioritised "
        "off.",
    )
    require(config.shards == 1, "A data set of blocks is read by one shard: leave --shards out.")
    spec, number = seen(config), config.hyperparameters["num_envs"]
    found = require_same_data(config, blocks.summary(config.dataset, spec, number))
    return blocks.first(config.dataset, spec, number, config.seed), found


def require_same_data(config: Configuration, found: dict[str, Any]) -> dict[str, Any]:
    """The summary `found`; an InputError unless it is the one that a configuration may record."""
    require(
        config.data in ({}, found),
        f"The data set {config.dataset} is not the one that this run was begun with: restore that "
        "one, or begin a new run with another --out.",
    )
    return found


def acting(config: Configuration, hp: Any, actor: Actor, seen: Spec) -> tuple[Actor, Spec]:
    """The actor of an agent, to which `seen` is shown, as one of the environment itself, and that.

    They differ only where a trained policy acts beside the agent.
    """
    entry = entry_of(config)
    if entry.beside is None:
        return actor, seen
    return entry.acting(actor, hp), fitted(make_env(config)).spec


def summary_of(data: Transition) -> dict[str, Any]:
    """The number of transitions in a data set and a fingerprint of all of them."""
    return {"transitions": int(data.reward.size), "fingerprint": results.checksum(data)}


def described(config: Configuration) -> dict[str, Any]:
    """The summary of the data set of a configuration, read if it is not recorded; {} for none."""
    if config.data or not config.dataset:
        return config.data
    return read_data(config)[1]


def with_data_described(config: Configuration) -> Configuration:
    """A configuration that records the size and fingerprint of its data set, if it has one."""
    return dataclasses.replace(config, data=described(config))


def validate(config: Configuration, base: Tree | None = None) -> None:
    """Raise an InputError of one sentence if anything is wrong; traces, but compiles nothing.

    `base` are the shapes of the learner that the run begins with, if it goes on from one.
    """
    require_known("agent", config.agent, AGENTS)
    require_positive(seeds=config.seeds, steps=config.steps, evaluations=config.evaluations)
    require_positive(episodes=config.episodes, max_episode_steps=config.max_episode_steps)
    require_positive(shards=config.shards)
    require_precision(config.precision)
    require(
        0 <= config.seed <= 2**32 - config.seeds,
        f"seed must be at least 0, and the last seed below 2**32, but the first is {config.seed} "
        f"and there are {config.seeds}.",
    )
    columns = [(name, value) for name, values in config.sweep.items() for value in values]
    for name, value in [*config.hyperparameters.items(), *columns]:
        finite = not isinstance(value, float) or np.isfinite(value)
        require(finite, f"{name} must be a finite number, but it is {value}.")
        sizes = value if name.endswith("hidden") else [1]
        text = " ".join(map(str, sizes))
        require(min(sizes, default=1) > 0, f"{name} must be above zero, but it is {text}.")
    share = config.hyperparameters.get("data_share", 0)
    require(
        bool(config.dataset) or not share,
        f"{config.agent} takes {share:g} of each batch from a data set: name one by --dataset, or "
        "set --data-share 0.",
    )
    data = None
    if config.dataset:
        data, found = read_data(config)
        config = dataclasses.replace(config, data=found)
    values = dataclasses.asdict(config)
    depends = {name: value for name, value in values.items() if name not in UNTRACED}
    programs.kept("valid", depends, lambda: trace(config, data, base) or True)


def trace(config: Configuration, data: Transition | None, base: Tree | None = None) -> None:
    """Trace what a configuration builds; an InputError if that does not fit together."""
    try:
        points = [hyperparameters(config, point) for point in range(config.points)]
        for hp in points:
            build(config, hp)

        def init(key: Key, data: Transition | None, base: Tree | None) -> Run:
            return build(config, points[0], data, None, base).experiment.init(key)

        jax.eval_shape(init, jax.random.key(0), data, base)
    except OverflowError:
        raise InputError(too_large(config)) from None
    except (TypeError, AttributeError) as error:
        if not config.env_params or isinstance(error, InputError):
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in config.env_params.items())
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{config.env} does not work with {given}: {reason}.") from None


def too_large(config: Configuration) -> str:
    """The sentence for arrays that have more elements than a program can count."""
    sizes = {k: v for k, v in config.hyperparameters.items() if type(v) is int}
    name, value = max(sizes.items(), key=lambda item: item[1])
    return f"{name} {value} makes arrays too large for any device: try a smaller {name}."


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
    config = with_data_described(config)
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
