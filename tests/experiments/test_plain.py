"""Data sets in other forms: OGBench's, plain arrays, dictionaries, images, and what is refused."""

import json
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import datasets, inspection, plain
from experiments.cli import main
from jaxrl.errors import InputError
from jaxrl.types import Box, Discrete, Env, Spec

VECTOR = jax.ShapeDtypeStruct((2,), jnp.float32)
BOX = Box(-2 * jnp.ones(1), 2 * jnp.ones(1))
NESTED = {"b": jax.ShapeDtypeStruct((), jnp.float32), "a": jax.ShapeDtypeStruct((2,), jnp.float32)}


def env_of(observation=VECTOR, action=BOX):
    """What reading asks of an environment: its spec."""
    return Env(lambda key: None, lambda *x: None, Spec(observation, action))


def ogbench(path, **changes):
    """Two trajectories of 4 and 2 transitions, as OGBench stores them: 5 and 3 observations."""
    arrays = {
        "observations": np.arange(16, dtype=np.float32).reshape(8, 2),
        "actions": np.linspace(-2, 2, 8, dtype=np.float32)[:, None],
        "terminals": np.array([0, 0, 0, 0, 1, 0, 0, 1], np.float32),
        "qpos": np.zeros((8, 3), np.float32),
    }
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return str(path)


def test_the_last_observation_of_ogbench_is_a_successor_and_its_action_leads_nowhere(tmp_path):
    path = ogbench(tmp_path / "maze.npz")
    pay = lambda obs, action, final: final[..., 0] - 100
    data = plain.load(path, env_of(), 1, 1, reward=pay)
    kept = np.array([0, 1, 2, 3, 5, 6])
    np.testing.assert_array_equal(data.obs[:, 0, 0], 2 * kept)
    np.testing.assert_array_equal(data.final[:, 0, 0], 2 * (kept + 1))
    np.testing.assert_array_equal(data.reward[:, 0], 2 * (kept + 1) - 100)
    np.testing.assert_allclose(data.action[:, 0, 0], np.linspace(-1, 1, 8)[kept], atol=1e-6)
    # A trajectory ends because its time is over: its successor has a value.
    np.testing.assert_array_equal(data.last[:, 0], [0, 0, 0, 1, 0, 1])
    assert (data.discount == 1).all()
    with pytest.raises(InputError, match="has no rewards"):
        datasets.load(path, env_of(), 1, 1)
    rows, notes = datasets.described(path)
    assert [len(e["observations"]) for e in rows] == [5, 3] and notes == {}
    np.testing.assert_array_equal(rows[1]["observations"][:, 0], [10, 12, 14])
    found = inspection.report(rows)
    assert found[:4] == (6, 0, 2, 0) and found.returns is None
    assert "It has no rewards." in inspection.sentences(found, "it")


def rewarded(path, **changes):
    """Six steps under the names of other data sets; the third one dies, the fifth is cut off."""
    arrays = {
        "rewards": np.arange(6.0),
        "observations": np.arange(12.0).reshape(6, 2),
        "next_observations": np.arange(12.0).reshape(6, 2) + 2,
        "actions": np.zeros((6, 1)),
        "terminals": np.array([0, 0, 1, 0, 0, 0], bool),
        "timeouts": np.array([0, 0, 0, 0, 1, 0], bool),
    }
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return str(path)


def test_other_names_are_understood_and_an_open_end_is_told(tmp_path):
    path = rewarded(tmp_path / "x.npz")
    data = datasets.load(path, env_of(), 2, 3)
    np.testing.assert_array_equal(data.reward.T, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(data.discount.T, [[1, 1, 0], [1, 1, 1]])
    np.testing.assert_array_equal(data.last.T, [[0, 0, 1], [0, 1, 1]])
    rows, _ = datasets.described(path)
    assert [len(e["actions"]) for e in rows] == [3, 2, 1]
    assert [e["unfinished"] for e in rows] == [False, False, True]
    assert inspection.report(rows)[:4] == (6, 1, 1, 1)
    more = {"observations": np.arange(18.0).reshape(9, 2), "next_observations": None}
    for number, wanted in ((9, [4, 3, 2]), (6, [3, 2])):
        seen = more | {"observations": more["observations"][:number]}
        rows, _ = datasets.described(rewarded(tmp_path / "y.npz", **seen))
        assert [len(e["observations"]) for e in rows] == wanted


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"actions": None}, "x.npz has no array called actions, but rewards, observations"),
        ({"rewards": np.full(6, np.nan)}, "x.npz has a reward that is not finite"),
        ({"actions": np.full((6, 1), 3.0)}, "actions from 3 to 3, .* between -2 and 2"),
        ({"actions": np.zeros((6, 2))}, r"actions of shape \(2,\)"),
        ({"observations": np.zeros((6, 3))}, r"shape \(3,\), and the environment \(2,\)"),
        ({"observations": np.full((6, 2), np.inf)}, "observation that is not finite"),
        ({"next_observations": None}, "has terminations, but not the observations that they led"),
        ({"timeouts": np.zeros(5)}, "6 rewards, but its truncations are not as many"),
        ({"rewards": np.zeros(0)}, "no steps"),
    ],
)
def test_what_does_not_fit_is_refused(changes, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        datasets.load(rewarded(tmp_path / "x.npz", **changes), env_of(), 1, 1)


def test_a_data_set_that_is_too_short_for_a_sequence_is_refused(tmp_path, capsys):
    words = ["dataset", "random", "--env", "CartPole-v1", "--steps", "64"]
    path = str(tmp_path / "short.npz")
    assert main([*words, "--out", path]) == 0
    train = ["train", "dqn", "--env", "CartPole-v1", "--dataset", path, "--num-envs", "8"]
    assert main([*train, "--n-step", "20", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert "short.npz is too short to be the whole buffer" in told and "sequences of 20" in told
    assert len(told.strip().splitlines()) == 1


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nonsense")
    np.savez(tmp_path / "objects.npz", observations=np.array([None, 1]))
    for name, sentence in (("text", "cannot be read"), ("objects", "cannot be read"),
                           ("none", "no such file")):  # fmt: skip
        with pytest.raises(InputError, match=sentence):
            datasets.described(str(tmp_path / f"{name}.npz"))
    with pytest.raises(InputError, match="has 5 observations, but must have 6"):
        datasets.described(rewarded(tmp_path / "x.npz", observations=np.zeros((5, 2))))
    with pytest.raises(InputError, match="its rewards are not as many"):
        datasets.described(rewarded(tmp_path / "x.npz", rewards=np.zeros(5)))
    with pytest.raises(
        InputError, match="6 transitions, which is too few for 1 lanes of at least 7"
    ):
        datasets.load(rewarded(tmp_path / "x.npz"), env_of(), 1, 7)


def nested_episodes():
    """Two episodes whose observations are dictionaries."""
    rng = np.random.default_rng(0)
    rows = []
    for number in (3, 2):
        seen = {"a": rng.normal(size=(number + 1, 2)).astype(np.float32),
                "b": rng.normal(size=number + 1).astype(np.float32)}  # fmt: skip
        ends = np.arange(number) == number - 1
        rows.append({"observations": seen, "actions": np.zeros((number, 1), np.float32),
                     "rewards": np.ones(number), "terminations": ends, "truncations": ends & False,
                     "unfinished": False})  # fmt: skip
    return rows


@pytest.mark.parametrize("name", ["nested.npz", "nested-v0"])
def test_dictionaries_come_back_and_become_vectors_where_the_environment_shows_them(name, tmp_path):
    if name.endswith("v0"):
        pytest.importorskip("minari")
    env, path, rows = env_of(NESTED), tmp_path / name, nested_episodes()
    datasets.require_writable(env, path)
    datasets.save(rows, env, path, "by hand")
    data = datasets.load(str(path), env, 1, 1)
    assert jax.tree.structure(data.obs) == jax.tree.structure(NESTED)
    for key in ("a", "b"):
        x = [e["observations"][key] for e in rows]
        np.testing.assert_array_equal(data.obs[key][:, 0], np.concatenate([y[:-1] for y in x]))
        np.testing.assert_array_equal(data.final[key][:, 0], np.concatenate([y[1:] for y in x]))
    flat = datasets.load(str(path), env_of(jax.ShapeDtypeStruct((3,), jnp.float32)), 1, 1)
    wanted = np.concatenate([data.obs["a"], data.obs["b"][..., None]], -1)  # in the order of names
    np.testing.assert_array_equal(flat.obs, wanted)
    with pytest.raises(InputError, match="observations of 2 arrays, but the environment shows 1"):
        datasets.load(str(path), env_of(jax.ShapeDtypeStruct((4,), jnp.float32)), 1, 1)
    with pytest.raises(InputError, match="dictionaries or tuples"):
        record = SimpleNamespace(x=VECTOR)
        datasets.require_writable(env_of(record), path)


def test_images_are_stored_as_they_are(tmp_path):
    """Minari would compress them with losses by default."""
    pytest.importorskip("minari")
    shape = jax.ShapeDtypeStruct((32, 32, 3), jnp.uint8)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    row = {"observations": images, "actions": np.array([0, 1]), "rewards": np.ones(2),
           "terminations": np.zeros(2, bool), "truncations": np.array([False, True])}  # fmt: skip
    datasets.save([row], env_of(shape, Discrete(2)), tmp_path / "images-v0", "by hand")
    data = datasets.load(str(tmp_path / "images-v0"), env_of(shape, Discrete(2)), 1, 1)
    np.testing.assert_array_equal(data.obs[:, 0], images[:-1])
    assert json.loads((tmp_path / "images-v0/data/metadata.json").read_text())["jaxrl"] == {}


def test_a_data_set_that_minari_made_is_read(tmp_path, monkeypatch):
    """With its own collector, in gymnasium's CartPole, where the time limit truncates."""
    minari, gymnasium = pytest.importorskip("minari"), pytest.importorskip("gymnasium")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    env = minari.DataCollector(gymnasium.make("CartPole-v1", max_episode_steps=15))
    taken = []
    for seed in range(4):
        env.reset(seed=seed)
        over = False
        while not over:
            action = seed % 2 if seed < 2 else len(taken) % 2
            _, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            taken.append((action, reward, terminated, truncated))
    env.create_dataset("cartpole/test-v0", algorithm_name="x", code_permalink="x", author="x",
                       author_email="x", description="x")  # fmt: skip
    env.close()
    spec = env_of(jax.ShapeDtypeStruct((4,), jnp.float32), Discrete(2))
    folder = str(tmp_path / "cartpole" / "test-v0")
    data = datasets.load(folder, spec, 1, 1)
    action, reward, terminated, truncated = np.array(taken).T
    np.testing.assert_array_equal(data.action[:, 0], action)
    np.testing.assert_array_equal(data.reward[:, 0], reward)
    np.testing.assert_array_equal(data.discount[:, 0], 1 - terminated)
    np.testing.assert_array_equal(data.last[:, 0], np.logical_or(terminated, truncated))
    assert terminated.sum() >= 2 and truncated.sum() >= 1
    rows, notes = datasets.described(folder)
    assert inspection.report(rows)[1:4] == (terminated.sum(), truncated.sum(), 0) and notes == {}
