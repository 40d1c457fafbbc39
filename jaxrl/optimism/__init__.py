"""Optimism in exact dynamic programming: learners of small processes whose regret is exact.

- `counts`: what was seen of a process, and the empirical process.
- `planning`: backward induction with bonuses, and policies that depend on the time.
- `learning`: the scan that plans, plays and counts; UCBVI and certainty equivalence.
- `actor_critic`: an optimistic actor-critic with rare switching, also with offline data.
- `mixtures`: exploration that is never worse than a threshold.
- `lists`: actions that are ordered lists of items.
- `latent`: processes that are told only in hindsight.
- `reward_free`: exploration without rewards, where kernels are mixtures of known ones.
- `average`: the average reward, with hypotheses that are followed until data contradict them.

A `Learner` plans before each episode and observes it afterwards; `learn` is one scan over episodes,
so that seeds are one `vmap`. The processes are dense, and their rewards lie in [0, 1].

Examples:
    The examples of this package share the process of `jaxrl.dp`, two steps in it, and a latent
    process: two bandits of chances 3/4 and 1/4, in each of which another arm pays.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> import envs
    >>> from jaxrl import dp, optimism
    >>> p = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> r = np.array([[1.0, 0.0], [8.0, 0.0]])
    >>> d = np.array([[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    >>> mdp = dp.from_arrays(p, r, d, np.array([1.0, 0.0]))
    >>> columns = [0, 1], [1, 0], [0.0, 8.0], [1.0, 0.0], [1, 1], [1.0, 1.0]
    >>> steps = optimism.Steps(*(jnp.array(x) for x in columns))
    >>> twins = optimism.LatentMDP(
    ...     jnp.array([0.75, 0.25]), jnp.ones((2, 1, 2, 1)), jnp.eye(2)[:, None], jnp.ones((2, 1))
    ... )
"""

from jaxrl.optimism.actor_critic import ActorCritic, actor_critic, excess_loss
from jaxrl.optimism.average import (
    Hypotheses,
    Lazy,
    best_near,
    discrepancy,
    hypotheses,
    lazy_optimism,
    learn_on,
    ucrl2,
)
from jaxrl.optimism.counts import Counts, Steps, counted, empirical, no_counts
from jaxrl.optimism.latent import (
    LatentCounts,
    LatentMDP,
    LatentSteps,
    latent_counted,
    latent_learner,
    latent_play,
    latent_return,
    latent_values,
    markov_histories,
    reach,
)
from jaxrl.optimism.learning import Learner, Play, draw, fixed, learn, planner, tabular_play
from jaxrl.optimism.lists import (
    Cascade,
    CascadeCounts,
    CascadeSteps,
    best_list,
    cascade_counted,
    cascade_play,
    cascading,
    cascading_values,
    enumerated,
    list_return,
    list_value,
    no_cascade_counts,
)
from jaxrl.optimism.mixtures import (
    Mixture,
    conservative,
    mixture_play,
    step_mixtures,
    whole_episodes,
)
from jaxrl.optimism.planning import (
    Bonus,
    Critic,
    bernstein,
    best_return,
    certain,
    episode_return,
    episode_values,
    greedy_policy,
    hoeffding,
    optimistic,
    pessimistic,
)
from jaxrl.optimism.reward_free import MixtureFit, coefficients, mixed_kernel, planned, reward_free

__all__ = [
    "ActorCritic",
    "Bonus",
    "Cascade",
    "CascadeCounts",
    "CascadeSteps",
    "Counts",
    "Critic",
    "Hypotheses",
    "LatentCounts",
    "LatentMDP",
    "LatentSteps",
    "Lazy",
    "Learner",
    "Mixture",
    "MixtureFit",
    "Play",
    "Steps",
    "actor_critic",
    "bernstein",
    "best_list",
    "best_near",
    "best_return",
    "cascade_counted",
    "cascade_play",
    "cascading",
    "cascading_values",
    "certain",
    "coefficients",
    "conservative",
    "counted",
    "discrepancy",
    "draw",
    "empirical",
    "enumerated",
    "episode_return",
    "episode_values",
    "excess_loss",
    "fixed",
    "greedy_policy",
    "hoeffding",
    "hypotheses",
    "latent_counted",
    "latent_learner",
    "latent_play",
    "latent_return",
    "latent_values",
    "lazy_optimism",
    "learn",
    "learn_on",
    "list_return",
    "list_value",
    "markov_histories",
    "mixed_kernel",
    "mixture_play",
    "no_cascade_counts",
    "no_counts",
    "optimistic",
    "pessimistic",
    "planned",
    "planner",
    "reach",
    "reward_free",
    "step_mixtures",
    "tabular_play",
    "ucrl2",
    "whole_episodes",
]
