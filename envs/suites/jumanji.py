"""Environments of jumanji: puzzles, packing, routing, and teams of agents as one agent.

https://github.com/instadeepai/jumanji.
"""

import contextlib
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from envs.errors import unknown_parameters
from envs.suites import imported
from jaxrl import spaces
from jaxrl.environments import retyped, time_limit
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Box, Discrete, Env, Key, MultiDiscrete, Space, Spec, TimeStep, Tree

# Written out so that to list the names need not import jumanji.
_NAMES = (
    "BinPack-v2",
    "CVRP-v1",
    "Cleaner-v0",
    "Connector-v3",
    "FlatPack-v0",
    "Game2048-v1",
    "GraphColoring-v1",
    "JobShop-v0",
    "Knapsack-v1",
    "LevelBasedForaging-v0",
    "MMST-v0",
    "Maze-v0",
    "Minesweeper-v0",
    "MultiCVRP-v0",
    "PacMan-v1",
    "RobotWarehouse-v0",
    "RubiksCube-partly-scrambled-v0",
    "RubiksCube-v0",
    "SearchAndRescue-v0",
    "SlidingTilePuzzle-v0",
    "Snake-v1",
    "Sokoban-v0",
    "Sudoku-v0",
    "Sudoku-very-easy-v0",
    "TSP-v1",
    "Tetris-v0",
)
LEVELS = {"toy": "ToyGenerator", "simple": "SimpleSolveGenerator"}  # of Sokoban, without a download
SIZE = (4.0, 4.0)  # inches of a picture


def names() -> list[str]:
    """The names of all jumanji environments, each after `jumanji/`."""
    return [f"jumanji/{name}" for name in _NAMES]


def make(name: str, max_steps_in_episode: int | Array | None = None, **params: Any) -> Env:
    """The jumanji environment `name`, `jumanji/` included.

    Parameters are the arguments of its constructor, such as `num_rows`, of which generators can be
    given in Python only; `levels` of Sokoban are `toy` or `simple` in place of published ones,
    which are downloaded. The environment's own `time_limit`, or else `max_steps_in_episode`, is a
    truncation. Otherwise it is as of `from_jumanji`. Raises `InputError` for a parameter that does
    not exist, and if a download fails.
    """
    env, limit = _made(name, params, max_steps_in_episode)
    limit = limit if max_steps_in_episode is None else max_steps_in_episode
    made = from_jumanji(env)
    # Ends by a number of steps that observations do not tell.
    if name == "jumanji/MultiCVRP-v0":
        made = _cut(made, lambda state, obs: state.step_count > 2 * env._num_customers)
    if name == "jumanji/FlatPack-v0":
        made = _ended(_cut(made, lambda state, obs: obs.action_mask.any()))
    if limit is None:
        return made
    if hasattr(env, "time_limit"):  # its own limit is a step beyond ours, and no termination either
        count = "step" if name == "jumanji/SearchAndRescue-v0" else "step_count"
        made = _cut(made, lambda state, obs: getattr(state, count) >= env.time_limit)
    return time_limit(made, limit)


class Actions(NamedTuple):
    """Actions of jumanji as a space of ours."""

    space: Space
    given: Callable[[Array], Array]  # ours -> those of jumanji
    mask: Callable[[Array], Array]  # an action mask of jumanji -> one of the space


def from_jumanji(env: Any) -> Env:
    """Adapt any `jumanji.env.Environment` that does not reset itself, or is in no such wrapper.

    Observations keep their structure, `action_mask` included, which becomes `Spec.mask`. Several
    discrete actions that have a mask for all of their combinations are one action, counted row by
    row. Several agents are one, whose reward is the sum of theirs; its episodes end when the last
    of them does. Raises an InputError for actions of other kinds.
    """
    example = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32))[1].observation
    masked = hasattr(example, "action_mask")
    actions = _actions(env.action_spec, example.action_mask.shape if masked else None)

    def emit(step: Any, last: Array) -> TimeStep:
        reward = jnp.asarray(step.reward, jnp.float32).sum()
        # A team goes on as long as one of its agents does; only the last step says how.
        alive = jnp.asarray(step.discount, jnp.float32).max()
        obs = step.observation
        return TimeStep(obs, reward, jnp.where(last, alive, 1.0), last, obs, {})

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state, step = env.reset(jax.random.key_data(key))
        return state, emit(step, jnp.zeros((), bool))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        del key  # the state has one
        new, step = env.step(state, actions.given(action))
        return retyped(new, state), emit(step, jnp.asarray(step.last(), bool))

    observation = jax.eval_shape(lambda: init(jax.random.key(0))[1].obs)
    mask = (lambda obs: actions.mask(obs.action_mask)) if masked else None
    return Env(init, step, Spec(observation, actions.space, mask))


def _cut(env: Env, truncated: Callable[[Any, Any], Array]) -> Env:
    """Make truncations of ends at which `truncated(state, observation)` holds."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.step(state, action, key)
        cut = ts.last & truncated(state, ts.final)
        return state, ts._replace(discount=jnp.where(cut, 1.0, ts.discount))

    return env._replace(step=step)


def _ended(env: Env) -> Env:
    """Terminate as soon as no action is allowed; jumanji counts on, though nothing can change."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        state, ts = env.step(state, action, key)
        over = ~ts.final.action_mask.any()
        discount = jnp.where(over, 0.0, ts.discount)
        return state, ts._replace(last=ts.last | over, discount=discount)

    return env._replace(step=step)


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] by jumanji's viewer, as bytes [H, W, 3].

    Raises an InputError for an environment that has no viewer.
    """
    params = dict(params)
    env, _ = _made(name, params, params.pop("max_steps_in_episode", None))
    states = jax.device_get(states[0] if isinstance(states, tuple) else states)
    own = [x for x in vars(env) if x.endswith("viewer")]
    require(bool(own), f"{name} has no renderer of its own.")
    viewer = getattr(env, own[0])
    pictures = []
    with _unseen():
        viewer.figure_size = SIZE
        viewer._display = viewer._display_rgb_array
        for t in range(len(jax.tree.leaves(states)[0])):
            state = jax.tree.map(lambda x, t=t: jnp.asarray(x[t]), states)
            seen = state.grid if name == "jumanji/Connector-v3" else state
            pictures.append(np.array(viewer.render(seen))[..., :3].astype(np.uint8))
        env.close()
    return pictures


def _made(
    name: str, params: dict[str, Any], steps: int | Array | None = None
) -> tuple[Any, int | None]:
    """What jumanji makes, with a limit of its own that no episode of `steps` reaches; its limit."""
    library, short = imported("jumanji"), name.removeprefix("jumanji/")
    registered = library.registration._REGISTRY[short]
    place, _, kind = registered.entry_point.partition(":")
    valid = list(inspect.signature(getattr(imported(place), kind)).parameters)
    levels = ["levels"] if kind == "Sokoban" else []
    unknown_parameters(name, params, ["max_steps_in_episode", *levels, *valid])
    if "levels" in params:
        params = dict(params)
        chosen = params.pop("levels")
        require(chosen in LEVELS, f"levels must be toy or simple, not {chosen!r}.")
        generators = imported("jumanji.environments.routing.sokoban.generator")
        params["generator"] = getattr(generators, LEVELS[chosen])()
    try:
        with jax.ensure_compile_time_eval():
            env = library.make(short, **params)
            # Rewards of SearchAndRescue depend on its limit, and its observations show the time.
            if "time_limit" not in valid or kind == "SearchAndRescue":
                return env, None
            limit = int(env.time_limit)
            longest = (
                limit if steps is None or isinstance(steps, Tracer) else max(limit, int(steps))
            )
            # Not much longer: the states of some have an entry for each step.
            return library.make(short, **params | {"time_limit": longest + 1}), limit
    except (OSError, ValueError) as error:
        if kind != "Sokoban":
            raise
        raise InputError(
            f"{name} downloads its levels when first made, and that failed "
            f"({type(error).__name__}): make it once with a network, or with levels='toy'."
        ) from error


def _actions(spec: Any, mask: tuple[int, ...] | None) -> Actions:
    """The actions of a spec of jumanji, with a mask of a shape if there is one."""
    kind = type(spec).__name__
    if kind == "BoundedArray" and not jnp.issubdtype(spec.dtype, jnp.integer):
        bound = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.float32), spec.shape)
        return Actions(Box(bound(spec.minimum), bound(spec.maximum)), lambda x: x, lambda m: m)
    least, given, flat = 0, lambda x: x, lambda m: m
    if kind == "DiscreteArray":
        space = Discrete(int(spec.num_values))
    elif kind in ("MultiDiscreteArray", "BoundedArray") and len(spec.shape) == 1:
        if kind == "BoundedArray":
            least, most = (np.broadcast_to(x, spec.shape) for x in (spec.minimum, spec.maximum))
            counts = most - least + 1
            if mask is not None:  # MultiCVRP of 1.1.2 declares one customer too many
                counts = np.minimum(counts, mask[-1])
        else:
            counts = np.asarray(spec.num_values)
        nums = tuple(int(n) for n in counts)
        space = MultiDiscrete(nums)
        if mask == nums and len(nums) > 1:  # of all combinations
            space = Discrete(math.prod(nums))
            given = lambda x: jnp.stack(jnp.unravel_index(x, nums), -1)
            flat = lambda m: m.reshape(*m.shape[: m.ndim - len(nums)], -1)
    else:
        raise InputError(f"from_jumanji takes discrete or bounded actions, not {spec!r}.")
    # Where nothing is left to do, as for an agent of a team that is done, anything may be done.
    return Actions(
        space,
        lambda x: (given(x) + least).astype(spec.dtype),
        lambda m: spaces.some_allowed(space, flat(m)),
    )


@contextlib.contextmanager
def _unseen() -> Iterator[None]:
    """Let matplotlib draw without a display, and give its backend back afterwards."""
    import matplotlib
    import matplotlib.pyplot as plt

    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        plt.switch_backend(before)
