"""A claim, and its verdict."""

from typing import NamedTuple

VERDICTS = ("Confirmed", "Partly", "Not reproduced")


class Claim(NamedTuple):
    """A published claim beside what the command `jaxrl reproduce NAME` measured of it."""

    statement: str
    verdict: str  # one of VERDICTS
    numbers: str  # of the results in `kept`
