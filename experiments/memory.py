"""How much memory there is, and how much a run takes."""

import contextlib
import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import jax

UNKNOWN = 8 * 2**30  # bytes, where the machine does not tell
UNLIMITED = 2**60  # what a control group says if it has no limit is larger


def memory_bytes() -> int:
    """Memory of the devices on which jax runs; on a CPU, of the machine or the container."""
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * len(jax.local_devices())
    return host_bytes()


def host_bytes() -> int:
    """Memory of the machine or the container."""
    return min([physical_bytes() or UNKNOWN, *group_limits()])


def physical_bytes() -> int:
    """Memory of the machine, 0 if it does not tell."""
    if hasattr(os, "sysconf"):
        with contextlib.suppress(ValueError, OSError):
            return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if sys.platform == "win32":
        import ctypes

        # MEMORYSTATUSEX: two 32-bit numbers, then seven 64-bit ones, of which the first is wanted.
        status = (ctypes.c_uint64 * 8)()
        ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
        if ctypes.windll.kernel32.GlobalMemoryStatusEx(status):  # type: ignore[attr-defined]
            return int(status[1])
    return 0


def group_limits(root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """The limits of the control groups, version 1 and 2, that this process belongs to."""
    own = [PurePosixPath("/")]
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, _, place = line.rpartition(":")
            own.append(PurePosixPath(place if place.startswith("/") else "/"))
    found = []
    for group in {parent for place in own for parent in (place, *place.parents)}:
        inner = str(group).strip("/")
        for path in (
            root / inner / "memory.max",
            root / "memory" / inner / "memory.limit_in_bytes",
        ):
            with contextlib.suppress(OSError, ValueError):  # also of the word max
                found.append(int(path.read_text()))
    return [limit for limit in found if 0 < limit < UNLIMITED]


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays of a tree, of which there need be no more than the shapes."""
    return sum(x.size * max(x.dtype.itemsize, 4) for x in jax.tree.leaves(tree))


def text(size: int) -> str:
    """A number of bytes as a person reads it."""
    unit, name = (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")
    return f"{size / unit:.{0 if size >= 10 * unit else 1}f} {name}"


def sizes(config: Any) -> list[str]:
    """The hyperparameters of a configuration that make its arrays large."""
    names = ("buffer_size", "num_envs", "rollout_length", "hidden")
    return [name for name in names if name in config.hyperparameters]
