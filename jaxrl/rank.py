"""Ranks of feature matrices, and the bound that the Bellman equation puts on their similarity."""

import jax
import jax.numpy as jnp
import optax

from jaxrl.types import Array

LEAST = 1e-6  # the length below which a feature vector is dead and has no direction


def similarity_bound(
    features: Array, following: Array, weight: Array, reward: Array, discount: Array
) -> Array:
    """Return the largest cosine [...] of features and next features that consistent values allow.

    If values are products of features [..., H] and a weight [..., H], and satisfy the Bellman
    equation for a reward [...] and a discount [...] above zero, then |reward| is at most
    |features - discount following| |weight|, and the cosine is at most this bound. A bound of one
    or more allows any cosine; it is 1 where the cosine is undefined, because a feature vector or
    the discount is zero. Source: He et al. (2024), "Adaptive regularization of representation rank
    as an implicit constraint of Bellman equation".
    """
    square = lambda x: (x**2).sum(-1)
    least = reward**2 / jnp.maximum(square(weight), 1e-12)
    lengths = discount * _length(features)[..., 0] * _length(following)[..., 0]
    allowed: Array = square(features) + discount**2 * square(following) - least
    defined = _alive(features) & _alive(following) & (discount > 0)
    return jnp.where(defined, allowed / jnp.where(defined, 2 * lengths, 1.0), 1.0)


def excess_similarity(
    features: Array, following: Array, weight: Array, reward: Array, discount: Array
) -> Array:
    """Return by how much [...] the cosine of features and next features exceeds the bound.

    It is zero where the cosine is undefined: at a zero discount, as at terminations, and at feature
    vectors shorter than 1e-6. Only `features` get a gradient, and only through the cosine. Source:
    as `similarity_bound`.
    """
    fixed = jax.lax.stop_gradient
    bound = fixed(similarity_bound(features, following, weight, reward, discount))
    cosine = (_unit(features) * _unit(fixed(following))).sum(-1)
    defined = _alive(features) & _alive(following) & (discount > 0)
    return jnp.where(defined, jax.nn.relu(cosine - bound), 0.0)


def effective_rank(features: Array) -> Array:
    """Return the effective rank [] of features [N, H]: exp of the entropy of singular values.

    The entropy is that of the singular values divided by their sum. The rank lies between 1 and
    min(N, H), and is 1 for a matrix of zeros. Singular values at the rounding error count as zero
    and have no gradient, which is infinite at zero. Source: Roy and Vetterli (2007), "The effective
    rank: a measure of effective dimensionality".
    """
    values = jnp.linalg.svd(features, compute_uv=False)
    rounding = max(features.shape) * jnp.finfo(values.dtype).eps * values.max()
    positive = values > rounding
    total = jnp.where(positive, values, 0.0).sum()
    weight = jnp.where(positive, values, 1.0) / jnp.where(total > 0, total, 1.0)
    return jnp.exp(-jnp.where(positive, weight * jnp.log(weight), 0.0).sum())


def threshold_rank(features: Array, delta: float | Array = 0.01) -> Array:
    """Return the fewest directions [] with a share 1 - delta of the singular values.

    Features are [N, H]. The rank lies between 1 and min(N, H), and is 1 for a matrix of zeros.
    Source: Kumar et al. (2021), "Implicit under-parameterization inhibits data-efficient deep
    reinforcement learning", section 3.
    """
    values = jnp.linalg.svd(features, compute_uv=False)
    cumulative = jnp.cumsum(values)
    below = (cumulative[:-1] < (1 - delta) * cumulative[-1]).sum()
    return below + 1


def _length(x: Array) -> Array:
    """Return the length [..., 1] of vectors [..., H], at least `LEAST`, with a finite gradient."""
    return jnp.asarray(optax.safe_norm(x, LEAST, axis=-1, keepdims=True))


def _unit(x: Array) -> Array:
    """Return vectors [..., H] divided by their length, and zero for dead ones."""
    return jnp.where(_alive(x)[..., None], x / _length(x), 0.0)


def _alive(x: Array) -> Array:
    """Return whether vectors [..., H] are longer than `LEAST`."""
    return _length(x)[..., 0] > LEAST
