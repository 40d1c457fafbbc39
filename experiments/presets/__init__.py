"""Hyperparameters for an agent in an environment, in place of the agent's defaults.

Each environment has a file of its own, with a table for each agent: `steps`, a budget of
environment steps in which the preset is known to learn the task, the hyperparameters that differ
from the defaults of `agents/`, and how they were found, in a table `tuning`: see
`jaxrl benchmark presets`. Those without one were chosen by hand. Pairs that are not listed run with
defaults.
"""

import tomllib
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
TUNING = "tuning"


def file_of(env: str, folder: Path = FOLDER) -> Path:
    """The file of an environment, whether it exists or not."""
    return folder / f"{env.replace('/', '--')}.toml"


def read(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The environment of a file, and its tables by agent, with tuples in place of arrays."""
    found = tomllib.loads(path.read_text())
    env = found.pop("environment")
    return env, {agent: values(table) for agent, table in found.items()}


def values(table: dict[str, Any]) -> dict[str, Any]:
    """A table of TOML, with tuples in place of arrays."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


FOUND: dict[tuple[str, str], dict[str, Any]] = {
    (agent, env): table
    for env, tables in map(read, sorted(FOLDER.glob("*.toml")))
    for agent, table in tables.items()
}
"""The tables of all files, by agent and environment."""

PRESETS: dict[tuple[str, str], dict[str, Any]] = {
    pair: {name: value for name, value in table.items() if name != TUNING}
    for pair, table in FOUND.items()
}
"""What they set."""


def preset(agent: str, env: str) -> dict[str, Any]:
    """The values for `agent` in `env`, with their `steps`; empty if there are none.

    An environment of Gymnasium has those of the environment of the same name without its prefix.
    """
    return dict(PRESETS.get((agent, env.removeprefix("gymnasium/")), {}))
