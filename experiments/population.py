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
from jaxrl.evaluation import Evaluation, evaluate
from jaxrl.offline import shared, stored_data, without_data
from jaxrl.population import mesh_of, populate, shares, usable_mesh
from jaxrl.types import Array, Experiment, Key, Run, Transition, Tree, population_axes

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
    like = placed(shapes, axes, mesh, parts)
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
    names = ("agent", "env", "env_params", "reward", "goal", "episodes", "max_episode_steps")
    names += ("shards", "precision")
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


def compiled(population: Population, data: list[Buffer]) -> Program:
    """The learning of any number of updates, and the evaluation, compiled or kept from before."""
    return kept(
        "program",
        identity(population.config, len(population.seeds), population.mesh),
        lambda: compile_(population, data),
        lambda made: (packed(made.advance), packed(made.evaluate), made.zeros, made.plan),
        lambda found: Program(*map(unpacked, found[:2]), found[2], plan=found[3]),
    )


def learning(p: Population, data: list[Buffer]) -> tuple[Any, tuple, Sums]:
    """The learning of any number of updates, jitted, shapes of its arguments, and sums of zeros."""
    config = p.config

    def step(run: Run, hp: Any, data: list[Buffer]) -> tuple[Run, dict]:
        exp = building.build(config, hp).experiment
        return watched(shared(exp, data) if config.dataset else exp).step(run)

    step = jax.jit(step, inline=True)  # so that it is traced once for both uses

    def advance(
        run: Run, sums: Sums, hp: Any, data: list[Buffer], updates: Array
    ) -> tuple[Run, Sums]:
        exp = Experiment(lambda key: run, lambda run: step(run, hp, data))
        return accumulate(exp, run, sums, updates)

    of_one = lambda axis, x: x if axis is None else x[0]
    hp = jax.tree.map(of_one, p.hp_axes, p.hp, is_leaf=lambda axis: axis is None)
    metrics = jax.eval_shape(step, p.single, hp, data)[1]
    count = len(p.seeds)
    zeros = {name: np.zeros((count, *x.shape), np.float32) for name, x in metrics.items()}
    like = placed(zeros, dict.fromkeys(zeros, 0), p.mesh)
    axes, parts = (p.axes, 0, p.hp_axes, None, None), (p.parts, None, None, None, None)
    spread = populate(advance, axes, (p.axes, 0), p.mesh, (parts, (p.parts, None)))
    arguments = (p.like, like, p.hp, data, np.int32(1))
    return jax.jit(spread, donate_argnums=0), arguments, zeros


def compile_(population: Population, data: list[Buffer]) -> Program:
    """Compile the learning of any number of updates, and the evaluation.

    Raises an InputError if it does not fit into the memory: before, by what was planned from the
    traced program, or after, by what the compiler says.
    """
    p, config = population, population.config

    def play(run: Run, hp: Any, keys: Key) -> Evaluation:
        setup = building.build(config, hp)
        view = setup.agent.update.read(run.learner)
        key = jax.random.fold_in(keys[1], run.step.value)
        return evaluate(
            setup.env, setup.agent.exploit, view, key, config.episodes, config.max_episode_steps
        )

    learn, arguments, zeros = learning(p, data)
    traced = learn.trace(*arguments)
    plan = planning.plan_of(p.like, traced.jaxpr.jaxpr, data, p.mesh.size)
    planning.require_fits(plan, len(p.seeds), config)
    shared = ((p.parts, None, None), None)
    with programs.ahead() as promised:
        advance = promised(traced.lower())
        score = jax.jit(populate(play, (p.axes, p.hp_axes, 0), 0, p.mesh, shared))
        scored = promised(score.lower(p.like, p.hp, p.keys))
    plan = planning.confirmed(plan, advance.result(), p.mesh.size)
    planning.require_fits(plan, len(p.seeds), config)
    return Program(advance.result(), scored.result(), zeros, plan=plan)


def accumulate(exp: Experiment, run: Run, sums: Sums, updates: Array) -> tuple[Run, Sums]:
    """Take a traced number of steps, and add their metrics to `sums`, one after another.

    Both results are therefore the same however a number of steps is split into calls.
    """

    def step(_: Array, carry: tuple[Run, Sums]) -> tuple[Run, Sums]:
        run, metrics = exp.step(carry[0])
        return run, {name: total + metrics[name] for name, total in carry[1].items()}

    return jax.lax.fori_loop(0, updates, step, (run, sums))


def watched(experiment: Experiment) -> Experiment:
    """Report, as the metric `finite`, whether all losses of a step are finite numbers."""

    def step(run: Run) -> tuple[Run, dict]:
        run, metrics = experiment.step(run)
        losses = [x for name, x in metrics.items() if not name.startswith("episode")]
        finite = jnp.all(jnp.array([jnp.isfinite(x).all() for x in losses]))
        return run, metrics | {"finite": finite.astype(jnp.float32)}

    return Experiment(experiment.init, step)


def kind_of_data(config: Configuration) -> type:
    """What a data set is in a run: its buffer, or what is retained beside that."""
    return Buffer if config.offline else Retained


def _init(config: Configuration) -> Callable[..., Run]:
    def init(keys: Key, hp: Any, data: Transition | None, base: Tree | None) -> Run:
        run = building.build(config, hp, data, None, base).experiment.init(keys[0])
        return without_data(run, kind_of_data(config)) if config.dataset else run

    return init
