"""Writers of metrics beside `metrics.csv`, each with its own package, and callbacks."""

import contextlib
import json
import math
import sqlite3
import sys
import time
import types

import pytest

from experiments import configuration, results, training, writers
from experiments.cli import main
from experiments.training import Options, train_parts
from jaxrl.errors import InputError
from tests.experiments.runs import command, state, table


def test_json_lines_hold_what_the_table_holds(trained):
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    rows = results.read_metrics(trained)
    assert len(lines) == len(rows) > 0
    for line, row in zip(lines, rows):
        for name, value in row.items():
            assert line[name] == value or (line[name] is None and math.isnan(value))


def test_tensorboard_reads_the_numbers_and_the_configuration(trained):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = loader.EventAccumulator(str(trained / "tensorboard")).Reload()
    rows = [row for row in results.read_metrics(trained) if row["seed"] == 1]
    found = events.Scalars("return_mean/seed-1")
    assert [event.step for event in found] == [row["env_steps"] for row in rows]
    expected = [row["return_mean"] for row in rows]
    assert [event.value for event in found] == pytest.approx(expected, rel=1e-5)
    assert "text" in str(events.Tags()["tensors"])


def test_tensorboard_is_written(trained):
    assert list((trained / "tensorboard").glob("events*"))


def test_a_service_is_given_every_row_and_resumed(trained, tmp_path, monkeypatch):
    """A stand-in with the interface that both services share."""
    config, told = configuration.load(trained), []
    library = types.ModuleType("wandb")
    library.init = lambda **options: told.append(options) or types.SimpleNamespace(id="abc")  # pyright: ignore
    library.log, library.finish = told.append, lambda: told.append("finished")  # pyright: ignore
    monkeypatch.setitem(sys.modules, "wandb", library)
    row = {"env_steps": 5, "seed": 3, "return_mean": 2.0, "loss": None}
    for _ in range(2):
        with writers.service("wandb", config, tmp_path, -1) as log:
            log(5, [row])
    assert told[0]["config"]["agent"] == "ppo" and told[0]["id"] is None
    assert told[1:3] == [{"env_steps": 5, "return_mean/seed=3": 2.0}, "finished"]
    assert told[3]["id"] == "abc"  # the second session goes on in the run of the first


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_real_service_without_a_network(name, trained, tmp_path, monkeypatch):
    """Two sessions are one run, and what they logged is in the files of the package."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # which is read when trackio is imported
    pytest.importorskip(name)
    config, known = configuration.load(trained), []
    for step in (5, 10):
        with writers.opened(config, tmp_path, [name], -1) as log:
            log(step, [{"env_steps": step, "seed": 3, "return_mean": 2.5 * step}])
        known.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert known[0] == known[1] and known[0]["project"] == "jaxrl"
    if name == "wandb":
        files = sorted(tmp_path.rglob("*.wandb"))
        assert [known[0]["id"] in path.name for path in files] == [True, True]
        for path, value in zip(files, (b"12.5", b"25")):  # another process writes them
            for _ in range(300):
                told = path.read_bytes()
                if b"return_mean/seed=3" in told:
                    break
                time.sleep(0.1)
            assert value in told.partition(b"return_mean/seed=3")[2][:20]
    else:
        (path,) = tmp_path.rglob("*.db")
        with contextlib.closing(sqlite3.connect(path)) as database:
            rows = [str(row) for row in database.execute("SELECT * FROM metrics")]
        assert [known[0]["name"] in row for row in rows] == [True, True]
        for row, value in zip(rows, ("12.5", "25.0")):
            assert f'"return_mean/seed=3":{value}' in row.replace(" ", "")


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'jaxrl\[wandb\]'"):
        writers.require_writers(["wandb"])


def test_a_callback_stops_a_run_which_goes_on_as_if_nothing_had_been(trained, tmp_path):
    seen, folder = [], tmp_path / "stopped"
    config = configuration.load(trained)

    def enough(step, rows):
        seen.append((step, len(rows)))
        return len(seen) == 2

    options = Options(log=("jsonl",), callbacks=[enough])
    train_parts(config, folder, False, options)
    assert seen == [(0, 2), (128, 2)]
    assert main(["train", "--resume", str(folder), "--log", "jsonl", "--no-animation"]) == 0
    assert table(folder) == table(trained)
    for a, b in zip(state(folder), state(trained), strict=True):
        assert a.tobytes() == b.tobytes()
    steps = [
        json.loads(x)["env_steps"] for x in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert steps == [0, 0, 128, 128, 256, 256]


def test_a_callback_may_stop_at_the_first_evaluation(tmp_path):
    config = configuration.load
    folder = tmp_path / "first"
    options = Options(callbacks=[lambda step, rows: True])
    assert main([*command("ppo", 1, 1, tmp_path / "like")]) == 0
    training.train_parts(config(tmp_path / "like"), folder, False, options)
    assert {row["env_steps"] for row in results.read_metrics(folder)} == {0}
