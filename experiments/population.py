"""The members of a configuration as compiled functions: points of a sweep times seeds."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding

from agents import AGENTS
from experiments import (
    building,
    checkpoints,
    configuration,
    continuing,
    frozen,
    planning,
    programs,
    records,
    run_data,
)
from experiments.configuration import Configuration
from experiments.programs import kept, packed, unpacked
from jaxrl.buffers import Buffer, Retained
from jaxrl.errors import require
from jaxrl.evaluation import Evaluation
from jaxrl.offline import stored_data, without_data
from jaxrl.population import mesh_of, populate, shares, usable_mesh
from jaxrl.remote import resting
from jaxrl.types import Array, Key, Run, Transition, Tree, population_axes

NONE: Mapping[str, int] = MappingProxyType({})
Sums = dict[str, Array]
"""Running sums [members] of the metrics of updates."""


class Population(NamedTuple):
    """Some members of a configuration, before anything is compiled."""

    config: Configuration
    hp: Any  # swept leaves are [members]
    hp_axes: Any
    seeds: np.ndarray  # [members]
    points: np.ndarray  # [members] of the sweep
    keys: Array  # [members, 2] of training and of evaluation
    axes: Run  # of vmap
    parts: Run | None  # 0 where shards have arrays of their own; None if there is one shard
    mesh: Mesh  # the devices
    like: Run  # shapes and places of the runs; a data set is not in them
    single: Run  # shapes of the run of one member
    init: Callable[..., Run]  # of one member: (keys, hp, data, learner to go on from)


class Program(NamedTuple):
    """What training calls, for all members: compiled, or where it needs the host, partly so."""

    advance: Callable[..., tuple[Run, Sums]]  # (runs, sums, hp, data, updates)
    evaluate: Callable[..., Evaluation]  # (runs, hp, keys)
    zeros: Sums  # at the beginning of an interval
    # (population, data) -> the runs at the start of training
    start: Callable[..., Run] = lambda population, data: start(population, data)
    # (population, runs of a checkpoint) -> the runs from which training goes on
    resume: Callable[..., Run] = lambda population, runs: runs
    on_resume: str = ""  # what a person has to know of a resumed run
    plan: planning.Plan = MappingProxyType({})  # of the memory; empty if the environment is outside


def gather(
    config: Configuration, members: slice = slice(None), devices: Mapping[str, int] = NONE
) -> Population:
    """The `members` of a configuration; traces, but compiles nothing of size.

    A data set is not read if the configuration records its size. `devices` are those asked for
    along each axis of the mesh: see `jaxrl.population.usable_mesh`.
    """
    config = run_data.with_data_described(config)
    hp, hp_axes, seeds = configuration.member_values(config)
    hp = jax.tree.map(lambda x: x[members] if np.ndim(x) else x, hp)
    points = np.repeat(np.arange(config.points), config.seeds)[members]
    keys = member_keys(seeds[members])
    one = configuration.hyperparameters(config, 0 if config.sweep else None)
    # What is jitted is traced once, whoever calls it with the same shapes.
    init = jax.jit(_init(config), inline=True)
    mesh = usable_mesh(len(keys), config.shards, devices)

    def traced() -> tuple[Run, Run, Run, Run | None]:
        single = jax.eval_shape(lambda key: init(key, one, None, None), keys[0])
        axes = population_axes(single)
        batched = jax.vmap(lambda key, hp: init(key, hp, None, None), (0, hp_axes), axes)
        return single, axes, jax.eval_shape(batched, keys, hp), parts_of(config, one)

    try:
        single, axes, shapes, parts = kept("shapes", identity(config, len(keys), mesh), traced)
    except OverflowError:
        require(False, building.too_large(config))
        raise
    like = resting(placed(shapes, axes, mesh, parts))
    single = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), single)
    return Population(
        config, hp, hp_axes, seeds[members], points, keys, axes, parts, mesh, like, single, init
    )


def parts_of(config: Configuration, hp: Any) -> Run | None:
    """0 for the arrays of a run that its shards have each of their own, None if there is one."""
    parts = building.build(config, hp).parts
    if parts is None:
        return None
    return without_data(parts(), kind_of_data(config)) if config.dataset else parts()


def identity(config: Configuration, count: int, mesh: Mesh | None = None) -> list:
    """What the programs of `count` members, on a mesh, depend on of a configuration.

    Seeds, numbers that are not static, the length of the run, the data and what runs go on from are
    their arguments; the parameters of a policy that acts beside the agent are constants.
    """
    names = ("agent", "env", "env_params", "reward", "goal", "cost_limits", "episodes")
    names += ("max_episode_steps", "shards", "precision")
    values, numbers = dataclasses.asdict(config), records.numeric(AGENTS[config.agent].defaults)
    static = {k: v for k, v in config.hyperparameters.items() if k not in numbers}
    size = config.data.get("block", config.data.get("transitions"))
    data = (config.offline, size, frozen.described(config).frozen_of)
    own = {name: values[name] for name in names}
    return [own, static, [*config.sweep], data, count, [*mesh.devices.shape] if mesh else []]


def member_keys(seeds: np.ndarray) -> Array:
    """Keys [members, 2], for training and for evaluation, that depend on a seed alone."""
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(
        jnp.asarray(seeds, jnp.uint32)
    )


def placed(shapes: Tree, axes: Tree, devices: list[jax.Device] | Mesh, parts: Tree = None) -> Tree:
    """Shapes with the sharding that `jaxrl.population.populate` gives such arrays."""
    put = lambda sharding, tree: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
    if not isinstance(devices, Mesh):
        devices = mesh_of(devices)
    if devices.size < 2:
        return put(SingleDeviceSharding(devices.devices.item()), shapes)
    return jax.tree.map(lambda spec, tree: put(NamedSharding(devices, spec), tree),
                        shares(axes, parts), shapes)  # fmt: skip


def start(population: Population, data: Transition | None = None) -> Run:
    """The runs [members] at the start of training, from `data` or the configuration's data set."""
    p = population
    base = continuing.begun(p.config, p.seeds)
    if not p.config.offline:
        data = None  # it is beside the runs: see `buffers`
    elif data is None:
        data = run_data.load_data(p.config)
    in_axes = (0, p.hp_axes, None, population_axes(base))
    spread = populate(p.init, in_axes, p.axes, p.mesh, (None, p.parts))
    init = jax.jit(spread, compiler_options=hasty())
    made = lambda: programs.compiled(init.lower(p.keys, p.hp, data, base))
    depends = [*identity(p.config, len(p.seeds), p.mesh), checkpoints.shapes(base)]
    begin = kept("start", depends, made, packed, unpacked)
    return begin(p.keys, p.hp, data, base)


def buffers(population: Population, data: Transition | None) -> list[Any]:
    """The replay buffers that hold a data set, once on each device; none without one."""
    if data is None:
        return []
    p = population
    one = configuration.hyperparameters(p.config, 0 if p.config.sweep else None)

    def fill(data: Transition) -> list[Any]:
        run = building.build(p.config, one, data).experiment.init(jax.random.key(0))
        return stored_data(run, kind_of_data(p.config))

    found = jax.jit(fill, compiler_options=hasty())(data)
    like = placed(found, jax.tree.map(lambda _: None, found), p.mesh)
    return jax.tree.map(lambda x, like: jax.device_put(x, like.sharding), found, like)


def hasty() -> dict[str, int | bool]:
    """Compiler options for what runs once: on CPU, to optimise it takes longer than it saves.

    Without XLA's newer emitters of kernels, and in one part, PPO's first state compiles in 0.21
    instead of 0.83 s of processor time; jaxlib 0.10 and later have no option for the emitters.
    """
    if jax.default_backend() != "cpu":
        return {}
    found = {"xla_backend_optimization_level": 0, "xla_cpu_parallel_codegen_split_count": 1}
    known = tuple(map(int, jaxlib.__version__.split(".")[:2])) < (0, 10)
    return found | ({"xla_cpu_use_fusion_emitters": False} if known else {})


def kind_of_data(config: Configuration) -> type:
    """What a data set is in a run: its buffer, or what is retained beside that."""
    return Buffer if config.offline else Retained


def _init(config: Configuration) -> Callable[..., Run]:
    def init(keys: Key, hp: Any, data: Transition | None, base: Tree | None) -> Run:
        run = building.build(config, hp, data, None, base).experiment.init(keys[0])
        return without_data(run, kind_of_data(config)) if config.dataset else run

    return init
