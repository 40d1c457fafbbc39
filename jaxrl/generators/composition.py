"""Networks that predict along a path, made of others: several at once, or one that is led."""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.generators.networks import Denoiser
from jaxrl.generators.paths import Path, completed, wide
from jaxrl.types import Array, Key, Tree


def composed(networks: Sequence[Denoiser]) -> Denoiser:
    """The network whose prediction is a weighted sum of those of several networks of one kind.

    Its parameters are `{"weights": [K], "parts": (...)}`, and its condition is a tuple with that of
    each part. With weights that add up to one, the score of the points is

        score(x, t | c) = sum over k of w_k score_k(x, t | c_k),

    and so are the noise, the data and the velocity, which are affine in the score. The weights
    (1 + w, -w) of a network with and without its condition are guidance without a classifier. For
    normal distributions with the same covariance and the means m_k, samples have the mean
    sum w_k m_k: where the m_k are independent unbiased estimates, the best weights are proportional
    to their precisions. `init` gives equal weights. Source: Cao et al. (2025), "Compose your
    policies!", https://arxiv.org/abs/2510.01068. Raises an InputError without a network.

    Examples:
        >>> constant = lambda c: generators.Denoiser(
        ...     lambda key: (), lambda params, x, time, given: c + 0 * x)
        >>> both = generators.composed([constant(1.0), constant(3.0)])
        >>> print(both.apply(both.init(key), x, jnp.array(0.5), ((), ())))
        [2. 2.]
    """
    require(len(networks) > 0, "composed needs at least one network.")

    def init(key: Key) -> Tree:
        keys = jax.random.split(key, len(networks))
        parts = tuple(one.init(k) for one, k in zip(networks, keys))
        return {"weights": jnp.full(len(networks), 1 / len(networks)), "parts": parts}

    def apply(params: Tree, x: Array, time: Array, condition: Tree) -> Array:
        made = [
            one.apply(own, x, time, given)
            for one, own, given in zip(networks, params["parts"], condition, strict=True)
        ]
        return jnp.tensordot(jnp.asarray(params["weights"], x.dtype), jnp.stack(made), 1)

    return Denoiser(init, apply)


def simplex(parts: int, steps: int) -> Array:
    """All weights [N, parts] that are multiples of 1/`steps`, none of them negative, with sum one.

    There are (steps + parts - 1)! / (steps! (parts - 1)!) of them. Raises an InputError for numbers
    that are not positive.

    Examples:
        >>> print(generators.simplex(2, 2))
        [[0.  1. ]
         [0.5 0.5]
         [1.  0. ]]
    """
    require_positive(parts=parts, steps=steps)
    grid = itertools.product(range(steps + 1), repeat=parts)
    return jnp.array([row for row in grid if sum(row) == steps], float) / steps


def searched(score: Callable[[Array, Key], Array], weights: Array, key: Key) -> tuple[Array, Array]:
    """The weights [K] of the highest score among weights [N, K], and the scores [N] of all.

    `score(weights [K], key)` is a number, such as the success of a composed policy in some trial
    episodes. All weights are tried with the same key, so that they meet the same episodes. The
    highest of noisy scores is too high: evaluate the weights anew. Source: the test-time search of
    Cao et al. (2025), "Compose your policies!", https://arxiv.org/abs/2510.01068.

    Examples:
        >>> near = lambda weights, key: -jnp.abs(weights[0] - 0.6)
        >>> print(generators.searched(near, generators.simplex(2, 2), key)[0])
        [0.5 0.5]
    """
    scores = jax.vmap(score, (0, None))(weights, key)
    return weights[scores.argmax()], scores


Lead = Callable[[Tree, Array, Tree], Array]
"""(what leads, expected data [..., *shape], condition) -> gradient [..., *shape] of what they
should have, such as their logarithmic probability under a policy."""


def led(network: Denoiser, path: Path, kind: str, lead: Lead) -> Denoiser:
    """The network whose expected data are moved along a gradient at these data.

    The network is of a `kind` on a path. At a place with the signal a and the noise b, the expected
    data E become

        E + b^2 / (a^2 + b^2) lead(leader, E, condition),

    which is the change of E[x | x_t] for data of variance one that are told a logarithmic
    likelihood with that gradient; it fades as noise does. Parameters are `(own, leader)`. Source:
    the guidance of Jackson et al. (2024), "Policy-guided diffusion",
    https://arxiv.org/abs/2404.06356, at the denoised estimate; its schedule is another one.

    Examples:
        >>> still = generators.Denoiser(lambda key: (), lambda params, x, time, given: 0 * x)
        >>> up = generators.led(
        ...     still, generators.straight(), "data", lambda leader, data, given: leader - data)
        >>> print(up.apply(((), 1.0), x, jnp.array(0.0), ()))
        [1. 1.]
    """

    def apply(params: Tree, x: Array, time: Array, condition: Tree) -> Array:
        own, leader = params
        place = path(time)
        found = completed(kind, network.apply(own, x, time, condition), x, place)
        a, b = wide(place.signal, x), wide(place.noise, x)
        share = jnp.square(b) / (jnp.square(a) + jnp.square(b))
        moved = found.data + share * lead(leader, found.data, condition)
        return getattr(completed("data", moved, x, place), kind)

    return Denoiser(network.init, apply)
