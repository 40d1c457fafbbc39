"""Value functions as projections of return distributions.

A return distribution is a set of weighted atoms, a backup is a map on atoms, and a critic is a
projection of atoms. The same functions serve tables and networks, means and distributions.
"""

from jaxrl.values.distributions import (
    ReturnDistribution,
    Statistic,
    dirac,
    mean,
    mix,
    pessimistic,
    push,
)
from jaxrl.values.evaluation import expected, greedy, take
from jaxrl.values.representations import Representation, scalar

__all__ = [
    "Representation",
    "ReturnDistribution",
    "Statistic",
    "dirac",
    "expected",
    "greedy",
    "mean",
    "mix",
    "pessimistic",
    "push",
    "scalar",
    "take",
]
