"""What each reproduction claims, the verdict of its kept run, and the numbers of that run.

- `goals`: goals, skills and representations.
- `models`: models and imagined rollouts.
- `offline`: learning from data and going on from it.
- `rewards`: where rewards come from.
- `values`: values, dynamic programming and policy gradients.
"""

from experiments.reproductions.claims import goals, models, offline, rewards, values
from experiments.reproductions.claims.claim import VERDICTS, Claim

__all__ = ["CLAIMS", "VERDICTS", "Claim"]

_FAMILIES = (goals, models, offline, rewards, values)
CLAIMS: dict[str, Claim] = dict(
    sorted(claim for family in _FAMILIES for claim in family.CLAIMS.items())
)
