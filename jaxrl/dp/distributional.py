"""Dynamic programming for whole return distributions, in any representation.

The operator is that of expected values without averaging. A table [S, A, K] holds the outputs of
the representation: `representation.decode(theta)` are the distributions [S, A, N]. Tolerances and
derivatives are as in `jaxrl.dp.scalar`; the size of a distribution is the mean of |Z|.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxrl.dp.iteration import Operator, Solution, fixed_point, implicit, iterate, threshold
from jaxrl.dp.mdp import TabularMDP, chosen, discounted, under
from jaxrl.dp.operator import Mix, Select, backup, mixed, stages, zeros
from jaxrl.types import Array
from jaxrl.values import Representation, ReturnDistribution, Statistic, greedy, mean, take

Distance = Callable[[ReturnDistribution, ReturnDistribution], Array]
"""(distributions [..., N], distributions [..., M]) -> distances [...]."""


def wasserstein(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """Return the 1-Wasserstein distance [...] of distributions [..., N] and [..., M].

    It is the area between the two cumulative distribution functions. The iterations below stop by
    it unless told otherwise, because it is defined for every representation.

    Examples:
        >>> print(dp.wasserstein(values.dirac(jnp.array(1.0)), values.dirac(jnp.array(4.0))))
        3.0
    """
    if x.atoms.shape[-1] == y.atoms.shape[-1] == 1:
        return jnp.abs(x.atoms - y.atoms)[..., 0]
    atoms = jnp.concatenate([x.atoms, y.atoms], -1)
    weights = jnp.concatenate([x.probabilities, -y.probabilities], -1)
    atoms, weights = jax.lax.sort((atoms, weights), num_keys=1)
    return (jnp.abs(jnp.cumsum(weights, -1))[..., :-1] * jnp.diff(atoms, axis=-1)).sum(-1)


def wasserstein_on_grid(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """Return `wasserstein` of distributions [..., N] on the same increasing atoms, unsorted.

    Examples:
        >>> on_grid = lambda chances: values.ReturnDistribution(jnp.array([0.0, 2.0]), chances)
        >>> x, y = on_grid(jnp.array([1.0, 0.0])), on_grid(jnp.array([0.5, 0.5]))
        >>> print(dp.wasserstein_on_grid(x, y))
        1.0
    """
    gap = jnp.cumsum(x.probabilities - y.probabilities, -1)[..., :-1]
    return (jnp.abs(gap) * jnp.diff(x.atoms, axis=-1)).sum(-1)


def largest_shift(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """Return the infinity-Wasserstein distance [...] of equally weighted atoms [..., N].

    Examples:
        >>> atoms = values.quantile(2).decode
        >>> print(dp.largest_shift(atoms(jnp.array([0.0, 1.0])), atoms(jnp.array([3.0, 1.0]))))
        2.0
    """
    return jnp.abs(jnp.sort(x.atoms, -1) - jnp.sort(y.atoms, -1)).max(-1)


def distributional_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    representation: Representation,
    select: Select = greedy,
    mix: Mix = mixed,
    *,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 1_000,
) -> Solution:
    """Return the table [S, A, K] of the distributions of acting by `select` at every step.

    `select` is `partial(greedy, statistic=...)`, `partial(soft, temperature=...)`, or
    `partial(values.expected, probabilities=policy)`, which evaluates a policy [S, A]. The residual
    is the largest `distance` over pairs by which a sweep moves their distributions.

    Under a policy the operator contracts by gamma in the 1-Wasserstein distance for `scalar` and
    for categorical representations with linear weights (in the Cramer distance only by
    sqrt(gamma)), and by gamma in `largest_shift` for quantiles: the table is then within
    gamma / (1 - gamma) * residual of the operator's fixed point. The greedy operator is not a
    contraction: means converge as in value iteration, and distributions do where the best action
    is unique. A statistic other than the mean may have no fixed point, unless the process carries
    a stock (`jaxrl.dp.stock`). Source: Bellemare, Dabney and Rowland (2023), chapters 5 and 7.

    Examples:
        >>> solution = dp.distributional_value_iteration(mdp, 0.5, values.quantile(2))
        >>> print(solution.theta[0, 1])  # to try from state 0: 0 or 0.5 * 8
        [0. 4.]
    """
    model = discounted(mdp, gamma)
    start = zeros(representation, *mdp.transition.shape[:2])
    operator = lambda theta: backup(model, representation, theta, select, mix)
    between = _between(representation, distance)
    scale, rounded = (partial(f, representation) for f in (_size, _largest_atom))
    return fixed_point(operator, start, tolerance, max_iterations, between, scale, rounded)


def distributional_policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    representation: Representation,
    *,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 1_000,
) -> Solution:
    """Return the return distributions [S, A, K] of a policy [S, A] of probabilities.

    It iterates the distributions of states, and backs up to the pairs in the end. The distributions
    of states are within gamma / (1 - gamma) * residual, in the distances that
    `distributional_value_iteration` names.

    Examples:
        >>> solution = dp.distributional_policy_evaluation(mdp, policy, 0.5, values.quantile(2))
        >>> print(solution.theta[0, 1])
        [0. 4.]
    """
    process = under(mdp, policy)
    state = distributional_value_iteration(
        process,
        gamma,
        representation,
        distance=distance,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    return state._replace(theta=backup(discounted(mdp, gamma), representation, state.theta))


def distributional_policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    representation: Representation,
    statistic: Statistic = mean,
    *,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 100,
    max_sweeps: int | Array = 1_000,
) -> Solution:
    """Return the table [S, A, K] of a policy that no single action improves in `statistic`.

    The return distributions of a policy are iterated until they move by at most `tolerance` times
    their size, or `max_sweeps` times; then an action changes where another has a statistic higher
    by more than that. `iterations` counts policies, and the residual is the largest such gain. It
    converges for the mean; for another statistic it may cycle, unless the process carries a stock.
    Derivatives are those of the last policy.

    Examples:
        >>> solution = dp.distributional_policy_iteration(mdp, 0.5, values.quantile(2))
        >>> print(solution.theta[0, 1])
        [0. 4.]
    """
    model = discounted(mdp, gamma)
    between = _between(representation, distance)
    scale, rounded = (partial(f, representation) for f in (_size, _largest_atom))
    states, actions, _ = mdp.transition.shape

    def evaluation(model: TabularMDP, action: Array) -> Operator:
        return partial(backup, chosen(model, action), representation)

    def improve(state: tuple[Array, ...]) -> tuple[tuple[Array, ...], Array]:
        action, _, value, _ = state
        operator = evaluation(frozen, action)
        sweep = lambda value: _with_distance(between, operator(value), value)
        value = iterate(sweep, value, tolerance, max_sweeps, scale, rounded).theta
        theta = backup(frozen, representation, value)
        score = statistic(representation.decode(theta))  # [S, A]
        gain = score.max(1) - take(score[..., None], action)[:, 0]
        better = gain > threshold(tolerance, scale(theta), rounded(theta))
        return (jnp.where(better, score.argmax(1), action), action, value, theta), gain.max()

    frozen = jax.lax.stop_gradient(model)
    first = jnp.zeros(states, int)
    start = first, first, zeros(representation, states, 1), zeros(representation, states, actions)
    measures = (lambda state, f=f: f(state[-1]) for f in (scale, rounded))
    found = iterate(improve, start, tolerance, max_iterations, *measures)
    _, action, value, _ = found.theta
    # The loop has ended. This attaches the derivatives of the fixed point of the last policy.
    solution = implicit(
        evaluation(model, action), lambda value: found._replace(theta=value), value, max_sweeps
    )
    return solution._replace(theta=backup(model, representation, solution.theta))


def distributional_finite_horizon(
    mdp: TabularMDP,
    horizon: int,
    representation: Representation,
    gamma: float | Array = 1.0,
    select: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """Return the tables [horizon, S, A, K] at each time of an episode of `horizon` steps.

    At time t there are horizon - t steps to go. Raises `InputError` unless there is a step.

    Examples:
        >>> print(dp.distributional_finite_horizon(mdp, 2, values.quantile(2))[0, 0, 1])
        [0. 8.]
    """
    return stages(discounted(mdp, gamma), representation, horizon, select, mix)


def _between(representation: Representation, distance: Distance) -> Callable[[Array, Array], Array]:
    """Return the largest distance [] over pairs between the distributions of two tables."""
    decode = representation.decode
    return lambda x, y: distance(decode(x), decode(y)).max()


def _with_distance(
    between: Callable[[Array, Array], Array], new: Array, old: Array
) -> tuple[Array, Array]:
    return new, between(new, old)


def _largest_atom(representation: Representation, theta: Array) -> Array:
    """Return the largest absolute atom [] of the distributions of a table."""
    return jnp.abs(representation.decode(theta).atoms).max()


def _size(representation: Representation, theta: Array) -> Array:
    """Return the largest mean [] of |Z| among the distributions of a table."""
    distribution = representation.decode(theta)
    return (distribution.probabilities * jnp.abs(distribution.atoms)).sum(-1).max()
