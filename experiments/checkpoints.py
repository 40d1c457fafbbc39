"""Saving and restoring whole runs with orbax, atomically."""

import contextlib
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from jaxrl.errors import require
from jaxrl.types import Tree

logging.getLogger("absl").setLevel(logging.ERROR)


@contextlib.contextmanager
def manager(folder: Path):
    """Orbax's manager of the checkpoints in a results folder, of which it keeps two."""
    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with ocp.CheckpointManager((folder / "checkpoint").absolute(), options=options) as manager:
        yield manager


def save(manager: ocp.CheckpointManager, intervals: int, runs: Tree, clock: dict) -> None:
    """Save the state after `intervals` intervals; until it is complete the last one stays."""
    args = ocp.args.Composite(runs=ocp.args.StandardSave(runs), clock=ocp.args.JsonSave(clock))
    manager.save(intervals, args=args, force=True)
    manager.wait_until_finished()


def restore(folder: Path, like: Tree) -> tuple[int, Tree, dict[str, Any]]:
    """The latest state in a folder: intervals done, runs shaped `like`, and the clock.

    Raises a ValueError of one sentence if there is none, it cannot be read, or shapes differ.
    """
    require(
        (folder / "checkpoint").is_dir(), f"{folder} has no checkpoint yet: train into it first."
    )
    with manager(folder) as checkpoints:
        latest = checkpoints.latest_step()
        require(latest is not None, f"{folder} has no complete checkpoint: train anew.")
        args = ocp.args.Composite(
            runs=ocp.args.StandardRestore(like), clock=ocp.args.JsonRestore()
        )
        try:
            found = checkpoints.restore(latest, args=args)
        except Exception as error:  # orbax and tensorstore raise many kinds
            reason = str(error).strip().splitlines()[0][:200] if str(error) else type(error).__name__
            raise ValueError(
                f"The checkpoint {folder / 'checkpoint' / str(latest)} is corrupted or of another "
                f"configuration ({reason}): delete it to fall back on the one before, or train anew."
            ) from None
    same = jax.tree.map(lambda a, b: a.shape == b.shape and a.dtype == b.dtype, found.runs, like)
    require(
        all(jax.tree.leaves(same)),
        f"{folder} holds a checkpoint of another configuration: its arrays have other shapes.",
    )
    return latest, found.runs, found.clock
