"""Exact dynamic programming on finite processes: one Bellman operator, iterated.

- `mdp`: the arrays of a process, dense or sparse.
- `operator`: the backup, and the ways to select actions and to mix successors.
- `iteration`: iteration to a fixed point, and its derivatives.
- `scalar`, `distributional`: solvers for expected values and for return distributions.
- `stock`: stock augmentation, which optimises other statistics of the return.
- `risk`: nested measures, exponential utility, and CVaR by its level.
- `robust`, `robust_sets`, `robust_control`: worst cases near a given process.
- `offline`: least-squares value iteration from data.
- `horizon`, `fitted`: the effective horizon, and planning from random rollouts.
- `continuous`: policy iteration in continuous time by quadrature.
- `successor`: successor features, occupancies and proto-value functions.
- `constrained`: the best policy whose costs stay below limits.
- `occupancies`: divergences of occupancies, and what a proxy of a reward guarantees.
- `rewards`: shaping, canonical forms of rewards and their distances, rewards of sets.

Examples:
    The examples of this package share one process. In state 0 one may stop for a reward of 1, or
    try: that ends the episode or leads to state 1, each with probability 1/2. In state 1 one may
    stop for a reward of 8, or go back. The best `policy` tries, then stops.

    >>> import jax
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> import envs
    >>> from jaxrl import dp, values
    >>> p = np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]])
    >>> r = np.array([[1.0, 0.0], [8.0, 0.0]])
    >>> d = np.array([[[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    >>> mdp = dp.from_arrays(p, r, d, np.array([1.0, 0.0]))
    >>> policy = jnp.array([[0.0, 1.0], [1.0, 0.0]])
"""

from jaxrl.dp.constrained import Constrained, constrained_occupancy
from jaxrl.dp.continuous import (
    LinearQuadratic,
    bayesian_quadrature,
    closed_loop,
    integral_policy_evaluation,
    integral_policy_iteration,
    matern,
    running_cost,
    simpson,
    trapezoid,
)
from jaxrl.dp.distributional import (
    distributional_finite_horizon,
    distributional_policy_evaluation,
    distributional_policy_iteration,
    distributional_value_iteration,
    largest_shift,
    wasserstein,
    wasserstein_on_grid,
)
from jaxrl.dp.fitted import (
    Regression,
    fitted_backups,
    random_suffixes,
    sqirl,
    table,
)
from jaxrl.dp.horizon import (
    effective_horizon,
    optimal_backups,
)
from jaxrl.dp.iteration import (
    Solution,
    fixed_point,
    implicit,
    iterate,
)
from jaxrl.dp.mdp import (
    TabularMDP,
    arrive,
    averaged,
    averaged_under,
    chosen,
    contract,
    dense,
    discounted,
    expect,
    from_arrays,
    paired,
    sparse,
    stacked,
    under,
)
from jaxrl.dp.occupancies import chi_square_divergence, guaranteed_gain, proxy_correlation
from jaxrl.dp.offline import (
    LinearBatch,
    least_squares_value_iteration,
    linear_action_values,
)
from jaxrl.dp.operator import (
    Mix,
    Select,
    arriving,
    backup,
    collapsed,
    expectation,
    highest,
    mixed,
    pooled,
    regularised,
    stages,
    zeros,
)
from jaxrl.dp.rewards import (
    canonical_reward,
    collecting,
    dard_canonical,
    dard_distance,
    epic_canonical,
    epic_distance,
    pearson_distance,
    redistributed,
    shaped,
    starc_distance,
)
from jaxrl.dp.risk import (
    cvar_by_levels,
    exponential_utility,
    highest_at_levels,
    level_process,
    lorenz,
    nested,
    nested_value_iteration,
)
from jaxrl.dp.robust import (
    WorstCase,
    robust_expectation,
    robust_mix,
)
from jaxrl.dp.robust_control import (
    robust_mixed,
    robust_policy_evaluation,
    robust_value_iteration,
    static_robust_control,
    worst_case_process,
)
from jaxrl.dp.robust_sets import (
    s_rectangular_value_iteration,
)
from jaxrl.dp.scalar import (
    finite_horizon,
    modified_policy_iteration,
    policy_evaluation,
    policy_iteration,
    relative_value_iteration,
    soft_value_iteration,
    value_iteration,
)
from jaxrl.dp.stock import (
    best_stock_for_cvar,
    best_stock_for_upper_cvar,
    reachable_stocks,
    stock_augmented,
    stock_greedy,
)
from jaxrl.dp.successor import (
    generalised_policy_improvement,
    occupancy,
    occupancy_by_iteration,
    policy_kernel,
    projection_error,
    proto_value_functions,
    successor_basis,
    successor_features,
    successor_representation,
)

__all__ = [
    "Constrained",
    "LinearBatch",
    "LinearQuadratic",
    "Mix",
    "Regression",
    "Select",
    "Solution",
    "TabularMDP",
    "WorstCase",
    "arrive",
    "arriving",
    "averaged",
    "averaged_under",
    "backup",
    "bayesian_quadrature",
    "best_stock_for_cvar",
    "best_stock_for_upper_cvar",
    "canonical_reward",
    "chi_square_divergence",
    "chosen",
    "closed_loop",
    "collapsed",
    "collecting",
    "constrained_occupancy",
    "contract",
    "cvar_by_levels",
    "dard_canonical",
    "dard_distance",
    "dense",
    "discounted",
    "distributional_finite_horizon",
    "distributional_policy_evaluation",
    "distributional_policy_iteration",
    "distributional_value_iteration",
    "effective_horizon",
    "epic_canonical",
    "epic_distance",
    "expect",
    "expectation",
    "exponential_utility",
    "finite_horizon",
    "fitted_backups",
    "fixed_point",
    "from_arrays",
    "generalised_policy_improvement",
    "guaranteed_gain",
    "highest",
    "highest_at_levels",
    "implicit",
    "integral_policy_evaluation",
    "integral_policy_iteration",
    "iterate",
    "largest_shift",
    "least_squares_value_iteration",
    "level_process",
    "linear_action_values",
    "lorenz",
    "matern",
    "mixed",
    "modified_policy_iteration",
    "nested",
    "nested_value_iteration",
    "occupancy",
    "occupancy_by_iteration",
    "optimal_backups",
    "paired",
    "pearson_distance",
    "policy_evaluation",
    "policy_iteration",
    "policy_kernel",
    "pooled",
    "projection_error",
    "proto_value_functions",
    "proxy_correlation",
    "random_suffixes",
    "reachable_stocks",
    "redistributed",
    "regularised",
    "relative_value_iteration",
    "robust_expectation",
    "robust_mix",
    "robust_mixed",
    "robust_policy_evaluation",
    "robust_value_iteration",
    "running_cost",
    "s_rectangular_value_iteration",
    "shaped",
    "simpson",
    "soft_value_iteration",
    "sparse",
    "sqirl",
    "stacked",
    "stages",
    "starc_distance",
    "static_robust_control",
    "stock_augmented",
    "stock_greedy",
    "successor_basis",
    "successor_features",
    "successor_representation",
    "table",
    "trapezoid",
    "under",
    "value_iteration",
    "wasserstein",
    "wasserstein_on_grid",
    "worst_case_process",
    "zeros",
]
