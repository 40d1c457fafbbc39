"""Settings that must hold before jax is imported, and what lets go of compiled programs."""

import contextlib
import ctypes
import gc
import hashlib
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

# Tests compile much and run little: without optimisation, and with the emitters of kernels that
# compile faster, they take a third of the time, and compute the same functions. What comes last in
# XLA_FLAGS counts, so a person's own flags do.
FLAGS = (
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 "
    "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters=true "
    "--xla_cpu_parallel_codegen_split_count=1"
)
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()

# Locations in the programs are for reading them, which no test does.
os.environ.setdefault("JAX_TRACEBACK_IN_LOCATIONS_LIMIT", "0")

# Tracing makes many small objects that live, which the collector would visit again and again.
gc.set_threshold(100_000, 20, 100)

# What is read from the cache of compiled programs is reported as an error, each time, in vain.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def features() -> str:
    """A name for what compiled programs depend on: the processor, the versions, the flags."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    parts = (platform.machine(), platform.processor(), flags, version("jaxlib"), FLAGS)
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def pruned(folder: Path, size: int = 2 * 2**30) -> Path:
    """The folder, without its oldest files if together they are larger than `size` bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [x for x in folder.iterdir() if x.is_file()]
    found = sorted((x.stat().st_mtime, x.stat().st_size, x) for x in files)[::-1]
    total = 0
    for _, bytes_, path in found:
        total += bytes_
        if total > size:
            path.unlink(missing_ok=True)
    return folder


# Many tests compile the same programs, some in processes of their own: these share compilations,
# with later runs too, but on CI, which is to show what a first run does.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    if "CI" in os.environ:
        COMPILED = tempfile.TemporaryDirectory(prefix="jaxrl-tests-")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(pruned(home / "jaxrl-tests" / features()))
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

MEMORY = 300 * 2**20  # bytes by which a process may grow before it lets go of compiled programs
KEPT = [0]  # bytes after the last time


def pytest_collection_finish(session):
    """What is imported by now stays until the end: the collector need not look at it."""
    gc.collect()
    gc.freeze()


def pytest_runtest_teardown(item, nextitem):
    """Let go of compiled programs after a file of tests, if they have become many."""
    if nextitem is not None and nextitem.path == item.path:
        return
    if resident() > KEPT[0] + MEMORY:
        import jax

        jax.clear_caches()
        gc.collect()
        trim()
        KEPT[0] = resident()


def trim() -> None:
    """Give freed memory back to the system, which glibc does not do by itself."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident() -> int:
    """Bytes of memory of this process, 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def pytest_addoption(parser):
    """Add the option that shows whether a test's verdict hangs on its keys."""
    parser.addoption(
        "--key-shift",
        type=int,
        default=0,
        help="Add this number to the seed of every jax.random.key: no test may fail for it.",
    )


def pytest_configure(config):
    """Shift all keys if asked to; quiet a warning of tensorflow_probability, used by distrax."""
    shift = config.getoption("--key-shift")
    if shift:
        import jax

        unshifted = jax.random.key
        jax.random.key = lambda seed, **options: unshifted(seed + shift, **options)
    for message in ("jax.core.pytype_aval_mappings is deprecated",):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")
