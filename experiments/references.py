"""Reference returns of environments, between which scores are normalised.

`random` is the mean return of uniformly random actions, measured by `jaxrl benchmark references`;
`expert` is the return of an optimal policy where it is known in closed form, and otherwise the
highest that a preset has reached in a kept run. Both are kept in `references.json`.
"""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

FILE = Path(__file__).with_name("references.json")


class Reference(NamedTuple):
    """The returns that count as scores of 0 and 1."""

    random: float
    expert: float


def references() -> dict[str, Reference]:
    """The references of all environments that have some."""
    rows = json.loads(FILE.read_text())
    return {name: Reference(row["random"], row["expert"]) for name, row in rows.items()}


def normalised(env: str, returns: ArrayLike) -> np.ndarray | None:
    """Returns as scores, 0 for random actions and 1 for an expert; None without a reference."""
    found = references().get(env)
    if found is None:
        return None
    return (np.asarray(returns, float) - found.random) / (found.expert - found.random)
