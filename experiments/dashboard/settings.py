"""The settings of several runs beside each other: what differs, and nothing else."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from experiments.configuration import Configuration

UNCOMPARED = ("members_at_once", "spacing")
"""Fields of a configuration on which results do not depend."""


def settings(config: Configuration) -> dict[str, Any]:
    """Every setting of a run by its name; one that is swept has all of its values."""
    found = dataclasses.asdict(config)
    hyperparameters, sweep = found.pop("hyperparameters"), found.pop("sweep")
    for part in ("env_params", "reward", "goal", "cost_limits", "data"):
        found |= {f"{part}.{name}": value for name, value in found.pop(part).items()}
    found |= hyperparameters | {name: list(dict.fromkeys(x)) for name, x in sweep.items()}
    return {name: value for name, value in found.items() if name not in UNCOMPARED}


def written(value: Any) -> str:
    """A setting as a text; "" for one that is not there."""
    if isinstance(value, list | tuple):
        return " ".join(map(written, value))
    if isinstance(value, float):
        return f"{value:.12g}"  # 1.0 in one folder is 1 in another
    return "" if value is None else str(value)


def differences(configs: Sequence[Configuration]) -> dict[str, list[str]]:
    """The settings that are not the same in all runs: one text for each run, "" if it has none."""
    every = [settings(config) for config in configs]
    names = dict.fromkeys(name for own in every for name in own)
    table = {name: [written(own.get(name)) for own in every] for name in names}
    return {name: values for name, values in table.items() if len(set(values)) > 1}
