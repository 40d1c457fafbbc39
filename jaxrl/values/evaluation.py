"""Evaluation of a policy at the next state: the distribution to bootstrap from."""

import jax
import jax.numpy as jnp

from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, Statistic, mean, mix, shift
from jaxrl.values.representations import Representation


def take(theta: Array, action: Array) -> Array:
    """The outputs [..., K] of `action` [...] among those of all actions [..., A, K]."""
    # Neither a gather nor, in the gradient, a scatter: several times as fast on a CPU.
    chosen = action[..., None] == jnp.arange(theta.shape[-2])
    return jnp.where(chosen[..., None], theta, 0.0).sum(-2)


def greedy(
    representation: Representation,
    theta: Array,
    statistic: Statistic = mean,
    judge: Array | None = None,
) -> ReturnDistribution:
    """The distribution [..., N] of the action in theta [..., A, K] with the best statistic.

    With a `judge` [..., A, K] the judge picks the action and theta evaluates it: double
    Q-learning (van Hasselt et al. 2016, equation 4).
    """
    judged = representation.decode(theta if judge is None else judge)
    return representation.decode(take(theta, statistic(judged).argmax(-1)))


def expected(
    representation: Representation, theta: Array, probabilities: Array
) -> ReturnDistribution:
    """The distribution [..., A * N] of an action drawn from probabilities [..., A]."""
    return mix(representation.decode(theta), probabilities)


def soft(
    representation: Representation,
    theta: Array,
    temperature: float | Array,
    statistic: Statistic = mean,
    judge: Array | None = None,
) -> ReturnDistribution:
    """The distribution [..., A * N] of the softmax policy's return with its entropy bonus.

    The policy pi is the softmax of the statistic [..., A] over `temperature`, a positive number,
    and each action's return is raised by -temperature log pi: with the mean as statistic, the mean
    is temperature log sum exp(Q / temperature). A `judge` is to `soft` as it is to `greedy`.
    Source: the soft DQN of Vieillard et al. (2020).
    """
    judged = representation.decode(theta if judge is None else judge)
    log_policy = jax.nn.log_softmax(statistic(judged) / temperature)
    bonus = entropy_shift(representation.decode(theta), log_policy, temperature)
    return mix(bonus, jnp.exp(log_policy))


def entropy_shift(
    distribution: ReturnDistribution, log_prob: Array, temperature: float | Array
) -> ReturnDistribution:
    """A distribution [..., N] raised by the bonus -temperature log_prob, for log_prob [...].

    It belongs inside the discount: shift first, push after. Source: Haarnoja et al. (2018),
    equation 3.
    """
    return shift(distribution, -temperature * log_prob)


def munchausen(
    values: Array,
    action: Array,
    temperature: float | Array,
    scale: float | Array = 0.9,
    floor: float | Array = -1.0,
) -> Array:
    """What to add to the reward of `action` [...]: the policy's own opinion of it, never positive.

    For values [..., A] in the state that was acted in, it is scale max(floor, temperature log pi),
    where pi is the softmax of values over `temperature`. Source: Vieillard et al. (2020), whose
    scale and floor are the defaults.
    """
    log_policy = temperature * jax.nn.log_softmax(values / temperature)
    chosen = jnp.take_along_axis(log_policy, action[..., None], -1)[..., 0]
    return scale * jnp.clip(chosen, floor, 0.0)
