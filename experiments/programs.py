"""Compiled programs that are kept, so that a command starts again without tracing anything.

JAX's persistent cache spares a compilation, but tracing and lowering a program take seconds too.
What is kept here is found by all that it depends on: the sources of jaxrl, the installed packages,
the device, the settings of JAX, and the configuration. Only the command line keeps programs, since
there nothing else can have changed the code.
"""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import re
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.experimental import serialize_executable
from jax.experimental.compilation_cache import compilation_cache

from experiments import compilation, provenance

Value = TypeVar("Value")
PACKAGES = ("jaxrl", "agents", "envs", "experiments")
STORE: list[Path] = []  # the folder, if programs are kept in this process


def command_line() -> bool:
    """Whether this process runs the command `jaxrl` alone, with code as it is on disk."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    started = spec.name if spec is not None else Path(sys.argv[0]).stem
    return started in ("jaxrl", "experiments.__main__")


def keep(folder: Path, limit: int = compilation.LIMIT) -> None:
    """Keep programs in a folder from now on; the oldest are deleted beyond `limit` bytes."""
    with contextlib.suppress(OSError):  # without the folder, programs are made anew each time
        folder.mkdir(parents=True, exist_ok=True)
        compilation.evict(folder, limit)
        STORE[:] = [folder]


@contextlib.contextmanager
def for_now() -> Iterator[None]:
    """Keep programs until the end of the block, unless they are kept for longer already."""
    if STORE:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="jaxrl-programs-") as made:
        keep(Path(made))
        try:
            yield
        finally:
            STORE.remove(Path(made))


@functools.cache
def surroundings() -> str:
    """What programs depend on apart from the configuration, as a hash."""
    found = hashlib.sha256()
    root = Path(__file__).parent.parent
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            found.update(str(path.relative_to(root)).encode() + path.read_bytes())
    for place in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        names = [name for name in os.listdir(place) if name.endswith((".dist-info", ".egg-info"))]
        found.update("\n".join(sorted(names)).encode())
    devices = [(d.platform, d.device_kind, d.id) for d in jax.local_devices()]
    settings = [compilation.machine(), devices, provenance.flags(), jax.process_count()]
    found.update(json.dumps(settings, default=repr).encode())
    return found.hexdigest()


def kept(
    what: str,
    depends: Any,
    make: Callable[[], Value],
    pack: Callable[[Value], Any] = lambda value: value,
    unpack: Callable[[Any], Value] = lambda value: value,
) -> Value:
    """What `make` returns, or what it returned the last time, if programs are kept.

    `depends` is a tree of plain values that identifies it beside `surroundings`; `pack` makes it
    something that can be pickled. What cannot be read, or cannot be kept, is made anew.
    """
    if not STORE:
        return make()
    text = json.dumps([what, depends, surroundings()], sort_keys=True, default=repr)
    path = STORE[0] / f"{what}-{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    with contextlib.suppress(Exception):  # absent, torn, or of another version
        value = unpack(pickle.loads(path.read_bytes()))
        os.utime(path)
        return value
    value = make()
    with contextlib.suppress(Exception):  # a full disk, or what cannot be pickled
        new = path.with_name(f"{path.name}.{os.getpid()}")
        new.write_bytes(pickle.dumps(pack(value)))
        os.replace(new, path)
    return value


@contextlib.contextmanager
def whole() -> Iterator[None]:
    """Compile without JAX's persistent cache in the block, if the results are to be kept.

    A program that was read from that cache is not whole when it is written again.
    """
    if not STORE:
        yield
        return
    before = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()  # it looks at the setting only once
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        compilation_cache.reset_cache()


def compiled(lowered: Any) -> Any:
    """Compile a lowered program, as a whole if it is to be kept."""
    with whole():
        return lowered.compile()


@contextlib.contextmanager
def ahead() -> Iterator[Callable[[Any], Future]]:
    """A function that compiles lowered programs in another thread, while this one traces the next.

    It returns promises of compiled programs, which are made in order and are ready at the end of
    the block.
    """
    with whole(), ThreadPoolExecutor(1) as thread:
        yield lambda lowered: thread.submit(lowered.compile)


def packed(program: Any) -> tuple:
    """A compiled function as something that can be pickled.

    Raises a ValueError for one that calls functions outside of it which a new process may not have.
    """
    targets = set(re.findall(r'custom_call_target="([^"]+)"', program.as_text()))
    foreign = [name for name in targets if not name.startswith("lapack_") and name != "TopK"]
    if foreign or jax.default_backend() != "cpu":
        raise ValueError(f"A program with {foreign} cannot be kept.")
    shardings = jax.tree.leaves((program.input_shardings, program.output_shardings))
    devices = sorted({device.id for sharding in shardings for device in sharding.device_set})
    return bool(targets), devices, serialize_executable.serialize(program)


def unpacked(value: tuple) -> Any:
    """The compiled function that `packed` was given."""
    calls_lapack, numbers, program = value
    if calls_lapack:  # JAX finds the functions of LAPACK when a program that calls one is lowered
        jax.jit(jnp.linalg.qr).lower(jax.ShapeDtypeStruct((1, 1), jnp.float32))
    devices = [device for device in jax.local_devices() if device.id in numbers]
    return serialize_executable.deserialize_and_load(*program, execution_devices=devices)
