"""Saving and restoring whole runs with orbax, atomically."""

import contextlib
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxrl.errors import InputError, require
from jaxrl.types import Tree

logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[ocp.CheckpointManager]:
    """Orbax's manager of the checkpoints in a results folder, of which it keeps two."""
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager((folder / "checkpoint").absolute(), options=options) as manager:
        yield manager


def save(manager: ocp.CheckpointManager, intervals: int, runs: Tree, progress: dict) -> None:
    """Save the state after `intervals` intervals; until it is complete the last one stays.

    `progress` is whatever else the driver has to remember, as JSON.
    """
    progress = progress | {"checksum": checksum(runs), "shapes": shapes(runs)}
    args = ocp.args.Composite(
        runs=ocp.args.StandardSave(runs), progress=ocp.args.JsonSave(progress)
    )
    manager.save(intervals, args=args, force=True)
    manager.wait_until_finished()


def exists(folder: Path) -> bool:
    """Whether a results folder has a complete checkpoint."""
    if not (folder / "checkpoint").is_dir():
        return False
    with manager(folder) as checkpoints:
        return checkpoints.latest_step() is not None


def restore(folder: Path, like: Tree) -> tuple[int, Tree, dict[str, Any]]:
    """The latest state in a folder: intervals done, runs shaped and placed `like`, progress.

    Raises an InputError of one sentence if there is none, it cannot be read, or shapes differ.
    """
    require(exists(folder), f"{folder} has no complete checkpoint: train into it first.")
    with manager(folder) as checkpoints:
        latest = checkpoints.latest_step()
        path = folder / "checkpoint" / str(latest)
        json, arrays = ocp.args.JsonRestore(), ocp.args.StandardRestore(like)
        try:
            args = ocp.args.Composite(progress=json)
            progress = checkpoints.restore(latest, args=args).progress
            same = progress["shapes"] == shapes(like)
            args = ocp.args.Composite(runs=arrays)
            runs = checkpoints.restore(latest, args=args).runs if same else None
            damaged = same and progress["checksum"] != checksum(runs)
        except Exception as error:  # orbax and tensorstore raise many kinds
            raise corrupted(path, type(error).__name__) from None
    require(
        same,
        f"{path} is a checkpoint of another configuration: its arrays have other shapes; "
        "go on with it as config.json says, or choose another folder.",
    )
    if damaged:
        raise corrupted(path, "wrong checksum")
    return latest, runs, progress


def corrupted(path: Path, reason: str) -> InputError:
    """What to say of a checkpoint that cannot be read."""
    return InputError(
        f"The checkpoint {path} is corrupted ({reason}): delete that folder to fall back on the "
        "checkpoint before it, if there is one, or train anew with another --out."
    )


def plain(tree: Tree) -> Tree:
    """A tree with typed keys replaced by the numbers in them."""
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def shapes(tree: Tree) -> dict[str, str]:
    """The shape and type of each leaf, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def checksum(tree: Tree) -> int:
    """CRC-32 of all the numbers in a tree: compressed arrays do not notice a flipped bit."""
    value = 0
    for leaf in jax.tree.leaves(plain(tree)):
        value = zlib.crc32(np.asarray(leaf).reshape(-1).view(np.uint8), value)
    return value
