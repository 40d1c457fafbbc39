"""Data sets: what minari reads, what comes back, and what is learnt from them."""

import dataclasses
import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import AGENTS
from experiments import collecting, configuration, datasets, memory, records, run_data
from experiments.cli import main
from experiments.learning import compiled
from experiments.memory import bytes_of
from experiments.population import buffers, gather
from jaxrl import advance, assemble
from jaxrl.errors import InputError
from jaxrl.offline import offline, stored_data
from jaxrl.types import Box, Discrete, MultiDiscrete, Spec
from tests.experiments.runs import state, table

minari = pytest.importorskip("minari")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pendulum-random-v0"
    words = ["dataset", "random", "--env", "Pendulum-v1", "--steps", "4000", "--out", str(folder)]
    assert main(words) == 0
    return folder


def test_minari_reads_what_the_environment_did(stored):
    """Each transition again, by the environment's own equations (gymnasium's, in numpy)."""
    data = minari.MinariDataset(stored / "data")
    assert data.total_steps == 4000 and data.action_space.shape == (1,)
    for e in data.iterate_episodes([0, 5]):
        assert e.observations.shape == (len(e.rewards) + 1, 3)
        assert not e.terminations.any() and e.truncations[-1] and not e.truncations[:-1].any()
        assert 1.5 < np.abs(e.actions).max() <= 2  # in its own units
        angle = np.arctan2(e.observations[:, 1], e.observations[:, 0])
        speed, torque = e.observations[:, 2], e.actions[:, 0]
        cost = angle[:-1] ** 2 + 0.1 * speed[:-1] ** 2 + 0.001 * torque**2
        np.testing.assert_allclose(e.rewards, -cost, atol=1e-3)
        faster = np.clip(speed[:-1] + (15 * np.sin(angle[:-1]) + 3 * torque) * 0.05, -8, 8)
        np.testing.assert_allclose(speed[1:], faster, atol=1e-3)


def test_lanes_are_stretches_of_it_with_actions_scaled(stored):
    env = envs.make("Pendulum-v1")
    data = datasets.load(str(stored), env, 2, 8)
    assert data.reward.shape == (2000, 2) and data.last[-1].all()
    flat = jax.tree.map(lambda x: np.concatenate([x[:, 0], x[:, 1]]), data)
    episodes = list(minari.MinariDataset(stored / "data").iterate_episodes())
    np.testing.assert_allclose(flat.obs, np.concatenate([e.observations[:-1] for e in episodes]))
    np.testing.assert_allclose(flat.final, np.concatenate([e.observations[1:] for e in episodes]))
    actions = np.concatenate([e.actions for e in episodes])
    np.testing.assert_allclose(2 * flat.action, actions, atol=1e-5)
    ends = np.cumsum([len(e.rewards) for e in episodes]) - 1
    np.testing.assert_array_equal(np.flatnonzero(flat.last), np.union1d(ends, [1999]))
    assert (data.discount == 1).all()


def test_episodes_are_cut_where_they_end_and_terminate_where_they_do():
    lane = collecting.played(envs.make("CartPole-v1"), "random", 60, jax.random.key(0), False)
    one = jax.tree.map(lambda x: x[:, 3], lane)
    parts = datasets.split(one)
    assert sum(len(p["rewards"]) for p in parts) == 60
    for part in parts[:-1]:
        assert part["terminations"][-1] and part["terminations"].sum() == 1
        assert not part["truncations"].any()
    assert parts[-1]["truncations"][-1] != parts[-1]["terminations"][-1]
    # The successor of the last step is the state it led to, and not that of a reset.
    end = len(parts[0]["rewards"]) - 1
    np.testing.assert_array_equal(parts[0]["observations"][-1], one.final[end])


def test_nothing_is_added_to_what_is_learnt_from(stored):
    env = envs.make("Pendulum-v1")
    hp = AGENTS["sac"].defaults.replace(
        hidden=(8,), batch_size=16, buffer_size=4000, warmup=4000, num_envs=2
    )
    data = datasets.load(str(stored), env, 2, 1)
    experiment = offline(assemble(AGENTS["sac"].make, env, hp).agent, data)
    run = jax.jit(experiment.init)(jax.random.key(0))
    end, metrics = jax.jit(lambda run: advance(experiment, run, 5))(run)
    np.testing.assert_array_equal(end.learner.buffer.words, run.learner.buffer.words)
    assert end.learner.inner.step == 5 and np.isfinite(metrics["critic_loss"])


@pytest.mark.thorough
def test_trained_from_the_shell_without_the_data_in_it(stored, tmp_path, monkeypatch, capsys):
    data, folder, again = tmp_path / "data-v0", tmp_path / "run", tmp_path / "mixed-v0"
    shutil.copytree(stored, data)
    words = ["train", "sac", "--env", "Pendulum-v1", "--dataset", str(data), "--seeds", "2"]
    small = ["--evaluations", "2", "--episodes", "2", "--hidden", "8"]
    whole = ["--steps", "40", "--out", str(tmp_path / "whole")]
    assert main([*words, *small, *whole]) == 0
    assert (tmp_path / "whole" / "best_agent.gif").exists()  # whose environment needs no data
    assert main([*words, *small, "--steps", "20", "--out", str(folder), "--no-animation"]) == 0
    # The warm-up is not charged: nothing is done in the environment but evaluation.
    assert [row["env_steps"] for row in table(folder)[::2]] == ["0", "10", "20"]
    like = gather(configuration.load(folder)).like
    assert not stored_data(like) and memory.bytes_of(like) < 50_000  # of 4000 transitions: 128 kB
    resume = ["train", "--resume", str(folder), "--steps", "40", "--no-animation"]
    moved = data.rename(tmp_path / "moved-v0")
    datasets.episodes_of.cache_clear()
    monkeypatch.chdir(tmp_path.parent)
    assert main(["evaluate", str(folder), "--episodes", "1"]) == 0
    assert main(resume) == 2 and "not a data set" in capsys.readouterr().err
    random = ["dataset", "random", "--env", "Pendulum-v1", "--steps", "4000", "--seed", "1"]
    assert main([*random, "--out", str(data)]) == 0
    datasets.episodes_of.cache_clear()
    assert main(resume) == 2 and "not the one" in capsys.readouterr().err
    assert main([*resume, "--dataset", str(moved)]) == 0
    returns = [[row["return_mean"] for row in table(f)[-2:]] for f in (folder, tmp_path / "whole")]
    assert returns[0] == returns[1]
    for a, b in zip(state(folder), state(tmp_path / "whole"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert main(["dataset", "random", str(folder), "--steps", "640", "--out", str(again)]) == 0
    assert minari.MinariDataset(again / "data").total_steps == 640


def test_seeds_share_one_copy_of_a_data_set_known_by_its_content(stored, tmp_path):
    """The program's arguments hold the data once; config.json has a sum over all of them."""
    hp = AGENTS["td3"].defaults.replace(hidden=(4,), batch_size=4)
    config = configuration.Configuration(
        agent="td3", env="Pendulum-v1", env_params={}, hyperparameters=records.flat(hp), sweep={},
        seeds=1, seed=0, steps=8, evaluations=1, episodes=1, max_episode_steps=1,
        dataset=str(stored),
    )  # fmt: skip
    data, found = run_data.load_data(config), []
    for seeds in (1, 32):
        population = gather(dataclasses.replace(config, seeds=seeds))
        memory = buffers(population, data)
        program = compiled(population, memory).advance.memory_analysis()
        found.append((program.argument_size_in_bytes, bytes_of(population.like)))
    (few, _), (many, runs), size = *found, bytes_of(memory)
    assert 100_000 < size < few < many < runs + 1.1 * size
    configuration.save(run_data.with_data_described(config), tmp_path)
    told = configuration.load(tmp_path).data
    assert told == run_data.summary_of(data) and told["transitions"] == data.reward.size
    for name in ("obs", "action", "reward", "discount", "last", "final"):
        other = np.array(getattr(data, name))
        other.flat[7] = ~other.flat[7] if other.dtype == bool else other.flat[7] + 0.5
        assert run_data.summary_of(data._replace(**{name: other})) != told


SPECS = {
    "discrete": Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Discrete(3)),
    "continuous": Spec(jax.ShapeDtypeStruct((3,), jnp.float32), Box(jnp.zeros(1), jnp.ones(1))),
    "bits": Spec(jax.ShapeDtypeStruct((3,), jnp.bool_), Discrete(3)),
    "records": Spec({"a": jax.ShapeDtypeStruct((3,), jnp.float32)}, Discrete(3)),
    "pairs": Spec([jax.ShapeDtypeStruct((3,), jnp.float32)] * 2, Discrete(3)),
}


def episode(kind="discrete", **changes):
    """An episode of four steps that fits, but for the changes."""
    whole = {
        "observations": np.arange(15.0, dtype=np.float32).reshape(5, 3),
        "actions": np.array([0, 2, 1, 0]),
        "rewards": np.arange(4.0),
        "terminations": np.array([False, False, False, True]),
        "truncations": np.zeros(4, bool),
    }
    whole |= {"actions": np.full((4, 1), 0.5, np.float32)} if kind == "continuous" else {}
    whole |= {"observations": np.ones((5, 3), np.uint8)} if kind == "bits" else {}
    return SimpleNamespace(id=7, **whole | changes)


@pytest.mark.parametrize("kind", ["discrete", "continuous", "bits", "records"])
def test_what_fits_is_taken_as_the_environment_shows_it(kind):
    data = datasets.steps_of(episode(kind), SPECS[kind], "It")
    assert jax.tree.structure(data.obs) == jax.tree.structure(SPECS[kind].observation)
    (obs,), (final,) = jax.tree.leaves(data.obs), jax.tree.leaves(data.final)
    assert obs.dtype == jax.tree.leaves(SPECS[kind].observation)[0].dtype
    np.testing.assert_array_equal(obs[1:], final[:-1])
    np.testing.assert_array_equal(data.discount, [1, 1, 1, 0])
    np.testing.assert_array_equal(data.last, [0, 0, 0, 1])


NONE = np.zeros(0)


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        ("discrete", {"actions": np.arange(4)}, "from 0 to 3, .* between 0 and 2"),
        ("discrete", {"actions": np.array([0, -1, 0, 0])}, "from -1 to 0"),
        ("discrete", {"actions": np.array([0.0, 1, 2, 0.7])}, "float64.* 3 integers"),
        ("discrete", {"actions": np.zeros((4, 2), int)}, r"shape \(2,\).* 3 integers"),
        ("discrete", {"actions": np.zeros(3, int)}, "4 rewards and 3 actions"),
        ("continuous", {"actions": np.zeros(4, int)}, r"int64.* real, of shape \(1,\)"),
        ("continuous", {"actions": np.zeros((4, 2))}, r"shape \(2,\).* of shape \(1,\)"),
        ("continuous", {"actions": np.full((4, 1), 1.5)}, "from 1.5 to 1.5, .* between 0 and 1"),
        ("continuous", {"actions": np.full((4, 1), np.nan)}, "action that is not finite"),
        ("discrete", {"observations": np.zeros((5, 4))}, r"shape \(4,\), and .* \(3,\)"),
        ("discrete", {"observations": np.zeros((4, 3))}, "4 obs.* have 5, one more than its 4"),
        ("discrete", {"observations": np.zeros((5, 3), int)}, "type int64, and .* float32"),
        ("discrete", {"observations": np.full((5, 3), np.nan)}, "observation that is not finite"),
        ("bits", {"observations": np.full((5, 3), 2, np.uint8)}, "type uint8, and .* bool"),
        ("bits", {"observations": np.ones((5, 3))}, "type float64, and .* bool"),
        ("pairs", {}, "observations of 1 arrays, but the environment shows 2"),
        ("discrete", {"observations": {"a": np.zeros((5, 3)), "b": np.zeros((5, 1))}}, "2 arrays"),
        ("discrete", {"rewards": np.array([0, 1, np.inf, 0])}, "reward that is not finite"),
        ("discrete", {"rewards": np.zeros((4, 1))}, "not one number for each step"),
        ("discrete", {"rewards": NONE, "actions": NONE}, "no steps"),
        ("discrete", {"terminations": np.zeros(3, bool)}, "4 rewards, but its terminations"),
        ("discrete", {"truncations": np.full(4, 0.5)}, "truncations are not as many truth values"),
    ],
)
def test_what_does_not_fit_is_refused(kind, changes, sentence):
    with pytest.raises(InputError, match=f"^Episode 7 has .*{sentence}"):
        datasets.steps_of(episode(kind, **changes), SPECS[kind], "Episode 7")


def test_a_folder_that_is_no_data_set_is_refused(tmp_path):
    (tmp_path / "x" / "data").mkdir(parents=True)
    (tmp_path / "x" / "data" / "main_data.hdf5").write_text("nonsense")
    with pytest.raises(InputError, match="x cannot be read as a data set"):
        datasets.load(str(tmp_path / "x"), envs.make("chain"), 1, 1)


def test_bits_are_stored_and_read_as_bits(tmp_path):
    env = envs.make("PanFlute")
    (played,) = collecting.gather(env, ["random"], 320, 0, False)
    episodes = datasets.split_lanes(played)
    datasets.save(episodes, env, tmp_path / "bits-v0", "random")
    data = datasets.load(str(tmp_path / "bits-v0"), env, 1, 1)
    assert data.obs.dtype == bool and data.obs.shape == (320, 1, 15)
    assert 0 < data.obs.mean() < 1
    with pytest.raises(InputError, match="the environment"):
        datasets.load(str(tmp_path / "bits-v0"), envs.make("chain", length=15), 1, 1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dataset", "random"], "--env is needed"),
        (["dataset", "nobody", "--env", "Pendulum-v1"], "nobody is not a results folder"),
        (["dataset", "random", "--env", "Pendulum-v1", "--out", "data"], "such as data-v0"),
        (["dataset", "random", "--env", "Pendulum-v1", "--steps", "0"], "steps must be above zero"),
        (["train", "sac", "--env", "Pendulum-v1", "--dataset", "no"], "no is not a data set"),
        (["train", "ppo", "--env", "Pendulum-v1", "--dataset", "DATA"], "ppo does not replay"),
        (["train", "sac", "--env", "brax/ant", "--dataset", "DATA"], "of shape (3,), and the"),
    ],
)
def test_bad_input(words, sentence, stored, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str(stored) if word == "DATA" else word for word in words]
    assert main(words) == 2
    assert sentence in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_several_actions_at_once_are_refused_and_random_data_obey_the_mask(tmp_path):
    env = envs.make("chain")
    both = env._replace(spec=env.spec._replace(action=MultiDiscrete((2, 2))))
    for refused in (
        lambda: datasets.require_writable(both, tmp_path / "two-v0"),
        lambda: datasets.load(str(tmp_path), both, 1, 1),
    ):
        with pytest.raises(InputError, match="takes several at once"):
            refused()
    only = lambda obs: jnp.stack([obs[..., 0] > 2, obs[..., 0] < 3], -1)  # action 1 at all times
    masked = env._replace(spec=env.spec._replace(mask=only))
    data = collecting.played(masked, "random", 50, jax.random.key(0), False)
    assert (data.action == 1).all()
