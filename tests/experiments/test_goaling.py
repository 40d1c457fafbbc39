"""Hindsight from the shell: what is written, and that runs go on from it."""

import json

import jax
import numpy as np
import pytest

import envs
from experiments import collecting, datasets, goaling, worded
from experiments.cli import main
from experiments.invocation import environment_parameters
from jaxrl.conditioned import Conditioned
from jaxrl.errors import InputError
from jaxrl.goals import Hindsight, judged, with_signals
from tests.experiments.runs import SMALL_REPLAY, table

ENV = "--env bit-flips --env-params bits=2 max_steps_in_episode=4"


def test_a_run_with_hindsight_tells_its_success_and_goes_on(tmp_path):
    folder = tmp_path / "run"
    small = "--hidden 8 --seeds 2 --episodes 4 --evaluations 2 --no-animation"
    words = f"train dqn {ENV} {SMALL_REPLAY} {small} --n-step 2 --steps 32 --out {folder}"
    goal = "hindsight future=0.5 final=0.2 offsets=geometric horizon=4"
    assert main([*words.split(), "--goal", *goal.split()]) == 0
    stored = json.loads((folder / "config.json").read_text())["goal"]
    assert stored == {"kind": "hindsight", "future": 0.5, "final": 0.2, "offsets": "geometric",
                      "horizon": 4}  # fmt: skip
    again = goaling.described(worded.words(stored), environment_parameters)
    assert again == stored
    assert main(f"train --resume {folder} --steps 64 --no-animation".split()) == 0
    rows = table(folder)
    assert all(0 <= float(row["success"]) <= 1 for row in rows)
    for row in rows:  # an episode that reaches its goal in n steps pays 1 - n, and the others -4
        assert float(row["return_mean"]) == float(row["success"]) - float(row["length_mean"])
    assert any(float(row["train_success"]) > 0 for row in rows if row["train_success"])


def test_shares_that_are_not_given_are_zero():
    read = lambda *words: goaling.described(words, environment_parameters)
    assert goaling.settings(read("hindsight")) == Hindsight()
    assert goaling.settings(read("hindsight", "random=1")) == Hindsight(future=0.0, random=1.0)
    assert read("own") == read() == {}
    for words, sentence in (
        (("hindsite",), "There is no goal called 'hindsite': did you mean hindsight"),
        (("hindsight", "futur=1"), "no parameter of --goal hindsight called 'futur'"),
        (("hindsight", "future=0.8", "final=0.8"), "at most 1 together"),
        (("own", "future=1"), "takes no parameters"),
    ):
        with pytest.raises(InputError, match=sentence):
            read(*words)


def test_what_cannot_have_hindsight_says_why(capsys, tmp_path):
    for words, sentence in (
        ("ppo --env bit-flips", "ppo with --goal hindsight: Hindsight is for agents that replay"),
        ("dqn --env CartPole-v1", "The observations for hindsight must show goals"),
        ("dqn --env bit-flips --reward preferences", "cannot be learnt from at once"),
    ):
        asked = [*f"train {words} --steps 2000 --out {tmp_path / 'none'} --goal hindsight".split()]
        assert main(asked) != 0
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "none").exists()


def test_data_with_goals_and_without(tmp_path):
    """What is written is read again; bare observations have the goals that they have reached."""
    env = envs.make("point-maze", max_steps_in_episode=5)
    data = collecting.played(env, "random", 10, jax.random.key(0), False)
    episodes = datasets.split_lanes(jax.device_get(data))
    path = tmp_path / "walks.npz"
    datasets.save(episodes, env, path, "walks")
    stored = dict(np.load(path))
    assert {x for x in stored if "/" in x} == {
        f"{a}observations/{b}" for a in ("", "next_") for b in ("observation", "desired_goal")
    }
    again = datasets.load(str(path), env, 1, 1)
    lanes = jax.tree.map(lambda x: np.asarray(x).swapaxes(0, 1).reshape(-1, *x.shape[2:]), data)
    for name in ("obs", "final"):
        wanted, found = getattr(lanes, name), getattr(again, name)
        assert isinstance(found, Conditioned)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y[:, 0], atol=1e-6), wanted, found)
    bare = {k: stored[k] for k in ("actions", "terminations", "truncations", "rewards")}
    bare["observations"] = stored["observations/observation"]
    bare["next_observations"] = stored["next_observations/observation"]
    np.savez(tmp_path / "bare.npz", **bare)
    found = datasets.load(str(tmp_path / "bare.npz"), env, 1, 1)
    np.testing.assert_array_equal(found.obs.context, found.obs.obs)
    # Beside an environment data have the signals that it tells, which judge them as they are.
    told, wanted = with_signals(found), found.obs.context[::-1]
    assert jax.tree.structure(told.signals) == jax.tree.structure(env.spec.signals)
    mine, plain = (judged(env.spec.goals, wanted, x) for x in (told, found))
    jax.tree.map(np.testing.assert_array_equal, mine._replace(signals=()), plain)
    assert with_signals(told) is told and len(set(np.asarray(plain.reward).ravel())) == 2
    # As OGBench has them: no rewards, and an action after the last observation that counts.
    few = {"observations": np.zeros((4, 2), np.float32), "actions": np.zeros((4, 2), np.float32)}
    np.savez(tmp_path / "none.npz", terminals=np.array([0, 1, 0, 1], bool), **few)
    assert datasets.load(str(tmp_path / "none.npz"), env, 1, 1).reward.shape == (2, 1)
    for change, words in (
        ({"observations/desired_goal": np.zeros((160, 3), np.float32)}, r"shape \(3,\).*\(2,\)"),
        ({"observations/desired_goal": None}, "without desired_goal, but with observation"),
    ):
        wrong = {k: v for k, v in (stored | change).items() if v is not None}
        np.savez(tmp_path / "wrong.npz", **wrong)
        with pytest.raises(InputError, match=words):
            datasets.load(str(tmp_path / "wrong.npz"), env, 1, 1)
