"""Messages for names that do not exist."""

import difflib
from collections.abc import Iterable

from jaxrl.errors import InputError


def unknown_parameters(name: str, given: Iterable[str], valid: Iterable[str]) -> None:
    """Raise `InputError` if one of `given` is not a `valid` parameter of environment `name`."""
    valid = list(dict.fromkeys(valid))
    for parameter in sorted(set(given) - set(valid)):
        near = difflib.get_close_matches(parameter, valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? It" if near else "it"
        takes = ", ".join(valid) if valid else "none"
        raise InputError(f"{name} has no parameter {parameter!r}: {hint} takes {takes}.")
