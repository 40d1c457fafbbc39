"""Joint laws of several returns at once: moments exactly, and samples by bootstrapping.

A vector of features of each step makes a vector of returns, whose components share their path: the
product of the laws of each is not the joint law. With one feature for each state the vector is the
occupancy of a single episode, from which the law of the return of any reward follows.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, arrive, discounted, under
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key


class Moments(NamedTuple):
    """The first two moments of vectors of returns."""

    mean: Array  # [S, D]
    covariance: Array  # [S, D, D]


def joint_moments(mdp: TabularMDP, policy: Array, features: Array, gamma: float | Array) -> Moments:
    """Return means [S, D] and covariances [S, D, D] of discounted sums of features.

    `features` are [S, A, D], or [S, A, B, D] where they depend on the successor. With
    G = c + g G', for the discount g of a step, the second moments solve the linear equation
    E[G G^T] = E[c c^T + g (c m'^T + m' c^T) + g^2 E[G' G'^T]]. With the reward as the only feature
    the covariance is the variance of the return. Dense, of a cost of S^3. Source: Sobel (1982),
    "The variance of discounted Markov decision processes".

    Examples:
        >>> moments = dp.joint_moments(mdp, policy, mdp.reward[..., None], 0.5)
        >>> print(moments.mean[:, 0], moments.covariance[:, 0, 0])  # 0 or 4 from state 0
        [2. 8.] [4. 0.]
    """
    process, cumulant = _paid(mdp, policy, features, gamma)
    p, g = process.transition[:, 0], process.discount[:, 0]  # [S, N]
    states, successors = p.shape[0], jnp.asarray(process.successors)[:, 0]
    rows = jnp.arange(states)[:, None]
    kernel = lambda weight: (
        jnp.zeros((states, states), weight.dtype).at[rows, successors].add(weight)
    )
    identity = jnp.eye(states, dtype=p.dtype)
    mean = jnp.linalg.solve(identity - kernel(p * g), (p[..., None] * cumulant).sum(1))
    outer = lambda x, y: x[..., :, None] * y[..., None, :]
    following = g[..., None] * arrive(process, mean)[:, 0]  # [S, N, D]
    both = outer(cumulant, cumulant) + outer(cumulant, following) + outer(following, cumulant)
    right = (p[..., None, None] * both).sum(1)
    second = jnp.linalg.solve(identity - kernel(p * g**2), right.reshape(states, -1))
    return Moments(mean, second.reshape(right.shape) - outer(mean, mean))


def successor_measure_moments(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Moments:
    """Return means [S, S] and covariances [S, S, S] of the occupancy of a single episode.

    The occupancy M(s) = (1 - gamma) sum gamma^t 1{S_t} is random, and its law is the
    distributional successor measure: for any reward w of states the return is M w / (1 - gamma),
    with variance w^T C w / (1 - gamma)^2. Source: Wiltzer et al. (2024), "A distributional
    analogue to the successor representation".

    Examples:
        >>> moments = dp.successor_measure_moments(mdp, policy, 0.5)
        >>> print(moments.mean[0])
        [0.5   0.125]
    """
    return joint_moments(mdp, policy, _visits(mdp, gamma), gamma)


def joint_particles(
    mdp: TabularMDP,
    policy: Array,
    features: Array,
    gamma: float | Array,
    num: int,
    sweeps: int,
    key: Key,
) -> Array:
    """Return samples [S, num, D] of discounted sums of features, by bootstrapping.

    In each of `sweeps` sweeps every particle of a state draws an action, a successor and a
    particle of it, and becomes features + discount * particle. A particle has the law of the sum
    over `sweeps` steps exactly. Particles share their past, so that means over them vary more than
    those of independent samples. Raises `InputError` unless `num` and `sweeps` are above zero.

    Examples:
        >>> found = dp.joint_particles(
        ...     mdp, policy, mdp.reward[..., None], 0.5, 64, 3, jax.random.key(0)
        ... )
        >>> print(jnp.unique(found[0]))
        [0. 4.]
    """
    require_positive(num=num, sweeps=sweeps)
    process, cumulant = _paid(mdp, policy, features, gamma)
    p, states = process.transition[:, 0], mdp.transition.shape[0]
    successors = jnp.asarray(process.successors)[:, 0]
    rows = jnp.arange(states)[:, None]
    upto = jnp.cumsum(p, -1)
    last = jnp.where(p > 0, jnp.arange(p.shape[1]), 0).max(-1)  # rounding leads no further

    def sweep(particles: Array, key: Key) -> tuple[Array, None]:
        k_slot, k_particle = jax.random.split(key)
        drawn = jax.random.uniform(k_slot, (states, num, 1), p.dtype)
        slot = jnp.minimum((drawn >= upto[:, None]).sum(-1), last[:, None])
        which = jax.random.randint(k_particle, (states, num), 0, num)
        later = particles[successors[rows, slot], which]
        return cumulant[rows, slot] + process.discount[rows, 0, slot][..., None] * later, None

    start = jnp.zeros((states, num, cumulant.shape[-1]), cumulant.dtype)
    return jax.lax.scan(sweep, start, jax.random.split(key, sweeps))[0]


def successor_measure_particles(
    mdp: TabularMDP, policy: Array, gamma: float | Array, num: int, sweeps: int, key: Key
) -> Array:
    """Return samples [S, num, S] of the occupancy of a single episode, as `joint_particles`.

    For a reward w of states, particles @ w / (1 - gamma) are samples of the return, of which any
    statistic can be taken without learning anew.

    Examples:
        >>> found = dp.successor_measure_particles(mdp, policy, 0.5, 64, 3, jax.random.key(0))
        >>> print(jnp.unique(found[0, :, 1]))  # whether state 1 is reached
        [0.   0.25]
    """
    return joint_particles(mdp, policy, _visits(mdp, gamma), gamma, num, sweeps, key)


def _visits(mdp: TabularMDP, gamma: float | Array) -> Array:
    """Return the share [S, A, S] of the occupancy that a step adds: of its own state alone."""
    states, actions, _ = mdp.transition.shape
    return jnp.broadcast_to(((1 - gamma) * jnp.eye(states))[:, None], (states, actions, states))


def _paid(
    mdp: TabularMDP, policy: Array, features: Array, gamma: float | Array
) -> tuple[TabularMDP, Array]:
    """Return the process [S, 1, A * B] of a policy and its features [S, A * B, D]."""
    each = features if features.ndim == 4 else features[:, :, None]
    shape = (*mdp.transition.shape, features.shape[-1])
    cumulant = jnp.broadcast_to(each, shape).reshape(shape[0], -1, shape[-1])
    return discounted(under(mdp, policy), gamma), cumulant
