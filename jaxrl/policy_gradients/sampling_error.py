"""On-policy data from a behaviour policy that corrects the sampling error of a buffer.

Actions that a policy takes are on average those of the policy, but in a finite buffer some are too
frequent. A behaviour policy that takes the rare ones makes the buffer look more on-policy than
sampling from the policy itself does.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.types import Array, Tree

LogProb = Callable[[Tree, Tree, Array], Array]
"""(params, obs [N, ...], action [N, ...]) -> logarithmic probabilities [N]."""


def sampling_error(counts: Array, policy: Array) -> Array:
    """Return the mean divergence [] of the actions in a buffer from a policy [S, A].

    With the numbers [S, A] of actions in the buffer, and their frequencies f(a | s), it is the sum
    over states of their share of the buffer times KL(f(. | s) | policy(. | s)): zero if the buffer
    has the policy's actions in its very proportions.

    Examples:
        >>> even = jnp.array([[0.5, 0.5]])
        >>> print(policy_gradients.sampling_error(jnp.array([[4.0, 0.0]]), even))  # log 2
        0.693
    """
    visits = counts.sum(-1, keepdims=True)
    share = counts / jnp.maximum(visits, 1)
    ratio = jnp.where(counts > 0, share / policy, 1.0)
    return (counts * jnp.log(ratio)).sum() / jnp.maximum(visits.sum(), 1)


def least_sampled(log_prob: LogProb, params: Tree, obs: Tree, action: Array, step: float | Array,
                  weight: Array | None = None) -> Tree:  # fmt: skip
    """Return behaviour parameters after one gradient step that makes the buffer's actions rarer.

    b = params - step * gradient of the mean log-probability of the actions. For a softmax bandit
    that moves the logits by -step (f - pi), with the frequencies f of the buffer. `weight` [N] is 0
    where the buffer is not filled. Source: the method ROS of Zhong et al. (2022), "Robust on-policy
    sampling for data-efficient policy evaluation", https://arxiv.org/abs/2111.14552.

    Examples:
        >>> log_prob = lambda logits, obs, action: jax.nn.log_softmax(logits)[action]
        >>> buffer = jnp.zeros(2), jnp.array([0, 0])
        >>> print(policy_gradients.least_sampled(log_prob, jnp.zeros(2), *buffer, step=1.0))
        [-0.5  0.5]
    """
    mean = _mean(weight, action)
    slope = jax.grad(lambda b: mean(log_prob(b, obs, action)))(params)
    return jax.tree.map(lambda x, g: x - step * g, params, slope)


def proximal_sampling(
    log_prob: LogProb,
    params: Tree,
    obs: Tree,
    action: Array,
    step: float | Array,
    iterations: int = 16,
    clip: float | Array = 0.3,
    largest: float | Array = jnp.inf,
    weight: Array | None = None,
) -> Tree:
    """Return behaviour parameters that make the buffer's actions rarer, near those of the policy.

    Gradient descent from `params` on the mean of max(ratio, clip(ratio, 1 - clip, 1 + clip)) over
    the buffer, with the ratio of the behaviour's probabilities to the policy's: an action that has
    become rarer than 1 - clip is let alone. A step after which the estimated divergence from the
    policy, the mean of ratio - 1 - log ratio, is above `largest` is not taken, and none after it.
    `weight` [N] is 0 where the buffer is not filled. Raises `InputError` unless there are
    iterations, or if a number is negative. Source: PROPS of Corrado and Hanna (2024), "On-policy
    policy gradient reinforcement learning without on-policy sampling",
    https://arxiv.org/abs/2311.08290.

    Examples:
        >>> log_prob = lambda logits, obs, action: jax.nn.log_softmax(logits)[action]
        >>> buffer = jnp.zeros(2), jnp.array([0, 0])
        >>> sampler = policy_gradients.proximal_sampling
        >>> print(sampler(log_prob, jnp.zeros(2), *buffer, step=1.0, iterations=1))
        [-0.5  0.5]
    """
    require_positive(iterations=iterations)
    require_non_negative(step=step, clip=clip, largest=largest)
    mean = _mean(weight, action)
    target = log_prob(params, obs, action)

    def loss(behaviour: Tree) -> Array:
        ratio = jnp.exp(log_prob(behaviour, obs, action) - target)
        return mean(jnp.maximum(ratio, jnp.clip(ratio, 1 - clip, 1 + clip)))

    def descend(carry: tuple[Tree, Array], _: None) -> tuple[tuple[Tree, Array], None]:
        behaviour, going = carry
        slope = jax.grad(loss)(behaviour)
        new = jax.tree.map(lambda x, g: x - step * g, behaviour, slope)
        log_ratio = log_prob(new, obs, action) - target
        going = going & (mean(jnp.exp(log_ratio) - 1 - log_ratio) <= largest)
        behaviour = jax.tree.map(lambda x, y: jnp.where(going, x, y), new, behaviour)
        return (behaviour, going), None

    return jax.lax.scan(descend, (params, jnp.asarray(True)), None, iterations)[0][0]


def _mean(weight: Array | None, action: Array) -> Callable[[Array], Array]:
    """The weighted mean over a buffer."""
    if weight is None:
        return jnp.mean
    return lambda x: (weight * x).sum() / jnp.maximum(weight.sum(), 1)
