"""Two processes that train one run give the rows of one process, also when one is told to stop."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import processes
from experiments.cli import main
from tests.experiments.runs import command, table

ALONE = ["--devices", "data=1,members=1"]


def close(folder, other):
    """Whether two folders have the same rows, up to the order of sums."""
    rows, others = table(folder), table(other)
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    number = lambda text: float(text or "nan")
    for one, two in zip(rows, others):
        for name in one:
            np.testing.assert_allclose(
                number(one[name]), number(two[name]), rtol=1e-3, atol=1e-4, err_msg=name
            )


@pytest.mark.slow
def test_two_processes_are_one_run(tmp_path):
    """Two seeds of two shards, on two devices in each of two processes, and on one device.

    A signal to the second process stops both, after the first has saved, and what was saved is
    continued on one device. The rows are those of the run that was never divided.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    pair, whole = tmp_path / "pair", tmp_path / "whole"
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
    root = Path(__file__).parents[2]
    env = os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": str(root)}
    words = [sys.executable, "-m", "tests.experiments.pair", str(port)]
    both = [
        subprocess.Popen(
            [*words, str(i), str(pair)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=env, cwd=root,
        )
        for i in range(2)
    ]  # fmt: skip
    assert main([*command("dqn", 8, 2, whole), "--shards", "2", *ALONE]) == 0
    told = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    for out, _ in told:  # the warm-up of 16 and five updates of 8
        assert "stopped after 56 environment steps; continue with --resume." in out
    assert "A signal to another process" in told[0][0] and "SIGTERM" in told[1][0]
    assert len(table(pair)) == 4 and len(table(whole)) == 6
    assert main(["train", "--resume", str(pair), "--no-animation", *ALONE]) == 0
    close(pair, whole)


def test_a_process_that_does_not_come_is_told_in_a_sentence(monkeypatch, capsys):
    """The service waits in vain, and then it does not."""
    left = []

    def leave(code):
        left.append(code)
        raise SystemExit

    class Service:
        def wait_at_barrier(self, name, timeout_in_ms):
            if not left:
                raise RuntimeError("deadline exceeded")

    monkeypatch.setattr(processes, "several", lambda: True)
    monkeypatch.setattr(processes, "leave", leave)
    monkeypatch.setattr(processes.distributed.global_state, "client", Service())
    with pytest.raises(SystemExit):
        processes.end(patience=5)
    assert left == [1]
    words = "Another process died or did not reach the end within 5 seconds."
    assert words in capsys.readouterr().err
    processes.end(patience=5)
    assert left == [1]
