"""Runs from the shell whose replay buffer is in host memory."""

from types import SimpleNamespace

import numpy as np
import pytest

from experiments import checkpoints, configuration, planning, programs
from experiments.cli import main
from experiments.population import gather
from jaxrl.errors import InputError
from jaxrl.remote import remotes
from tests.experiments.runs import command, state, table

HOST = ["--buffer-memory", "host", "--decay", "0"]


def test_a_run_that_was_stopped_goes_on_as_if_it_never_was(tmp_path, monkeypatch):
    """Two seeds; the ring of 32 rows is full after six updates, and turns over afterwards."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    with programs.for_now():
        with monkeypatch.context() as patch:
            patch.setattr("experiments.exporting.after_training", lambda *run: None)
            assert main([*command("dqn", 18, 4, whole), *HOST]) == 0
            assert main([*command("dqn", 10, 2, halves), *HOST]) == 0
        assert main(f"train --resume {halves} --steps 144 --no-animation".split()) == 0
    assert table(halves) == table(whole)
    for a, b in zip(state(halves), state(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    like = gather(configuration.load(whole)).like
    (node,) = remotes(checkpoints.restore(whole, like)[1])
    assert type(node.ring) is np.ndarray and node.ring.flags.writeable
    assert node.ring.any(-1).all()  # all rows of both members were written


def test_the_plan_of_the_memory_tells_the_host_from_the_device(monkeypatch):
    """By hand: members have 4 MiB in a device of 10 MiB, and 20 MiB in a host of 50 MiB."""
    monkeypatch.setattr(planning.memory, "memory_bytes", lambda: 10 * 2**20)
    monkeypatch.setattr(planning.memory, "host_bytes", lambda: 50 * 2**20)
    plan = {"replay": 3 * 2**20, "temporaries": 5 * 2**20, planning.HOST: 40 * 2**20}
    near = {name: size for name, size in plan.items() if name != planning.HOST}
    own = lambda memory: {"buffer_memory": memory, "hidden": (8,)}
    config = lambda memory: SimpleNamespace(hyperparameters=own(memory))
    assert planning.fitting(plan, 2) == 0  # on a processor all is in one memory
    with pytest.raises(InputError, match=r"not even one member fits: try a smaller --hidden\.$"):
        planning.require_fits({"replay": 2**30}, 1, config("device"))
    monkeypatch.setattr(planning, "apart", lambda: True)
    assert planning.fitting(plan, 2) == 2 and planning.fitting(near, 2) == 2
    assert planning.fitting(plan | {planning.HOST: 80 * 2**20}, 2) == 1
    assert planning.sentence(plan).startswith(
        "about 8.0 MiB of 10 MiB and 40 MiB of the host's 50 MiB: replay in host memory 40 MiB"
    )
    with pytest.raises(InputError, match=r"a smaller --hidden, or --buffer-memory host\.$"):
        planning.require_fits({"replay": 2**30}, 1, config("device"))
    with pytest.raises(InputError, match=r"a smaller --hidden\.$"):
        planning.require_fits({"temporaries": 2**30, planning.HOST: 1}, 1, config("host"))
