"""Successor representations and features, occupancy measures, and bases made of them.

Everything here is linear in the process of a policy. What is solved by elimination is dense,
[S, S]; what is iterated takes memory linear in the successors of a sparse process. Discounts of
the process are 0 at terminations and 1 elsewhere, and `gamma` is apart.
"""

import jax.numpy as jnp

from jaxrl.dp.mdp import TabularMDP, averaged, discounted, expect
from jaxrl.dp.operator import Solution, iterate
from jaxrl.types import Array


def policy_kernel(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """The discounted probabilities [S, S] of going from a state to another under policy [S, A].

    Rows sum to gamma, less what terminates. Dense, also for a sparse process.
    """
    weights = policy[..., None] * mdp.transition * gamma * mdp.discount  # [S, A, B]
    if isinstance(mdp.successors, tuple):
        return weights.sum(1)
    states = mdp.transition.shape[0]
    rows = jnp.arange(states)[:, None, None]
    return jnp.zeros((states, states), weights.dtype).at[rows, mdp.successors].add(weights)


def successor_representation(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """The discounted visits [S, S] to a state, from another, that one included: (I - K)^-1.

    K is `policy_kernel`: dense. Source: Dayan (1993), "Improving generalization for temporal
    difference learning: the successor representation".
    """
    kernel = policy_kernel(mdp, policy, gamma)
    identity = jnp.eye(kernel.shape[0], dtype=kernel.dtype)
    return jnp.linalg.solve(identity - kernel, identity)


def successor_features(
    mdp: TabularMDP,
    policy: Array,
    features: Array,
    gamma: float | Array,
    tolerance: float | Array = 1e-5,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """The discounted sums [S, A, D] of features [S, A, D] under a policy [S, A], by iteration.

    They are a policy evaluation with a reward for each feature: for rewards features @ w [S, A]
    the policy's action values are theta @ w. With the identity as features of states they are the
    successor representation of pairs. Memory is linear in the successors. Within
    gamma / (1 - gamma) * residual of the truth. Source: Barreto et al. (2017), "Successor features
    for transfer in reinforcement learning".
    """
    model = discounted(averaged(mdp), gamma)

    def step(psi: Array) -> tuple[Array, Array]:
        following = (policy[..., None] * psi).sum(1)  # [S, D]
        new = features + model.discount * expect(model, following)
        return new, jnp.abs(new - psi).max()

    return iterate(step, jnp.zeros_like(features), tolerance, max_iterations)


def generalised_policy_improvement(theta: Array) -> Array:
    """The actions [...] that are best under the best of policies' action values [P, ..., A].

    With values of policies that are off by at most e, the new policy is no worse than any of
    them, less 2 e / (1 - gamma). Source: as `successor_features`.
    """
    return theta.max(0).argmax(-1)


def occupancy(mdp: TabularMDP, policy: Array, gamma: float | Array) -> Array:
    """The discounted visits [S, A] to pairs from the first state on, by a dense linear solve.

    They sum to 1 / (1 - gamma) where nothing terminates; the policy's return is their product
    with the rewards. Source: Puterman (1994), "Markov decision processes", section 6.9, where
    occupancies are the variables of a linear program.
    """
    kernel = policy_kernel(mdp, policy, gamma)
    identity = jnp.eye(kernel.shape[0], dtype=kernel.dtype)
    visits = jnp.linalg.solve((identity - kernel).T, mdp.initial)
    return visits[:, None] * policy


def occupancy_by_iteration(
    mdp: TabularMDP,
    policy: Array,
    gamma: float | Array,
    tolerance: float | Array = 1e-6,
    max_iterations: int | Array = 10_000,
) -> Solution:
    """`occupancy` by pushing probability forwards, with memory linear in the successors.

    Within gamma / (1 - gamma) * residual of the truth, in the sum of differences.
    """
    if isinstance(mdp.successors, tuple):
        kernel = policy_kernel(mdp, policy, gamma)
        forwards = lambda visits: visits @ kernel
    else:
        weights = policy[..., None] * mdp.transition * gamma * mdp.discount  # [S, A, B]
        flow = lambda visits: visits[:, None, None] * weights
        forwards = lambda visits: jnp.zeros_like(visits).at[mdp.successors].add(flow(visits))

    def step(visits: Array) -> tuple[Array, Array]:
        new = mdp.initial + forwards(visits)
        return new, jnp.abs(new - visits).sum()

    solution = iterate(step, jnp.zeros_like(mdp.initial), tolerance, max_iterations)
    return solution._replace(theta=solution.theta[:, None] * policy)


def proto_value_functions(mdp: TabularMDP, policy: Array, num: int) -> tuple[Array, Array]:
    """The `num` smoothest eigenvectors [S, num] of a process's graph, and eigenvalues [num].

    Of the normalised Laplacian I - D^-1/2 W D^-1/2, where W = (K + K^T) / 2 symmetrises the
    kernel K of the policy [S, A] at gamma 1 and D is its row sums; eigenvalues rise from 0, one 0
    for each connected part. Dense. The signs of eigenvectors are arbitrary. Source: Mahadevan and
    Maggioni (2007), "Proto-value functions: a Laplacian framework for learning representation and
    control in Markov decision processes".
    """
    kernel = policy_kernel(mdp, policy, 1.0)
    weight = (kernel + kernel.T) / 2
    degree = weight.sum(-1)
    # A state that neither leads anywhere nor is led to is a part of its own: eigenvalue 0.
    root = jnp.where(degree > 0, 1 / jnp.sqrt(jnp.where(degree > 0, degree, 1)), 0.0)
    laplacian = jnp.diag((degree > 0).astype(root.dtype)) - root[:, None] * weight * root
    eigenvalues, eigenvectors = jnp.linalg.eigh(laplacian)
    return eigenvectors[:, :num], eigenvalues[:num]


def successor_basis(mdp: TabularMDP, policy: Array, gamma: float | Array, num: int) -> Array:
    """The `num` left singular vectors [S, num] of the successor representation with most weight.

    Of all bases of that size they leave the least squared error of the policy's values, summed
    over one-hot rewards. Dense. Source: the target of proto-value networks, Farebrother et al.
    (2023), "Proto-value networks: scaling representation learning with auxiliary tasks".
    """
    return jnp.linalg.svd(successor_representation(mdp, policy, gamma))[0][:, :num]


def projection_error(basis: Array, targets: Array) -> Array:
    """The share [] of the norm of targets [S, M] that no combination of basis [S, D] explains."""
    orthonormal = jnp.linalg.qr(basis)[0]
    rest = targets - orthonormal @ (orthonormal.T @ targets)
    return jnp.linalg.norm(rest) / jnp.linalg.norm(targets)
