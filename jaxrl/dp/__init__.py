"""Exact dynamic programming on finite processes: one Bellman operator, iterated.

- `mdp`: the arrays of a process, dense or sparse.
- `operator`: the backup, and the ways to select actions and to mix successors.
- `iteration`: iteration to a fixed point, and its derivatives.
- `scalar`, `distributional`: solvers for expected values and for return distributions.
- `direct`, `programmes`: solutions by linear systems, and by linear programmes with constraints.
- `sampled`: distributional temporal differences in a table.
- `sweeps`: other orders of backups, and acceleration.
- `average`: gain and bias of processes that never end, on any chains.
- `joint`: moments and samples of several returns at once, and of occupancies.
- `options`, `automata`, `beliefs`: processes made of processes.
- `stock`: stock augmentation, which optimises other statistics of the return.
- `risk`: nested measures, exponential utility, and CVaR by its level.
- `robust`, `robust_sets`, `robust_control`: worst cases near a given process.
- `offline`: least-squares value iteration from data.
- `linear_td`: temporal differences on linear features.
- `off_policy`: estimates of a policy's return from episodes of another.
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

from jaxrl.dp.automata import (
    Automaton,
    automaton_product,
)
from jaxrl.dp.average import (
    centred,
    gain_and_bias,
    limiting_kernel,
    multichain_policy_iteration,
    stationary_rewards,
)
from jaxrl.dp.beliefs import (
    belief_process,
)
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
from jaxrl.dp.direct import (
    categorical_fixed_point,
    policy_evaluation_by_solving,
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
from jaxrl.dp.joint import (
    joint_moments,
    joint_particles,
    successor_measure_moments,
    successor_measure_particles,
)
from jaxrl.dp.linear_td import (
    Rule,
    Steps,
    emphatic_td,
    gtd2,
    learn,
    lspi,
    lstd,
    td_lambda,
    tdc,
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
from jaxrl.dp.off_policy import (
    Episodes,
    bootstrap,
    dice,
    doubly_robust,
    estimate,
    importance_sampling,
    per_decision,
    stationary_ratios,
    weighted_per_decision,
)
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
from jaxrl.dp.options import (
    Options,
    call_and_return,
    option_models,
    primitive,
)
from jaxrl.dp.programmes import (
    linear_programme,
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
from jaxrl.dp.sampled import (
    distributional_td,
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
from jaxrl.dp.sweeps import (
    accelerated,
    anderson_value_iteration,
    gauss_seidel_value_iteration,
    prioritised_sweeping,
)

__all__ = [
    "Automaton",
    "Constrained",
    "Episodes",
    "LinearBatch",
    "LinearQuadratic",
    "Mix",
    "Options",
    "Regression",
    "Rule",
    "Select",
    "Solution",
    "Steps",
    "TabularMDP",
    "WorstCase",
    "accelerated",
    "anderson_value_iteration",
    "arrive",
    "arriving",
    "automaton_product",
    "averaged",
    "averaged_under",
    "backup",
    "bayesian_quadrature",
    "belief_process",
    "best_stock_for_cvar",
    "best_stock_for_upper_cvar",
    "bootstrap",
    "call_and_return",
    "canonical_reward",
    "categorical_fixed_point",
    "centred",
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
    "dice",
    "discounted",
    "distributional_finite_horizon",
    "distributional_policy_evaluation",
    "distributional_policy_iteration",
    "distributional_td",
    "distributional_value_iteration",
    "doubly_robust",
    "effective_horizon",
    "emphatic_td",
    "epic_canonical",
    "epic_distance",
    "estimate",
    "expect",
    "expectation",
    "exponential_utility",
    "finite_horizon",
    "fitted_backups",
    "fixed_point",
    "from_arrays",
    "gain_and_bias",
    "gauss_seidel_value_iteration",
    "generalised_policy_improvement",
    "gtd2",
    "guaranteed_gain",
    "highest",
    "highest_at_levels",
    "implicit",
    "importance_sampling",
    "integral_policy_evaluation",
    "integral_policy_iteration",
    "iterate",
    "joint_moments",
    "joint_particles",
    "largest_shift",
    "learn",
    "least_squares_value_iteration",
    "level_process",
    "limiting_kernel",
    "linear_action_values",
    "linear_programme",
    "lorenz",
    "lspi",
    "lstd",
    "matern",
    "mixed",
    "modified_policy_iteration",
    "multichain_policy_iteration",
    "nested",
    "nested_value_iteration",
    "occupancy",
    "occupancy_by_iteration",
    "optimal_backups",
    "option_models",
    "paired",
    "pearson_distance",
    "per_decision",
    "policy_evaluation",
    "policy_evaluation_by_solving",
    "policy_iteration",
    "policy_kernel",
    "pooled",
    "primitive",
    "prioritised_sweeping",
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
    "stationary_ratios",
    "stationary_rewards",
    "stock_augmented",
    "stock_greedy",
    "successor_basis",
    "successor_features",
    "successor_measure_moments",
    "successor_measure_particles",
    "successor_representation",
    "table",
    "td_lambda",
    "tdc",
    "trapezoid",
    "under",
    "value_iteration",
    "wasserstein",
    "wasserstein_on_grid",
    "weighted_per_decision",
    "worst_case_process",
    "zeros",
]
