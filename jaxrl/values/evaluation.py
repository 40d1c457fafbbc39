"""Evaluation of a policy at the next state: the distribution to bootstrap from."""

import jax
import jax.numpy as jnp

from jaxrl.types import Array
from jaxrl.values.distributions import ReturnDistribution, Statistic, mean, mix, shift
from jaxrl.values.representations import Representation


def take(theta: Array, action: Array) -> Array:
    """The outputs [..., K] of `action` [...] among those of all actions [..., A, K].

    Examples:
        >>> print(values.take(q, jnp.array(1)))
        [3.]
    """
    # Faster than a gather, and than the scatter of its gradient: several times on a CPU.
    chosen = action[..., None] == jnp.arange(theta.shape[-2])
    return jnp.where(chosen[..., None], theta, 0.0).sum(-2)


def greedy(
    representation: Representation,
    theta: Array,
    statistic: Statistic = mean,
    judge: Array | None = None,
) -> ReturnDistribution:
    """The distribution [..., N] of the action in theta [..., A, K] with the best statistic.

    With a `judge` [..., A, K] the action is the best one of the judge, and theta evaluates it:
    double Q-learning (van Hasselt et al. 2016, equation 4).

    Examples:
        >>> print(values.greedy(values.scalar(), q).atoms)
        [3.]
        >>> print(values.greedy(values.scalar(), q, judge=-q).atoms)
        [1.]
    """
    judged = representation.decode(theta if judge is None else judge)
    return representation.decode(take(theta, statistic(judged).argmax(-1)))


def expected(
    representation: Representation, theta: Array, probabilities: Array
) -> ReturnDistribution:
    """The distribution [..., A * N] of an action drawn from probabilities [..., A].

    Examples:
        >>> print(values.mean(values.expected(values.scalar(), q, jnp.array([0.5, 0.5]))))
        2.0
    """
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
    is temperature log sum exp(Q / temperature). An action whose statistic is -inf has probability
    0. With a `judge` [..., A, K] the policy is that of the judge, and theta evaluates it.
    Source: the soft DQN of Vieillard et al. (2020).

    Examples:
        >>> print(values.mean(values.soft(values.scalar(), q, temperature=1.0)))  # log(e + e^3)
        3.127
    """
    judged = representation.decode(theta if judge is None else judge)
    log_policy = jax.nn.log_softmax(statistic(judged) / temperature)
    return entropic(representation, theta, log_policy, temperature)


def sparsemax(scores: Array) -> Array:
    """The point [..., A] of the simplex that is nearest to scores [..., A]: probabilities, some 0.

    They are max(scores - tau, 0) for the tau at which they sum to 1. Source: Martins and Astudillo
    (2016), "From softmax to sparsemax".

    Examples:
        >>> print(values.sparsemax(jnp.array([0.0, 1.0, 1.5])))
        [0.   0.25 0.75]
    """
    ordered = -jnp.sort(-scores, -1)
    number = jnp.arange(1, scores.shape[-1] + 1)
    total = jnp.cumsum(ordered, -1)
    size = (1 + number * ordered > total).sum(-1, keepdims=True)
    tau = (jnp.take_along_axis(total, size - 1, -1) - 1) / size
    return jnp.maximum(scores - tau, 0.0)


def tsallis(
    representation: Representation,
    theta: Array,
    temperature: float | Array,
    statistic: Statistic = mean,
) -> ReturnDistribution:
    """The distribution [..., A * N] of the best policy's return with a bonus of Tsallis entropy.

    The policy pi is the `sparsemax` of the statistic [..., A] over `temperature`, which leaves out
    actions that are far from the best, and each action's return is raised by
    temperature (1 - pi) / 2, on average the entropy (1 - sum pi^2) / 2. Source: Lee, Choi and Oh
    (2018), "Sparse Markov decision processes with causal sparse Tsallis entropy regularization".

    Examples:
        >>> print(values.mean(values.tsallis(values.scalar(), q, temperature=4.0)))  # 1/4 and 3/4
        3.25
    """
    distribution = representation.decode(theta)
    policy = sparsemax(statistic(distribution) / temperature)
    return mix(shift(distribution, temperature * (1 - policy) / 2), policy)


def entropic(
    representation: Representation, theta: Array, log_policy: Array, temperature: float | Array
) -> ReturnDistribution:
    """The distribution [..., A * N] of a policy's return with its entropy bonus.

    `log_policy` [..., A] are logarithms of probabilities that sum to 1, and each action's return is
    raised by -temperature log pi. It is `expected` if the temperature is 0. Source: Christodoulou
    (2019), equation 10: https://arxiv.org/abs/1910.07207.

    Examples:
        >>> even = jnp.log(jnp.array([0.5, 0.5]))
        >>> print(values.mean(values.entropic(values.scalar(), q, even, 1.0)))  # 2 + log 2
        2.693
    """
    policy = jnp.exp(log_policy)
    taken = jnp.where(policy > 0, log_policy, 0.0)  # p log p is 0 where p is
    return mix(entropy_shift(representation.decode(theta), taken, temperature), policy)


def entropy_shift(
    distribution: ReturnDistribution, log_prob: Array, temperature: float | Array
) -> ReturnDistribution:
    """A distribution [..., N] raised by the bonus -temperature log_prob, for log_prob [...].

    The bonus is discounted with the return: shift first, push after. Source: Haarnoja et al.
    (2018), equation 3.

    Examples:
        >>> print(values.entropy_shift(z, jnp.log(0.5), temperature=2.0).atoms)
        [1.386 5.386]
    """
    return shift(distribution, -temperature * log_prob)


def munchausen(
    values: Array,
    action: Array,
    temperature: float | Array,
    scale: float | Array = 0.9,
    floor: float | Array = -1.0,
) -> Array:
    """The Munchausen bonus [...] that is added to the reward of `action` [...], never positive.

    It is scale max(floor, temperature log pi(action)), where pi is the softmax over `temperature`
    of the values [..., A] of the state that was acted in. Source: Vieillard et al. (2020), whose
    scale and floor are the defaults.

    Examples:
        >>> print(values.munchausen(jnp.zeros(2), jnp.array(0), temperature=0.5))  # -0.45 log 2
        -0.312
    """
    log_policy = temperature * jax.nn.log_softmax(values / temperature)
    chosen = jnp.take_along_axis(log_policy, action[..., None], -1)[..., 0]
    return scale * jnp.clip(chosen, floor, 0.0)
