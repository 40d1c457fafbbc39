"""Survival learnt by logistic regression: the probability that an episode continues in a state."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_positive
from jaxrl.networks import flat
from jaxrl.types import Array, Key, Spec, Transition, Tree, Update, listed, select


class Survival(NamedTuple):
    """A logistic regression, and a Gaussian approximation of what all batches say about it."""

    weights: Array  # [F] of scaled features
    precision: Array  # [F, F] of the weights
    scale: Array  # [F] of the features
    ends: Array  # [] terminations so far


def logistic_survival(
    spec: Spec,
    library: Callable[[Array], Array],
    prior: float | Array = 0.01,
    iterations: int = 10,
) -> Update:
    """Fit P(discount = 1 | successor) to batches `(transitions [..., *], context)`.

    The logit is linear in features `library(successor)` [..., F]. Each batch is to be shown once:
    its likelihood is maximised under a Gaussian prior, which is the Laplace approximation of all
    earlier batches, so that no data are kept. `prior` is the precision of the first one. Source:
    Spiegelhalter and Lauritzen (1990), section 5. Raises an InputError unless numbers are positive.
    """
    require_positive(prior=prior, iterations=iterations)
    rates = 0.5 ** jnp.arange(6.0)

    def init(key: Key, example: Transition) -> Survival:
        features = seen(example)[0]
        size = features.shape[-1]
        largest = jnp.abs(features).max(0, initial=0.0)
        scale = jnp.where(largest > 1e-6, largest, 1.0)
        empty = Survival(jnp.zeros(size), prior * jnp.eye(size), scale, jnp.zeros(()))
        return learn(empty, example)

    def seen(batch: Transition) -> tuple[Array, Array, Array]:
        data = listed(batch)
        return library(flat(spec.observation, data.final)), data.discount, data.weight

    def learn(state: Survival, batch: Transition) -> Survival:
        features, survived, weight = seen(batch)
        x = features / state.scale

        def loss(w: Array) -> Array:
            logits, away = x @ w, w - state.weights
            error = jax.nn.softplus(logits) - survived * logits
            return (weight * error).sum() + 0.5 * away @ state.precision @ away

        def curvature(w: Array) -> Array:
            p = jax.nn.sigmoid(x @ w)
            return state.precision + (x * (weight * p * (1 - p))[:, None]).T @ x

        def newton(w: Array, _: None) -> tuple[Array, None]:
            step = jnp.linalg.solve(curvature(w), jax.grad(loss)(w))
            tried = w - rates[:, None] * step
            errors = jax.vmap(loss)(tried)
            best = jnp.argmin(jnp.where(jnp.isfinite(errors), errors, jnp.inf))
            return select(errors[best] < loss(w), tried[best], w), None

        w, _ = jax.lax.scan(newton, state.weights, None, iterations)
        ends = state.ends + (weight * (1 - survived)).sum()
        return Survival(w, curvature(w), state.scale, ends)

    def apply(state: Survival, batch: tuple[Transition, Tree], key: Key) -> tuple[Survival, dict]:
        state = learn(state, batch[0])
        return state, {"model_ends": state.ends}

    return Update(init, apply, lambda state: state)


def survival_probability(state: Survival, library: Callable[[Array], Array], obs: Array) -> Array:
    """The probability [...] that an episode continues at successors [..., D].

    It is one as long as no termination has been seen.
    """
    logits = library(obs) / state.scale @ state.weights
    return jnp.where(state.ends > 0, jax.nn.sigmoid(logits), 1.0)
