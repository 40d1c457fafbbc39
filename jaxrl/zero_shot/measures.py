"""Losses of factorised successor measures and of the features that are paid.

A successor measure M(s, a; g) is the discounted number of future visits to g, over the chance of g
under the distribution rho of successors in the data. Forward-backward representations factorise it
into F(s, a, z)'B(g), where z names the policy. Source: Touati and Ollivier (2021), "Learning one
representation to optimize all rewards", https://arxiv.org/abs/2103.07945.
"""

import jax
import jax.numpy as jnp

from jaxrl.types import Array


def apart(each: Array, weight: Array) -> Array:
    """The mean [] of a square matrix [N, N] of pairs of different steps, by weights [N].

    Rows and columns are independent samples only where they are not the same step, so that the
    diagonal would make the mean biased. It is 0 for a single step.
    """
    number = len(each)
    pairs = weight[:, None] * weight * (1 - jnp.eye(number))
    return (pairs * each).sum() / max(number * (number - 1), 1)


def measure_loss(measure: Array, future: Array, weight: Array) -> Array:
    """The loss [] of a factorised successor measure on N steps.

    For measures M_ij = F(s_i, a_i, z_i)'B(s'_j) of the successors of all steps it is

        mean over i != j of (M_ij - gamma d_i M'(s'_i, a'_i, z_i; s'_j))^2 / 2 - mean of M_ii,

    whose expectation is least at the measure of visits from the next step on: the first term sees
    pairs of independent steps, and the second one the successor that did follow.

    Args:
      measure: M [N, N] of the parameters that are learnt.
      future: gamma d_i M'_ij [N, N], discounted, of a target network, without a gradient.
      weight: of the steps [N]. Both means are over N.

    Source: Touati and Ollivier (2021), section 3, and appendix B.
    """
    error = jnp.square(measure - jax.lax.stop_gradient(future)) / 2
    return apart(error, weight) - (weight * jnp.diagonal(measure)).mean()


def orthonormality_loss(features: Array, weight: Array) -> Array:
    """The loss [] of features B [N, d] that should be orthonormal under their distribution.

    It is the mean over i != j of (B_i'B_j)^2, minus twice the mean of |B_i|^2, whose expectation is
    |E BB' - I|^2 - d, in the norm of Frobenius. Steps have weights [N].
    """
    products = jnp.square(features @ features.T)
    return apart(products, weight) - 2 * (weight * jnp.square(features).sum(-1)).mean()


def excess(others: Array, taken: Array) -> Array:
    """How far values of other actions [..., C] are above that of the action taken [...].

    It is log sum exp over C actions minus the value of the action in the data: at least 0 if that
    is one of them. As a penalty it makes values low where there are no data. Source: Kumar et al.
    (2020), "Conservative Q-learning", https://arxiv.org/abs/2006.04779; of values and of measures
    of all tasks: Jeen et al. (2024), "Zero-shot reinforcement learning from low quality data",
    https://arxiv.org/abs/2309.15178.
    """
    return jax.nn.logsumexp(others, -1) - taken
