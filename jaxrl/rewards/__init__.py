"""Where rewards come from: shaping, judges, preferences and rewards that are learnt.

- `shaping`: transforms of the rewards of environments and of scores.
- `segments`: segments of behaviour, comparisons of them, and what a segment is worth.
- `judges`: simulated judges of pairs of segments, their mistakes, delays and budgets.
- `losses`: losses of preferences between scores of any kind.
- `models`: rewards as ensembles of networks, fitted to comparisons.
- `learnt`: rewards that are learnt from preferences while an agent learns from them.

Exact counterparts are in `jaxrl.dp.rewards`, `occupancies` and `constrained`."""

from jaxrl.rewards.judges import (
    Annotator,
    Judge,
    Verdict,
    abstaining,
    annotator,
    boltzmann,
    budgeted,
    cyclic,
    delayed,
    hierarchical,
    indifferent,
    mistaken,
    rational,
    users,
)
from jaxrl.rewards.learnt import (
    Preferences,
    preference_learner,
    preferring,
    rewarded,
    simulated,
)
from jaxrl.rewards.losses import (
    LOSSES,
    PreferenceLoss,
    bradley_terry,
    chance_above,
    hinge,
    identity_preference,
    listwise,
    preference_loss,
    squared,
    unpaired,
)
from jaxrl.rewards.models import (
    RewardModel,
    disagreement,
    member_scores,
    preference_fitted,
    reward_model,
)
from jaxrl.rewards.segments import (
    Comparisons,
    Score,
    deterministic_regret,
    halves,
    log_likelihood,
    partial_return,
    regret,
    summed,
    total,
    within_episode,
)
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
    "LOSSES",
    "Annotator",
    "Comparisons",
    "Gold",
    "Judge",
    "PreferenceLoss",
    "Preferences",
    "RewardModel",
    "Score",
    "Verdict",
    "abstaining",
    "annotator",
    "boltzmann",
    "bonus_once",
    "bradley_terry",
    "budgeted",
    "capped",
    "chance_above",
    "cyclic",
    "delayed",
    "deterministic_regret",
    "differenced",
    "disagreement",
    "halves",
    "hierarchical",
    "hinge",
    "identity_preference",
    "indifferent",
    "lexicographic",
    "listwise",
    "log_likelihood",
    "marginal_gains",
    "member_scores",
    "mistaken",
    "partial_return",
    "preference_fitted",
    "preference_learner",
    "preference_loss",
    "preferring",
    "rational",
    "regret",
    "relative_to",
    "reward_model",
    "rewarded",
    "rewarded_by",
    "shaped",
    "simulated",
    "squared",
    "summed",
    "total",
    "unpaired",
    "unseen",
    "users",
    "within_episode",
]
