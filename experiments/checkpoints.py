"""Saving and restoring whole runs with orbax, atomically."""

import contextlib
import errno
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from experiments import processes, results
from jaxrl.errors import InputError, require
from jaxrl.types import Tree, is_key

logging.getLogger("absl").setLevel(logging.ERROR)

LAST, BEST = "checkpoint", "best"  # folders within a results folder
KEPT = {LAST: 2, BEST: 1}
NUMBERS = "numbers"  # how keys are saved


@contextlib.contextmanager
def manager(
    folder: Path, kind: str = LAST, read_only: bool = False
) -> Iterator[ocp.CheckpointManager]:
    """Orbax's manager of the last two checkpoints in a results folder, or of the best one.

    One that only reads leaves alone what another process is saving.
    """
    # Each process reads by itself, and only the first one writes: none waits for another here.
    several = processes.several()
    if several and not read_only:  # orbax makes no folder for a part of the processes
        results.make_folder(folder / kind)
    own = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()},
        barrier_sync_key_prefix=f"process-{jax.process_index()}",
    )
    options = ocp.CheckpointManagerOptions(
        max_to_keep=None if read_only else KEPT[kind],
        enable_async_checkpointing=False,
        read_only=read_only,
        **({"multiprocessing_options": own, "create": False} if several else {}),
    )
    with ocp.CheckpointManager((folder / kind).absolute(), options=options) as manager:
        yield manager


def save(manager: ocp.CheckpointManager, updates: int, runs: Tree, progress: dict) -> None:
    """Save the state after a number of updates; until it is complete the last one stays.

    `progress` is whatever else the driver has to remember, as JSON. Raises an OSError with the
    name of the folder if the state cannot be written.
    """
    if updates in manager.all_steps():
        return  # it is there already: nothing was learnt since
    progress = progress | {"checksum": checksum(runs), "shapes": shapes(runs), "keys": NUMBERS}
    arrays = named(plain(runs))  # orbax does not save keys in one of several processes
    if processes.several():
        arrays = {name: np.asarray(x) for name, x in arrays.items()}
    args = ocp.args.Composite(
        arrays=ocp.args.StandardSave(filled(arrays)), progress=ocp.args.JsonSave(progress)
    )
    try:
        manager.save(updates, args=args, force=True)
        manager.wait_until_finished()
    except Exception as error:  # orbax and tensorstore raise many kinds
        place = str(manager.directory)
        if isinstance(error, OSError):
            raise results.named(error, Path(place)) from None
        full = [text for text in ("RESOURCE_EXHAUSTED", "No space left") if text in str(error)]
        if not full:
            raise
        raise OSError(errno.ENOSPC, "No space left on device", place) from None


def complete(folder: Path, kind: str = LAST) -> list[int]:
    """The numbers of updates of the complete checkpoints in a results folder, in order."""
    place = folder / kind
    require(
        place.is_dir() or not place.exists(),
        f"{place} is not a folder of checkpoints, but a file: move it away or restore the folder.",
    )
    if not place.is_dir():
        return []
    with manager(folder, kind, read_only=True) as checkpoints:
        return sorted(checkpoints.all_steps())


def restore(folder: Path, like: Tree, kind: str = LAST) -> tuple[int, Tree, dict[str, Any]]:
    """The latest state in a folder: its number, runs shaped and placed `like`, and its progress.

    Raises an InputError of one sentence if there is none, it cannot be read, or shapes differ.
    """
    *earlier, latest = complete(folder, kind) or [-1]
    require(latest >= 0, f"{folder} has no complete checkpoint: train into it first.")
    path = folder / kind / str(latest)
    try:
        with manager(folder, kind, read_only=True) as checkpoints:
            args = ocp.args.Composite(progress=ocp.args.JsonRestore())
            progress = checkpoints.restore(latest, args=args).progress
            stored, wanted = progress["shapes"], shapes(like)
            by_name = {names(x): y for x, y in stored.items()}
            # Records that moved keep their order, as an optimiser within another one does.
            same = by_name == {names(x): y for x, y in wanted.items()}
            same = same or list(stored.values()) == list(wanted.values())
            numbers = progress.get("keys") == NUMBERS
            runs = read(checkpoints, latest, like, list(stored), numbers) if same else None
            damaged = same and progress["checksum"] != checksum(processes.fetched(runs))
    except Exception as error:  # orbax and tensorstore raise many kinds, some while closing
        raise corrupted(path, type(error).__name__, earlier) from None
    require(
        same,
        f"{path} is a checkpoint of another configuration: its arrays have other shapes; "
        "continue it as config.json says, or choose another folder.",
    )
    if damaged:
        raise corrupted(path, "wrong checksum", earlier)
    return latest, runs, progress


def read(
    checkpoints: ocp.CheckpointManager, step: int, like: Tree, stored: list[str], numbers: bool
) -> Tree:
    """The runs of a checkpoint, shaped and placed `like`, whose arrays have the paths `stored`.

    Keys are stored as `numbers`, or by earlier versions as keys. Arrays are found by their names,
    so that records may gain fields without arrays, or by their order, if names are others.
    Checkpoints of earlier versions hold the tree itself.
    """
    typed, structure = jax.tree.flatten(like)
    leaves = [numbers_of(x) for x in typed] if numbers else typed
    old = [".".join(names(path)) for path in stored]
    if set(old) == set(named(like)):
        old = list(named(like))
    if (Path(checkpoints.directory) / str(step) / "arrays").is_dir():
        args = ocp.args.Composite(arrays=ocp.args.StandardRestore(filled(dict(zip(old, leaves)))))
        found = checkpoints.restore(step, args=args).arrays
    else:
        args = ocp.args.Composite(runs=ocp.args.StandardRestore())
        found = named(checkpoints.restore(step, args=args).runs)
    there = lambda name, leaf: found[name] if leaf.size else np.zeros(leaf.shape, leaf.dtype)
    places = [placed(there(*pair), pair[1]) for pair in zip(old, leaves)]
    wrap = lambda x, like: jax.random.wrap_key_data(x) if numbers and is_key(like) else x
    return structure.unflatten([wrap(*pair) for pair in zip(places, typed)])


def placed(x: Any, like: Any) -> Any:
    """An array where `like` is: on its devices, or on the host, to be written to."""
    if isinstance(like, np.ndarray):
        return np.require(x, requirements="W")
    return jax.device_put(x, like.sharding)


def filled(arrays: dict[str, Any]) -> dict[str, Any]:
    """Those arrays that have elements: orbax does not write others, of which shapes tell all."""
    return {name: x for name, x in arrays.items() if x.size}


def named(tree: Tree) -> dict[str, Any]:
    """The arrays of a tree, in order, by their names: the fields and places that lead to them."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {".".join(names(jax.tree_util.keystr(path))): x for path, x in leaves}


def names(path: str) -> tuple[str, ...]:
    """The fields, keys and places in a path such as `.world[1].obs['image']`."""
    parts = re.findall(r"\.(\w+)|\['([^']*)'\]|\[(\d+)\]", path)
    return tuple("".join(part) for part in parts)


def corrupted(path: Path, reason: str, earlier: list[int]) -> InputError:
    """The error for a checkpoint that cannot be read; `earlier` ones may be."""
    remedy = (
        f"move that folder away to continue from {path.parent / str(earlier[-1])}, which is older."
        if earlier
        else "restore it from a copy, or train anew with another --out; there is no older one."
    )
    return InputError(f"The checkpoint {path} is corrupted ({reason}): {remedy}")


def plain(tree: Tree) -> Tree:
    """A tree with typed keys replaced by the numbers in them."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)


def numbers_of(like: Any) -> Any:
    """The shape and place of the numbers in keys, and of other arrays as they are."""
    if not is_key(like):
        return like
    found = jax.eval_shape(jax.random.key_data, jax.ShapeDtypeStruct(like.shape, like.dtype))
    return jax.ShapeDtypeStruct(found.shape, found.dtype, sharding=like.sharding)


def shapes(tree: Tree) -> dict[str, str]:
    """The shape and type of each leaf, by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{x.dtype}{list(x.shape)}" for path, x in leaves}


def checksum(tree: Tree) -> int:
    """CRC-32 of all the numbers in a tree: compressed arrays do not notice a flipped bit."""
    return results.checksum(plain(tree))
