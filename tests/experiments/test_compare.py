"""Comparisons and pictures of results folders whose scores are made up."""

import dataclasses
import json

import numpy as np
import pytest

from agents import AGENTS
from experiments import compare, configuration, plots, records, references
from experiments.cli import main
from jaxrl.errors import InputError
from tests.experiments.made_up import config_of, write

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """A function that writes a results folder with given curves [seeds, evaluations]."""
    base = tmp_path_factory.mktemp("made-up")

    def make(name, curves, **changes):
        seeds, evaluations = np.shape(curves)
        return write(base / name, curves, config_of(seeds, max(1, evaluations - 1), **changes))

    return make


def curve(final, seeds=8):
    """Curves [seeds, 5] that rise to a value, with noise that is shared by seed."""
    noise = np.random.default_rng(1).normal(size=(seeds, 1))
    return np.linspace(0.0, 1.0, 5) * final + noise


def test_a_difference_of_equal_seeds_is_told(folder_of, tmp_path, capsys):
    a = folder_of("a", curve(100.0), env="chain")
    b = folder_of("b", curve(101.0), env="chain")
    out = tmp_path / "comparison.png"
    labels = ["--labels", "one", "other"]
    assert main(["compare", str(a), str(b), "--out", str(out), *labels]) == 0
    text = capsys.readouterr().out
    assert "other scores higher than one by 1," in text and "equal seeds" in text
    report = json.loads(out.with_suffix(".json").read_text())
    assert report["pairs"][0]["difference"] == pytest.approx([-1.0] * 3, abs=1e-4)
    assert [row["method"] for row in report["table"]] == ["other", "one"]
    assert out.stat().st_size > 10_000 and out.with_suffix(".md").exists()


def test_what_cannot_be_told_apart_is_said(folder_of):
    a = folder_of("noisy-a", RANDOM.normal(size=(6, 2)), env="chain")
    b = folder_of("noisy-b", RANDOM.normal(size=(5, 2)), env="chain")
    found = compare.gathered([a, b], ("x", "y"))
    pair = compare.verdicts(found)[0]
    assert "cannot be told apart" in pair["verdict"] and not pair["paired"]


def test_scores_of_several_environments_are_normalised(folder_of, monkeypatch):
    table = {"CartPole-v1": references.Reference(20.0, 500.0),
             "Acrobot-v1": references.Reference(-500.0, -100.0)}  # fmt: skip
    monkeypatch.setattr(references, "references", lambda: table)
    other = {"agent": "dqn", "hyperparameters": records.flat(AGENTS["dqn"].defaults)}
    folders = [
        folder_of("n1", np.full((3, 2), 260.0)),
        folder_of("n2", np.full((3, 2), -100.0), env="Acrobot-v1"),
        folder_of("n3", np.full((3, 2), 500.0), **other),
        folder_of("n4", np.full((3, 2), -300.0), env="Acrobot-v1", **other),
    ]
    found = compare.gathered(folders, ())
    assert list(found.methods) == ["ppo", "dqn"] and found.normalised
    np.testing.assert_allclose(found.methods["ppo"].scores, [[1.0, 0.5]] * 3)
    np.testing.assert_allclose(found.methods["dqn"].scores, [[0.5, 1.0]] * 3)
    with pytest.raises(InputError, match="dqn has no run on CartPole-v1"):
        compare.gathered([folders[0], folders[1], folders[3]], ())
    monkeypatch.setattr(references, "references", dict)
    with pytest.raises(InputError, match="no reference returns"):
        compare.gathered(folders, ())


def test_areas_and_members_that_diverged(folder_of):
    curves = np.array([[0.0, 10.0, 10.0], [0.0, 10.0, np.nan]])
    a = folder_of("area-a", curves, env="chain")
    b = folder_of("area-b", curves + 1, env="chain")
    area = compare.gathered([a, b], ("a", "b"), area=True)
    np.testing.assert_allclose(area.methods["a"].scores[:, 0], [7.5, 5.0])
    final = compare.gathered([a, b], ("a", "b"))
    rows = compare.table(final)
    assert [row["diverged"] for row in rows] == [1, 1] and rows[0]["method"] == "b"


def test_methods_are_named_by_what_differs(folder_of):
    hp = configuration.load(folder_of("h0", curve(1.0))).hyperparameters
    a = folder_of("h1", curve(1.0), hyperparameters=hp | {"learning_rate": 0.5})
    b = folder_of("h2", curve(1.0), hyperparameters=hp | {"learning_rate": 0.25})
    assert list(compare.gathered([a, b], ()).methods) == [
        "ppo, learning_rate 0.5",
        "ppo, learning_rate 0.25",
    ]
    with pytest.raises(InputError, match="--labels needs one label for each folder"):
        compare.gathered([a, b], ("x",))
    with pytest.raises(InputError, match="two methods"):
        compare.gathered([a], ())


@pytest.mark.parametrize("number", [1, 8, 9, 40])
def test_no_colour_is_used_twice(number):
    from matplotlib.colors import to_rgba

    assert len({to_rgba(colour) for colour in plots.palette(number)}) == number


def test_pictures_are_of_what_was_asked_for(folder_of, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "draw_panels", lambda *args: drawn.append(args))
    a = folder_of("p1", np.array([[0.0, 1.0, 2.0], [0.0, 3.0, np.nan]]))
    b = folder_of("p2", np.array([[0.0, 5.0, 6.0]]))
    c = folder_of("p3", np.array([[0.0, 7.0]]), env="Acrobot-v1")
    arguments = ["plot", str(a), str(b), str(c), "--x", "wall_time", "--labels", "m", "m", "n"]
    assert main([*arguments, "--out", str(tmp_path / "x.pdf"), "--statistic", "median"]) == 0
    panels, look, *_ = drawn[0]
    assert look.statistic == "median" and list(panels) == ["CartPole-v1", "Acrobot-v1"]
    (line,) = panels["CartPole-v1"]  # folders of one label are one line
    np.testing.assert_array_equal(line.x, [0.0, 2.0, 4.0])
    np.testing.assert_array_equal(line.values, [[0, 1, 2], [0, 3, np.nan], [0, 5, 6]])
    monkeypatch.undo()
    assert main([*arguments, "--individual", "--out", str(tmp_path / "y.pdf")]) == 0
    assert (tmp_path / "y.pdf").read_bytes().startswith(b"%PDF")
    for wrong, name in (("--column", "retrun_mean"), ("--x", "env_step"), ("--statistic", "max")):
        with pytest.raises(InputError, match=name):
            look = plots.Look(**{wrong[2:]: name})
            plots.of_folders([a], tmp_path / "z.png", look)


def test_a_sweep_of_two_numbers_is_a_map(folder_of, tmp_path):
    config = configuration.load(folder_of("s", curve(1.0)))
    sweep = {"learning_rate": [1e-3, 1e-3, 1e-2, 1e-2], "discount": [0.9, 0.99, 0.9, 0.99]}
    config = dataclasses.replace(config, sweep=sweep)
    rows = [
        {"env_steps": float(step), "seed": float(seed), "return_mean": rate * 1e3 + gamma + seed,
         "learning_rate": rate, "discount": gamma}
        for step in (0, 100) for seed in range(4)
        for rate, gamma in zip(sweep["learning_rate"], sweep["discount"])
    ]  # fmt: skip
    plots.sweep(rows, config, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").stat().st_size > 10_000


def test_the_kept_references_are_ordered():
    for name, found in references.references().items():
        assert found.expert > found.random, name
