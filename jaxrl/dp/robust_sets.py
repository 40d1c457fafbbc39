"""Worst cases within norms, density ratios and transport costs, and budgets shared by actions.

The adversaries of `jaxrl.dp.robust` reach only successors of positive probability. Those here
that are made with `anywhere` may also reach the others of a dense process.

Examples:
    Two values of equal probability:

    >>> v, even = jnp.array([0.0, 8.0]), jnp.array([0.5, 0.5])
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.dp.iteration import Solution, fixed_point
from jaxrl.dp.mdp import TabularMDP, arrive, discounted
from jaxrl.dp.robust import Divergence, WorstCase, attained, moved, supported, within
from jaxrl.errors import require_fraction, require_non_negative
from jaxrl.types import Array
from jaxrl.values import filled

_fixed = jax.lax.stop_gradient


def constrained_density_ratio(
    values: Array, probabilities: Array, strength: Array | float
) -> WorstCase:
    """Return the worst case if no probability grows by more than a factor: D = max q / p - 1.

    See `Divergence`. With the strength rho the value is the CVaR at level 1 / (1 + rho), exactly,
    so that the robust backup is the nested CVaR. Source: Chow, Tamar, Mannor and Pavone (2015),
    "Risk-sensitive and robust decision-making: a CVaR optimization approach".

    Examples:
        >>> print(dp.robust_sets.constrained_density_ratio(v, even, 0.25).value)  # 0.375 * 8
        3.0
    """
    v, p, radius = within(values, probabilities, strength)
    return _cheapest(v, jnp.zeros_like(p), p * (1 + radius))


def constrained_l1(anywhere: bool = False) -> Divergence:
    """Return the worst case within a radius of the L1 norm: D = sum|q - p|.

    See `Divergence`. Half of the radius moves from the best values to the worst: it is
    `constrained_total_variation` of half the strength, but with `anywhere` for all successors of
    a dense process.

    Examples:
        >>> print(dp.robust_sets.constrained_l1()(v, even, 0.5).value)
        2.0
    """

    def worst(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
        _, p, radius = within(values, probabilities, strength)
        possible = (p > 0) | anywhere
        return moved(supported(values, possible), p, radius / 2, possible)

    return worst


def constrained_l_infinity(anywhere: bool = False) -> Divergence:
    """Return the worst case within a radius of the largest difference: D = max|q - p|.

    See `Divergence`. Probabilities fall by as much as the radius allows, and the worst values are
    given first what was taken. With `anywhere` all successors of a dense process are reached.

    Examples:
        >>> print(dp.robust_sets.constrained_l_infinity()(v, even, 0.25).value)
        2.0
    """

    def worst(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
        _, p, radius = within(values, probabilities, strength)
        possible = (p > 0) | anywhere
        least = jnp.maximum(p - radius, 0.0)
        most = jnp.where(possible, jnp.minimum(p + radius, 1.0), 0.0)
        return _cheapest(supported(values, possible), least, most)

    return worst


def constrained_wasserstein(cost: Array, anywhere: bool = False) -> Divergence:
    """Return the worst case within a radius of the cost of transport from p to q.

    See `Divergence`. D is the least sum of probability moved times `cost` [N, N] or [..., N, N],
    which is at least 0, and 0 on the diagonal. The value is the maximum over prices lam of
    -lam * strength + sum_i p_i min_j (V_j + lam cost_ij), by bisection; with `anywhere` all
    successors of a dense process are reached. Source: Mohajerin Esfahani and Kuhn (2018),
    "Data-driven distributionally robust optimization using the Wasserstein metric".

    Examples:
        >>> near = dp.robust_sets.constrained_wasserstein(jnp.array([[0.0, 2.0], [2.0, 0.0]]))
        >>> print(near(v, even, 0.5).value)
        2.0
    """
    require_non_negative(cost=cost)

    def worst(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
        _, p, radius = within(values, probabilities, strength)
        possible = (p > 0) | anywhere
        v = supported(values, possible)
        target = jnp.where(possible, v, jnp.inf)[..., None, :]
        between = jnp.broadcast_to(cost, (*p.shape, p.shape[-1]))

        def plan(price: Array) -> tuple[Array, Array, Array]:
            """Where [..., N] each successor moves to, at what value, and the cost [..., 1]."""
            to = (target + price[..., None] * between).argmin(-1)
            at = lambda x: jnp.take_along_axis(x, to[..., None], -1)[..., 0]
            total = (p * at(between)).sum(-1, keepdims=True)
            return to, (p * at(jnp.broadcast_to(v[..., None, :], between.shape))), total

        positive = jnp.where(cost > 0, cost, jnp.inf).min((-2, -1))
        highest = 1 + 2 * jnp.ptp(v, -1, keepdims=True) / positive[..., None]

        def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = bounds
            middle = (low + high) / 2
            fits = plan(middle)[2] <= radius
            return jnp.where(fits, low, middle), jnp.where(fits, middle, high)

        steps = int(jnp.finfo(v.dtype).nmant) + 9
        bounds = jnp.zeros_like(highest), highest
        low, high = (_fixed(x) for x in jax.lax.fori_loop(0, steps, halve, bounds))
        # Between two prices that cannot be told apart, a mixture of both plans spends all.
        (many, reached, dear), (few, kept, cheap) = plan(low), plan(high)
        gap = dear - cheap
        share = jnp.clip((radius - cheap) / jnp.where(gap > 0, gap, 1.0), 0.0, 1.0)
        arrived = lambda to: (p[..., None] * jax.nn.one_hot(to, p.shape[-1], dtype=p.dtype)).sum(-2)
        weights = share * arrived(many) + (1 - share) * arrived(few)
        spent = share * dear + (1 - share) * cheap
        price = (dear > radius) * high  # if all is affordable, more changes nothing
        moved_value = (share * reached + (1 - share) * kept).sum(-1, keepdims=True)
        dual = moved_value + price * (spent - radius)
        return attained(v, _fixed(weights), dual)

    return worst


def softened(divergence: Divergence, share: Array | float) -> Divergence:
    """Return a `share` in [0, 1] of the worst case, and of the nominal one for the rest.

    The adversary acts with that probability: soft robustness, and with `constrained_l1` of radius
    2 the contamination of a process by the worst one. Raises `InputError` for another share.

    Examples:
        >>> worst = dp.robust_sets.softened(dp.robust_sets.constrained_l1(), 0.5)
        >>> print(worst(v, even, 2.0).value)
        2.0
    """
    require_fraction(share=share)

    def worst(values: Array, probabilities: Array, strength: Array | float) -> WorstCase:
        value, weights = divergence(values, probabilities, strength)
        nominal = jnp.where(probabilities > 0, probabilities * values, 0.0).sum(-1)
        mixed = (1 - share) * probabilities + share * weights
        return WorstCase((1 - share) * nominal + share * value, mixed)

    return worst


def s_rectangular_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    budget: Array | float,
    anywhere: bool = False,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> tuple[Solution, Array]:
    """Return the values [S] of the best policy if the actions of a state share an L1 budget.

    The adversary of a state does not see the action: it chooses q with sum_a |q_a - p_a|_1 at most
    `budget` [] or [S], and the best policy [S, A], returned beside, may have to randomise. The
    value is the least u for which the budgets that lower each action to u are affordable
    together, by bisection. With `anywhere` all successors of a dense process are reached. The
    largest error is at most gamma / (1 - gamma) * residual. Source: Wiesemann, Kuhn and Rustem
    (2013), "Robust Markov decision processes"; the bisection: Ho, Petrik and Wiesemann (2018),
    "Fast Bellman updates for robust MDPs".

    Examples:
        >>> solution, policy = dp.s_rectangular_value_iteration(mdp, 0.5, 0.5)
        >>> print(solution.theta, policy)
        [1. 8.] [[1. 0.]
         [1. 0.]]
    """
    require_non_negative(budget=budget)
    model = discounted(mdp, gamma)

    def operator(value: Array) -> Array:
        judged = model.reward + model.discount * arrive(model, value)
        return _shared(jnp.broadcast_to(judged, mdp.transition.shape), mdp, budget, anywhere)[0]

    start = jnp.zeros(mdp.transition.shape[0], mdp.transition.dtype)
    solution = fixed_point(operator, start, tolerance, max_iterations)
    judged = model.reward + model.discount * arrive(model, solution.theta)
    judged = jnp.broadcast_to(judged, mdp.transition.shape)
    return solution, _shared(judged, mdp, budget, anywhere)[1]


def _cheapest(v: Array, least: Array, most: Array) -> WorstCase:
    """Return the distribution between bounds [..., N] that has as much on low values as it can."""
    weights = least + filled(v, most - least, 1 - least.sum(-1))
    return WorstCase((weights * v).sum(-1), weights)


def _shared(
    judged: Array, mdp: TabularMDP, budget: Array | float, anywhere: bool
) -> tuple[Array, Array]:
    """Return the value [S] and the policy [S, A] of returns [S, A, B] under a shared budget."""
    possible = (mdp.transition > 0) | anywhere
    v = supported(judged, possible)
    p = mdp.transition
    limit = jnp.broadcast_to(jnp.asarray(budget, v.dtype), v.shape[:1])
    # The value of an action falls from knot to knot as probability moves from the best successors.
    order = jnp.argsort(-_fixed(v), -1)
    high, mass = (jnp.take_along_axis(x, order, -1) for x in (v, p))
    worst = jnp.where(possible, v, jnp.inf).min(-1, keepdims=True)
    drop = mass * (high - worst)
    nominal = (p * v).sum(-1, keepdims=True)
    below = nominal - (jnp.cumsum(drop, -1) - drop)  # the value where a piece begins
    slope = high - worst  # of the value by the probability moved

    def needed(u: Array) -> Array:
        """The budget [S, A] that lowers each action to u [S]."""
        gap = jnp.where(slope > 0, slope, 1.0)
        part = jnp.clip((below - u[:, None, None]) / gap, 0.0, mass)
        return 2 * jnp.where(slope > 0, part, 0.0).sum(-1)

    low = worst[..., 0].max(1)
    bounds = low, jnp.maximum(nominal[..., 0].max(1), low)
    u = _fixed(_least_affordable(needed, bounds, limit))
    spent = _fixed(needed(u))
    # At the optimum all actions that are lowered have the same product of chance and slope.
    begun = (below > u[:, None, None]) & (mass > 0)
    piece = jnp.where(begun, jnp.arange(v.shape[-1]), -1).max(-1)
    steep = jnp.take_along_axis(slope, jnp.maximum(piece, 0)[..., None], -1)[..., 0]
    active = (spent > 0) & (piece >= 0) & (steep > 0)
    inverse = jnp.where(active, 1 / jnp.where(active, steep, 1.0), 0.0)
    floor = needed(low).sum(1) <= limit  # even the best of the worst cases is affordable
    total = jnp.where(floor, 0.0, inverse.sum(1))[:, None]
    best = jnp.where(floor[:, None], worst[..., 0], nominal[..., 0]).argmax(1)
    sure = jax.nn.one_hot(best, v.shape[1], dtype=v.dtype)
    rate = jnp.where(total > 0, 1 / jnp.where(total > 0, total, 1.0), 0.0)
    policy = _fixed(jnp.where(total > 0, inverse * rate, sure))
    reached = moved(v, p, spent[..., None] / 2, possible).value
    value = (policy * reached).sum(1) - _fixed(rate[:, 0] / 2) * limit
    return u + value - _fixed(value), policy


def _least_affordable(
    needed: Callable[[Array], Array], bounds: tuple[Array, Array], budget: Array
) -> Array:
    """Return the least u [S] between bounds at which the sum of what is needed fits a budget."""

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        fits = needed(middle).sum(1) <= budget
        return jnp.where(fits, low, middle), jnp.where(fits, middle, high)

    steps = int(jnp.finfo(budget.dtype).nmant) + 9
    least: Array = jax.lax.fori_loop(0, steps, halve, bounds)[1]
    return jnp.where(needed(bounds[0]).sum(1) <= budget, bounds[0], least)
