"""The option --cost-limits: mean costs of a step that agents keep below limits, by prices."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments import worded
from jaxrl.errors import require
from jaxrl.rewards.costs import check_limits, cost_limited
from jaxrl.types import Agent, Spec, costs_of

ALL, RATE = "all", "rate"  # the limit of each cost, and with which rate prices follow the costs
COLUMN = "cost_"
"""What the columns of evaluated costs begin with, before their names."""


def described(words: tuple[str, ...], parameters: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The limits by name, and the rate, that the words after --cost-limits mean; {} for none.

    A bare number is the limit of all costs. `parameters` reads words like name=value. Raises an
    InputError for what is not a number or no limit.
    """
    named = tuple(word if "=" in word else f"{ALL}={word}" for word in words)
    found = parameters(named, "--cost-limits")
    for word, value in zip(words, found.values()):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        require(
            number,
            f"--cost-limits takes a number, or name=number for some costs, not {word!r}.",
        )
    found = {name: float(value) for name, value in found.items()}
    if found:
        check_limits(*limits_of(found))
    return found


def limits_of(described: dict[str, float]) -> tuple[dict[str, float], float]:
    """The limits by name, among which may be `ALL`, and the rate of the prices."""
    limits = {name: value for name, value in described.items() if name != RATE}
    return limits, described.get(RATE, 0.05)


def words(described: dict[str, float]) -> tuple[str, ...]:
    """The words after --cost-limits that a description came from."""
    return tuple(f"{name}={value!r}" for name, value in described.items())


def maker(
    described: dict[str, float], make: Callable[..., Agent], agent: str
) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent that keeps limits; an InputError if it cannot."""
    if not described:
        return make
    limits, rate = limits_of(described)

    def made(spec: Spec, hp: Any) -> Agent:
        bounds: float | dict[str, float] = limits
        if ALL in limits:
            known = dict.fromkeys(costs_of(spec.signals), limits[ALL])
            bounds = known | {k: x for k, x in limits.items() if k != ALL} or limits[ALL]
        agent_of = cost_limited(make, bounds, rate)
        return worded.blamed(f"{agent} with --cost-limits", lambda: agent_of(spec, hp))

    return made


def mean_costs(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The means of evaluated costs over rows whose members played, by name; {} for none."""
    played = [row for row in rows if np.isfinite(row["return_mean"])]
    columns = [name for name in (played[0] if played else ()) if name.startswith(COLUMN)]
    mean = lambda column: float(np.mean([row[column] for row in played]))
    return {column.removeprefix(COLUMN): mean(column) for column in columns}


def excess(described: dict[str, float], costs: dict[str, float]) -> float:
    """How far evaluated costs are above their limits at most, 0 if all are kept."""
    limits = limits_of(described)[0]
    over = [cost - limits.get(name, limits.get(ALL, math.inf)) for name, cost in costs.items()]
    return max([0.0, *over])


def eligible(described: dict[str, float], rows: Sequence[dict[str, Any]]) -> list[float]:
    """The returns of rows, NaN for those that are further above limits on costs than others."""
    returns = [row["return_mean"] for row in rows]
    over = [excess(described, mean_costs([row])) for row in rows]
    least = min((x for x, y in zip(over, returns) if np.isfinite(y)), default=math.inf)
    return [y if x <= least else math.nan for x, y in zip(over, returns)]
