"""Planning in a model by improving sequences of actions: CEM and MPPI.

A plan is the mean of a distribution over sequences of actions in [-1, 1]; an `Improve` makes a
better one of it, given a function that scores sequences. `planner` is the actor that plans at every
step, from where its last plan left off.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require, require_positive
from jaxrl.models.model import Model, reached
from jaxrl.types import Actor, Array, Box, Key, Spec, Tree

Score = Callable[[Array], Array]
"""Sequences of actions [N, B, H, *action] -> how good they are [N, B]."""


class Plan(NamedTuple):
    """A distribution over sequences of actions: normal, clipped to [-1, 1]."""

    mean: Array  # [B, H, *action]
    std: Array  # [B, H, *action]


Improve = Callable[[Plan, Score, Key], Plan]
"""(plan, score, key) -> a better plan."""


def draw(plan: Plan, number: int, key: Key) -> Array:
    """Sequences [number, B, H, *action] of a plan, the first of which is its mean."""
    noise = jax.random.normal(key, (number, *plan.mean.shape)).at[0].set(0.0)
    return jnp.clip(plan.mean + plan.std * noise, -1.0, 1.0)


def cross_entropy(
    candidates: int = 128, elites: int = 16, rounds: int = 5, smoothing: float | Array = 0.1
) -> Improve:
    """Fit the plan to the best of its candidates, a few times over.

    Source: the cross-entropy method of Rubinstein (1999), as in Chua et al. (2018), section 5;
    `smoothing` is how much of the old plan is kept.
    """
    require_positive(candidates=candidates, elites=elites, rounds=rounds)
    require(elites <= candidates, f"elites {elites} must be at most candidates {candidates}.")

    def improve(plan: Plan, score: Score, key: Key) -> Plan:
        def one(plan: Plan, key: Key) -> tuple[Plan, None]:
            tried = draw(plan, candidates, key)
            _, best = jax.lax.top_k(score(tried).T, elites)  # [B, E]
            kept = jax.vmap(lambda x, i: x[i], (1, 0), 1)(tried, best)
            blend = lambda new, old: (1 - smoothing) * new + smoothing * old
            return Plan(blend(kept.mean(0), plan.mean), blend(kept.std(0), plan.std)), None

        return jax.lax.scan(one, plan, jax.random.split(key, rounds))[0]

    return improve


def path_integral(
    candidates: int = 128, temperature: float | Array = 0.1, rounds: int = 1
) -> Improve:
    """Average the candidates with weights exp(score / temperature), after the best: MPPI.

    Scores are first divided by their deviation among the candidates of a lane, so that the
    temperature has no units. Source: Williams et al. (2017), equation 8.
    """
    require_positive(candidates=candidates, temperature=temperature, rounds=rounds)

    def improve(plan: Plan, score: Score, key: Key) -> Plan:
        def one(plan: Plan, key: Key) -> tuple[Plan, None]:
            tried = draw(plan, candidates, key)
            scores = score(tried)
            scores = scores / (scores.std(0) + 1e-8)
            weight = jax.nn.softmax(scores / temperature, 0)
            return plan._replace(mean=jnp.einsum("nb,nb...->b...", weight, tried)), None

        return jax.lax.scan(one, plan, jax.random.split(key, rounds))[0]

    return improve


def returns_in(
    model: Model, obs: Tree, discount: float | Array, key: Key, value: Callable | None = None
) -> Score:
    """The discounted return of sequences of actions in a model from observations [B, *].

    `value(obs [..., *]) -> [...]` is added for what comes after, if it is given. The same noise
    meets all candidates of a lane only if the model has none.
    """

    def score(actions: Array) -> Array:
        number, batch_size, length = actions.shape[:3]
        k_enter, k_step = jax.random.split(key)
        many = jax.tree.map(lambda x: jnp.tile(x, (number, *(1,) * (x.ndim - 1))), obs)
        steps = jnp.moveaxis(actions.reshape(number * batch_size, *actions.shape[2:]), 1, 0)

        def step(state: Tree, inputs: tuple) -> tuple[Tree, tuple]:
            action, key = inputs
            state, now = model.step(state, action, key)
            # The value may be dear: it is asked for at the end only.
            return state, (now.reward, now.discount, now.last, now.final)

        start = model.enter(many, k_enter)
        rest = (steps, jax.random.split(k_step, length))
        _, (reward, alive, last, final) = jax.lax.scan(step, start, rest)
        gone = reached(discount * alive, last)
        total = (gone * reward).sum(0)
        if value is not None:
            total = total + gone[-1] * discount * alive[-1] * value(
                jax.tree.map(lambda x: x[-1], final)
            )
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
) -> Actor:
    """Act by the first action of a plan of `horizon` steps in the model `world(view)`.

    Its memory is the plan, moved on by a step: what comes next begins with deviation `std` and,
    at the far end, mean zero. `noise` is the deviation of what is added to actions, to explore;
    `value(view, obs)` is what comes after the horizon. Actions must be in [-1, 1].
    """
    require_positive(horizon=horizon, std=std)
    box = spec.action
    assert isinstance(box, Box), "plans need continuous actions"

    def init(batch_size: int) -> Array:
        return jnp.zeros((batch_size, horizon, *box.shape))

    def step(view: Tree, memory: Array, obs: Tree, key: Key) -> tuple[Array, Array, tuple]:
        k_plan, k_model, k_noise = jax.random.split(key, 3)
        after = None if value is None else partial(value, view)
        score = returns_in(world(view), obs, discount, k_model, after)
        plan = improve(Plan(memory, jnp.full_like(memory, std)), score, k_plan)
        action = plan.mean[:, 0]
        action = action + noise * jax.random.normal(k_noise, action.shape)
        onward = jnp.concatenate([plan.mean[:, 1:], jnp.zeros_like(memory[:, :1])], 1)
        return jnp.clip(action, -1.0, 1.0), onward, ()

    return Actor(init, step)
