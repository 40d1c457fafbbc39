"""The members of a configuration as one compiled function: points of a sweep times seeds."""

import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding

from experiments import configuration
from experiments.configuration import Configuration
from jaxrl.loop import Evaluation, advance, evaluate
from jaxrl.population import populate, shares, usable_devices
from jaxrl.types import Array, Experiment, Key, Run, Tree, population_axes


class Population(NamedTuple):
    """Some members of a configuration, before anything is compiled."""

    config: Configuration
    hp: Any  # swept leaves are [members]
    hp_axes: Any
    seeds: np.ndarray  # [members]
    points: np.ndarray  # [members] of the sweep
    keys: Array  # [members, 2] of training and of evaluation
    axes: Run  # of vmap
    like: Run  # shapes and places of the runs


def gather(config: Configuration, members: slice = slice(None)) -> Population:
    """The `members` of a configuration; traces, but compiles nothing of size."""
    hp, hp_axes, seeds = configuration.member_values(config)
    hp = jax.tree.map(lambda x: x[members] if np.ndim(x) else x, hp)
    points = np.repeat(np.arange(config.points), config.seeds)[members]
    keys = member_keys(seeds[members])
    one = configuration.hyperparameters(config, 0 if config.sweep else None)
    axes = population_axes(jax.eval_shape(lambda key: _init(config)(key, one), keys[0]))
    shapes = jax.eval_shape(jax.vmap(_init(config), (0, hp_axes), axes), keys, hp)
    like = placed(shapes, axes, usable_devices(keys.shape[0]))
    return Population(config, hp, hp_axes, seeds[members], points, keys, axes, like)


def member_keys(seeds: np.ndarray) -> Array:
    """Keys [members, 2], for training and for evaluation, that depend on a seed alone."""
    return jax.vmap(lambda seed: jax.random.split(jax.random.key(seed)))(jnp.asarray(seeds))


def placed(shapes: Tree, axes: Tree, devices: list[jax.Device]) -> Tree:
    """Shapes with the sharding that `jaxrl.population.populate` gives such arrays."""
    put = lambda sharding, tree: jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree
    )
    if len(devices) < 2:
        return put(SingleDeviceSharding(devices[0]), shapes)
    mesh = jax.make_mesh(
        (len(devices),), ("members",), axis_types=(AxisType.Auto,), devices=devices
    )
    return jax.tree.map(lambda spec, tree: put(NamedSharding(mesh, spec), tree),
                        shares(axes), shapes)  # fmt: skip


def start(population: Population) -> Run:
    """The runs [members] at the start of training."""
    p, devices = population, usable_devices(len(population.seeds))
    init = populate(_init(p.config), (0, p.hp_axes), p.axes, devices)
    return jax.jit(init, compiler_options=hasty())(p.keys, p.hp)


def hasty() -> dict[str, int]:
    """Compiler options for what runs once: on CPU, to optimise it takes longer than it saves."""
    return {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else {}


def compiled(population: Population) -> tuple[Callable[..., Any], float]:
    """The training of one interval, (runs, hp, keys) -> (runs, metrics, Evaluation); seconds.

    The metrics [members] have `finite`, the share of updates with nothing but finite losses.
    """
    config, begin = population.config, time.perf_counter()

    def interval(run: Run, hp: Any, keys: Key) -> tuple[Run, dict, Evaluation]:
        setup = configuration.build(config, hp)
        run, metrics = advance(watched(setup.experiment), run, config.interval)
        view = setup.agent.update.read(run.learner)
        key = jax.random.fold_in(keys[1], run.step.value)
        score = evaluate(
            setup.env, setup.agent.exploit, view, key, config.episodes, config.max_episode_steps
        )
        return run, metrics, score

    p, devices = population, usable_devices(len(population.seeds))
    step = populate(interval, (p.axes, p.hp_axes, 0), (p.axes, 0, 0), devices)
    lowered = jax.jit(step, donate_argnums=0).lower(p.like, p.hp, p.keys)
    return lowered.compile(), time.perf_counter() - begin


def watched(experiment: Experiment) -> Experiment:
    """Report, as the metric `finite`, whether all losses of a step are finite numbers."""

    def step(run: Run) -> tuple[Run, dict]:
        run, metrics = experiment.step(run)
        losses = [x for name, x in metrics.items() if not name.startswith("episode")]
        finite = jnp.all(jnp.array([jnp.isfinite(x).all() for x in losses]))
        return run, metrics | {"finite": finite.astype(jnp.float32)}

    return Experiment(experiment.init, step)


def members_that_fit(config: Configuration) -> int:
    """How many members train at once in half of the memory: a run is there up to three times."""
    one = configuration.hyperparameters(config, 0 if config.sweep else None)
    shape = jax.eval_shape(lambda key: _init(config)(key, one), member_keys(np.arange(1))[0])
    size = sum(x.size * max(x.dtype.itemsize, 4) for x in jax.tree.leaves(shape))
    return max(1, min(config.members, int(memory_bytes() / 2 // (3 * size))))


def memory_bytes() -> int:
    """Memory of the devices on which jax runs, or of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * len(jax.local_devices())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _init(config: Configuration) -> Callable[[Key, Any], Run]:
    return lambda keys, hp: configuration.build(config, hp).experiment.init(keys[0])
