"""Where rewards come from: shaping, judges, preferences and rewards that are learnt.

- `shaping`: transforms of the rewards of environments and of scores.

Exact counterparts are in `jaxrl.dp.rewards`, `occupancies` and `constrained`."""

from jaxrl.rewards.shaping import (
    Gold,
    bonus_once,
    capped,
    differenced,
    lexicographic,
    marginal_gains,
    relative_to,
    rewarded_by,
    shaped,
    unseen,
)

__all__ = [
    "Gold",
    "bonus_once",
    "capped",
    "differenced",
    "lexicographic",
    "marginal_gains",
    "relative_to",
    "rewarded_by",
    "shaped",
    "unseen",
]
