"""Data sets: what minari reads, what comes back, and what is learnt from them."""

import jax
import numpy as np
import pytest

import envs
from agents import AGENTS
from experiments import collecting, datasets
from experiments.cli import main
from jaxrl import advance, assemble
from jaxrl.offline import offline
from tests.experiments.runs import table

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


def test_trained_from_the_shell_and_collected_again(stored, tmp_path):
    folder, again = tmp_path / "run", tmp_path / "mixed-v0"
    words = ["train", "sac", "--env", "Pendulum-v1", "--dataset", str(stored), "--seeds", "2"]
    small = ["--steps", "40", "--evaluations", "2", "--episodes", "2", "--hidden", "8"]
    assert main([*words, *small, "--out", str(folder), "--no-animation"]) == 0
    assert len(table(folder)) == 4
    assert main(["dataset", "random", str(folder), "--steps", "640", "--out", str(again)]) == 0
    assert minari.MinariDataset(again / "data").total_steps == 640


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
