"""MuJoCo Playground: the DeepMind control suite, walking robots and hands, simulated by MJX.

Source: Zakka et al. (2025), https://arxiv.org/abs/2502.08844.
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.errors import unknown_parameters
from envs.suites import imported, mujoco_drawing
from envs.suites.brax import from_brax, quiet
from envs.transforms import action_repeat
from jaxrl.environments import time_limit
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Env, Key, TimeStep, Tree

# Written out so that to list the names need not import the package.
CONTROL = (
    "AcrobotSwingup", "AcrobotSwingupSparse", "BallInCup", "CartpoleBalance",
    "CartpoleBalanceSparse", "CartpoleSwingup", "CartpoleSwingupSparse", "CheetahRun", "FingerSpin",
    "FingerTurnEasy", "FingerTurnHard", "FishSwim", "HopperHop", "HopperStand", "HumanoidStand",
    "HumanoidWalk", "HumanoidRun", "PendulumSwingup", "PointMass", "ReacherEasy", "ReacherHard",
    "SwimmerSwimmer6", "WalkerRun", "WalkerStand", "WalkerWalk",
)  # fmt: skip
ROBOTS = (
    "ApolloJoystickFlatTerrain", "BarkourJoystick", "BerkeleyHumanoidJoystickFlatTerrain",
    "BerkeleyHumanoidJoystickRoughTerrain", "G1JoystickFlatTerrain", "G1JoystickRoughTerrain",
    "Go1JoystickFlatTerrain", "Go1JoystickRoughTerrain", "Go1Getup", "Go1Handstand",
    "Go1Footstand", "H1InplaceGaitTracking", "H1JoystickGaitTracking", "Op3Joystick",
    "SpotFlatTerrainJoystick", "SpotGetup", "SpotJoystickGaitTracking", "T1JoystickFlatTerrain",
    "T1JoystickRoughTerrain", "AlohaHandOver", "AlohaSinglePegInsertion", "PandaPickCube",
    "PandaPickCubeOrientation", "PandaPickCubeCartesian", "PandaOpenCabinet",
    "PandaRobotiqPushCube", "LeapCubeReorient", "LeapCubeRotateZAxis", "AeroCubeRotateZAxis",
)  # fmt: skip
FRESH = 1 / 64  # episodes of the control suite only end at their limit, or where physics diverge


def names() -> list[str]:
    """The names of all environments of MuJoCo Playground, each after `playground/`."""
    return [f"playground/{name}" for name in (*CONTROL, *ROBOTS)]


def make(name: str, max_steps_in_episode: int | Array | None = None, **params: Any) -> Env:
    """The environment `name`, `playground/` included, below the package's wrappers.

    Truncated after `max_steps_in_episode` steps, or else the `episode_length` of its configuration,
    which counts each of the `action_repeat` times that an action is taken. Other parameters
    override the configuration, nested ones by a dotted name such as
    `reward_config.scales.orientation`; the physics are those of MJX in JAX. What is random follows
    from the key of each step, not from one in the state. The control suite needs nothing but the
    package; robots and hands need the models of mujoco_menagerie. Raises `InputError` for a
    parameter that does not exist, and where those models are missing.
    """
    env = _made(name, params)
    repeat = int(env._config.get("action_repeat", 1))
    length = -(-int(env._config.episode_length) // repeat)
    limit = length if max_steps_in_episode is None else max_steps_in_episode
    made = _drawing_anew(from_brax(env))
    made = action_repeat(made, repeat) if repeat > 1 else made
    fresh = FRESH if name.removeprefix("playground/") in CONTROL else made.fresh
    return time_limit(made._replace(fresh=fresh), limit)


def _made(name: str, params: Mapping[str, Any]) -> Any:
    """The package's environment, with its configuration changed."""
    registry = _library()
    short = name.removeprefix("playground/")
    if short in ROBOTS:
        place = imported("mujoco_playground._src.mjx_env").MENAGERIE_PATH
        require(
            place.exists(),
            f"{name} needs the models of mujoco_menagerie, which are not installed with the "
            "package: run mujoco_playground._src.mjx_env.ensure_menagerie_exists() once, with a "
            "network.",
        )
    valid = _flat(registry.get_default_config(short))
    hidden = ("impl", "episode_length")
    unknown_parameters(
        name, params, ["max_steps_in_episode", *(key for key in valid if key not in hidden)]
    )
    try:
        with quiet():
            return registry.load(short, config_overrides={"impl": "jax", **params})
    except (TypeError, ValueError, NotImplementedError) as error:
        raise InputError(f"{name} cannot be made with these parameters: {error}") from error


def _flat(config: Any, prefix: str = "") -> list[str]:
    """The dotted names of all entries of a configuration."""
    found = []
    for key, value in config.items():
        nested = hasattr(value, "items")
        found += _flat(value, f"{prefix}{key}.") if nested else [f"{prefix}{key}"]
    return found


def _drawing_anew(env: Env) -> Env:
    """Let what is random in a step follow from its key, if the state keeps one for it."""

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        if "rng" in state.info:
            state = state.replace(info={**state.info, "rng": key})
        return env.step(state, action, key)

    return env._replace(step=step)


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`, by MuJoCo's renderer."""
    env = _made(name, {k: v for k, v in params.items() if k != "max_steps_in_episode"})
    data = states[0].data
    return mujoco_drawing.pictures(env.mj_model, data.qpos, data.mocap_pos, data.mocap_quat)


def page(name: str, params: Mapping[str, Any], states: Tree) -> str:
    """A page that shows states [T, ...] of `make(name, **params)` in brax's viewer."""
    env = _made(name, {k: v for k, v in params.items() if k != "max_steps_in_episode"})
    return mujoco_drawing.page(env.mj_model, states[0].data.qpos, env.dt)


def _library() -> Any:
    """The package's registry, imported without what it and MuJoCo print."""
    mujoco_drawing.prepare()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return imported("mujoco_playground").registry
