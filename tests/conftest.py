"""Settings that must hold before jax is imported."""

import os

flags = os.environ.get("XLA_FLAGS", "")
os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=4".strip()


def pytest_configure(config):
    """Quiet a warning of tensorflow_probability, which distrax and rlax import."""
    for message in ("jax.core.pytype_aval_mappings is deprecated",):
        config.addinivalue_line("filterwarnings", f"ignore:{message}:DeprecationWarning")
