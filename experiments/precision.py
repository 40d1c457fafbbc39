"""How many bits the products of matrices have, as a person asks for them."""

import contextlib
from collections.abc import Iterator

import jax

from jaxrl.errors import require, require_known

PRECISIONS = {
    "float32": "float32",
    "tensorfloat32": "tensorfloat32",
    # Factors of 16 bits, sums of 32.
    "bfloat16": "BF16_BF16_F32",
}
"""What `jax.default_matmul_precision` calls each precision."""


def require_precision(name: str) -> None:
    """Raise an InputError for a precision that is unknown, or that this device does not have."""
    if not name:
        return
    require_known("precision", name, PRECISIONS)
    require(
        name == "float32" or jax.default_backend() != "cpu",
        f"A processor has no products in {name}, and would compute them in float32: set "
        "--precision to float32, or leave it out.",
    )


@contextlib.contextmanager
def multiplied_in(name: str) -> Iterator[None]:
    """Within it, matrices are multiplied in a precision; as JAX is set where the name is "".

    Parameters, optimisers, sums and everything else stay float32.
    """
    if not name:
        yield
        return
    with jax.default_matmul_precision(PRECISIONS[name]):
        yield
