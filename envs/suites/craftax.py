"""Craftax and Craftax-Classic, below the package's own auto-reset.

Source: Matthews et al. (2024), https://arxiv.org/abs/2402.16801.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.errors import unknown_parameters
from envs.suites import imported
from jaxrl.environments import retyped, strong, time_limit
from jaxrl.types import Array, Discrete, Env, Key, Spec, TimeStep, Tree

_NAMES = (
    "Craftax-Symbolic-v1",
    "Craftax-Pixels-v1",
    "Craftax-Classic-Symbolic-v1",
    "Craftax-Classic-Pixels-v1",
)
FRESH = 1 / 128  # episodes are longer on average, and worlds are dear
NEVER = 2**30  # steps, in place of the package's limit, which looks like a death


def names() -> list[str]:
    """The names of all Craftax environments, each after `craftax/`."""
    return [f"craftax/{name}" for name in _NAMES]


def make(name: str, max_steps_in_episode: int | Array | None = None, **params: Any) -> Env:
    """The environment `name`, `craftax/` included.

    Death, and in Craftax victory, is a termination; the limit, which is the package's if
    `max_steps_in_episode` is None, is a truncation. Other parameters are the fields of the
    package's `EnvParams`, which may be traced, and of its `StaticEnvParams`, such as `map_size`.
    Pixels are bytes [H, W, 3]. `info["achievements"]` [N] are those of the episode so far, bools in
    the order of `achievements(name)`. Textures are made before anything is traced, which takes a
    minute the first time; the package keeps them in its folder. Raises `InputError` for a
    parameter that does not exist.
    """
    kind = _kind(name)
    pixels = "Pixels" in name
    changing = [field.name for field in dataclasses.fields(kind.params)]
    static = [field.name for field in dataclasses.fields(kind.static)]
    changing.remove("max_timesteps")
    unknown_parameters(name, params, ["max_steps_in_episode", *changing, *static])
    given = {key: value for key, value in params.items() if key in changing}
    fixed = kind.static(**{key: value for key, value in params.items() if key in static})
    if pixels:
        load_textures(name)
    with jax.ensure_compile_time_eval():
        env = kind.environment(pixels)(fixed)
    limit = kind.params().max_timesteps if max_steps_in_episode is None else max_steps_in_episode
    settings = kind.params(max_timesteps=NEVER, **given)

    def emit(state: Any, obs: Array, reward: Array, done: Array) -> TimeStep:
        obs = jnp.round(obs * 255.0).astype(jnp.uint8) if pixels else obs.astype(jnp.float32)
        info = {"achievements": jnp.asarray(state.achievements, bool)}
        discount = 1.0 - jnp.asarray(done, jnp.float32)
        return TimeStep(obs, jnp.asarray(reward, jnp.float32), discount, done, obs, info)

    def init(key: Key) -> tuple[Tree, TimeStep]:
        obs, state = env.reset_env(key, settings)
        return strong(state), emit(state, obs, jnp.zeros(()), jnp.zeros((), bool))

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        obs, new, reward, done, _ = env.step_env(key, state, action, settings)
        new = retyped(new, state)
        return new, emit(new, obs, reward, jnp.asarray(done, bool))

    observation = jax.eval_shape(init, jax.random.key(0))[1].obs
    spec = Spec(observation, Discrete(int(env.action_space(settings).n)))
    return time_limit(Env(init, step, spec, FRESH), limit)


def achievements(name: str) -> list[str]:
    """What the entries of `info["achievements"]` of an environment stand for."""
    return [one.name.lower() for one in _kind(name).constants.Achievement]


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`, in blocks of 16 x 16 pixels."""
    del params  # the states tell everything
    kind = _kind(name)
    load_textures(name)
    with jax.ensure_compile_time_eval():
        draw = kind.renderer.make_craftax_pixel_renderer(kind.constants.BLOCK_PIXEL_SIZE_IMG)
    inner, _ = states  # a state of ours and the steps of its episode
    images = jax.jit(lambda states: jax.lax.map(draw, states))(inner)
    return list(np.asarray(jnp.clip(jnp.round(images), 0, 255).astype(jnp.uint8)))


def load_textures(name: str) -> None:
    """Load the pictures of all blocks, as arrays that no trace owns."""
    with jax.ensure_compile_time_eval(), _told_aside():
        _kind(name).constants.load_all_textures()


class _Kind:
    """The parts of the package that Craftax and Craftax-Classic have each of their own."""

    def __init__(self, folder: str, states: str, prefix: str) -> None:
        part = lambda name: imported(f"craftax.{folder}.{name}")
        with _told_aside():
            self.constants, self.renderer = part("constants"), part("renderer")
            record = part(states)
        self.params, self.static = record.EnvParams, record.StaticEnvParams
        self._part, self._prefix = part, prefix

    def environment(self, pixels: bool) -> Any:
        """The class of an environment that does not reset itself."""
        what = "Pixels" if pixels else "Symbolic"
        module = self._part(f"envs.craftax_{what.lower()}_env")
        return getattr(module, f"{self._prefix}{what}EnvNoAutoReset")


def _kind(name: str) -> _Kind:
    if "Classic" in name:
        return _Kind("craftax_classic", "envs.craftax_state", "CraftaxClassic")
    return _Kind("craftax", "craftax_state", "Craftax")


@contextlib.contextmanager
def _told_aside() -> Iterator[None]:
    """Let the package tell of its textures on the error stream, as progress is told."""
    with contextlib.redirect_stdout(sys.stderr):
        yield
