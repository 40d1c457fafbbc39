"""Sparse regression of dynamics on a library of functions: SINDy.

Everything that is needed of the data are sums of products of features, so that the state of a
fit is a few small matrices, whatever was seen, and each fit is one closed form per iteration.
Source: Brunton, Proctor and Kutz (2016); Zolman et al. (2024), "SINDy-RL".
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require
from jaxrl.models.dynamics import vector_size
from jaxrl.models.fitting import copies, fingerprint
from jaxrl.models.model import Model
from jaxrl.networks import flat, joined
from jaxrl.types import Array, Key, Spec, TimeStep, Transition, Tree, Update, listed

Library = Callable[[Array], Array]
"""Inputs [..., D] -> features [..., F]."""


def polynomials(degree: int) -> Library:
    """All products of at most `degree` inputs, 1 first; then the inputs in their order."""
    require(degree >= 0, f"degree must not be negative, but it is {degree}.")

    def features(x: Array) -> Array:
        columns = [jnp.ones(x.shape[:-1])]
        for order in range(1, degree + 1):
            for index in combinations_with_replacement(range(x.shape[-1]), order):
                columns.append(jnp.prod(x[..., list(index)], -1))
        return jnp.stack(columns, -1)

    return features


def waves(frequencies: Sequence[float]) -> Library:
    """The sine and the cosine of each input at each frequency."""

    def features(x: Array) -> Array:
        angles = [f * x for f in frequencies]
        return jnp.concatenate([fn(a) for a in angles for fn in (jnp.sin, jnp.cos)], -1)

    return features


def both(first: Library, second: Library) -> Library:
    """The features of two libraries."""
    return lambda x: jnp.concatenate([first(x), second(x)], -1)


class Sums(NamedTuple):
    """All that a least-squares fit needs to know of its data."""

    gram: Array  # [..., F, F] of features with features
    cross: Array  # [..., F, K] of features with targets


def gather(features: Array, targets: Array, weight: Array) -> Sums:
    """The sums over samples [B, ...] with weights [..., B]."""
    scaled = weight[..., None] * features
    return Sums(jnp.swapaxes(scaled, -1, -2) @ features, jnp.swapaxes(scaled, -1, -2) @ targets)


def thresholded_ridge(
    sums: Sums,
    threshold: float | Array,
    ridge: float | Array = 1e-6,
    iterations: int = 10,
    allowed: Array | None = None,
) -> Array:
    """Coefficients [F, K] by ridge regression on ever fewer features.

    After each of `iterations` fits, coefficients below `threshold` are excluded for good; each
    target has features of its own. `allowed` [F] are those to begin with, all by default. `ridge`
    is relative to the mean square of a feature. Source: Brunton et al. (2016), equation 7.
    """
    size, outputs = sums.cross.shape
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(sums.gram), 1e-12))
    gram = sums.gram / (scale[:, None] * scale)
    cross = sums.cross / scale[:, None]

    def fit(mask: Array) -> Array:
        # Excluded features become equations x = 0.
        one = lambda m, c: jnp.linalg.solve(
            gram * m[:, None] * m + jnp.diag(1 - m) + ridge * jnp.eye(size), m * c
        )
        return mask * jax.vmap(one, (1, 1), 1)(mask, cross) / scale[:, None]

    def step(mask: Array, _: None) -> tuple[Array, None]:
        return mask * (jnp.abs(fit(mask)) >= threshold), None

    start = jnp.ones(size) if allowed is None else allowed
    mask, _ = jax.lax.scan(
        step, jnp.broadcast_to(start[:, None], (size, outputs)).astype(float), None, iterations
    )
    return fit(mask)


class Surrogate(NamedTuple):
    """What a sparse dynamics has seen, and what it makes of it."""

    sums: Sums  # [M, F, F] and [M, F, D + 1]
    coefficients: Array  # [M, F, D + 1] of the next observation and the reward


def sparse_dynamics(
    spec: Spec,
    library: Library,
    threshold: float | Array,
    ridge: float | Array = 1e-6,
    iterations: int = 10,
    members: int = 1,
    dropped: float = 0.0,
) -> Update:
    """Learn next observations and rewards as sparse combinations of a library's functions.

    Batches are `(transitions [..., *], context)`, each to be shown once. With several members,
    each counts transitions as a bootstrap sample would, and with `dropped`, lacks that share of
    the library, at random. Source: Fasel et al. (2022), "Ensemble-SINDy".
    """
    outputs = vector_size(spec) + 1

    def sums(batch: Transition) -> Sums:
        data = listed(batch)
        final = flat(spec.observation, data.final)
        goal = jnp.concatenate([final, data.reward[:, None]], -1)
        features = library(joined(spec, data.obs, data.action))
        code = fingerprint(data)
        weight = copies(code, members) if members > 1 else jnp.ones((1, code.shape[0]))
        return gather(features, goal, weight * data.weight)

    def solved(total: Sums, keep: Array) -> Surrogate:
        fit = lambda s, m: thresholded_ridge(s, threshold, ridge, iterations, m)
        return Surrogate(total, jax.vmap(fit)(total, keep))

    def kept(key: Key, size: int) -> Array:
        return jax.random.bernoulli(key, 1 - dropped, (members, size)).astype(float)

    def init(key: Key, example: Transition) -> tuple[Surrogate, Array]:
        total = sums(example)
        keep = kept(key, total.gram.shape[-1])
        return solved(total, keep), keep

    def apply(state: tuple, batch: tuple[Transition, Tree], key: Key) -> tuple[tuple, dict]:
        old, keep = state
        total = jax.tree.map(jnp.add, old.sums, sums(batch[0]))
        found = solved(total, keep)
        terms = (found.coefficients != 0).sum() / (members * outputs)
        return (found, keep), {"model_terms": terms}

    return Update(init, apply, lambda state: state[0].coefficients)


def sparse_model(
    spec: Spec,
    library: Library,
    coefficients: Array,
    project: Callable[[Array], Array] = lambda obs: obs,
    terminated: Callable[[Array], Array] = lambda obs: jnp.zeros(obs.shape[:-1], bool),
) -> Model:
    """The model of the median over members of coefficients [M, F, D + 1].

    `project` brings observations back to where they can be, as a cosine and a sine to the circle;
    `terminated` says where episodes end, which is not learnt.
    """
    middle = jnp.median(coefficients, 0)

    def step(obs: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        out = library(joined(spec, obs, action)) @ middle
        final, reward = project(out[..., :-1]), out[..., -1]
        ends = terminated(final)
        return final, TimeStep(final, reward, 1.0 - ends, ends, final, {})

    return Model(lambda obs, key: obs, step, spec)
