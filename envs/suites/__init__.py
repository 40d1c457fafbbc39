"""Suites of environments from other packages, each behind a prefix, as in `brax/ant`.

Each has a file here, of the prefix's name, with

- `names()`: the names of its environments, prefix included, without importing the package;
- `make(name, **params)`: one of them, an `Env` of one lane below the package's own wrappers;
- `frames(name, params, states)`, where the suite can draw: pictures of states of `make`, in time
  order on a leading axis, as RGB arrays [H, W, 3] of bytes;
- `page(name, params, states)`, where it has a viewer: the same as a page of HTML.

A suite's package is imported when an environment of it is made.
"""

import importlib
import importlib.util
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.errors import InputError, require
from jaxrl.types import Env, Tree


class Suite(NamedTuple):
    """Where the environments of a prefix come from."""

    package: str  # as it is imported
    extra: str  # of jaxrl that installs it, "" if it is always there
    about: str


SUITES: dict[str, Suite] = {
    "brax": Suite("brax", "", "rigid bodies"),
    "craftax": Suite("craftax", "craftax", "survival and crafting in an open world"),
    "jumanji": Suite("jumanji", "jumanji", "puzzles, packing, routing and teams"),
    "navix": Suite("navix", "navix", "MiniGrid: rooms, doors and keys"),
    "pgx": Suite("pgx", "pgx", "board and card games of two players"),
    "playground": Suite("mujoco_playground", "playground", "MuJoCo: control and robots"),
    "xland": Suite("xminigrid", "xland", "XLand-MiniGrid: grids whose rules are tasks"),
}


def module(prefix: str) -> ModuleType:
    """The file of a suite."""
    return importlib.import_module(f"envs.suites.{prefix}")


def imported(name: str) -> ModuleType:
    """A module of a suite's package, imported so that no trace owns the arrays that it makes."""
    with jax.ensure_compile_time_eval():
        return importlib.import_module(name)


def names() -> list[str]:
    """The names of all environments of all suites, each after its prefix, installed or not."""
    return [name for prefix in SUITES for name in module(prefix).names()]


def missing(name: str) -> str:
    """One sentence that says how to install what `name` needs; "" if it is there."""
    suite = SUITES.get(name.partition("/")[0])
    if suite is None or importlib.util.find_spec(suite.package) is not None:
        return ""
    return f"{name} needs the package {suite.package}: pip install 'jaxrl[{suite.extra}]'."


def make(name: str, **params: Any) -> Env:
    """The environment `name` of a suite, prefix included.

    Raises an InputError that names the extra if the suite's package is missing.
    """
    lacks = missing(name)
    require(not lacks, lacks)
    return module(name.partition("/")[0]).make(name, **params)


def has(name: str) -> bool:
    """Whether a suite has an environment called `name`, prefix included."""
    prefix = name.partition("/")[0]
    return prefix in SUITES and name in module(prefix).names()


def draws(name: str) -> bool:
    """Whether `name` is of a suite that can draw its states."""
    return _offers(name, "frames")


def frames(name: str, params: Mapping[str, Any], states: Tree) -> list[np.ndarray]:
    """Pictures of states [T, ...] of `make(name, **params)`, drawn by the suite's own renderer.

    Returns T arrays [H, W, 3] of bytes. Raises an InputError for an environment that has no
    renderer, and where the suite's renderer cannot run.
    """
    if not draws(name):
        raise InputError(f"{name} has no renderer of its own.")
    return module(name.partition("/")[0]).frames(name, params, states)


def pages(name: str) -> bool:
    """Whether `name` is of a suite that has a viewer of its states."""
    return _offers(name, "page")


def page(name: str, params: Mapping[str, Any], states: Tree) -> str:
    """A page of HTML that shows states [T, ...] of `make(name, **params)`; see `pages`."""
    return module(name.partition("/")[0]).page(name, params, states)


def _offers(name: str, function: str) -> bool:
    """Whether the file of the suite of `name` has a function."""
    prefix = name.partition("/")[0]
    return prefix in SUITES and hasattr(module(prefix), function)
