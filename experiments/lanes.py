"""Environments that run outside of compiled functions: lanes of Gymnasium and EnvPool.

Each prefix, as in `gymnasium/CartPole-v1`, has a function that opens a number of lanes which are
stepped together. `described` is what compiled functions know of such an environment.
"""

import contextlib
import functools
import importlib
import importlib.util
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.spaces import acted, spec_of, stacked
from jaxrl.errors import InputError, require, require_positive, unknown
from jaxrl.types import Env, Spec, TimeStep, Tree


class Lanes(NamedTuple):
    """N lanes of an environment that are stepped together, with numpy arrays [N, ...]."""

    spec: Spec  # of one lane
    begin: Callable[[np.ndarray], Tree]  # seeds [N] -> observations [N, *] of new episodes
    restart: Callable[[np.ndarray], Tree]
    # restart: lanes [N] bool -> observations [N, *], of new episodes in these lanes
    step: Callable[[Tree], tuple[Tree, np.ndarray, np.ndarray, np.ndarray]]
    # step: actions [N, *] -> observations, rewards, terminated and truncated, before any restart
    picture: Callable[[], np.ndarray | None]  # of the first lane, bytes [H, W, 3], if it has any


class Source(NamedTuple):
    """Where the environments of a prefix come from."""

    package: str
    open: Callable[..., Lanes]  # (name, number, **params)


def outside(env: str) -> bool:
    """Whether the name of an environment is of one that runs outside of compiled functions."""
    return env.partition("/")[0] in SOURCES


def opened(env: str, params: dict[str, Any], number: int) -> Lanes:
    """`number` lanes of an environment, such as `gymnasium/CartPole-v1`.

    Parameters are those of its constructor, and `max_steps_in_episode`, after which it truncates.
    With `workers="async"` each lane of Gymnasium is a process. Raises an InputError if the package
    or the environment does not exist, or if its spaces cannot be had.
    """
    prefix, _, name = env.partition("/")
    source = SOURCES[prefix]
    require(
        importlib.util.find_spec(source.package) is not None,
        f"{env} needs the package {source.package}: pip install 'jaxrl[{prefix}]'.",
    )
    return source.open(name, number, **params)


def described(env: str, params: dict[str, Any]) -> Env:
    """What compiled functions know of an environment outside: its spec, and shapes without values.

    It can be traced, as training does to know shapes, but it does nothing.
    """
    return blank(_known(env, json.dumps(params, sort_keys=True)))


@functools.cache
def _known(env: str, params: str) -> Spec:
    return opened(env, json.loads(params), 1).spec


def blank(spec: Spec, *lead: int) -> Env:
    """An environment of a spec, or of lanes with leading axes, that emits zeros for ever."""
    zeros = lambda x: jnp.zeros((*lead, *x.shape), x.dtype)
    obs, zero = jax.tree.map(zeros, spec.observation), jnp.zeros(lead, jnp.float32)
    info = {"episode_return": zero, "episode_length": jnp.zeros(lead, jnp.int32)}
    ts = TimeStep(obs, zero, zero + 1.0, zero > 0, obs, info if lead else {})
    return Env(lambda key: ((), ts), lambda state, action, key: ((), ts), spec)


def blank_lanes(env: Env, number: int) -> Env:
    """Lanes of `blank`, for `jaxrl.loop.assemble`."""
    return blank(env.spec, number)


def gymnasium(
    name: str,
    number: int,
    workers: str = "sync",
    max_steps_in_episode: int | None = None,
    **params: Any,
) -> Lanes:
    """Lanes of `gymnasium.make(name, **params)`; those of ALE are preprocessed as is usual.

    That is grey images of 84 x 84 with four frames each, every fourth frame, and rewards clipped to
    [-1, 1], as of Mnih et al. (2015). Lanes do not reset themselves, so that the final observation
    of an episode is known. Source: https://gymnasium.farama.org/api/vector.
    """
    library = importlib.import_module("gymnasium")
    require(workers in ("sync", "async"), f"workers must be sync or async, not {workers!r}.")
    atari = name.startswith("ALE/")
    if atari:
        _require_package("ale_py", f"gymnasium/{name}")
        library.register_envs(importlib.import_module("ale_py"))
    if max_steps_in_episode is not None:
        require_positive(max_steps_in_episode=max_steps_in_episode)
    steps = max_steps_in_episode
    limit = {} if steps is None else {"max_episode_steps": steps}
    if atari:
        frames = params.get("frameskip", 4)
        limit = {} if steps is None else {"max_num_frames_per_episode": frames * steps}
        entry = {"vectorization_mode": "vector_entry_point", "autoreset_mode": "SameStep"}
        kind: dict[str, Any] = entry | limit
    else:
        own = {"autoreset_mode": "Disabled"} | ({"context": "spawn"} if workers == "async" else {})
        kind = {"vectorization_mode": workers, "vector_kwargs": own} | limit
        params = {"render_mode": "rgb_array"} | params if number == 1 else params
    with _translated(f"gymnasium/{name}", library.error.Error):
        try:
            made = library.make_vec(name, number, **kind, **params)
        except (library.error.DependencyNotInstalled, TypeError):
            # Without what draws it, or of an environment that does not draw.
            params = {key: value for key, value in params.items() if key != "render_mode"}
            made = library.make_vec(name, number, **kind, **params)
    return _lanes(made, f"gymnasium/{name}", atari)


def _lanes(made: Any, name: str, atari: bool) -> Lanes:
    """Lanes of a `gymnasium.vector.VectorEnv`.

    It does not reset lanes by itself, save that of ALE, which tells the final observations too.
    """
    missing = importlib.import_module("gymnasium").error.DependencyNotInstalled
    space, actions = made.single_observation_space, made.single_action_space
    spec, see = spec_of(space, actions, name), functools.partial(stacked, space)
    spec, see = channels_last(spec, see) if atari else (spec, see)
    fresh: list[Tree] = [None]

    def begin(seeds: np.ndarray) -> Tree:
        seed = np.asarray(seeds, np.int64)
        return see(made.reset(seed=seed if atari else seed.tolist())[0])

    def step(action: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray]:
        obs, reward, terminated, truncated, info = made.step(acted(actions, action))
        last = terminated | truncated
        fresh[0] = obs = see(obs)
        if atari and last.any():
            obs = np.where(last[:, None, None, None], see(info["final_obs"]), obs)
        return obs, np.asarray(reward, np.float32), terminated, truncated

    def restart(ended: np.ndarray) -> Tree:
        return fresh[0] if atari else see(made.reset(options={"reset_mask": ended})[0])

    def picture() -> np.ndarray | None:
        if made.render_mode != "rgb_array":
            return None
        try:
            drawn = made.render()
        except missing:  # what it draws with is not installed
            return None
        return None if drawn is None or drawn[0] is None else np.asarray(drawn[0], np.uint8)

    return Lanes(spec, begin, restart, step, picture)


def channels_last(spec: Spec, see: Callable[[Any], Tree]) -> tuple[Spec, Callable[[Any], Tree]]:
    """Images [C, H, W], such as stacked frames, as images [H, W, C]."""
    frames, height, width = spec.observation.shape
    shape = jax.ShapeDtypeStruct((height, width, frames), spec.observation.dtype)
    return spec._replace(observation=shape), lambda obs: np.moveaxis(see(obs), 1, -1)


def envpool(
    name: str, number: int, max_steps_in_episode: int | None = None, **params: Any
) -> Lanes:
    """Lanes of `envpool.make(name)`, which C++ steps in threads.

    Lanes that end are reset by themselves, before EnvPool would do it at the next step. Source:
    Weng et al. (2022), https://arxiv.org/abs/2206.10558.
    """
    library = importlib.import_module("envpool")
    limit = {"max_episode_steps": max_steps_in_episode} if max_steps_in_episode else {}
    if name not in library.list_all_envs():
        raise unknown("environment of envpool", name, library.list_all_envs())

    def make(seed: int = 0) -> Any:
        return library.make_gymnasium(name, num_envs=number, seed=seed, **limit, **params)

    with _translated(f"envpool/{name}", TypeError):
        made = [make()]
    space, actions = made[0].observation_space, made[0].action_space
    spec, see = spec_of(space, actions, f"envpool/{name}"), functools.partial(stacked, space)
    images = isinstance(spec.observation, jax.ShapeDtypeStruct) and len(spec.observation.shape) == 3
    spec, see = channels_last(spec, see) if images else (spec, see)
    shown: list[Any] = [None]

    def begin(seeds: np.ndarray) -> Tree:
        made[0].close()
        made[0] = make(int(seeds[0]) % 2**31)  # its lanes are seeded from one number
        shown[0] = see(made[0].reset()[0])
        return shown[0]

    def restart(ended: np.ndarray) -> Tree:
        lanes = np.flatnonzero(ended).astype(np.int32)
        fresh = see(made[0].reset(lanes)[0])

        def put(old: np.ndarray, new: np.ndarray) -> np.ndarray:
            old = old.copy()
            old[lanes] = new
            return old

        return jax.tree.map(put, shown[0], fresh)

    def step(action: Tree) -> tuple[Tree, np.ndarray, np.ndarray, np.ndarray]:
        obs, reward, terminated, truncated, _ = made[0].step(acted(actions, action))
        shown[0] = see(obs)
        return shown[0], np.asarray(reward, np.float32), terminated, truncated

    return Lanes(spec, begin, restart, step, lambda: None)


SOURCES: dict[str, Source] = {
    "envpool": Source("envpool", envpool),
    "gymnasium": Source("gymnasium", gymnasium),
}
"""The prefixes of environments that run outside of compiled functions."""


def _require_package(package: str, name: str) -> None:
    require(
        importlib.util.find_spec(package) is not None,
        f"{name} needs the package {package}: pip install 'jaxrl[gymnasium]'.",
    )


@contextlib.contextmanager
def _translated(name: str, *kinds: type[Exception]) -> Iterator[None]:
    """Errors of a library as one sentence."""
    try:
        yield
    except kinds as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{name} cannot be made: {reason}.") from None
