"""Goals: environments that have them, hindsight, and what is learnt from data without rewards.

- `environments`: observations that show a goal, and what it is to reach one.
- `hindsight`: learning from stored steps under goals that were reached later, or elsewhere.
- `stored`: data sets whose steps know their places.
- `intentions`: values of reaching outcomes while acting for intents, from observations alone.
- `quasimetrics`: distances with the laws of shortest paths, learnt from single steps.
- `contrastive`: scores that tell what follows a pair from anything else.
- `values`: values of reaching goals, also by options, and weights of steps towards them.

`jaxrl.types.Goals` is what it is to reach a goal.
"""

from jaxrl.goals.contrastive import CONTRASTS, PairScores, binary_contrast, pair_scores
from jaxrl.goals.environments import (
    condition,
    goaled,
    goals_of,
    has_goals,
    judged,
    with_signals,
)
from jaxrl.goals.hindsight import (
    Hindsight,
    Wanted,
    ahead,
    goals_for,
    hindsight,
    hindsight_of_data,
    hindsighted,
)
from jaxrl.goals.quasimetrics import (
    METRICS,
    Quasimetric,
    interval_distance,
    quasimetric,
    residual_distance,
    spreading_loss,
    step_excess,
)
from jaxrl.goals.stored import Stored, placed, remembered, stored
from jaxrl.goals.values import (
    GoalValues,
    goal_value_loss,
    goal_values,
    optioned,
    progress_weight,
    unit,
)

__all__ = [
    "CONTRASTS",
    "METRICS",
    "GoalValues",
    "Hindsight",
    "PairScores",
    "Quasimetric",
    "Stored",
    "Wanted",
    "ahead",
    "binary_contrast",
    "condition",
    "goal_value_loss",
    "goal_values",
    "goaled",
    "goals_for",
    "goals_of",
    "has_goals",
    "hindsight",
    "hindsight_of_data",
    "hindsighted",
    "interval_distance",
    "judged",
    "optioned",
    "pair_scores",
    "placed",
    "progress_weight",
    "quasimetric",
    "remembered",
    "residual_distance",
    "spreading_loss",
    "step_excess",
    "stored",
    "unit",
    "with_signals",
]
