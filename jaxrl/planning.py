"""Planning in a model by improving sequences of actions: CEM and MPPI.

A plan is the mean of a distribution over sequences of actions in [-1, 1]; an `Improve` returns a
better plan, given a function that scores sequences. `planner` is the actor that plans at every step
and starts from its previous plan. A score that is not finite is the lowest; where a lane has no
finite score, it keeps its plan.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import (
    require,
    require_continuous,
    require_fraction,
    require_non_negative,
    require_positive,
)
from jaxrl.models.model import Model
from jaxrl.types import Actor, Array, Key, Spec, Tree, select

Score = Callable[[Array], Array]
"""Sequences of actions [N, B, H, *action] -> scores [N, B], the higher the better."""


class Plan(NamedTuple):
    """A distribution over sequences of actions: normal, clipped to [-1, 1]."""

    mean: Array  # [B, H, *action]
    std: Array  # [B, H, *action]


Improve = Callable[[Plan, Score, Key], Plan]
"""(plan, score, key) -> a better plan."""


def draw(plan: Plan, number: int, key: Key) -> Array:
    """Samples [number, B, H, *action] of a plan; the first one is its mean."""
    noise = jax.random.normal(key, (number, *plan.mean.shape)).at[0].set(0.0)
    return jnp.clip(plan.mean + plan.std * noise, -1.0, 1.0)


def cross_entropy(
    candidates: int = 128, elites: int = 16, rounds: int = 5, smoothing: float | Array = 0.1
) -> Improve:
    """Fit the plan to its best candidates, for several rounds.

    The new plan has the mean and deviation of the `elites` candidates of highest score, mixed with
    the old plan by the weight `smoothing`. Source: the cross-entropy method of Rubinstein (1999),
    as in Chua et al. (2018), section 5. Raises an InputError if the numbers do not fit.
    """
    require_positive(candidates=candidates, elites=elites, rounds=rounds)
    require(elites <= candidates, f"elites {elites} must be at most candidates {candidates}.")
    require_fraction(smoothing=smoothing)

    def improve(plan: Plan, score: Score, key: Key) -> Plan:
        def one(plan: Plan, key: Key) -> tuple[Plan, None]:
            tried = draw(plan, candidates, key)
            scores = score(tried)
            scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
            top, best = jax.lax.top_k(scores.T, elites)  # [B, E]
            kept = jax.vmap(lambda x, i: x[i], (1, 0), 1)(tried, best)
            counted = jnp.isfinite(top).T  # [E, B]
            some = counted.any(0)
            share = counted / jnp.maximum(counted.sum(0), 1)
            mean = jnp.einsum("eb,eb...->b...", share, kept)
            variance = jnp.einsum("eb,eb...->b...", share, jnp.square(kept - mean))
            blend = lambda new, old: select(some, (1 - smoothing) * new + smoothing * old, old)
            return Plan(blend(mean, plan.mean), blend(jnp.sqrt(variance), plan.std)), None

        return jax.lax.scan(one, plan, jax.random.split(key, rounds))[0]

    return improve


def path_integral(
    candidates: int = 128, temperature: float | Array = 0.1, rounds: int = 1
) -> Improve:
    """Average the candidates with weights proportional to exp(score / temperature): MPPI.

    Scores are first divided by their standard deviation among the candidates of a lane, so that
    the temperature has no units. Source: Williams et al. (2017), equation 8. Raises an InputError
    if a number is not positive.
    """
    require_positive(candidates=candidates, temperature=temperature, rounds=rounds)

    def improve(plan: Plan, score: Score, key: Key) -> Plan:
        def one(plan: Plan, key: Key) -> tuple[Plan, None]:
            tried = draw(plan, candidates, key)
            scores = score(tried)
            counted = jnp.isfinite(scores)
            some = counted.any(0)
            # Relative to the best and the worst, so that no scores overflow or cancel.
            below = jnp.where(counted, scores - jnp.where(counted, scores, -jnp.inf).max(0), 0.0)
            below = below / jnp.maximum(-below.min(0), 1e-30)
            number = jnp.maximum(counted.sum(0), 1)
            away = jnp.where(counted, below - below.sum(0) / number, 0.0)
            deviation = jnp.sqrt(jnp.square(away).sum(0) / number)
            scores = jnp.where(counted, below / (deviation + 1e-8), -jnp.inf)
            weight = jax.nn.softmax(jnp.where(some, scores / temperature, 0.0), 0)
            mean = jnp.einsum("nb,nb...->b...", weight, tried)
            return plan._replace(mean=select(some, mean, plan.mean)), None

        return jax.lax.scan(one, plan, jax.random.split(key, rounds))[0]

    return improve


def returns_in(
    model: Model, obs: Tree, discount: float | Array, key: Key, value: Callable | None = None
) -> Score:
    """The discounted return of sequences of actions in a model from observations [B, *].

    `value(obs [..., *]) -> [...]` is the value of the state where a plan ends without a
    termination: after its last action, or where the model truncates it. Without it that value is
    zero. All calls of one score use the same key (common random numbers), though not all
    candidates the same noise. Source of the estimate: Sutton and Barto (2018), equation 7.1.
    """

    def score(actions: Array) -> Array:
        number, batch_size, length = actions.shape[:3]
        k_enter, k_step = jax.random.split(key)
        many = jax.tree.map(lambda x: jnp.tile(x, (number, *(1,) * (x.ndim - 1))), obs)
        steps = jnp.moveaxis(actions.reshape(number * batch_size, *actions.shape[2:]), 1, 0)

        def step(carry: tuple, inputs: tuple) -> tuple[tuple, None]:
            state, total, survival, ended, end = carry
            action, key = inputs
            state, now = model.step(state, action, key)
            # After an end nothing counts, whatever the model then says.
            total = select(ended, total, total + survival * now.reward)
            survival = select(ended, survival, survival * discount * now.discount)
            # The value can be expensive: it is evaluated once, where each plan ends.
            end = select(ended, end, now.final)
            return (state, total, survival, ended | now.last, end), None

        zero = jnp.zeros(number * batch_size)
        start = (model.enter(many, k_enter), zero, zero + 1.0, zero > 0, many)
        rest = (steps, jax.random.split(k_step, length))
        (_, total, survival, _, end), _ = jax.lax.scan(step, start, rest)
        if value is not None:
            total = select(survival > 0, total + survival * value(end), total)
        return total.reshape(number, batch_size)

    return score


def planner(
    world: Callable[[Tree], Model],
    spec: Spec,
    improve: Improve,
    horizon: int,
    discount: float | Array,
    std: float = 1.0,
    noise: float | Array = 0.0,
    value: Callable[[Tree, Tree], Array] | None = None,
    propose: Callable[[Tree, Tree], Array] | None = None,
) -> Actor:
    """Act by the first action of a plan of `horizon` steps in the model `world(view)`.

    The memory is the mean of the plan, shifted by one step and extended by zeros; the next plan
    starts from it with deviation `std`. `noise` is the deviation of the exploration noise that is
    added to actions; `value(view, obs)` is the value of the state after the horizon. Where the plan
    that `propose(view, obs)` [B, H, *action] returns has a higher score, the next plan starts from
    it instead. Actions must lie in [-1, 1]. Raises an InputError if the numbers do not fit or
    actions are discrete.
    """
    require_positive(horizon=horizon, std=std)
    require_non_negative(noise=noise)
    box = require_continuous(spec, "planning")

    def init(batch_size: int) -> Array:
        return jnp.zeros((batch_size, horizon, *box.shape))

    def step(view: Tree, memory: Array, obs: Tree, key: Key) -> tuple[Array, Array, tuple]:
        k_plan, k_model, k_noise = jax.random.split(key, 3)
        after = None if value is None else partial(value, view)
        score = returns_in(world(view), obs, discount, k_model, after)
        start = memory
        if propose is not None:
            both = jnp.stack([memory, propose(view, obs)])
            start = select(score(both).argmax(0) == 1, both[1], both[0])
        plan = improve(Plan(start, jnp.full_like(memory, std)), score, k_plan)
        action = plan.mean[:, 0]
        action = action + noise * jax.random.normal(k_noise, action.shape)
        onward = jnp.concatenate([plan.mean[:, 1:], jnp.zeros_like(memory[:, :1])], 1)
        return jnp.clip(action, -1.0, 1.0), onward, ()

    return Actor(init, step)
