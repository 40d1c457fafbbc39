"""The drawings show what the observation says."""

import jax
import numpy as np
import pytest
from PIL import Image

import envs
from experiments.films import save
from experiments.render import ACCENT, INK, frame, grid


def where(image: Image.Image, colour: tuple[int, int, int]) -> np.ndarray:
    """The mean (x, y) of the pixels of a colour below the line of text."""
    pixels = (np.asarray(image) == colour).all(-1)
    pixels[:20] = False
    return np.argwhere(pixels).mean(0)[::-1]


def picture(env: str, observation: list[float]) -> Image.Image:
    return frame(env, np.array([observation]), np.ones(1), 0)


def test_cart_pole():
    left, right = (picture("CartPole-v1", [x, 0, 0, 0]) for x in (-1.0, 1.0))
    assert where(left, ACCENT)[0] < 150 < where(right, ACCENT)[0]
    leaning = picture("CartPole-v1", [0, 0, 0.2, 0])  # positive angles lean right
    assert where(leaning, ACCENT)[0] > 150
    masked = picture("CartPole-masked", [0, 0.2])
    np.testing.assert_array_equal(np.asarray(masked), np.asarray(leaning))


def test_pendulum_and_acrobot():
    up, down = (picture("Pendulum-v1", [c, 0, 0]) for c in (1.0, -1.0))
    assert where(up, ACCENT)[1] < 100 < where(down, ACCENT)[1]
    hanging = picture("Acrobot-v1", [1, 0, 1, 0, 0, 0])
    raised = picture("Acrobot-v1", [-1, 0, 1, 0, 0, 0])
    assert where(raised, ACCENT)[1] < 100 < where(hanging, ACCENT)[1]
    folded = picture("Acrobot-v1", [1, 0, -1, 0, 0, 0])
    assert where(folded, ACCENT)[1] < where(hanging, ACCENT)[1]


def test_mountain_car():
    valley, hill = (picture("MountainCar-v0", [x, 0]) for x in (-0.5, 0.4))
    assert where(valley, ACCENT)[0] < where(hill, ACCENT)[0]
    assert where(valley, ACCENT)[1] > where(hill, ACCENT)[1]


def test_grid_gives_each_channel_a_colour():
    channels = np.zeros((10, 10, 3))
    channels[2, 3, 0] = channels[5, 5, 1] = channels[7, 1, 2] = 1
    cells = np.asarray(grid(channels))[12::24, 12::24]
    assert len({tuple(cells[at]) for at in [(2, 3), (5, 5), (7, 1), (0, 0)]}) == 4
    assert (cells[0, 0] == cells[9, 9]).all()


@pytest.mark.parametrize("name", ["FourRooms-misc", "FrozenLake", "Reacher-misc", "CartPole-v1"])
def test_every_kind_of_observation_can_be_recorded(name, tmp_path):
    _, now = envs.make(name).init(jax.random.key(0))
    leaf = np.asarray(jax.tree.leaves(now.obs)[0], float)
    frames = [frame(name, np.stack([leaf] * 3), np.arange(3.0), t) for t in range(3)]
    frames[-1].putpixel((5, 150), INK)
    save(frames, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as film:
        assert film.size == frames[0].size
