"""What the page of all runs shows, of made-up folders; no browser and no package is needed."""

import dataclasses
import json
import math
import os

import numpy as np
import pytest

from experiments import configuration, locks
from experiments.cli import main
from experiments.dashboard import data
from experiments.dashboard.settings import differences
from experiments.plots import Look
from jaxrl.errors import InputError
from tests.experiments.made_up import append, config_of, write
from tests.experiments.runs import files

NAN = math.nan


def only(root):
    """The one run below a folder."""
    (run,) = data.reader(root).entries()
    return run


def test_results_folders_are_found_and_others_are_listed_once(tmp_path):
    write(tmp_path / "a" / "deep", [[0.0, 1.0]])
    write(tmp_path / "b", [[0.0, 1.0]])
    (tmp_path / "b" / "checkpoint" / "4").mkdir(parents=True)
    (tmp_path / "foreign" / "of" / "others").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    names = [run.name for run in data.reader(tmp_path).entries()]
    assert names == ["a/deep", "b", "foreign"]
    assert [run.name for run in data.reader(tmp_path / "b").entries()] == ["b"]
    assert data.reader(tmp_path / "foreign" / "of" / "others").entries() == []


def test_the_row_of_a_run(tmp_path):
    write(tmp_path / "run", [[0.0, 0.0], [0.0, 10.0], [0.0, 20.0], [0.0, 90.0]])
    row = data.summary(only(tmp_path))
    expected = {"run": "run", "agent": "ppo", "env": "CartPole-v1", "seeds": 4, "points": 1,
                "steps": 100, "asked": 100, "state": "finished", "note": ""}  # fmt: skip
    assert expected.items() <= row.items()
    assert row["return"] == pytest.approx(15.0)  # without the lowest and the highest of four
    low, high = json.loads(row["interval"])
    assert 0.0 <= low < 15.0 < high <= 90.0
    about = json.loads((tmp_path / "run" / "config.json").read_text())["provenance"]
    assert row["date"] == about["date"].replace("T", " ")[:16]
    assert about["commit"].startswith(row["commit"].removesuffix("-dirty"))
    json.dumps(row, allow_nan=False)


def test_states(tmp_path):
    config = config_of(2, 2)
    write(tmp_path / "stopped", [[0.0, 1.0], [0.0, 1.0]], config)
    write(tmp_path / "finished", [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]], config)
    write(tmp_path / "diverged", [[0.0, 1.0, 1.0], [0.0, NAN, NAN]], config)
    rows = {run.name: data.summary(run) for run in data.reader(tmp_path).entries()}
    assert {name: row["state"] for name, row in rows.items()} == {n: n for n in rows}
    assert rows["diverged"]["note"] == "1 of 2 members diverged."
    assert rows["diverged"]["return"] == 1.0
    assert (rows["stopped"]["steps"], rows["stopped"]["asked"]) == (100, 200)
    with locks.locked(tmp_path / "stopped"):
        assert data.state_of(data.entry(tmp_path / "stopped", tmp_path)) == "running"
    (tmp_path / "stopped" / "metrics.csv").unlink()
    row = data.summary(data.entry(tmp_path / "stopped", tmp_path))
    assert (row["state"], row["steps"]) == ("stopped", 0) and "not done yet" in row["note"]
    # A lock whose process has ended does not make a run of it.
    owner = locks.identity(os.getpid()) | {"began": -1}
    (tmp_path / "stopped" / locks.NAME).write_text(json.dumps(owner))
    assert data.state_of(data.entry(tmp_path / "stopped", tmp_path)) == "stopped"


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as a configuration"),
        (lambda f: (f / "config.json").write_text('{"model": 1}'), "lacks agent"),
        (lambda f: (f / "config.json").unlink(), "it has no config.json"),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda f: (f / "metrics.csv").write_text("env_steps,se"), "has no rows yet"),
        (lambda f: (f / "metrics.csv").write_text("a,b\n1,2\n"), "does not name the columns"),
        (lambda f: (f / "metrics.csv").write_text("env_steps,seed\n1,2\n"), "no column"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(tmp_path, spoil, reason):
    spoil(write(tmp_path / "bad", [[0.0, 1.0]]))
    write(tmp_path / "good", [[0.0, 1.0]])
    bad, good = data.reader(tmp_path).entries()
    row = data.summary(bad)
    assert row["state"] == "unreadable"
    assert reason in row["note"] and row["note"].endswith(".") and "\n" not in row["note"]
    assert "Traceback" not in row["note"] and good.reason == ""
    assert data.curves(bad, Look()) == [] and len(data.curves(good, Look())) == 1


def test_impossible_settings_do_not_break_the_page(tmp_path):
    """Each number of a configuration is replaced by 0, and by a text."""
    folder = write(tmp_path / "run", [[0.0, 1.0]])
    path = folder / "config.json"
    text = path.read_text()
    for where in (lambda x: x, lambda x: x["hyperparameters"]):
        for name in where(json.loads(text)):
            for value in (0, "word", [], None):
                changed = json.loads(text)
                where(changed)[name] = value
                path.write_text(json.dumps(changed))
                row = data.summary(only(tmp_path))
                assert row["state"] == "unreadable" or row["agent"] == "ppo"
                assert row["state"] != "unreadable" or row["note"].endswith((".", "?"))


def test_a_torn_last_line_is_left_out(tmp_path):
    folder = write(tmp_path / "run", [[0.0, 1.0], [0.0, 3.0]])
    with (folder / "metrics.csv").open("a") as file:
        file.write("200,4.")
    run = only(tmp_path)
    assert run.reason == "" and len(run.rows) == 4


def test_rows_that_come_in_are_read_and_nothing_is_written(tmp_path):
    config, values = config_of(2, 3), np.array([[0.0, 1.0, 2.0, 3.0]] * 2)
    folder = write(tmp_path / "run", values[:, :2], config)
    before, reader = files(tmp_path), data.reader(tmp_path)
    (run,) = reader.entries()
    assert reader.entries()[0] is run  # nothing has changed, so nothing is read
    assert reader.curves(run, Look())[0].line.x.tolist() == [0, 100]
    assert files(tmp_path) == before
    append(folder, config, values, 2)
    (run,) = reader.entries()
    (curve,) = reader.curves(run, Look())
    assert curve.line.x.tolist() == [0, 100, 200] and curve.estimate.value.tolist() == [0, 1, 2]
    assert data.summary(run)["steps"] == 200


@pytest.mark.parametrize(
    "axis, expected", [("env_steps", [0, 100]), ("wall_time", [0, 2]), ("updates", [0, 1])]
)
def test_curves_are_drawn_against_what_was_chosen(tmp_path, axis, expected):
    write(tmp_path / "run", [[0.0, 2.0], [0.0, 3.0], [0.0, 10.0]])
    run = only(tmp_path)
    (curve,) = data.curves(run, Look(x=axis, statistic="mean"))
    assert curve.line.x.tolist() == expected
    assert curve.estimate.value.tolist() == [0.0, 5.0]
    assert curve.estimate.low[1] < 5.0 < curve.estimate.high[1]
    (curve,) = data.curves(run, Look(x=axis, statistic="median"))
    assert curve.estimate.value.tolist() == [0.0, 3.0]
    with pytest.raises(InputError, match="retrun_mean"):
        data.curves(run, Look(column="retrun_mean"))
    assert data.columns([run]) == ["return_mean"]


def test_a_long_curve_is_drawn_by_some_of_its_points(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "MOST", 3)
    write(tmp_path / "run", [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    (curve,) = data.curves(only(tmp_path), Look())
    assert curve.line.x.tolist() == [0, 300, 600] and curve.estimate.value.tolist() == [0, 3, 6]


def test_a_sweep_is_shown_by_its_points(tmp_path):
    sweep = {"learning_rate": [0.1, 0.1, 0.2, 0.2], "discount": [0.9, 0.99, 0.9, 0.99]}
    config = config_of(2, 1, sweep=sweep)
    finals = np.repeat([1.0, 4.0, 3.0, 2.0], 2)
    folder = write(tmp_path / "sweep", np.stack([0 * finals, finals], 1), config)
    run = only(tmp_path)
    assert [(p["learning_rate"], p["discount"], p["return"]) for p in run.points] == [
        (0.1, 0.99, 4.0), (0.2, 0.9, 3.0), (0.2, 0.99, 2.0), (0.1, 0.9, 1.0),
    ]  # fmt: skip
    row = data.summary(run)
    assert row["return"] == 4.0 and row["points"] == 4 and row["state"] == "finished"
    assert "best of 4 points, learning_rate 0.1, discount 0.99" in row["note"]
    labels = [curve.line.label for curve in data.curves(run, Look())]
    assert labels[0] == "sweep: learning_rate 0.1, discount 0.9" and len(labels) == 4
    assert data.columns([run]) == ["return_mean"]  # what was swept is no measurement
    # The first half of the same sweep, in parts of which the second has not begun.
    parts = dataclasses.replace(config, members_at_once=4)
    configuration.save(parts, folder)
    (folder / "part-0").mkdir()
    lines = (folder / "metrics.csv").read_text().splitlines()
    half = [lines[0], *(line for line in lines if ",0.1," in line)]
    (folder / "part-0" / "metrics.csv").write_text("\n".join(half) + "\n")
    (folder / "metrics.csv").unlink()
    row = data.summary(only(tmp_path))
    assert (row["steps"], row["asked"], row["state"]) == (50, 100, "stopped")


def test_only_what_differs_is_shown(tmp_path):
    a = config_of(2, 1)
    hyper = a.hyperparameters
    write(tmp_path / "a", [[0.0, 1.0]] * 2, a)
    b = dataclasses.replace(
        a, seed=7, hyperparameters=hyper | {"discount": 0.5}, env_params={"length": 0.7}
    )
    write(tmp_path / "b", [[0.0, 1.0]] * 2, b)
    c = dataclasses.replace(a, sweep={"learning_rate": [0.1, 0.2]}, members_at_once=2)
    write(tmp_path / "c", [[0.0, 1.0]] * 4, c)
    runs = data.reader(tmp_path).entries()
    rate, discount = (f"{hyper[name]:.12g}" for name in ("learning_rate", "discount"))
    assert differences([run.config for run in runs]) == {
        "seed": ["0", "7", "0"],
        "discount": [discount, "0.5", discount],
        "learning_rate": [rate, rate, "0.1 0.2"],
        "env_params.length": ["", "0.7", ""],
    }
    assert differences([runs[0].config]) == {}


def test_pictures_are_those_in_the_folder(tmp_path):
    folder = write(tmp_path / "run", [[0.0, 1.0]])
    for name in ("best_agent.gif", "film.mp4", "learning_curve.png", "notes.txt"):
        (folder / name).write_bytes(b"")
    names = [path.name for path in data.pictures(only(tmp_path))]
    assert names == ["learning_curve.png", "best_agent.gif", "film.mp4"]


def test_the_command_refuses_in_one_sentence(tmp_path, capsys, monkeypatch):
    assert main(["dashboard", str(tmp_path / "none")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "experiments.dashboard.page", None)
    assert main(["dashboard", str(tmp_path)]) == 2
    assert "pip install 'jaxrl[dashboard]'" in capsys.readouterr().err
