"""`jaxrl train AGENT --from FOLDER`: which learner each member begins with, and what is refused."""

import dataclasses
import shutil

import jax
import numpy as np
import pytest

from agents import AGENTS
from experiments import building, configuration, continuing, records, run_data, training
from experiments.cli import main
from experiments.population import gather, start
from tests.experiments.runs import state, table

SMALL = "--num-envs 2 --rollout-length 2 --batch-size 8 --evaluations 1 --episodes 1"
TINY = f"{SMALL} --max-episode-steps 50".split()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Three seeds of DQN with a network of 6 units, that have learnt from 200 random steps."""
    folder = tmp_path_factory.mktemp("base")
    data, out = str(folder / "random.npz"), str(folder / "run")
    words = ["dataset", "random", "--env", "CartPole-v1", "--steps", "200", "--out", data]
    assert main(words) == 0
    words = ["train", "dqn", "--env", "CartPole-v1", "--dataset", data, "--seeds", "3", "--out"]
    assert main([*words, out, "--steps", "32", "--hidden", "6", "--no-animation", *TINY]) == 0
    return folder / "run"


@pytest.mark.thorough
def test_a_sweep_goes_on_from_it_with_half_of_its_data_and_resumes_exactly(
    base, tmp_path, monkeypatch, capsys
):
    words = f"sweep dqn --from {base} --learning-rate 1e-3 1e-2 --seeds 4 --data-share 0.5".split()
    words += ["--steps", "48", "--warmup", "16", "--buffer-size", "64", *TINY, "--out"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main([*words, str(whole)]) == 0
    config = configuration.load(whole)
    assert config.env == "CartPole-v1" and config.hyperparameters["hidden"] == [6]
    assert config.dataset.endswith("random.npz") and not config.offline
    # The warm-up of the base's policy is charged.
    assert {row["env_steps"] for row in table(whole)} == {"16", "48"}
    # Members are points times seeds; a fourth seed begins with the first learner again.
    begun = start(gather(config)).learner
    before = continuing.learners(config)
    for new, old in zip(
        jax.tree.leaves(begun.inner.params), jax.tree.leaves(before.inner.params), strict=True
    ):
        np.testing.assert_array_equal(new, old[np.array([0, 1, 2, 0] * 2)])
    assert begun.data == ()  # the data set is beside the runs
    learn = training.learn

    def one(program, p, state, memory, updates):
        if state.updates == 5:
            raise KeyboardInterrupt
        return learn(program, p, state, memory, 1)

    monkeypatch.setattr(training, "learn", one)
    assert main([*words, str(halves), "--save-every", "1e-9"]) == 130
    monkeypatch.undo()
    # What it began with is not needed any more, once there is a checkpoint.
    moved = base.rename(base.with_name("moved"))
    try:
        assert main(["sweep", "--resume", str(halves)]) == 0
        capsys.readouterr()
        assert main([*words, str(tmp_path / "none")]) == 2
        assert "is not a results folder" in capsys.readouterr().err
    finally:
        moved.rename(base)
    assert table(halves) == table(whole)
    for a, b in zip(state(halves), state(whole), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("dqn --env Acrobot-v1", "was trained in CartPole-v1, and cannot go on in Acrobot-v1"),
        ("dqn --hidden 7", "kernel is float32[6, 2], and that of this agent is float32[7, 2]"),
        ("c51", "choose the same agent, or one with the same networks"),
        ("dqn --normalise-observations", "keeps 0 sets of running statistics, and this agent 1"),
        ("ppo", "The run to go on from "),
        ("dqn --data-share 0.5 --prioritised", "data_share needs a uniform replay"),
        ("dqn --data-share 1.5", "data_share must lie between 0 and 1"),
        ("q-learning", "A table needs one-hot observations"),
    ],
)
def test_what_cannot_go_on_is_refused_in_one_sentence(base, tmp_path, capsys, words, sentence):
    told = ["train", *words.split(), "--from", str(base), "--out", str(tmp_path / "new")]
    assert main(told) == 2
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") <= 4 and "Traceback" not in error
    assert not (tmp_path / "new").exists()


def test_a_run_without_a_checkpoint_a_sweep_and_missing_data_are_refused(base, tmp_path, capsys):
    bare, swept = tmp_path / "bare", tmp_path / "swept"
    shutil.copytree(base, bare, ignore=shutil.ignore_patterns("checkpoint"))
    config = dataclasses.replace(configuration.load(base), sweep={"learning_rate": [0.1, 0.2]})
    swept.mkdir()
    configuration.save(config, swept)
    for words, sentence in (
        (["dqn", "--from", str(bare)], "has no complete checkpoint"),
        (["dqn", "--from", str(swept)], "holds a sweep, and a run goes on from one point only"),
        (["rlpd", "--env", "Pendulum-v1"], "rlpd takes 0.5 of each batch from a data set: name"),
        (["dqn", "--from"], "--from needs a value"),
    ):
        assert main(["train", *words, "--out", str(tmp_path / "new")]) == 2
        assert sentence in capsys.readouterr().err


def test_data_are_told_with_returns_to_go_where_an_agent_wants_them(base):
    """CartPole pays 1 a step, so that they count the steps to the end of the episode or lane."""
    own = records.flat(AGENTS["decision-transformer"].defaults)
    own |= {"num_envs": 2, "rollout_length": 2, "sequence_length": 3, "window": 3, "hidden": (8,)}
    before = configuration.load(base)
    config = dataclasses.replace(
        before, agent="decision-transformer", hyperparameters=own, data={}, steps=32
    )
    data = run_data.load_data(config)
    ends = data.last.copy()
    ends[-1] = True
    left = np.zeros(2)
    for t in reversed(range(len(ends))):
        left = np.where(ends[t], 0, left) + 1
        np.testing.assert_array_equal(data.obs.context[t], left)
    np.testing.assert_array_equal(data.final.context, data.obs.context - 1)
    building.validate(config)
