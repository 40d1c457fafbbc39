"""Values and return distributions of a policy by one linear system, without iteration.

Exact to rounding at any discount below 1, and of a cost that is cubic in the number of unknowns:
for small processes, and as the reference of what iterates.
"""

import jax.numpy as jnp

from jaxrl.dp.iteration import Solution
from jaxrl.dp.mdp import TabularMDP, averaged, discounted, expect, under
from jaxrl.dp.operator import arriving, mixed
from jaxrl.dp.successor import policy_kernel
from jaxrl.types import Array
from jaxrl.values import ReturnDistribution, Support, linear, on_support


def policy_evaluation_by_solving(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Solution:
    """Return the action values [S, A] of a policy [S, A] by solving (I - K) v = r.

    K is `policy_kernel`. The residual is the largest difference of the state values to their own
    backup, in one iteration, and it is converged if that is near the rounding error. Dense, of a
    cost of S^3; differentiable as any linear solve. Source: Puterman (1994), "Markov decision
    processes", theorem 6.1.1.

    Examples:
        >>> print(dp.policy_evaluation_by_solving(mdp, policy, 0.5).theta)
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)
    kernel = policy_kernel(mdp, policy, gamma)
    reward = (policy * model.reward[..., 0]).sum(1)
    value = jnp.linalg.solve(jnp.eye(kernel.shape[0], dtype=kernel.dtype) - kernel, reward)
    theta = model.reward[..., 0] + model.discount[..., 0] * expect(model, value)
    residual = jnp.abs((policy * theta).sum(1) - value).max()
    least = 1e3 * jnp.finfo(value.dtype).eps * jnp.abs(value).max()
    return Solution(theta, jnp.int32(1), residual, residual <= least)


def categorical_fixed_point(
    mdp: TabularMDP, policy: Array, gamma: float | Array, support: Support
) -> ReturnDistribution:
    """Return the distributions [S, A, M] that categorical policy evaluation converges to.

    Projected categorical evaluation p <- B p is linear in the probabilities of the M atoms in the
    S states, so that its fixed point solves (I - B) p = 0 with each state's probabilities summing
    to 1. It is what `distributional_policy_evaluation` with `values.categorical` iterates to, not
    the true law: the means are exact if the support has all returns, and the spread is too large,
    by what projecting adds. Dense, of a cost of (S M)^3. Source: Rowland et al. (2024),
    "Near-minimax-optimal distributional reinforcement learning with a generative model".

    Examples:
        >>> support = values.uniform_support(0.0, 8.0, 5)
        >>> print(dp.categorical_fixed_point(mdp, policy, 0.5, support).probabilities[0, 1])
        [0.5 0.  0.5 0.  0. ]
    """
    process = discounted(under(mdp, policy), gamma)
    states, size = mdp.transition.shape[0], support.atoms.shape[0]
    pushed = process.reward[:, 0, :, None] + process.discount[:, 0, :, None] * support.atoms
    indices = jnp.arange(size, dtype=support.atoms.dtype)
    shares = linear(support.locate(pushed)[..., None], indices)  # [S, B, from, to]
    rows = jnp.arange(states)[:, None]
    weighted = jnp.moveaxis(process.transition[:, 0, :, None, None] * shares, -1, 2)
    # [S, to, S, from]: what each atom of each successor adds to the atoms of a state.
    backup = jnp.zeros((states, states, size, size), weighted.dtype)
    backup = backup.at[rows, jnp.asarray(process.successors)[:, 0]].add(weighted)
    matrix = jnp.eye(states * size, dtype=backup.dtype) - jnp.moveaxis(backup, 2, 1).reshape(
        states * size, -1
    )
    # One equation of each state follows from the others; in its place stands the total.
    last = jnp.arange(states) * size + size - 1
    total = jnp.repeat(jnp.eye(states, dtype=backup.dtype), size, 1)
    matrix = matrix.at[last].set(total)
    right = jnp.zeros(states * size, backup.dtype).at[last].set(1.0)
    p = jnp.linalg.solve(matrix, right).reshape(states, size)
    state = ReturnDistribution(jnp.broadcast_to(support.atoms, p.shape), p)
    model = discounted(mdp, gamma)
    return on_support(support)(mixed(model, arriving(model, state)))
