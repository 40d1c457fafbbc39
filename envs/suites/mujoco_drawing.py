"""Pictures of MuJoCo's models by its own renderer, which needs no display."""

import ctypes.util
import importlib
import os
import sys
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxrl.errors import InputError

WIDTH, HEIGHT = 320, 240


def prepare() -> None:
    """Let MuJoCo draw where there is no display; to be called before mujoco is imported."""
    headless = sys.platform == "linux" and not os.environ.get("DISPLAY")
    if headless and "MUJOCO_GL" not in os.environ and ctypes.util.find_library("EGL"):
        os.environ["MUJOCO_GL"] = "egl"


def pictures(
    model: Any, positions: Any, mocap_positions: Any = None, mocap_rotations: Any = None
) -> list[np.ndarray]:
    """Pictures [H, W, 3] of a `mujoco.MjModel` at generalised positions [T, nq].

    Bodies that are moved from outside may have positions [T, nmocap, 3] and rotations
    [T, nmocap, 4]. The model's first camera looks, if it has any. Raises an InputError where
    MuJoCo cannot draw.
    """
    mujoco: Any = importlib.import_module("mujoco")
    try:
        renderer = mujoco.Renderer(model, height=HEIGHT, width=WIDTH)
    except Exception as error:  # each of MuJoCo's three backends raises errors of its own
        raise InputError(
            f"MuJoCo cannot draw here ({error}): install EGL or OSMesa and set MUJOCO_GL to egl or "
            "osmesa before Python starts, or write a page, --render NAME.html."
        ) from error
    data, found = mujoco.MjData(model), []
    try:
        for t, position in enumerate(np.asarray(positions)):
            data.qpos[:] = position
            if mocap_positions is not None and mocap_rotations is not None and model.nmocap:
                data.mocap_pos[:] = np.asarray(mocap_positions[t])
                data.mocap_quat[:] = np.asarray(mocap_rotations[t])
            mujoco.mj_forward(model, data)
            renderer.update_scene(data, camera=0 if model.ncam else -1)
            found.append(renderer.render().copy())
    finally:
        renderer.close()
    return found


def page(model: Any, positions: Any, period: float) -> str:
    """A page of brax's viewer that shows a `mujoco.MjModel` at positions [T, nq].

    `period` is the time between them in seconds. The page loads its viewer from the network.
    Raises an InputError for a model that brax cannot read.
    """
    from brax import base
    from brax.io import html, mjcf

    mujoco: Any = importlib.import_module("mujoco")
    data = mujoco.MjData(model)

    def place(position: np.ndarray) -> Any:
        data.qpos[:] = position
        mujoco.mj_forward(model, data)
        x = base.Transform(pos=jnp.asarray(data.xpos[1:]), rot=jnp.asarray(data.xquat[1:]))
        nothing: Any = None
        return base.State(nothing, nothing, x, nothing, nothing)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # brax tells that it is no longer maintained
            system: Any = mjcf.load_model(model)
        system = system.tree_replace({"opt.timestep": period})
        states = [place(position) for position in np.asarray(positions)]
        return html.render(system, states, colab=False)
    except (KeyError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(
            f"brax's viewer cannot show this model ({error}): write a picture, --render NAME.gif."
        ) from error
