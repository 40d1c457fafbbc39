"""Films: states that reach the renderer of their suite, and files that can be read again."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import envs
from envs import suites
from experiments import films
from jaxrl.errors import InputError

NAME = "brax/inverted_pendulum"
PARAMS = {"backend": "spring", "max_steps_in_episode": 20}


@pytest.fixture(scope="module")
def states():
    """The states [8, ...] of a pole that is pushed over."""
    env = films.telling(envs.make(NAME, **PARAMS), NAME)

    @jax.jit
    def run(key):
        state, first = env.init(key)
        step = lambda state, _: env.step(state, jnp.ones(1), key)
        return first.info, jax.lax.scan(step, state, None, 8)[1].info

    first, later = run(jax.random.key(0))
    assert jax.tree.structure(first) == jax.tree.structure(later)
    return later[films.STATE]


def test_a_suite_draws_states_that_info_tells(states):
    try:
        images = suites.frames(NAME, PARAMS, states)
    except InputError as error:  # a machine without EGL and OSMesa says what to do
        assert "MUJOCO_GL" in str(error)
        return
    assert len(images) == 8 and {(x.shape, x.dtype.name) for x in images} == {
        ((240, 320, 3), "uint8")
    }
    # The pole falls: the last picture differs from the first in more than a few pixels.
    assert (images[0] != images[-1]).any(-1).sum() > 100


def test_a_suite_with_a_viewer_writes_a_page(states):
    page = suites.page(NAME, PARAMS, jax.tree.map(lambda x: x[:2], states))
    assert "<html>" in page and "viewer" in page


def test_nothing_is_told_where_nothing_can_be_drawn():
    env = envs.make("CartPole-v1")
    assert films.telling(env, "CartPole-v1") is env


def test_small_pictures_are_enlarged_and_have_even_sides():
    image = np.zeros((9, 7, 3), np.uint8)
    image[:, :3] = 200
    drawn = np.asarray(films.titled(image, ""))
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0 and drawn.shape[1] >= films.SMALLEST
    shares = [(drawn[films.BAR :] == x).all(-1).mean() for x in (200, 0)]
    np.testing.assert_allclose(shares, [3 / 7, 4 / 7], atol=0.02)


def test_films_are_read_again(tmp_path):
    pictures = [Image.new("RGB", (64, 48), (i, 0, 255 - i)) for i in range(0, 255, 25)]
    films.save(pictures, tmp_path / "x.gif")
    with Image.open(tmp_path / "x.gif") as film:
        assert film.size == (64, 48) and film.n_frames == len(pictures)
    films.save(pictures, tmp_path / "x.html")
    assert "data:image/gif;base64," in (tmp_path / "x.html").read_text()


def test_a_video_needs_its_packages(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install imageio\[ffmpeg\]"):
        films.require_film(tmp_path / "x.mp4")


def test_videos(tmp_path):
    imageio = pytest.importorskip("imageio")
    pytest.importorskip("imageio_ffmpeg")
    pictures = [Image.new("RGB", (64, 48), (i, 0, 255 - i)) for i in range(0, 250, 50)]
    films.save(pictures, tmp_path / "x.mp4")
    assert imageio.v2.get_reader(tmp_path / "x.mp4").count_frames() == len(pictures)
