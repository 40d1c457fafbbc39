"""Dynamic programming for risk: nested measures, exponential utility, and CVaR by its level.

A nested measure judges the rest of the return at every step again and needs nothing but the state.
A static one judges the whole return once, and needs to know more: the time for exponential utility,
the stock (`jaxrl.dp.stock`) or the level for CVaR. The two differ: of the sum of two fair coins of
-1 or 1, the nested CVaR at level 1/2 is -2 and the static one -1.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxrl.dp.iteration import Solution, fixed_point
from jaxrl.dp.mdp import TabularMDP, arrive, discounted
from jaxrl.dp.operator import Mix, arriving, backup, highest, mixed, zeros
from jaxrl.dp.scalar import value_iteration
from jaxrl.errors import require, require_positive
from jaxrl.types import Array
from jaxrl.values import (
    Representation,
    ReturnDistribution,
    Statistic,
    dirac,
    entropic_risk,
    filled,
    push,
    scalar,
)


def nested(statistic: Statistic) -> Mix:
    """Return a `Mix` that keeps of reward + discount * Z(successor) its `statistic` alone.

    Iterated, it is the nested measure of the return: S(r_0 + S(r_1 + ...)). The backup contracts
    by the discount if the statistic is monotone and moves with constants, as `cvar`,
    `entropic_risk`, `expectile_at`, `spectral` and quantiles do; the mean less the variance does
    not. With `cvar` at level alpha it is the robust backup whose adversary multiplies
    probabilities by at most 1 / alpha. Source: Ruszczynski (2010), "Risk-averse dynamic
    programming for Markov decision processes".

    Examples:
        >>> mix = dp.nested(values.cvar(0.75))
        >>> print(dp.backup(mdp, values.scalar(), jnp.array([[[2.0]], [[8.0]]]), mix=mix)[0, 1])
        [2.667]
    """

    def mix(mdp: TabularMDP, distribution: ReturnDistribution) -> ReturnDistribution:
        return dirac(statistic(mixed(mdp, distribution)))

    return mix


def nested_value_iteration(
    mdp: TabularMDP,
    gamma: float | Array,
    statistic: Statistic,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the action values [S, A] of the best policy in a `nested` measure of the return.

    V(s) = max over actions of S(r + gamma V(S')), for a statistic S as in `nested`. A stationary
    deterministic policy is optimal, and the error is at most gamma / (1 - gamma) * residual.
    Levels may be [S, A]. To evaluate a policy, solve `jaxrl.dp.under` it: the risk of its own
    choices then counts too.

    Examples:
        >>> print(dp.nested_value_iteration(mdp, 0.5, values.cvar(0.75)).theta)
        [[1.    1.333]
         [8.    0.667]]
    """
    model, mix = discounted(mdp, gamma), nested(statistic)
    operator = lambda theta: backup(model, scalar(), theta, highest, mix)
    start = zeros(scalar(), *mdp.transition.shape[:2])
    solution = fixed_point(operator, start, tolerance, max_iterations)
    return solution._replace(theta=solution.theta[..., 0])


def exponential_utility(
    mdp: TabularMDP,
    gamma: float | Array,
    aversion: float | Array,
    horizon: int,
    *,
    tolerance: float | Array = 1e-5,
) -> Array:
    """Return the action values [horizon, S, A] that maximise the entropic risk of the whole return.

    At time t, Q_t(s, a) is the entropic risk of r + gamma max Q_{t+1}(S') at the aversion
    b gamma^t: because the risk of gamma X at aversion b is gamma times that of X at gamma b, the
    aversion decays and the best policy depends on time. After the horizon the values are those of
    `value_iteration` to a `tolerance`: the aversion that is left is b gamma^horizon.
    Discounts of the process are 0 or 1. With gamma 1 the result is that of `nested`. The
    entropic value at risk at level alpha is the largest, over aversions b, of the entropic risk
    less log(1 / alpha) / b. Raises `InputError` unless the horizon is above zero. Source: Hau,
    Petrik and Ghavamzadeh (2023), "Entropic risk optimization in discounted MDPs".

    Examples:
        >>> print(dp.exponential_utility(mdp, 0.5, 1.0, horizon=2)[0])
        [[1.    0.675]
         [8.    0.566]]
    """
    require_positive(horizon=horizon)
    model = discounted(mdp, gamma)
    last = value_iteration(mdp, gamma, tolerance=tolerance).theta[..., None]

    def back(theta: Array, level: Array) -> tuple[Array, Array]:
        theta = backup(model, scalar(), theta, highest, nested(entropic_risk(level)))
        return theta, theta

    levels = aversion * jnp.asarray(gamma, last.dtype) ** jnp.arange(horizon)
    return jax.lax.scan(back, last, levels, reverse=True)[1][..., 0]


def lorenz(levels: Array) -> Representation:
    """Integrals theta [..., K] of the quantile function of the return up to `levels` [K].

    theta_k is level_k times the CVaR at level_k, a convex function of the level that starts at 0:
    the generalised Lorenz curve. Between levels it is linear, from which the values in between are
    too high, if anything. It decodes to K atoms of the probabilities of the steps between levels.
    The loss is half the squared distance to the projection of a target, which is not linear in
    probabilities: for exact dynamic programming only. Raises `InputError` unless the levels ascend
    from above 0 to 1.

    Examples:
        >>> print(dp.lorenz(jnp.array([0.5, 1.0])).project(values.dirac(jnp.array(8.0))))
        [4. 8.]
    """
    if not isinstance(levels, Tracer):
        steps = np.diff(np.asarray(levels), prepend=0.0)
        ascends = bool((steps > 0).all()) and np.isclose(steps.sum(), 1.0)
        require(ascends, f"The levels of CVaR must ascend from above 0 to 1, not {levels}.")
    widths = jnp.diff(levels, prepend=0.0)

    def decode(theta: Array) -> ReturnDistribution:
        atoms = jnp.diff(theta, prepend=0.0) / widths
        return ReturnDistribution(atoms, jnp.broadcast_to(widths, atoms.shape))

    def project(distribution: ReturnDistribution) -> Array:
        p = distribution.probabilities
        atoms = jnp.broadcast_to(distribution.atoms, p.shape)[..., None, :]
        return (filled(atoms, p[..., None, :], levels) * atoms).sum(-1)

    def loss(theta: Array, distribution: ReturnDistribution) -> Array:
        return jnp.square(theta - project(distribution)).sum(-1) / 2

    return Representation(levels.shape[0], decode, project, loss)


def highest_at_levels(representation: Representation, theta: Array) -> ReturnDistribution:
    """Select the best action of theta [..., A, K] at each level by itself, for `lorenz` tables.

    Examples:
        >>> theta = jnp.array([[-1.0, 0.0], [-0.5, -1.0]])  # a coin of -2 or 2, and -1 for sure
        >>> print(dp.highest_at_levels(dp.lorenz(jnp.array([0.5, 1.0])), theta).atoms)
        [-1.  1.]
    """
    return representation.decode(theta.max(-2))


def cvar_by_levels(
    mdp: TabularMDP,
    gamma: float | Array,
    levels: Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the table [S, A, K] of level times CVaR at that level, by augmenting with levels [K].

    It is the backup of `lorenz` tables in which every level takes its own best action: the
    adversary shares a level y among the successors, V(s, y) = max_a min over shares x with
    sum p x = y of r + gamma sum p (x / y) V(s', x). It contracts by gamma. For a process with one
    action (`jaxrl.dp.under` a policy) it is the CVaR of the return, as exactly as the levels
    resolve it, and from above. For control it is only an **upper bound**, strictly so on some
    processes however fine the levels, because maximum and minimum are exchanged: for the optimum
    use a stock. Source: Chow, Tamar, Mannor and Pavone (2015), "Risk-sensitive and robust
    decision-making: a CVaR optimization approach"; the gap: Hau, Delage, Ghavamzadeh and Petrik
    (2023), "On dynamic programming decompositions of static risk measures".

    Examples:
        >>> print(dp.cvar_by_levels(mdp, 0.5, jnp.array([0.5, 1.0])).theta[0])
        [[0.5 1. ]
         [0.  2. ]]
    """
    model, family = discounted(mdp, gamma), lorenz(levels)
    operator = lambda theta: backup(model, family, theta, highest_at_levels)
    start = zeros(family, *mdp.transition.shape[:2])
    return fixed_point(operator, start, tolerance, max_iterations)


def level_process(mdp: TabularMDP, gamma: float | Array, levels: Array, theta: Array) -> TabularMDP:
    """Return the process [S * K, 1, B] of acting by a table [S, A, K] of `cvar_by_levels`.

    Its states are s * K + k. In s at level k the best action of theta is taken, and each successor
    goes on at the nearest level to the share that the adversary gives it. Evaluating its return
    distributions shows what the policy really has, which is often less than its table says.
    Episodes start at level 1.

    Examples:
        >>> theta = dp.cvar_by_levels(mdp, 0.5, jnp.array([0.5, 1.0])).theta
        >>> print(dp.level_process(mdp, 0.5, jnp.array([0.5, 1.0]), theta).transition[0])
        [[1. 0.]]
    """
    family, size = lorenz(levels), levels.shape[0]
    model = discounted(mdp, gamma)
    states, actions, slots = mdp.transition.shape
    following = arriving(model, highest_at_levels(family, theta))
    pushed = push(following, model.reward, model.discount)  # [S, A, B, K]
    shape = states, actions, slots, size
    atoms, widths = (jnp.broadcast_to(x, shape) for x in pushed)
    filled = _filled(atoms, widths * mdp.transition[..., None], levels)  # [S, A, B, K]
    share = filled / jnp.where(mdp.transition > 0, mdp.transition, 1.0)[..., None]
    nearest = jnp.abs(share[..., None] - levels).argmin(-1)  # [S, A, B, K]
    best = theta.argmax(1)  # [S, K]
    pick = partial(jnp.take_along_axis, indices=best[:, None, None, :], axis=1)
    each = lambda x: jnp.broadcast_to(x[..., None], shape)
    place = jnp.broadcast_to(arrive(mdp, jnp.arange(states)), shape[:3])
    lined = lambda x: jnp.moveaxis(pick(x)[:, 0], 1, 2).reshape(states * size, 1, slots)
    chances = jnp.zeros(size).at[-1].set(1.0)
    return TabularMDP(
        lined(each(mdp.transition)),
        lined(each(mdp.reward)),
        lined(each(mdp.discount)),
        (mdp.initial[:, None] * chances).reshape(-1),
        lined(each(place) * size + nearest).astype(jnp.int32),
    )


def _filled(atoms: Array, p: Array, levels: Array) -> Array:
    """Return how much [..., B, K] of the lowest `levels` [K] of a mixture each of B parts has."""
    flat = lambda x: x.reshape(*x.shape[:-2], 1, -1)
    kept = filled(flat(atoms), flat(p), levels)
    return jnp.moveaxis(kept.reshape(*kept.shape[:-1], *atoms.shape[-2:]).sum(-1), -2, -1)
