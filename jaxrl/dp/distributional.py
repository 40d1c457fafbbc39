"""Dynamic programming for whole return distributions, in any representation.

The same operator as for expected values, with nothing averaged away. A table [S, A, K] is of the
representation's outputs: `representation.decode(theta)` are the distributions [S, A, N].
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, chosen, discounted, under
from jaxrl.dp.operator import Mix, Select, Solution, backup, iterate, mixed, stages, zeros
from jaxrl.types import Array
from jaxrl.values import Representation, ReturnDistribution, Statistic, greedy, mean, take

Distance = Callable[[ReturnDistribution, ReturnDistribution], Array]
"""Between distributions [..., N] and [..., M]: [...]."""


def wasserstein(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """The 1-Wasserstein distance [...] of distributions [..., N] and [..., M].

    The area between the two cumulative distribution functions. It is the distance by which the
    iterations below stop, for it is one for every representation.
    """
    if x.atoms.shape[-1] == y.atoms.shape[-1] == 1:
        return jnp.abs(x.atoms - y.atoms)[..., 0]
    atoms = jnp.concatenate([x.atoms, y.atoms], -1)
    weights = jnp.concatenate([x.probabilities, -y.probabilities], -1)
    atoms, weights = jax.lax.sort((atoms, weights), num_keys=1)
    return (jnp.abs(jnp.cumsum(weights, -1))[..., :-1] * jnp.diff(atoms, axis=-1)).sum(-1)


def wasserstein_on_grid(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """`wasserstein` for two distributions [..., N] on the same increasing atoms: without a sort."""
    gap = jnp.cumsum(x.probabilities - y.probabilities, -1)[..., :-1]
    return (jnp.abs(gap) * jnp.diff(x.atoms, axis=-1)).sum(-1)


def largest_shift(x: ReturnDistribution, y: ReturnDistribution) -> Array:
    """The infinity-Wasserstein distance [...] of equally many equally weighted atoms [..., N]."""
    return jnp.abs(jnp.sort(x.atoms, -1) - jnp.sort(y.atoms, -1)).max(-1)


def distributional_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    representation: Representation,
    select: Select = greedy,
    mix: Mix = mixed,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 1_000,
) -> Solution:
    """The table [S, A, K] that acting by `select` at every backup leads to.

    `select` is `partial(greedy, statistic=...)`, `partial(soft, temperature=...)`, or
    `partial(values.expected, probabilities=policy)`, which evaluates a policy [S, A]. The residual
    is the largest `distance` over pairs by which a sweep moves their distributions.

    Under a policy the operator contracts by gamma in the 1-Wasserstein distance for `scalar` and
    for categorical representations with linear weights (which in Cramer distance contract by
    sqrt(gamma) only), and by gamma in `largest_shift` for quantiles: the table is then within
    gamma / (1 - gamma) * residual of the operator's fixed point. Greedy, it is no contraction:
    means converge as in value iteration, and distributions too where the best action is unique.
    A statistic other than the mean may have no fixed point at all, unless the process carries a
    stock (`jaxrl.dp.stock`). Source: Bellemare, Dabney and Rowland (2023), chapters 5 and 7.
    """
    model = discounted(mdp, gamma)
    start = zeros(representation, *mdp.transition.shape[:2])
    step = _sweep(model, representation, select, mix, distance)
    return iterate(step, start, tolerance, max_iterations)


def distributional_policy_evaluation(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    representation: Representation,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 1_000,
) -> Solution:
    """The return distributions [S, A, K] of a policy [S, A] of probabilities.

    Sweeps states alone and takes one step back to the pairs in the end. State distributions are
    within gamma / (1 - gamma) * residual, as `distributional_value_iteration` says in which
    distance.
    """
    process = under(mdp, policy)
    args = gamma, representation, greedy, mixed, distance, tolerance, max_iterations
    state = distributional_value_iteration(process, *args)
    return state._replace(theta=backup(discounted(mdp, gamma), representation, state.theta))


def distributional_policy_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    representation: Representation,
    statistic: Statistic = mean,
    distance: Distance = wasserstein,
    tolerance: float | Array = 1e-4,
    max_iterations: int | Array = 100,
    max_sweeps: int | Array = 1_000,
) -> Solution:
    """The table [S, A, K] of a policy that no action betters in `statistic`.

    The return distributions of a policy are iterated until they move by at most `tolerance`, or
    `max_sweeps` times; then an action changes where another has a statistic higher by more than
    `tolerance`. `iterations` counts policies, and the residual is the largest such gain: a few
    times the tolerance if it ends well. For the mean it ends; for another statistic it may cycle,
    unless the process carries a stock.
    """
    model = discounted(mdp, gamma)

    def step(state: tuple[Array, Array, Array]) -> tuple[tuple[Array, Array, Array], Array]:
        action, value, _ = state
        sweep = _sweep(chosen(model, action), representation, greedy, mixed, distance)
        value = iterate(sweep, value, tolerance, max_sweeps).theta
        theta = backup(model, representation, value)
        score = statistic(representation.decode(theta))  # [S, A]
        gain = score.max(1) - take(score[..., None], action)[:, 0]
        return (jnp.where(gain > tolerance, score.argmax(1), action), value, theta), gain.max()

    states, actions, _ = mdp.transition.shape
    table = partial(zeros, representation, states)
    start = jnp.zeros(states, jnp.int32), table(1), table(actions)
    solution = iterate(step, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[2])


def distributional_finite_horizon(
    mdp: TabularMDP,
    horizon: int,
    representation: Representation,
    gamma: float | Array = 1.0,
    select: Select = greedy,
    mix: Mix = mixed,
) -> Array:
    """Tables [horizon, S, A, K] at each time of an episode of `horizon` steps.

    At time t there are horizon - t steps to go.
    """
    return stages(discounted(mdp, gamma), representation, horizon, select, mix)


def _sweep(
    model: TabularMDP,
    representation: Representation,
    select: Select,
    mix: Mix,
    distance: Distance,
) -> Callable[[Array], tuple[Array, Array]]:
    """One sweep, and how far it moved the distributions at most."""

    def step(theta: Array) -> tuple[Array, Array]:
        new = backup(model, representation, theta, select, mix)
        return new, distance(representation.decode(new), representation.decode(theta)).max()

    return step
