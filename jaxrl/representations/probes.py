"""How much of a known state features tell: closed-form probes, and exact features to compare with.

A probe is fitted to one part of the samples and judged on the other. It says what features contain
for a linear reader, and not what an agent makes of them.
"""

import jax.numpy as jnp

from jaxrl.errors import require, require_non_negative
from jaxrl.types import Array


def ridge(features: Array, targets: Array, penalty: float | Array = 1e-3) -> Array:
    """The weights [D + 1, K] of ridge regression of targets [N, K] on features [N, D] and a one.

    They minimise the mean of |y - W' (phi, 1)|^2 plus penalty |W|^2 in standardised units of the
    features; the intercept is not penalised. Raises an InputError for a negative penalty.

    Examples:
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> print(ridge(x, 3 * x + 1, 0.0)[:, 0])
        [3. 1.]
    """
    require_non_negative(penalty=penalty)
    mean, deviation = features.mean(0), features.std(0)
    scale = jnp.where(deviation > 1e-6, deviation, 1.0)
    x = jnp.where(deviation > 1e-6, (features - mean) / scale, 0.0)
    centre = targets.mean(0)
    # Constant features have no direction, and without a penalty no unique weight.
    alone = jnp.diag(jnp.where(deviation > 1e-6, 0.0, 1.0))
    gram = x.T @ x / len(x) + (penalty + 1e-9) * jnp.eye(x.shape[1]) + alone
    weights = jnp.linalg.solve(gram, x.T @ (targets - centre) / len(x)) / scale[:, None]
    return jnp.concatenate([weights, (centre - mean @ weights)[None]])


def predicted(weights: Array, features: Array) -> Array:
    """The predictions [N, K] by the weights [D + 1, K] of `ridge` for features [N, D]."""
    return features @ weights[:-1] + weights[-1]


def decoded_share(
    features: Array, states: Array, penalty: float | Array = 1e-3, fitted: float = 0.5
) -> Array:
    """The share [] of the variance of states [N, K] that a linear probe of features [N, D] tells.

    It is 1 - sum |y - prediction|^2 / sum |y - mean|^2 over what is held out, at least 0, for a
    `ridge` that is fitted to the first `fitted` of the samples. Raises an InputError unless there
    are samples in both parts, and a state for each.

    Examples:
        >>> x = jnp.arange(8.0)[:, None]
        >>> print(decoded_share(x, 2 * x, 0.0))
        1.0
    """
    number = int(len(features) * fitted)
    require(
        0 < number < len(features) == len(states),
        f"A probe needs samples to fit and samples to judge, but of {len(features)} features and "
        f"{len(states)} states {number} are fitted.",
    )
    weights = ridge(features[:number], states[:number], penalty)
    told, true = predicted(weights, features[number:]), states[number:]
    spread = jnp.square(true - states[:number].mean(0)).sum()
    error = jnp.square(told - true).sum()
    return jnp.maximum(1.0 - error / jnp.maximum(spread, 1e-12), 0.0)


def weighted_share(features: Array, states: Array, weight: Array) -> Array:
    """The share [] of the variance of states [N, K] that linear functions of features [N, D] tell.

    All N possible observations are given, with their probabilities `weight` [N].

    Examples:
        >>> x = jnp.array([[0.0], [1.0], [2.0]])
        >>> print(weighted_share(x, x**2, jnp.ones(3) / 3))  # 1 - 2 / 26
        0.923
    """
    root = jnp.sqrt(weight / weight.sum())[:, None]
    centred = lambda x: root * (x - (jnp.square(root) * x).sum(0))
    basis, values, _ = jnp.linalg.svd(centred(features), full_matrices=False)
    kept = jnp.where(values > 1e-5 * jnp.maximum(values.max(), 1e-12), 1.0, 0.0)
    y = centred(states)
    return jnp.square((basis * kept).T @ y).sum() / jnp.maximum(jnp.square(y).sum(), 1e-12)


def contrastive_features(joint: Array, size: int) -> Array:
    """The best `size` features [N, size] of a temporal contrast, exactly.

    From the joint law [N, N] of observations and those that follow they are u_i(x) / sqrt(p(x)) for
    the leading left singular vectors of p(x, y) / sqrt(p(x) p(y)), without the constant one: no
    other features of that size explain more of p(y | x) / p(y) in the mean square, which is also
    what linear forward prediction of y leaves to explain if p(y) is uniform. Source: HaoChen et al.
    (2021), "Provable guarantees for self-supervised deep learning with spectral contrastive loss",
    https://arxiv.org/abs/2106.04156. Raises an InputError unless there are so many.

    Examples:
        >>> same = jnp.eye(2) / 2  # what is seen stays
        >>> print(jnp.abs(contrastive_features(same, 1)[:, 0]))
        [1. 1.]
    """
    require(
        0 < size < len(joint),
        f"Of {len(joint)} observations there are 1 to {len(joint) - 1} features, not {size}.",
    )
    before, after = (jnp.sqrt(joint.sum(axis)) for axis in (1, 0))
    scaled = joint / jnp.maximum(before[:, None] * after, 1e-12)
    # The constant is the leading pair, with the singular value 1: it is taken off first.
    vectors = jnp.linalg.svd(scaled - before[:, None] * after)[0]
    return vectors[:, :size] / jnp.maximum(before, 1e-12)[:, None]


def mutual_information(joint: Array) -> Array:
    """The mutual information [] of a joint law [N, M], in nats.

    Examples:
        >>> print(mutual_information(jnp.eye(2) / 2))  # log 2
        0.693
    """
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    some = joint > 0
    ratio = jnp.where(some, joint, 1.0) / jnp.where(some, apart, 1.0)
    return jnp.where(some, joint * jnp.log(ratio), 0.0).sum()
