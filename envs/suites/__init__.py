"""Suites of environments from other packages, each behind a prefix, as in `brax/ant`.

Each has a file here with `names()` and `make(name, **params)`. A suite's package is imported when
an environment of it is made: to list the names imports nothing.
"""

import importlib
import importlib.util
from types import ModuleType
from typing import Any, NamedTuple

from jaxrl.errors import require
from jaxrl.types import Env


class Suite(NamedTuple):
    """Where the environments of a prefix come from."""

    package: str  # as it is imported
    extra: str  # of jaxrl that installs it, "" if it is always there
    about: str


SUITES: dict[str, Suite] = {
    "brax": Suite("brax", "", "rigid bodies"),
}


def module(prefix: str) -> ModuleType:
    """The file of a suite."""
    return importlib.import_module(f"envs.suites.{prefix}")


def names() -> list[str]:
    """The names of all environments of all suites, each after its prefix."""
    return [name for prefix in SUITES for name in module(prefix).names()]


def make(name: str, **params: Any) -> Env:
    """The environment `name` of a suite, prefix included.

    Raises an InputError that names the extra if the suite's package is missing.
    """
    prefix = name.partition("/")[0]
    suite = SUITES[prefix]
    require(
        importlib.util.find_spec(suite.package) is not None,
        f"{name} needs the package {suite.package}: pip install 'jaxrl[{suite.extra}]'.",
    )
    return module(prefix).make(name, **params)
