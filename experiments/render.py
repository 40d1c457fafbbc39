"""Animations of an agent in its environment, drawn by its suite or from its observations."""

from collections.abc import Callable
from math import atan2, cos, sin
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image, ImageDraw

from envs import suites
from experiments import building, configuration, films, lanes, run_data
from experiments.configuration import Configuration
from experiments.evaluation import restore_member
from experiments.films import INK, PAPER
from jaxrl.environments import vectorize
from jaxrl.rollouts import rollout
from jaxrl.types import Run

SIZE = (300, 200)
ACCENT = (214, 93, 14)
LIMIT = 500  # frames

Draw = Callable[[ImageDraw.ImageDraw, np.ndarray], None]


def animate(config: Configuration, folder: Path, index: int, seed: int, path: Path) -> None:
    """Write the animation of one greedy episode of member `index` of a results folder.

    Environments of a suite with a renderer are drawn by it, others from their observations. Raises
    an InputError if the renderer cannot run, or for a kind of file that cannot be written here.
    """
    films.require_film(path)
    config = run_data.with_data_described(config)  # here, for a trace cannot read a data set
    hp, run = restore_member(config, folder, index)
    limit = min(LIMIT, config.max_episode_steps)
    if lanes.outside(config.env):
        from experiments import host

        observations, rewards, drawn = host.film(config, hp, run, seed, limit)
        films.save(pictures(config.env, observations, rewards, drawn), path)
        return

    def play(run: Run, key: Any) -> Any:
        env = configuration.make_env(config)
        setup = building.build(config, hp, env=films.telling(env, config.env))
        k_init, k_play = jax.random.split(key)
        env = vectorize(setup.env, 1)
        state, now = env.init(k_init)
        start = (state, now, setup.agent.exploit.init(1))
        view = setup.agent.update.read(run.learner)
        _, data, info = rollout(env, setup.agent.exploit, view, start, k_play, limit)
        return data.obs, data.reward, data.last, info.get(films.STATE)

    observations, rewards, last, states = jax.jit(play)(run, jax.random.key(seed))
    rewards, last = np.asarray(rewards)[:, 0], np.asarray(last)[:, 0]
    length = int(last.argmax()) + 1 if last.any() else len(last)
    drawn = []
    if states is not None:
        states = jax.tree.map(lambda x: x[:length, 0], states)
        if films.paged(config.env, path):
            path.write_text(suites.page(config.env, config.env_params, states))
            return
        drawn = suites.frames(config.env, config.env_params, states)
    leaf = np.asarray(jax.tree.leaves(observations)[0][:length, 0])
    films.save(pictures(config.env, leaf, rewards, drawn), path)


def pictures(
    env: str, observations: np.ndarray, rewards: np.ndarray, drawn: list[np.ndarray]
) -> list[Image.Image]:
    """The pictures of an episode: those that its suite has `drawn`, or else of observations."""
    if drawn:
        return [films.titled(image, title(rewards, t)) for t, image in enumerate(drawn)]
    if observations.ndim == 4 and observations.dtype == np.uint8:  # the latest of stacked frames
        grey = observations[..., -1:].repeat(3, -1)
        return [films.titled(image, title(rewards, t)) for t, image in enumerate(grey)]
    observations = observations.astype(float)
    return [frame(env, observations, rewards, t) for t in range(len(observations))]


def title(rewards: np.ndarray, step: int) -> str:
    """What is said of time step `step`."""
    return f"step {step + 1}   return {float(rewards[: step + 1].sum()):.1f}"


def frame(env: str, observations: np.ndarray, rewards: np.ndarray, step: int) -> Image.Image:
    """The picture of time step `step`."""
    if observations.ndim == 4:
        return grid(observations[step])
    image = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(image)
    env = env.removeprefix("gymnasium/")
    if env in DRAWINGS:
        DRAWINGS[env](draw, observations[step])
    else:
        traces(draw, observations.reshape(len(observations), -1), step)
    draw.text((6, 4), title(rewards, step), fill=INK)
    return image


def grid(channels: np.ndarray) -> Image.Image:
    """Draw an image [H, W, C] with one colour per channel."""
    count = channels.shape[-1]
    hues = np.arange(count) / count
    colours = [Image.new("HSV", (1, 1), (int(h * 255), 200, 235)).convert("RGB") for h in hues]
    palette = np.array([colour.getpixel((0, 0)) for colour in colours])
    shown = np.where(channels.any(-1, keepdims=True), palette[channels.argmax(-1)], 30)
    return Image.fromarray(shown.astype(np.uint8)).resize((240, 240), Image.Resampling.NEAREST)


def cart_pole(draw: ImageDraw.ImageDraw, x: np.ndarray) -> None:
    """Draw a cart on its track, and the pole."""
    angle = x[2] if len(x) == 4 else x[1]
    centre, ground = SIZE[0] / 2 + x[0] / 2.4 * 130, 150
    draw.line((0, ground + 10, SIZE[0], ground + 10), fill=INK)
    draw.rectangle((centre - 22, ground - 10, centre + 22, ground + 10), fill=INK)
    tip = (centre + 100 * sin(angle), ground - 10 - 100 * cos(angle))
    draw.line((centre, ground - 10, *tip), fill=ACCENT, width=7)


def links(draw: ImageDraw.ImageDraw, angles: list[float], length: float) -> None:
    """Draw a chain of rods, with angles measured from the upright."""
    x, y = SIZE[0] / 2, SIZE[1] / 2
    for angle in angles:
        tip = (x + length * sin(angle), y - length * cos(angle))
        draw.line((x, y, *tip), fill=ACCENT, width=8)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=INK)
        x, y = tip


def pendulum(draw: ImageDraw.ImageDraw, x: np.ndarray) -> None:
    """Draw one rod, which is upright at angle zero."""
    links(draw, [-atan2(x[1], x[0])], 80)


def acrobot(draw: ImageDraw.ImageDraw, x: np.ndarray) -> None:
    """Draw two rods, which hang at angle zero, and the height to reach."""
    first = atan2(x[1], x[0])
    second = first + atan2(x[3], x[2])
    draw.line((0, SIZE[1] / 2 - 45, SIZE[0], SIZE[1] / 2 - 45), fill=(150, 150, 150))
    links(draw, [np.pi - first, np.pi - second], 45)


def mountain_car(draw: ImageDraw.ImageDraw, x: np.ndarray) -> None:
    """Draw a car in its valley, and the flag."""
    across = lambda p: (p + 1.2) / 1.8 * SIZE[0]
    height = lambda p: SIZE[1] - 40 - (np.sin(3 * p) * 0.45 + 0.55) * 110
    places = np.linspace(-1.2, 0.6, 80)
    draw.line([(across(p), height(p)) for p in places], fill=INK, width=2)
    draw.line((across(0.5), height(0.5), across(0.5), height(0.5) - 30), fill=ACCENT, width=4)
    cx, cy = across(x[0]), height(x[0]) - 8
    draw.ellipse((cx - 8, cy - 8, cx + 8, cy + 8), fill=ACCENT)


def traces(draw: ImageDraw.ImageDraw, observations: np.ndarray, step: int) -> None:
    """Draw each feature of the observation against time, up to a step."""
    shown = observations[:, : min(8, observations.shape[1])]
    low, high = shown.min(0), shown.max(0)
    unit = (shown - low) / np.where(high > low, high - low, 1)
    band = (SIZE[1] - 30) / shown.shape[1]
    for i in range(shown.shape[1]):
        base = 26 + (i + 1) * band
        points = [
            (8 + t / max(len(shown) - 1, 1) * (SIZE[0] - 16), base - unit[t, i] * band * 0.85)
            for t in range(step + 1)
        ]
        draw.line(points if len(points) > 1 else points * 2, fill=ACCENT if i % 2 else INK, width=2)


DRAWINGS: dict[str, Draw] = {
    "Acrobot-v1": acrobot,
    "CartPole-masked": cart_pole,
    "CartPole-v1": cart_pole,
    "MountainCar-v0": mountain_car,
    "MountainCarContinuous-v0": mountain_car,
    "Pendulum-v1": pendulum,
}
