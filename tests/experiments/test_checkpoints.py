"""A checkpoint is there whole or not at all."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments import checkpoints
from jaxrl.errors import InputError

SAVE_FOREVER = """
import sys
from pathlib import Path
from typing import NamedTuple
import jax, numpy as np
from experiments import checkpoints
from jaxrl.errors import InputError
with checkpoints.manager(Path(sys.argv[1])) as manager:
    for step in range(1, 10_000):
        noise = np.random.default_rng(step).normal(size=(64, 100_000)).astype(np.float32)
        runs = {"noise": jax.numpy.asarray(noise), "key": jax.random.key(step)}
        checkpoints.save(manager, step, runs, {"seconds": step})
"""


def place(tree):
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shape = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here)
    return jax.tree.map(shape, jax.eval_shape(lambda: tree))


def killed_while_saving(folder: Path) -> bool:
    """Kill a process that saves, not before its third save; whether it was in the middle."""
    root = str(Path(__file__).parents[2])
    words = [sys.executable, "-c", SAVE_FOREVER, str(folder)]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": root})
    unfinished = lambda: [p for p in folder.glob("checkpoint/*") if "tmp" in p.name]
    deadline = time.monotonic() + 120
    try:
        while not ((folder / "checkpoint" / "2").exists() and unfinished()):
            assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    return bool(unfinished())


def test_killed_in_the_middle_of_a_save(tmp_path):
    folders = (tmp_path / str(attempt) for attempt in range(5))
    folder = next(folder for folder in folders if killed_while_saving(folder))
    like = place({"noise": jnp.zeros((64, 100_000)), "key": jax.random.key(0)})
    step, runs, progress = checkpoints.restore(folder, like)
    assert step >= 2 and progress["seconds"] == step
    noise = np.random.default_rng(step).normal(size=(64, 100_000)).astype(np.float32)
    np.testing.assert_array_equal(runs["noise"], noise)
    assert (jax.random.key_data(runs["key"]) == jax.random.key_data(jax.random.key(step))).all()
    with checkpoints.manager(folder) as manager:
        checkpoints.save(manager, step + 1, runs, {"seconds": step + 1})
    assert checkpoints.restore(folder, like)[0] == step + 1


def test_keeps_two_and_all_types(tmp_path):
    tree = {
        "key": jax.random.split(jax.random.key(3), 4),
        "half": jnp.arange(6, dtype=jnp.bfloat16),
        "flag": jnp.array([True, False]),
        "count": jnp.asarray(7, jnp.int32),
        "memory": (),
    }
    with checkpoints.manager(tmp_path) as manager:
        for step in (1, 2, 3):
            checkpoints.save(manager, step, tree, {"diverged": {"1": ["loss", float("nan"), 5]}})
        assert sorted(manager.all_steps()) == [2, 3]
    step, found, progress = checkpoints.restore(tmp_path, place(tree))
    assert step == 3 and progress["diverged"]["1"][2] == 5
    assert jax.tree.structure(found) == jax.tree.structure(tree)
    jax.tree.map(np.testing.assert_array_equal, checkpoints.plain(found), checkpoints.plain(tree))


def test_other_shapes_are_another_configuration(tmp_path):
    with checkpoints.manager(tmp_path) as manager:
        checkpoints.save(manager, 1, {"a": jnp.ones(3)}, {})
    for other in (
        {"a": jnp.ones(4)},
        {"a": jnp.ones(3, int)},
        {"a": jnp.ones(3), "b": jnp.ones(1)},
    ):
        with pytest.raises(ValueError, match="another configuration"):
            checkpoints.restore(tmp_path, place(other))


def test_a_flipped_bit_is_noticed(tmp_path):
    runs = {"noise": jax.random.normal(jax.random.key(0), (1000,))}
    with checkpoints.manager(tmp_path) as manager:
        checkpoints.save(manager, 1, runs, {})
    data = max((tmp_path / "checkpoint").rglob("*/d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="corrupted"):
        checkpoints.restore(tmp_path, place(runs))


class Before(NamedTuple):
    """A record of an earlier version."""

    numbers: jax.Array
    key: jax.Array


class After(NamedTuple):
    """The same with a field that holds no array unless it is asked for."""

    numbers: jax.Array
    key: jax.Array
    more: tuple = ()


@pytest.mark.parametrize("whole", [False, True])
def test_records_may_gain_fields_without_arrays(tmp_path, whole):
    """Also where the checkpoint holds the `whole` tree, as those of earlier versions do."""
    before = {"a": (Before(jnp.arange(3.0), jax.random.key(3)), [jnp.int32(4)])}
    like = place({"a": (After(jnp.zeros(3), jax.random.key(0)), [jnp.int32(0)])})
    with checkpoints.manager(tmp_path) as manager:
        if whole:
            about = {"checksum": checkpoints.checksum(before)}
            about |= {"shapes": checkpoints.shapes(before), "seconds": 5}
            args = ocp.args.Composite(
                runs=ocp.args.StandardSave(before), progress=ocp.args.JsonSave(about)
            )
            manager.save(7, args=args)
            manager.wait_until_finished()
        else:
            checkpoints.save(manager, 7, before, {"seconds": 5})
    step, runs, progress = checkpoints.restore(tmp_path, like)
    assert (step, progress["seconds"]) == (7, 5)
    record, numbers = runs["a"]
    assert isinstance(record, After) and record.more == () and numbers == [4]
    np.testing.assert_array_equal(record.numbers, np.arange(3))
    assert (jax.random.key_data(record.key) == jax.random.key_data(jax.random.key(3))).all()
    with pytest.raises(InputError, match="of another configuration"):
        checkpoints.restore(tmp_path, place({"a": (like["a"][0], [jnp.int32(0)] * 2)}))


def test_arrays_without_elements_come_back_with_their_shapes(tmp_path):
    """Such as the contacts of bodies that cannot touch."""
    runs = {"contacts": jnp.zeros((4, 0, 3)), "positions": jnp.arange(4.0)}
    with checkpoints.manager(tmp_path) as manager:
        checkpoints.save(manager, 1, runs, {})
    _, restored, _ = checkpoints.restore(tmp_path, place(runs))
    assert restored["contacts"].shape == (4, 0, 3)
    np.testing.assert_array_equal(restored["positions"], runs["positions"])
