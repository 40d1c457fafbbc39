"""Successor representations and features, occupancy measures, and bases made of them.

Everything here is linear in the process of a policy. Direct solvers are dense, [S, S]; iterative
ones take memory linear in the successors of a sparse process. Discounts of the process are 0 at
terminations and 1 elsewhere, and `gamma` is separate.
"""

import jax.numpy as jnp

from jaxrl.dp.iteration import Solution, fixed_point
from jaxrl.dp.mdp import TabularMDP, averaged, discounted, expect
from jaxrl.types import Array


def policy_kernel(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """Return the discounted transition probabilities [S, S] of states under a policy [S, A].

    Rows sum to gamma times the probability of continuing. Dense, also for a sparse process.

    Examples:
        >>> print(dp.policy_kernel(mdp, policy, 0.5))
        [[0.   0.25]
         [0.   0.  ]]
    """
    weights = policy[..., None] * mdp.transition * gamma * mdp.discount  # [S, A, B]
    if isinstance(mdp.successors, tuple):
        return weights.sum(1)
    states = mdp.transition.shape[0]
    rows = jnp.arange(states)[:, None, None]
    return jnp.zeros((states, states), weights.dtype).at[rows, mdp.successors].add(weights)


def successor_representation(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """Return the discounted visits [S, S] to each state from each state: (I - K)^-1.

    K is `policy_kernel`. The start counts as a visit. Dense. Source: Dayan (1993), "Improving
    generalization for temporal difference learning: the successor representation".

    Examples:
        >>> print(dp.successor_representation(mdp, policy, 0.5))
        [[1.   0.25]
         [0.   1.  ]]
    """
    kernel = policy_kernel(mdp, policy, gamma)
    identity = jnp.eye(kernel.shape[0], dtype=kernel.dtype)
    return jnp.linalg.solve(identity - kernel, identity)


def successor_features(
    mdp: TabularMDP,
    policy: Array,
    features: Array,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return the discounted sums [S, A, D] of features [S, A, D] under a policy [S, A].

    This is policy evaluation with each feature as a reward: for rewards features @ w [S, A] the
    action values of the policy are theta @ w. With the identity as features of states the result is
    the successor representation of pairs. Memory is linear in the successors. The largest error is
    at most gamma / (1 - gamma) * residual. Source: Barreto et al. (2017), "Successor features
    for transfer in reinforcement learning".

    Examples:
        >>> features = jnp.array([[[1.0], [0.0]], [[8.0], [0.0]]])  # the rewards
        >>> print(dp.successor_features(mdp, policy, features, 0.5).theta[..., 0])
        [[1. 2.]
         [8. 1.]]
    """
    model = discounted(averaged(mdp), gamma)

    def operator(psi: Array) -> Array:
        following = (policy[..., None] * psi).sum(1)  # [S, D]
        return features + model.discount * expect(model, following)

    return fixed_point(operator, jnp.zeros_like(features), tolerance, max_iterations)


def generalised_policy_improvement(theta: Array) -> Array:
    """Return the greedy actions [...] of the best of several action values [P, ..., A].

    If the action values of the P policies have errors of at most e, the new policy is worse than
    none of them by more than 2 e / (1 - gamma). Source: as `successor_features`.

    Examples:
        >>> print(dp.generalised_policy_improvement(jnp.array([[1.0, 0.0], [0.0, 2.0]])))
        1
    """
    return theta.max(0).argmax(-1)


def occupancy(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """Return the discounted visits [S, A] to pairs from the initial states, by a dense solver.

    They sum to 1 / (1 - gamma) if no episode terminates; the return of the policy is their product
    with the rewards. Source: Puterman (1994), "Markov decision processes", section 6.9, where
    occupancies are the variables of a linear program.

    Examples:
        >>> print(dp.occupancy(mdp, policy, 0.5))
        [[0.   1.  ]
         [0.25 0.  ]]
    """
    kernel = policy_kernel(mdp, policy, gamma)
    identity = jnp.eye(kernel.shape[0], dtype=kernel.dtype)
    visits = jnp.linalg.solve((identity - kernel).T, mdp.initial)
    return visits[:, None] * policy


def occupancy_by_iteration(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    *,
    tolerance: float | Array = 1e-6,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """Return `occupancy` by iterating forwards, with memory linear in the successors.

    The sum of the errors is at most gamma / (1 - gamma) * residual.

    Examples:
        >>> print(dp.occupancy_by_iteration(mdp, policy, 0.5).theta)
        [[0.   1.  ]
         [0.25 0.  ]]
    """
    if isinstance(mdp.successors, tuple):
        kernel = policy_kernel(mdp, policy, gamma)
        forwards = lambda visits: visits @ kernel
    else:
        weights = policy[..., None] * mdp.transition * gamma * mdp.discount  # [S, A, B]
        flow = lambda visits: visits[:, None, None] * weights
        forwards = lambda visits: jnp.zeros_like(visits).at[mdp.successors].add(flow(visits))

    operator = lambda visits: mdp.initial + forwards(visits)
    distance = lambda x, y: jnp.abs(x - y).sum()
    start = jnp.zeros_like(mdp.initial)
    solution = fixed_point(operator, start, tolerance, max_iterations, distance, jnp.sum)
    return solution._replace(theta=solution.theta[:, None] * policy)


def proto_value_functions(mdp: TabularMDP, policy: Array, num: int) -> tuple[Array, Array]:
    """Return the `num` smoothest eigenvectors [S, num] of a process, and their eigenvalues [num].

    They belong to the normalised Laplacian I - D^-1/2 W D^-1/2, where W = (K + K^T) / 2 symmetrises
    the kernel K of the policy [S, A] at gamma 1 and D holds its row sums. Eigenvalues ascend from
    0, with one 0 for each connected component. Dense. The signs of eigenvectors are arbitrary.
    Source: Mahadevan and
    Maggioni (2007), "Proto-value functions: a Laplacian framework for learning representation and
    control in Markov decision processes".

    Examples:
        >>> print(dp.proto_value_functions(mdp, policy, num=2)[1])
        [0. 2.]
    """
    kernel = policy_kernel(mdp, policy, 1.0)
    weight = (kernel + kernel.T) / 2
    degree = weight.sum(-1)
    # An isolated state is a component of its own, with eigenvalue 0.
    root = jnp.where(degree > 0, 1 / jnp.sqrt(jnp.where(degree > 0, degree, 1)), 0.0)
    laplacian = jnp.diag((degree > 0).astype(root.dtype)) - root[:, None] * weight * root
    eigenvalues, eigenvectors = jnp.linalg.eigh(laplacian)
    return eigenvectors[:, :num], eigenvalues[:num]


def successor_basis(mdp: TabularMDP, policy: Array, gamma: float | Array, num: int) -> Array:
    """Return the `num` leading left singular vectors [S, num] of the successor representation.

    Among all bases of that size they have the least squared error of the policy's values, summed
    over one-hot rewards. Dense. Source: the target of proto-value networks, Farebrother et al.
    (2023), "Proto-value networks: scaling representation learning with auxiliary tasks".

    Examples:
        >>> dp.successor_basis(mdp, policy, 0.5, num=1).shape
        (2, 1)
    """
    return jnp.linalg.svd(successor_representation(mdp, policy, gamma))[0][:, :num]


def projection_error(basis: Array, targets: Array) -> Array:
    """Return the share [] of the norm of targets [S, M] outside the span of a basis [S, D].

    Columns of the basis may depend on each other. The share is 0 for targets of zero.

    Examples:
        >>> print(dp.projection_error(jnp.array([[1.0], [0.0]]), jnp.array([[3.0], [4.0]])))
        0.8
    """
    directions, weights, _ = jnp.linalg.svd(basis, full_matrices=False)
    rounding = max(basis.shape) * jnp.finfo(weights.dtype).eps * weights.max()
    orthonormal = jnp.where(weights > rounding, directions, 0.0)
    rest = targets - orthonormal @ (orthonormal.T @ targets)
    total = jnp.linalg.norm(targets)
    return jnp.linalg.norm(rest) / jnp.where(total > 0, total, 1.0)
