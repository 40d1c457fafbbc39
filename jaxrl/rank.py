"""How many dimensions features use, and what the Bellman equation says of them."""

import jax
import jax.numpy as jnp

from jaxrl.types import Array


def similarity_bound(
    features: Array, following: Array, weight: Array, reward: Array, discount: Array
) -> Array:
    """The largest cosine [...] of features with those that follow which consistent values allow.

    If values are products of features [..., H] and a weight [..., H], and obey the Bellman
    equation for a reward [...] and a discount [...] above zero, then |reward| is at most
    |features - discount following| |weight|, and the cosine of the two no larger than this. It may
    be above 1, where it allows anything. Source: He et al. (2024), "Adaptive regularization of
    representation rank as an implicit constraint of Bellman equation".
    """
    square = lambda x: (x**2).sum(-1)
    least = reward**2 / jnp.maximum(square(weight), 1e-12)
    lengths = jnp.sqrt(square(features) * square(following))
    allowed = square(features) + discount**2 * square(following) - least
    return allowed / jnp.maximum(2 * discount * lengths, 1e-12)


def excess_similarity(
    features: Array, following: Array, weight: Array, reward: Array, discount: Array
) -> Array:
    """By how much [...] the cosine of features with those that follow exceeds what is consistent.

    Zero where nothing follows, which is where the discount is zero. Only `features` get a gradient,
    and only through the cosine. Source: as `similarity_bound`.
    """
    fixed = jax.lax.stop_gradient
    bound = fixed(similarity_bound(features, following, weight, reward, discount))
    unit = lambda x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-6)
    cosine = (unit(features) * unit(fixed(following))).sum(-1)
    return jnp.where(discount > 0, jax.nn.relu(cosine - bound), 0.0)


def effective_rank(features: Array) -> Array:
    """The dimensions [] that features [N, H] use: the exponential of the entropy of their weights.

    Weights are the singular values over their sum. Between 1 and min(N, H). Source: Roy and
    Vetterli (2007), "The effective rank: a measure of effective dimensionality".
    """
    values = jnp.linalg.svd(features, compute_uv=False)
    weight = values / jnp.maximum(values.sum(), 1e-12)
    return jnp.exp(jax.scipy.special.entr(weight).sum())


def threshold_rank(features: Array, delta: float | Array = 0.01) -> Array:
    """The fewest directions [] with a share 1 - delta of the singular values of features [N, H].

    Source: Kumar et al. (2021), "Implicit under-parameterization inhibits data-efficient deep
    reinforcement learning", section 3.
    """
    values = jnp.linalg.svd(features, compute_uv=False)
    share = jnp.cumsum(values) / jnp.maximum(values.sum(), 1e-12)
    return (share < 1 - delta).sum() + 1
