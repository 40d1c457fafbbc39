"""Films of environments: their states, told to who draws them, and files of moving pictures."""

import base64
import importlib
import importlib.util
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from envs import suites
from jaxrl.errors import require
from jaxrl.types import Array, Env, Key, TimeStep, Tree

STATE = "state"  # of an environment that is drawn, in the info of its time steps
KINDS = (".gif", ".mp4", ".html")
PERIOD = 40  # milliseconds between two pictures
MOST = 250  # pictures of a film
SMALLEST = 240  # pixels of the shorter side of a picture
BAR = 18  # pixels above a picture, for its title
INK, PAPER = (40, 44, 52), (250, 249, 245)


def telling(env: Env, name: str) -> Env:
    """The environment, which tells its state in `info` if its suite can draw it."""
    if not suites.draws(name):
        return env

    def told(state: Tree, ts: TimeStep) -> tuple[Tree, TimeStep]:
        return state, ts._replace(info={**ts.info, STATE: state})

    def step(state: Tree, action: Array, key: Key) -> tuple[Tree, TimeStep]:
        return told(*env.step(state, action, key))

    trial = env.trial and env.trial._replace(env=telling(env.trial.env, name))
    return env._replace(init=lambda key: told(*env.init(key)), step=step, trial=trial)


def titled(image: np.ndarray, title: str) -> Image.Image:
    """A picture [H, W, 3] of bytes, enlarged if it is small, below a line of text."""
    factor = max(1, -(-SMALLEST // min(image.shape[:2])))
    image = image.repeat(factor, 0).repeat(factor, 1)
    height, width = image.shape[:2]
    # Videos need even sides.
    whole = Image.new("RGB", (width + width % 2, height + BAR + (height + BAR) % 2), PAPER)
    whole.paste(Image.fromarray(image), (0, BAR))
    ImageDraw.Draw(whole).text((6, 3), title, fill=INK)
    return whole


def paged(name: str, path: Path) -> bool:
    """Whether a film of `name` in this file is a page of its suite's own viewer."""
    return path.suffix == ".html" and suites.pages(name)


def require_film(path: Path) -> None:
    """Raise an InputError unless a film can be written into a file of this name."""
    require(path.suffix in KINDS, "--render takes the name of a .gif, .mp4 or .html file.")
    missing = [x for x in ("imageio", "imageio_ffmpeg") if importlib.util.find_spec(x) is None]
    require(
        path.suffix != ".mp4" or not missing,
        "An .mp4 film needs the packages imageio and imageio-ffmpeg: pip install imageio[ffmpeg], "
        "or write a .gif.",
    )


def save(frames: list[Image.Image], path: Path) -> None:
    """Write pictures as a film of 25 a second, which has at most 250 of them.

    A .gif repeats for ever, and a .html is a page that shows it. Raises an InputError for another
    kind of file.
    """
    require_film(path)
    frames = frames[:: 1 + (len(frames) - 1) // MOST]
    if path.suffix == ".mp4":
        _video([np.asarray(frame) for frame in frames], path)
        return
    file = io.BytesIO()
    quick = [frame.quantize(64) for frame in frames]
    quick[0].save(
        file, format="GIF", save_all=True, append_images=quick[1:], duration=PERIOD, loop=0
    )
    if path.suffix == ".gif":
        path.write_bytes(file.getvalue())
        return
    picture = base64.b64encode(file.getvalue()).decode("ascii")
    path.write_text(f'<!doctype html><img alt="one episode" src="data:image/gif;base64,{picture}">')


def _video(frames: list[np.ndarray], path: Path) -> None:
    writing: Any = importlib.import_module("imageio.v2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of JAX: the encoder is another process
        with writing.get_writer(path, fps=1000 // PERIOD, macro_block_size=2) as writer:
            for frame in frames:
                writer.append_data(frame)
