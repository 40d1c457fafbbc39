"""To stop and continue, wherever it was, is to never have stopped."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from experiments import checkpoints, commands, locks, progress, results, training
from experiments.cli import main
from jaxrl.errors import InputError
from tests.experiments.runs import command, files, start, state, table


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """PPO after 8 updates, evaluated twice."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(command("ppo", 8, 2, folder)) == 0
    return folder


@pytest.fixture
def failing(monkeypatch):
    """A function that lets something happen before some update, in pieces of one update each."""
    learn = training.learn

    def failing(update, happen):
        def one(program, p, state, memory, updates):
            if state.updates == update:
                happen()
            return learn(program, p, state, memory, updates)

        monkeypatch.setattr(training, "CHUNK", 0.0)
        monkeypatch.setattr(training, "learn", one)

    yield failing


def resumed(folder, *words):
    return main(["train", "--resume", str(folder), "--no-animation", *words])


def test_resumed_in_a_new_process_is_bitwise_the_same(tmp_path, failing, capsys):
    """SAC is told to stop inside an interval, as when a machine is taken away."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main(command("sac", 8, 2, whole)) == 0
    failing(1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(command("sac", 8, 2, halves)) == 130
    told = capsys.readouterr().err
    assert "SIGTERM" in told and "Traceback" not in told
    # The warm-up of 16 and two updates of 8: the interval has three.
    assert told.splitlines()[-1].endswith("after 32 environment steps; continue with --resume.")
    assert len(table(halves)) == 2
    child = start(["train", "--resume", str(halves), "--no-animation"])
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 0, errors
    assert table(halves) == table(whole)
    first, second = state(whole), state(halves)
    assert len(first) == len(second) > 10
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def test_a_killed_run_continues_from_its_last_save(whole, tmp_path, failing, monkeypatch):
    """The process dies inside an interval and after an evaluation; then the disk is full."""

    def die():
        raise KeyboardInterrupt  # at once, without a save

    folder, words = tmp_path / "killed", command("ppo", 8, 2, tmp_path / "killed")
    often = ["--save-every", "1e-9"]
    failing(3, die)
    assert main([*words, *often]) == 130
    failing(6, die)
    assert resumed(folder, *often) == 130
    assert checkpoints.complete(folder)[-1] == 6 and len(table(folder)) == 4
    log = (folder / "train.log").read_text()
    assert log.count("Compiled in") == 2

    def full(*arguments, **options):
        raise ValueError("RESOURCE_EXHAUSTED: Error writing: No space left on device")

    failing(-1, die)  # never
    with monkeypatch.context() as patch:
        patch.setattr("orbax.checkpoint.CheckpointManager.save", full)
        with pytest.raises(OSError, match=f"o space left.*{folder / 'checkpoint'}"):
            commands.train_command(["--resume", str(folder), "--no-animation"])
    assert checkpoints.complete(folder)[-1] == 6
    assert resumed(folder) == 0
    assert table(folder) == table(whole)
    for a, b in zip(state(folder), state(whole), strict=True):
        np.testing.assert_array_equal(a, b)


def test_torn_rows_and_rows_after_the_checkpoint_are_written_anew(whole, trained, tmp_path):
    """As if it was killed after the evaluation, before the checkpoint; then it is extended."""
    folder = tmp_path / "killed"
    shutil.copytree(trained, folder)
    path = folder / "metrics.csv"
    line = path.read_text().splitlines()[-1].replace("256,", "384,", 1)
    with path.open("a") as file:
        file.write(f"{line}\n256,0.1,3")
    assert resumed(folder, "--steps", "512") == 0
    rows = table(folder)
    assert rows[:6] == table(trained)  # after 0, 2 and 4 updates
    assert [r["env_steps"] for r in rows[::2]] == ["0", "128", "256", "384", "512"]
    # The learning rate falls with the run's length, so that only what the shape tells is the same.
    assert rows[0].keys() == table(whole)[0].keys()
    config = json.loads((folder / "config.json").read_text())
    assert config["steps"] == 512 and len(config["sessions"]) == 1


def test_control_c_leaves_results_that_can_be_resumed(tmp_path):
    folder = tmp_path / "stopped"
    process = start(command("ppo", 2_000_000, 1_000_000, folder))
    deadline = time.monotonic() + 240
    rows = lambda: (folder / "metrics.csv").exists() and len(table(folder)) > 2
    while not rows() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "in use" in refusal(["train", "--resume", str(folder)])
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "--resume" in errors
    assert (folder / "learning_curve.png").stat().st_size > 0
    assert not (folder / locks.NAME).exists()
    rows = table(folder)
    done = int(rows[-1]["env_steps"])
    assert [int(row["env_steps"]) for row in rows[::2]] == list(range(0, done + 1, 128))
    assert resumed(folder, "--steps", str(done + 128)) == 0
    assert int(table(folder)[-1]["env_steps"]) == done + 128
    assert table(folder)[: len(rows)] == rows


def test_control_c_before_the_first_evaluation(tmp_path, monkeypatch, capsys):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    folder = tmp_path / "early"
    monkeypatch.setattr("experiments.training.programmed", interrupt)
    assert main(command("ppo", 2, 1, folder)) == 130
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.undo()
    assert resumed(folder) == 0
    assert len(table(folder)) == 4


def refusal(words):
    """The sentence with which a command is refused."""
    with pytest.raises(InputError) as caught:
        getattr(commands, f"{words[0]}_command")(words[1:])
    return str(caught.value)


def test_what_is_lost_is_not_begun_anew(trained, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    shutil.rmtree(folder / "checkpoint")
    before = files(folder)
    assert "no complete checkpoint" in refusal(["train", "--resume", str(folder)])
    (folder / "checkpoint").write_text("")
    assert "but a file" in refusal(["train", "--resume", str(folder)])
    (folder / "checkpoint").unlink()
    assert files(folder) == before
    # Without rows there is nothing to lose, as after a signal while compiling.
    (folder / "metrics.csv").write_text("")
    assert resumed(folder) == 0
    assert table(folder) == table(trained)


def test_torn_metrics_do_not_block_a_run(trained, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(trained, folder)
    for text in ("", "\0" * 30, "env_steps,wall_ti"):
        (folder / "metrics.csv").write_text(text)
        with pytest.raises(ValueError, match="no rows"):
            results.read_metrics(folder)
        assert "torn" in results.truncate_metrics(folder, 256)
        results.append_metrics(folder, [{"env_steps": 1, "seed": 0, "return_mean": 2.5}])
        assert results.read_metrics(folder) == [{"env_steps": 1, "seed": 0, "return_mean": 2.5}]
    for text in ("x,y\n1,2\n", "env_steps,seed\n1,0\n1,zero\n2,0\n"):
        (folder / "metrics.csv").write_text(text)
        assert "metrics.csv" in refusal(["train", "--resume", str(folder), "--no-animation"])
        assert (folder / "metrics.csv").read_text() == text


def test_nothing_to_do(trained, capsys):
    before = table(trained)
    assert resumed(trained) == 0
    assert "already" in capsys.readouterr().err
    assert table(trained) == before


def test_an_older_run_takes_defaults_and_says_so(trained, tmp_path, capsys):
    folder = tmp_path / "older"
    shutil.copytree(trained, folder)
    config = json.loads((folder / "config.json").read_text())
    config["hyperparameters"] = {k: v for k, v in config["hyperparameters"].items() if k != "clip"}
    (folder / "config.json").write_text(json.dumps(config))
    assert resumed(folder) == 0
    assert "defaults: clip 0.2." in capsys.readouterr().err
    assert json.loads((folder / "config.json").read_text())["hyperparameters"]["clip"] == 0.2


def test_a_folder_has_one_owner(tmp_path):
    path = tmp_path / locks.NAME
    ended = subprocess.Popen(["true"])
    ended.wait()
    me = locks.identity(os.getpid())
    dead = [{"host": me["host"], "pid": ended.pid}, me | {"began": 1}, {}]
    for owner in (json.dumps(one) for one in dead):
        path.write_text(owner)
        with locks.locked(tmp_path) as sentence:
            assert "taken over" in sentence
            assert [p.name for p in tmp_path.iterdir()] == [locks.NAME]
            with pytest.raises(ValueError, match="in use by process"), locks.locked(tmp_path):
                pass
            assert locks.read(path)["pid"] == os.getpid()
        assert not path.exists()
    for owner in (me, {"host": "elsewhere", "pid": 1}):
        path.write_text(json.dumps(owner))
        with pytest.raises(ValueError, match=str(path)), locks.locked(tmp_path):
            pass
        assert json.loads(path.read_text()) == owner


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    rows = [{"env_steps": 1, "seed": 0, "loss": None}]
    results.append_metrics(tmp_path, rows)
    before = files(tmp_path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    class Torn:
        def __init__(self, path, mode, **options):
            self.file = open(path, mode)  # noqa: SIM115

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, text):
            self.file.write(text[:3])
            self.file.flush()
            full()

    real = type(tmp_path).open
    pick = lambda self, mode="r", **options: (Torn if mode == "a" else real)(self, mode, **options)
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.open", pick)
        with pytest.raises(OSError, match=r"space.*metrics\.csv"):
            results.append_metrics(tmp_path, rows)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match=r"space.*metrics\.csv"):
            results.write_whole(tmp_path / "metrics.csv", "other")
    assert {k: v[1] for k, v in files(tmp_path).items()} == {k: v[1] for k, v in before.items()}


def test_columns_of_a_newer_version_are_added(tmp_path):
    results.append_metrics(tmp_path, [{"env_steps": 1, "seed": 0, "old": 5}])
    results.append_metrics(tmp_path, [{"env_steps": 2, "seed": 0, "new": 7}])
    text = (tmp_path / "metrics.csv").read_text()
    assert text == "env_steps,seed,old,new\n1,0,5,\n2,0,,7\n"


def test_the_best_is_kept_beside_the_last(whole):
    rows = results.read_metrics(whole)
    means = {s: np.mean([r["return_mean"] for r in rows if r["env_steps"] == s])
             for s in sorted({r["env_steps"] for r in rows})}  # fmt: skip
    top = max(means, key=means.get)
    assert checkpoints.complete(whole, checkpoints.BEST)[-1] == top / 64
    like = progress.without_data(gathered(whole))
    _, runs, told = checkpoints.restore(whole, like, checkpoints.BEST)
    assert told["return_mean"] == pytest.approx(means[top])
    assert int(runs.step.value) == top / 64


def gathered(folder):
    from experiments import configuration
    from experiments.population import gather

    return gather(configuration.load(folder)).like
