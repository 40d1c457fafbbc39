"""Sparse regression of dynamics on a library of functions: SINDy.

A fit only needs sums of products of features, so that its state is a few small matrices, whatever
the amount of data, and each iteration is a closed form.
Source: Brunton, Proctor and Kutz (2016); Zolman et al. (2024), "SINDy-RL".
"""

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxrl.errors import (
    require,
    require_fraction,
    require_non_negative,
    require_positive,
)
from jaxrl.models.dynamics import vector_size
from jaxrl.models.fitting import copies, fingerprint
from jaxrl.models.model import Model
from jaxrl.networks import flat, joined
from jaxrl.types import (
    Actor,
    Array,
    Key,
    Spec,
    TimeStep,
    Transition,
    Tree,
    Update,
    listed,
    memoryless,
)

Library = Callable[[Array], Array]
"""Inputs [..., D] -> features [..., F]."""


def polynomials(degree: int) -> Library:
    """All products of at most `degree` inputs, by degree, starting with 1.

    Raises an InputError if the degree is negative.
    """
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
    """The sums over data that a least-squares fit needs."""

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
    """Coefficients [F, K] by repeated ridge regression on the features that remain.

    After each of `iterations` fits, features with a coefficient below `threshold` are excluded,
    for each target separately. `allowed` [F] is 1 for the features to start with, all by default.
    `ridge` is relative to the mean square of a feature. Source: Brunton et al. (2016), equation 7.
    """
    size, outputs = sums.cross.shape
    scale = jnp.sqrt(jnp.maximum(jnp.diagonal(sums.gram), 1e-12))
    gram = sums.gram / (scale[:, None] * scale)
    cross = sums.cross / scale[:, None]

    def fit(mask: Array) -> Array:
        # The equations of excluded features are x = 0.
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


def distilled(
    library: Library,
    obs: Array,
    action: Array,
    threshold: float | Array,
    ridge: float | Array = 1e-6,
    iterations: int = 10,
) -> tuple[Array, Actor]:
    """Distil a policy into a sparse combination of a library's functions of the observation.

    From observations [N, D] and what the policy does there [N, *action], in [-1, 1], it finds
    coefficients [F, A] by `thresholded_ridge`, and returns them with the actor that takes the
    action clip(library(obs) coefficients, -1, 1), whatever its view is. Where the policy is at a
    bound, what a polynomial gives beyond it costs as much as an error within. Source: Zolman et al.
    (2024), "SINDy-RL: interpretable and efficient model-based reinforcement learning".
    """
    targets = action.reshape(len(action), -1)
    sums = gather(library(obs), targets, jnp.ones(len(obs)))
    coefficients = thresholded_ridge(sums, threshold, ridge, iterations)

    def act(view: Tree, obs: Array, key: Key) -> tuple[Array, tuple]:
        found = jnp.clip(library(obs) @ coefficients, -1.0, 1.0)
        return found.reshape(*found.shape[:-1], *action.shape[1:]), ()

    return coefficients, memoryless(act)


class Surrogate(NamedTuple):
    """The state of a sparse dynamics: the sums over its data, and the fit to them."""

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
    """Fit next observations and rewards as sparse combinations of a library's functions.

    Batches are `(transitions [..., *], context)`, each to be shown once. Each of several members
    weighs transitions as a bootstrap sample would and lacks a random share `dropped` of the
    library. Source: Fasel et al. (2022), "Ensemble-SINDy". Raises an InputError if the numbers do
    not fit or observations are not one vector.
    """
    outputs = vector_size(spec) + 1
    require_non_negative(threshold=threshold, ridge=ridge, iterations=iterations)
    require_positive(members=members)
    require_fraction(dropped=dropped)

    def sums(batch: Transition) -> Sums:
        data = listed(batch)
        final = flat(spec.observation, data.final)
        target = jnp.concatenate([final, data.reward[:, None]], -1)
        features = library(joined(spec, data.obs, data.action))
        code = fingerprint(data)
        weight = copies(code, members) if members > 1 else jnp.ones((1, code.shape[0]))
        return gather(features, target, weight * data.weight)

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


class Bounds(NamedTuple):
    """The region of the data: what predictions are restricted to."""

    low: Array  # [D + 1] least values of the observation and the reward
    high: Array  # [D + 1] largest values
    off_circle: Array  # [D - 1] largest | x_i^2 + x_{i+1}^2 - 1 | of neighbours in the observation


def observed_bounds(spec: Spec) -> Update:
    """Keep the bounds of observations and rewards in batches `(transitions [..., *], context)`."""
    size = vector_size(spec)

    def widen(bounds: Bounds, batch: Transition) -> Bounds:
        data = listed(batch)
        final = flat(spec.observation, data.final)
        seen = jnp.concatenate([final, data.reward[:, None]], -1)
        gap = jnp.abs(jnp.square(final[:, :-1]) + jnp.square(final[:, 1:]) - 1)
        counts = data.weight[:, None] > 0

        def least(x: Array) -> Array:
            return jnp.where(counts, x, jnp.inf).min(0, initial=jnp.inf)

        return Bounds(
            jnp.minimum(bounds.low, least(seen)),
            jnp.maximum(bounds.high, -least(-seen)),
            jnp.maximum(bounds.off_circle, -least(-gap)),
        )

    def init(key: Key, example: Transition) -> Bounds:
        infinite = jnp.full(size + 1, jnp.inf)
        return widen(Bounds(infinite, -infinite, -infinite[:-2]), example)

    def apply(bounds: Bounds, batch: tuple[Transition, Tree], key: Key) -> tuple[Bounds, dict]:
        return widen(bounds, batch[0]), {}

    return Update(init, apply, lambda bounds: bounds)


def restricted(bounds: Bounds, out: Array, tolerance: float = 1e-3) -> Array:
    """Predictions [..., D + 1] moved into the region of the data.

    They are clipped to its range. Neighbours in the observation that are always the cosine and the
    sine of one angle are scaled to the unit circle.
    """
    out = jnp.clip(out, bounds.low, bounds.high)
    for i in range(out.shape[-1] - 2):
        pair = out[..., i : i + 2]
        radius = optax.safe_norm(pair, 1e-6, axis=-1, keepdims=True)
        inside = bounds.off_circle[i] < tolerance
        out = out.at[..., i : i + 2].set(jnp.where(inside, pair / radius, pair))
    return out


def drawn_within(bounds: Bounds, number: int, key: Key) -> Array:
    """Observations [number, D] drawn evenly from the range of the data, and then `restricted`."""
    low, high = bounds.low[:-1], bounds.high[:-1]  # the last one is of rewards
    drawn = jax.random.uniform(key, (number, len(low)), low.dtype, low, high)
    return restricted(bounds, jnp.pad(drawn, ((0, 0), (0, 1))))[:, :-1]


def sparse_model(
    spec: Spec,
    library: Library,
    coefficients: Array,
    project: Callable[[Array], Array] = lambda obs: obs,
    terminated: Callable[[Array], Array] = lambda obs: jnp.zeros(obs.shape[:-1], bool),
    survival: Callable[[Array], Array] = lambda obs: jnp.ones(obs.shape[:-1]),
    bounds: Bounds | None = None,
) -> Model:
    """The model of the median over members of coefficients [M, F, D + 1].

    Predictions are `restricted` to `bounds`, since polynomials diverge outside of the data; then
    `project` maps observations to possible ones. Episodes end where `terminated` holds for the
    successor, and at random with the probability of `survival`, such as a `logistic_survival`.
    """
    middle = jnp.median(coefficients, 0)

    def step(obs: Array, action: Array, key: Key) -> tuple[Array, TimeStep]:
        out = library(joined(spec, obs, action)) @ middle
        out = out if bounds is None else restricted(bounds, out)
        final, reward = project(out[..., :-1]), out[..., -1]
        ends = terminated(final) | ~jax.random.bernoulli(key, survival(final))
        return final, TimeStep(final, reward, 1.0 - ends, ends, final, {})

    return Model(lambda obs, key: obs, step, spec)
