"""To stop and go on in a new process is to never have stopped."""

import signal
import time

import numpy as np

from experiments.cli import main
from tests.experiments.runs import command, start, state, table


def test_resumed_in_a_new_process_is_bitwise_the_same(tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main(command("sac", 8, 4, whole)) == 0
    assert main(command("sac", 4, 2, halves)) == 0
    steps = command("sac", 8, 4, whole)
    steps = steps[steps.index("--steps") + 1]
    resumed = start(["train", "--resume", str(halves), "--steps", steps, "--no-animation"])
    _, errors = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, errors
    assert table(halves) == table(whole)
    first, second = state(whole), state(halves)
    assert len(first) == len(second) > 10
    for a, b in zip(first, second):
        np.testing.assert_array_equal(a, b)


def test_rows_after_the_checkpoint_are_written_anew(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "killed"
    assert main(command("ppo", 4, 2, whole)) == 0
    assert main(command("ppo", 2, 1, folder)) == 0
    path = folder / "metrics.csv"
    line = path.read_text().splitlines()[-1].replace("128,", "256,", 1)
    with path.open("a") as file:  # as if it was killed after the evaluation, before the checkpoint
        file.write(f"{line}\n256,0.1,3")
    assert main(["train", "--resume", str(folder), "--steps", "256", "--no-animation"]) == 0
    assert table(folder) == table(whole)


def test_control_c_leaves_results_that_can_be_resumed(tmp_path, capsys):
    folder = tmp_path / "stopped"
    process = start(command("ppo", 2_000_000, 1_000_000, folder))
    deadline = time.monotonic() + 240
    while not (folder / "metrics.csv").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors and "--resume" in errors
    assert (folder / "learning_curve.png").stat().st_size > 0
    rows = table(folder)
    done = int(rows[-1]["env_steps"])
    assert [int(row["env_steps"]) for row in rows[::2]] == list(range(128, done + 1, 128))
    arguments = ["train", "--resume", str(folder), "--steps", str(done + 128), "--no-animation"]
    assert main(arguments) == 0
    assert int(table(folder)[-1]["env_steps"]) == done + 128
    assert table(folder)[: len(rows)] == rows


def test_control_c_before_the_first_evaluation(tmp_path, monkeypatch, capsys):
    def interrupt(population):
        raise KeyboardInterrupt

    folder = tmp_path / "early"
    monkeypatch.setattr("experiments.training.start", interrupt)
    assert main(command("ppo", 2, 1, folder)) == 130
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.undo()
    assert main(["train", "--resume", str(folder), "--no-animation"]) == 0
    assert len(table(folder)) == 2


def test_nothing_to_do(trained, capsys):
    before = table(trained)
    assert main(["train", "--resume", str(trained), "--no-animation"]) == 0
    assert "already" in capsys.readouterr().err
    assert table(trained) == before
