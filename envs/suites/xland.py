"""XLand-MiniGrid: grids of objects whose rules and goal are a task, and MiniGrid.

Source: Nikulin et al. (2024), https://arxiv.org/abs/2312.12044.
"""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from envs.errors import unknown_parameters
from envs.suites import imported
from envs.suites.planes import planes
from envs.suites.xland_rulesets import rulesets
from jaxrl.environments import begun, retyped, strong
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Tree

# Written out so that to list the names need not import xminigrid.
_SIZES = {
    "XLand-MiniGrid-R1": ("9x9", "11x11", "13x13", "15x15", "17x17"),
    "XLand-MiniGrid-R2": ("9x9", "11x11", "13x13", "15x15", "17x17"),
    "XLand-MiniGrid-R4": ("9x9", "11x11", "13x13", "15x15", "17x17"),
    "XLand-MiniGrid-R6": ("13x13", "17x17", "19x19"),
    "XLand-MiniGrid-R9": ("16x16", "19x19", "25x25"),
    "MiniGrid-DoorKey": ("5x5", "6x6", "8x8", "16x16"),
    "MiniGrid-Empty": ("5x5", "6x6", "8x8", "16x16"),
    "MiniGrid-EmptyRandom": ("5x5", "6x6", "8x8", "16x16"),
}
_OTHERS = (
    "MiniGrid-BlockedUnlockPickUp",
    "MiniGrid-FourRooms",
    "MiniGrid-LockedRoom",
    *(f"MiniGrid-MemoryS{size}" for size in (8, 16, 32, 64, 128)),
    "MiniGrid-Playground",
    "MiniGrid-Unlock",
    "MiniGrid-UnlockPickUp",
)
TILES, COLOURS = 13, 12  # of what is in a cell
LOCAL = 1024  # rulesets that are made here when a number is given without a benchmark


def names() -> list[str]:
    """The names of all environments of XLand-MiniGrid, each after `xland/`."""
    sized = [f"{kind}-{size}" for kind, sizes in _SIZES.items() for size in sizes]
    return [f"xland/{name}" for name in [*sized, *_OTHERS]]


def make(
    name: str,
    ruleset: Any = None,
    benchmark: Any = None,
    max_steps_in_episode: int | Array | None = None,
    **params: Any,
) -> Env:
    """The environment `name`, `xland/` included.

    Observations are the kind and the colour of each cell in view, as 25 planes [V, V, 25] of bools.
    The names of XLand need a task: `ruleset` is a `RuleSet` of the package, or a number, 0 by
    default, of one in `benchmark`. That is a `Benchmark` of the package, the name of one that the
    package downloads, such as "trivial-21k", or by default 1024 rulesets of
    `envs.suites.xland_rulesets`. Rulesets and their numbers may be traced, so that
    `jaxrl.tasks.tasked` can draw them. The limit, which is the package's if `max_steps_in_episode`
    is None, is a truncation. Other parameters are `view_size`, `height` and `width`, all concrete.
    Raises `InputError` for a parameter, a benchmark or a number of a ruleset that does not exist.
    """
    valid = ["height", "width", "view_size"]
    tasks = ["ruleset", "benchmark"] if _has_tasks(name) else []
    given = params | {
        k: v for k, v in dict(ruleset=ruleset, benchmark=benchmark).items() if v is not None
    }
    unknown_parameters(name, given, [*tasks, "max_steps_in_episode", *valid])
    env, settings = _made(name, params)
    if tasks:
        settings = settings.replace(ruleset=_ruleset(name, ruleset, benchmark))
    if max_steps_in_episode is not None:
        concrete = not isinstance(max_steps_in_episode, Tracer)
        require(
            not (concrete and max_steps_in_episode <= 0),
            f"{name} needs a positive number of steps, not {max_steps_in_episode}.",
        )
        settings = settings.replace(max_steps=max_steps_in_episode)
    types = imported("xminigrid.types")

    def init(key: Key) -> tuple[Tree, TimeStep]:
        first = env.reset(settings, key)
        return strong(first.state), begun(planes(first.observation, (TILES, COLOURS)))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        del key  # nothing is random after the first state
        now = types.TimeStep(
            state=state, step_type=None, reward=None, discount=None, observation=None
        )
        new = env.step(settings, now, action)
        obs = planes(new.observation, (TILES, COLOURS))
        reward, discount = (jnp.asarray(x, jnp.float32) for x in (new.reward, new.discount))
        return retyped(new.state, state), TimeStep(obs, reward, discount, new.last(), obs, {})

    shape = jax.eval_shape(init, jax.random.key(0))[1].obs
    spec = Spec(shape, Discrete(int(env.num_actions(settings))))
    limit = settings.max_steps
    shortest = 0.0 if isinstance(limit, Tracer) else min(1.0, 1.0 / int(limit))
    return Env(init, step, spec, fresh=max(1 / 16, shortest))


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`; what the agent sees is lighter."""
    shape = {k: v for k, v in params.items() if k in ("height", "width", "view_size")}
    draw = imported("xminigrid.rendering.rgb_render").render
    view = _made(name, shape)[1].view_size
    grids, agents = jax.tree.map(np.asarray, (states.grid, states.agent))
    one = lambda t: draw(grids[t], jax.tree.map(lambda x: x[t], agents), view)
    return [one(t) for t in range(len(grids))]


def _has_tasks(name: str) -> bool:
    return name.startswith("xland/XLand")


def _made(name: str, params: Mapping[str, Any]) -> tuple[Any, Any]:
    """The package's environment and its settings."""
    with jax.ensure_compile_time_eval():
        return imported("xminigrid").make(name.removeprefix("xland/"), **params)


def _ruleset(name: str, ruleset: Any, benchmark: Any) -> Any:
    """The task that the parameters of `make` mean."""
    library = imported("xminigrid.benchmarks")
    if isinstance(ruleset, library.RuleSet):
        return ruleset
    number = 0 if ruleset is None else ruleset
    if isinstance(benchmark, str):
        benchmark = _downloaded(library, benchmark)
    if benchmark is None:
        tasks = _local()
    else:
        tasks = library.RuleSet(
            goal=benchmark.goals, rules=benchmark.rules, init_tiles=benchmark.init_tiles
        )
    if not isinstance(number, Tracer):
        size = len(tasks.goal)
        require(
            jnp.shape(number) == () and 0 <= int(number) < size,
            f"{name} takes a ruleset numbered 0 to {size - 1}, not {ruleset}.",
        )
    return jax.tree.map(lambda x: x[jnp.asarray(number, jnp.int32)], tasks)


@functools.cache
def _local() -> Any:
    """The rulesets that are made here."""
    with jax.ensure_compile_time_eval():
        return rulesets(jax.random.key(0), LOCAL)


def _downloaded(library: Any, benchmark: str) -> Any:
    names = library.registered_benchmarks()
    require(
        benchmark in names,
        f"There is no benchmark of rulesets called {benchmark!r}: choose from {', '.join(names)}.",
    )
    try:
        return library.load_benchmark(benchmark)
    except OSError as error:
        raise InputError(
            f"The benchmark {benchmark} is downloaded when it is first used, and that failed "
            f"({error}): leave it out to use rulesets that are made here."
        ) from error
