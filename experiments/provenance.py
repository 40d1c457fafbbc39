"""Where results come from: code, command, machine, and the settings that change numbers."""

import datetime
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

VERSIONED = ("jaxrl", "jax", "jaxlib", "flax", "optax", "gymnax", "brax")


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that results depend on."""
    found = {name: version(name) for name in VERSIONED}
    return found | {"python": platform.python_version()}


def version(package: str) -> str:
    """The version of an installed package, "not installed" otherwise."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


@functools.cache
def commit() -> str:
    """The git commit of this code, with "-dirty" if files were changed; "" outside a repository."""
    here = Path(__file__)
    git = lambda *words: subprocess.run(
        ["git", "-C", str(here.parent), *words], capture_output=True, text=True, timeout=10
    )
    try:
        # An installed package may lie inside a repository that is not its own.
        if git("ls-files", "--error-unmatch", here.name).returncode:
            return ""
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty").stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def flags() -> dict[str, Any]:
    """The settings of JAX and XLA that change numbers: configuration, then environment."""
    names = [
        "jax_enable_x64",
        "jax_default_matmul_precision",
        "jax_default_prng_impl",
        "jax_threefry_partitionable",
        "jax_numpy_dtype_promotion",
        "jax_disable_jit",
        "jax_debug_nans",
    ]
    found = {name: getattr(jax.config, name, None) for name in names}
    return found | {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("XLA_", "JAX_", "TF_XLA_", "NVIDIA_TF32", "LIBTPU_"))
    }


def provenance() -> dict[str, Any]:
    """What a run was started from, as a mapping that goes into JSON."""
    devices = jax.local_devices()
    return {
        "commit": commit(),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": platform.node(),
        "platform": platform.platform(),
        "device": devices[0].device_kind,
        "backend": devices[0].platform,
        "devices": len(devices),
        "flags": flags(),
    }


def precision() -> str:
    """The precision of floating-point numbers and of matrix products."""
    products = jax.config.jax_default_matmul_precision
    return f"{'float64' if jax.config.jax_enable_x64 else 'float32'}" + (
        f", matrix products in {products}" if products else ""
    )
