"""Settings that must hold before jax is imported."""

import os
import tempfile

flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=4".strip()

# Many tests compile the same programs, some in processes of their own: these share compilations.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    COMPILED = tempfile.TemporaryDirectory(prefix="jaxrl-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"


def pytest_configure(config):
    """Quiet a warning of tensorflow_probability, which distrax and rlax import."""
    for message in ("jax.core.pytype_aval_mappings is deprecated",):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")
