"""Where rewards come from: shaping, judges, preferences and rewards that are learnt.

- `shaping`: transforms of the rewards of environments and of scores.
- `sets`: functions of sets with diminishing returns, and greedy choice.
- `segments`: segments of behaviour, comparisons of them, and what a segment is worth.
- `judges`: simulated judges of pairs of segments, their mistakes, delays and budgets.
- `losses`: losses of preferences between scores of any kind.
- `models`: rewards as ensembles of networks, fitted to comparisons.
- `learnt`: rewards that are learnt from preferences while an agent learns from them.
- `users`: rewards of users who differ, by a latent of each.
- `hindsight`: policies from preferences by the context of what is preferred.
- `penalties`: rewards that keep occupancies near those of a reference.
- `bilevel`: rewards that are learnt for what is learnt from them, by implicit gradients.
- `programmes`: rewards in a small language, and a search over them.
- `skills`: what behaviours are paid for being told apart, or for going far apart.
- `streams`: several rewards at once, and prices that keep costs low.
- `costs`: what tells costs to learners, and agents that keep them below limits by name.
- `embeddings`: rewards between the embeddings of a baseline and a goal.
- `stages`: rewards of tasks in stages, from demonstrations.
- `novelty`: distances to neighbours, to explore before there is a reward.
- `reranking`: policies that draw several actions and take one that a critic prefers.

Exact counterparts are in `jaxrl.dp.rewards`, `occupancies` and `constrained`.
"""

from jaxrl.rewards.bilevel import (
    learnt_from,
    mixed_reward,
)
from jaxrl.rewards.costs import cost_limited, costly
from jaxrl.rewards.embeddings import goal_baseline_reward
from jaxrl.rewards.hindsight import (
    HindsightModel,
    hindsight_learner,
    hindsight_model,
    triplet,
    wanted_actor,
)
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
from jaxrl.rewards.novelty import exploring, neighbour_distance
from jaxrl.rewards.penalties import (
    discriminator_loss,
    occupancy_penalty,
)
from jaxrl.rewards.programmes import (
    Programme,
    Search,
    searched,
)
from jaxrl.rewards.reranking import (
    reranked,
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
from jaxrl.rewards.sets import SetFunction, coverage, curvature, greedy_set, information
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
from jaxrl.rewards.skills import (
    SkillReward,
    Skills,
    paid_by_skills,
    skill_condition,
    skill_reward,
)
from jaxrl.rewards.stages import Stages, segmented, stage_chances, stage_features, stage_reward
from jaxrl.rewards.streams import (
    constrained,
    constrained_replay,
    mixed_advantages,
    priced,
)
from jaxrl.rewards.users import (
    UserModel,
    user_learner,
    user_model,
)

__all__ = [
    "LOSSES",
    "Annotator",
    "Comparisons",
    "Gold",
    "HindsightModel",
    "Judge",
    "PreferenceLoss",
    "Preferences",
    "Programme",
    "RewardModel",
    "Score",
    "Search",
    "SetFunction",
    "SkillReward",
    "Skills",
    "Stages",
    "UserModel",
    "Verdict",
    "abstaining",
    "annotator",
    "boltzmann",
    "bonus_once",
    "bradley_terry",
    "budgeted",
    "capped",
    "chance_above",
    "constrained",
    "constrained_replay",
    "cost_limited",
    "costly",
    "coverage",
    "curvature",
    "cyclic",
    "delayed",
    "deterministic_regret",
    "differenced",
    "disagreement",
    "discriminator_loss",
    "exploring",
    "goal_baseline_reward",
    "greedy_set",
    "halves",
    "hierarchical",
    "hindsight_learner",
    "hindsight_model",
    "hinge",
    "identity_preference",
    "indifferent",
    "information",
    "learnt_from",
    "lexicographic",
    "listwise",
    "log_likelihood",
    "marginal_gains",
    "member_scores",
    "mistaken",
    "mixed_advantages",
    "mixed_reward",
    "neighbour_distance",
    "occupancy_penalty",
    "paid_by_skills",
    "partial_return",
    "preference_fitted",
    "preference_learner",
    "preference_loss",
    "preferring",
    "priced",
    "rational",
    "regret",
    "relative_to",
    "reranked",
    "reward_model",
    "rewarded",
    "rewarded_by",
    "searched",
    "segmented",
    "shaped",
    "simulated",
    "skill_condition",
    "skill_reward",
    "squared",
    "stage_chances",
    "stage_features",
    "stage_reward",
    "summed",
    "total",
    "triplet",
    "unpaired",
    "unseen",
    "user_learner",
    "user_model",
    "users",
    "wanted_actor",
    "within_episode",
]
