"""Settings that must hold before jax is imported."""

import os
import tempfile
from importlib.metadata import version

# Tests compile much and run little: with these flags they take little more than half the time, and
# compute the same functions. What comes last in XLA_FLAGS counts, so a person's own flags do.
FLAGS = "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=1"
if version("jaxlib").startswith("0.9."):  # later ones do not know it
    FLAGS += " --xla_cpu_use_fusion_emitters=false"
os.environ["XLA_FLAGS"] = f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip()

# Many tests compile the same programs, some in processes of their own: these share compilations.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="jaxrl-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"


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
