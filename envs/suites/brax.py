"""Environments of brax, without its wrappers: limits and resets are ours."""

import contextlib
import inspect
import io
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.errors import unknown_parameters
from envs.suites import mujoco_drawing
from jaxrl.environments import retyped, time_limit
from jaxrl.errors import InputError, require_known
from jaxrl.types import Array, Box, Env, Key, Spec, TimeStep, Tree

BACKENDS = ("generalized", "spring", "positional", "mjx")
MAX_STEPS = 1000  # brax's own episode_length

# Written out so that to list the names need not import brax.
_NAMES = (
    "ant",
    "fast",
    "halfcheetah",
    "hopper",
    "humanoid",
    "humanoidstandup",
    "inverted_double_pendulum",
    "inverted_pendulum",
    "pusher",
    "reacher",
    "swimmer",
    "walker2d",
)


def names() -> list[str]:
    """The names of all brax environments, each after `brax/`."""
    return [f"brax/{name}" for name in _NAMES]


def make(
    name: str,
    backend: str = "generalized",
    max_steps_in_episode: int | Array = MAX_STEPS,
    **params: Any,
) -> Env:
    """The brax environment `name`, `brax/` included, truncated after `max_steps_in_episode`.

    Other parameters are the arguments of its constructor, such as `ctrl_cost_weight`. Raises
    `InputError` for a parameter or a backend that does not exist.
    """
    require_known("brax backend", backend, BACKENDS)
    return time_limit(from_brax(_made(name, backend, params)), max_steps_in_episode)


def _made(name: str, backend: str, params: Mapping[str, Any]) -> Any:
    """The package's environment."""
    factory = _library().envs._envs[name.removeprefix("brax/")]
    arguments = [
        argument
        for argument, kind in inspect.signature(factory).parameters.items()
        if kind.kind is not kind.VAR_KEYWORD
    ]
    valid = ["backend", "max_steps_in_episode", *arguments, "n_frames"]
    unknown_parameters(name, params, valid)
    try:
        with quiet():
            return factory(backend=backend, **params)
    except ValueError as error:
        raise InputError(f"brax cannot make {name} with backend {backend!r}: {error}") from error


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`, by MuJoCo's renderer."""
    return mujoco_drawing.pictures(_remade(name, params).sys.mj_model, states[0].pipeline_state.q)


def page(name: str, params: Mapping[str, Any], states: Tree) -> str:
    """A page that shows states [T, ...] of `make(name, **params)` in brax's viewer."""
    env = _remade(name, params)
    return mujoco_drawing.page(env.sys.mj_model, states[0].pipeline_state.q, float(env.dt))


def _remade(name: str, params: Mapping[str, Any]) -> Any:
    """The package's environment, from the parameters of `make`."""
    given = {key: value for key, value in params.items() if key != "max_steps_in_episode"}
    return _made(name, given.pop("backend", "generalized"), given)


def from_brax(env: Any) -> Env:
    """Adapt any `brax.envs.Env`: `done` is a termination, unless `info["truncation"]` says not.

    Actions are in [-1, 1], as brax scales them itself. Wrap the result in
    `jaxrl.environments.time_limit`: many of these environments never end. Raises `InputError` for
    an environment in a wrapper that resets it, because the final observation is lost there.
    """
    info = jax.eval_shape(env.reset, jax.random.key(0)).info
    if any("first" in name.lower() for name in info):
        raise InputError(
            "from_brax needs an environment that does not reset itself: pass env.unwrapped, and "
            "wrap the result in envs.time_limit."
        )

    def emit(state: Any, reward: Array, done: Array) -> TimeStep:
        obs = jax.tree.map(lambda x: x.astype(jnp.float32), state.obs)
        reward, done = reward.astype(jnp.float32), done.astype(jnp.float32)
        # brax's EpisodeWrapper reports its limit as done, and here that it was the limit.
        cut = jnp.asarray(state.info.get("truncation", 0.0), jnp.float32)
        return TimeStep(obs, reward, 1.0 - done * (1.0 - cut), done > 0, obs, {})

    def init(key: Key) -> tuple[Tree, TimeStep]:
        state = env.reset(key)
        zero = jnp.zeros((), jnp.float32)
        return state, emit(state, zero, zero)

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        del key  # the physics are deterministic
        # brax writes into these dictionaries: give it copies, and the caller's state stays.
        own = state.replace(metrics=dict(state.metrics), info=dict(state.info))
        new = env.step(own, action)
        # Keep the types that the state began with.
        new = retyped(new, state)
        return new, emit(new, new.reward, new.done)

    observation = jax.eval_shape(lambda: init(jax.random.key(0))[1].obs)
    ones = jnp.ones((env.action_size,), jnp.float32)
    return Env(init, step, Spec(observation, Box(-ones, ones)))


def _library() -> Any:
    """Import brax, without what mujoco prints about accelerators that are not there."""
    mujoco_drawing.prepare()
    with contextlib.redirect_stdout(io.StringIO()):
        import brax.envs
        import brax.fluid
    # brax 0.14.2 calls clip by an argument name that JAX has dropped; only swimmer comes there.
    # The replacement stands in that one module of brax, and only for its `jax.numpy`.
    if not isinstance(brax.fluid.jp, _OldNumpy):
        brax.fluid.jp = _OldNumpy()
    return brax


class _OldNumpy:
    """`jax.numpy`, with `clip` as it was."""

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @staticmethod
    def clip(x: Array, a_min: Any = None, a_max: Any = None) -> Array:
        return jnp.clip(x, a_min, a_max)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence brax about its upkeep, and mujoco about its models, which goes into a file too."""
    import mujoco

    mujoco.set_mju_user_warning(lambda message: None)  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        mujoco.set_mju_user_warning(None)  # pyright: ignore[reportAttributeAccessIssue]
