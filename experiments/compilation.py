"""The persistent compilation cache: the second run of a program does not compile it again."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax
import jaxlib

LIMIT = 2 * 2**30  # bytes


def cache(folder: Path | None = None, limit: int = LIMIT) -> Path | None:
    """Keep compiled programs in a folder of the user's cache directory, and return the folder.

    The folder is named after the processor's features and the version of jaxlib, because compiled
    programs depend on both. Programs that were not used for longest are deleted when the folder
    exceeds `limit` bytes. A person's own `JAX_COMPILATION_CACHE_DIR` is respected. Returns None,
    and leaves JAX as it was, where the folder cannot be written.
    """
    own = jax.config.jax_compilation_cache_dir
    if own:
        return Path(own)
    folder = folder or cache_directory() / "jaxrl" / machine()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
        evict(folder, limit)
    except OSError:
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    level = jax.config.jax_logging_level
    if level in (None, "NOTSET"):
        # XLA reports an error for each program that it reads, in vain; to set a level back keeps
        # it quiet, and lets the warnings of JAX itself through.
        jax.config.update("jax_logging_level", "CRITICAL")
        jax.config.update("jax_logging_level", level)
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    return folder


def cache_directory() -> Path:
    """The directory in which this platform's programs keep what can be made again."""
    home = Path(os.path.expanduser("~"))
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    if sys.platform == "darwin":
        return home / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    return home / ".cache"


def machine() -> str:
    """A name for the processor's features together with the version of jaxlib."""
    features = f"{platform.machine()} {platform.processor()}"
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        kinds = ("flags", "features", "model name", "cpu part")
        features += "".join(sorted({line for line in lines if line.lower().startswith(kinds)}))
    except OSError:
        pass  # the name of the processor has to do
    return f"{jaxlib.__version__}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"


def evict(folder: Path, limit: int) -> None:
    """Delete the files of a folder that were not read for longest, until it has `limit` bytes."""
    found = []
    for path in folder.iterdir():
        try:
            status = path.stat()
        except OSError:
            continue  # another process deleted it
        if path.is_file():
            found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            return
        path.unlink(missing_ok=True)
        total -= size
