"""Searches for hyperparameters: what is asked, trained, told and resumed."""

import csv
import json

import numpy as np
import pytest

pytest.importorskip("optuna")

from experiments.cli import main
from experiments.tuning import batches, evolution, search, space, study
from experiments.tuning.space import Choice
from jaxrl.errors import InputError
from jaxrl.evolution import Range

SMALL = "ppo --env chain --fixed hidden=4 num_envs=2 rollout_length=8 --steps 64 --seeds 2 "
SMALL += "--evaluations 2 --episodes 2 --max-episode-steps 20"
RATES = "learning-rate=1e-5:1e-1:log"


class Batches(list):
    """What was trained: steps and points of each batch, and the configuration that it was like."""

    def __init__(self):
        super().__init__()
        self.likes = []


@pytest.fixture
def trained(monkeypatch):
    """Batches that are not trained: the score is a parabola of the logarithm of the rate."""
    done = Batches()

    def train(like, points, folder, told=lambda step, scores: False):
        done.append((like.steps, [dict(p) for p in points]))
        done.likes.append(like)
        scores = [-((np.log10(p.get("learning_rate", 1e-3)) + 3) ** 2) for p in points]
        for step in (0, like.steps // 2, like.steps):
            if told(step, scores):
                break
        return scores

    monkeypatch.setattr(batches, "train", train)
    return done


def tune(folder, *words, spaces=(RATES,)):
    """The exit code of a small search."""
    return main(["tune", *SMALL.split(), "--space", *spaces, "--out", str(folder), *words])


def table(folder):
    """The scored points of a search."""
    with (folder / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_words_are_intervals_and_choices():
    found = space.parsed("ppo", (RATES, "discount=0.9:0.99", "epochs=1|4", "hidden=8,8|16"))
    assert found == {
        "learning_rate": Range(1e-5, 1e-1, True),
        "discount": Range(0.9, 0.99),
        "epochs": Choice((1, 4)),
        "hidden": Choice(((8, 8), (16,))),
    }
    for word, message in (
        ("lerning_rate=0:1", "learning_rate"),
        ("epochs=1:4", "static"),
        ("discount=0.9", "two different"),
        ("discount=1:0", "empty"),
        ("discount=0:1:log", "positive"),
        ("discount=0:x", "two numbers"),
        ("epochs=1|a", "'a'"),
        ("discount", "NAME=VALUES"),
    ):
        with pytest.raises(InputError, match=message):
            space.parsed("ppo", (word,))


def test_the_estimator_finds_the_top_of_a_parabola(trained, tmp_path, capsys):
    assert tune(tmp_path / "t", "--trials", "48", "--batch", "8", "--no-prune") == 0
    assert [len(points) for _, points in trained] == [8] * 6
    rows = table(tmp_path / "t")
    assert len(rows) == 48 and float(rows[0]["score"]) > -0.05
    late = [abs(np.log10(p["learning_rate"]) + 3) for _, points in trained[4:] for p in points]
    early = [abs(np.log10(p["learning_rate"]) + 3) for p in trained[0][1]]
    assert np.median(late) < np.median(early)
    out = capsys.readouterr().out
    assert f"--learning-rate {float(rows[0]['learning_rate']):.4g}" in out and "--hidden 4" in out
    assert (tmp_path / "t" / "importance.png").stat().st_size > 5_000


def test_what_is_static_is_grouped(trained, tmp_path):
    spaces = (RATES, "epochs=1|2")
    assert tune(tmp_path / "t", "--trials", "8", "--batch", "8", "--search", "random",
                spaces=spaces) == 0  # fmt: skip
    assert sum(len(points) for _, points in trained) == 8
    for _, points in trained:
        assert len({point["epochs"] for point in points}) == 1


def test_points_below_the_median_are_given_up(trained, tmp_path):
    assert tune(tmp_path / "t", "--trials", "40", "--batch", "8", "--search", "random") == 0
    found = study.opened(tmp_path / "t", "random", 0)
    states = [trial.state.name for trial in found.trials]
    assert states[:8] == ["COMPLETE"] * 8  # nothing is known yet
    assert states.count("PRUNED") > 5 and len(table(tmp_path / "t")) == states.count("COMPLETE")
    scores = {s: [t.intermediate_values[32] for t in found.trials[8:] if t.state.name == s]
              for s in ("COMPLETE", "PRUNED")}  # fmt: skip
    assert np.median(scores["PRUNED"]) < np.median(scores["COMPLETE"])


def test_halving_keeps_the_best_third_for_three_times_as_long(trained, tmp_path):
    assert tune(tmp_path / "t", "--trials", "9", "--batch", "9", "--search", "halving") == 0
    assert [(steps, len(points)) for steps, points in trained] == [(7, 9), (21, 3), (64, 1)]
    distance = lambda p: abs(np.log10(p["learning_rate"]) + 3)
    best = sorted(trained[0][1], key=distance)
    assert sorted(trained[1][1], key=distance) == best[:3] and trained[2][1] == best[:1]
    (row,) = table(tmp_path / "t")
    assert float(row["learning_rate"]) == pytest.approx(best[0]["learning_rate"])


def test_an_interrupted_batch_is_trained_and_told(trained, tmp_path, monkeypatch):
    before = search.train_batch

    def interrupted(*arguments):
        if len(trained) == 1:
            raise KeyboardInterrupt
        before(*arguments)

    words = ["--trials", "12", "--batch", "4"]
    with monkeypatch.context() as patch:
        patch.setattr(search, "train_batch", interrupted)
        assert tune(tmp_path / "t", *words) == 130
    asked = json.loads((tmp_path / "t/batches/0001/batch.json").read_text())["trials"]
    assert main(["tune", "--resume", str(tmp_path / "t")]) == 0
    assert [len(points) for _, points in trained] == [4, 4, 4]
    found = study.opened(tmp_path / "t", "tpe", 0)
    assert len(found.trials) == 12 and asked == [4, 5, 6, 7]
    assert all(trial.state.is_finished() for trial in found.trials)


def test_points_train_with_their_own_numbers(tmp_path, capsys):
    """A real search, whose best point's command trains to what the search saw."""
    words = ["--trials", "4", "--batch", "4", "--search", "random", "--no-prune"]
    assert tune(tmp_path / "t", *words, spaces=(RATES, "discount=0.5:0.99")) == 0
    rows = table(tmp_path / "t")
    assert len(rows) == 4
    with (tmp_path / "t/batches/0000/0/metrics.csv").open() as file:
        seen = list(csv.DictReader(file))
    end = max(int(row["env_steps"]) for row in seen)
    for row in rows:
        rate = float(row["learning_rate"])
        own = [
            float(r["return_mean"])
            for r in seen
            if float(r["learning_rate"]) == pytest.approx(rate) and int(r["env_steps"]) == end
        ]
        assert float(row["score"]) == pytest.approx(np.mean(own))  # fmt: skip
    line = capsys.readouterr().out.partition("trains by:\n  jaxrl ")[2].splitlines()[0]
    assert "--learning-rate" in line and "--num-envs 2" in line


def test_a_population_evolves_and_resumes(tmp_path, monkeypatch):
    words = ["--search", "pbt", "--trials", "4", "--generations", "3"]
    assert tune(tmp_path / "whole", *words) == 0
    with monkeypatch.context() as patch:
        patch.setattr(evolution, "write", stopping(evolution.write, 2))
        assert tune(tmp_path / "cut", *words) == 130
    assert main(["tune", "--resume", str(tmp_path / "cut")]) == 0
    whole, cut = (evolution.stored(tmp_path / name) for name in ("whole", "cut"))
    assert whole == cut and len(whole) == 12
    assert (tmp_path / "whole/population.png").stat().st_size > 5_000
    # 64 steps are 4 updates of 16, which 3 generations make 6 of: what is taken is what is told.
    assert sorted({row["env_steps"] for row in whole}) == [32, 64, 96]
    rates = np.array([row["learning_rate"] for row in whole])
    assert (rates >= 1e-5).all() and (rates <= 1e-1).all()


def stopping(write, rows):
    """A function that writes, and is interrupted before the rows of some generation."""

    def stop(folder, found, names):
        if found and found[-1]["generation"] == rows:
            raise KeyboardInterrupt
        write(folder, found, names)

    return stop


def test_a_preset_is_kept_but_for_its_steps(trained, tmp_path):
    words = "tune ppo --env CartPole-v1 --steps 4096 --trials 2 --batch 2 --space"
    assert main([*words.split(), "discount=0.9:0.99", "--out", str(tmp_path / "t")]) == 0
    assert trained[0][0] == 4096
    assert set(configurations(trained)) == {0.002}  # the preset's learning rate


def configurations(trained):
    """The learning rates of the configurations of batches."""
    return [like.hyperparameters["learning_rate"] for like in trained.likes]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (f"tune nobody --space {RATES}", "nobody"),
        ("tune ppo --env chain", "--space"),
        (f"tune ppo --env chain --space {RATES} --search grid", "grid"),
        (f"tune ppo --env chain --space {RATES} --fixed learning_rate=1e-3", "both"),
        ("tune ppo --env chain --space epochs=1|2 --search pbt", "interval"),
        (f"tune ppo --space {RATES}", "--env"),
        ("tune --resume nowhere", "tune.json"),
    ],
)
def test_bad_input_is_one_sentence(words, message, capsys):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
