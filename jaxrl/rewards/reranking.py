"""Policies that draw several actions and take one that a critic prefers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.types import Actor, Array, Key, Tree


def reranked(
    actor: Actor,
    score: Callable[[Tree, Tree, Tree], Array],
    number: int,
    temperature: float | Array = 0.0,
) -> Actor:
    """An actor that draws `number` actions of another one, and acts by their scores.

    `score(view, obs, action)` [B] may be of any critic, such as one that was learnt from other
    data. The action is drawn with probabilities ~ exp(score / temperature), or is the best one if
    the temperature is 0. With many draws the policy tends to pi(a) exp(score / temperature) / Z,
    at a rate of 1 / number. The best of many is best by the errors of the critic too: more draws
    may be worse. Source: Nakamoto et al. (2024), "Steering your generalists",
    https://arxiv.org/abs/2410.13816. Raises an InputError unless there is a draw, or for a negative
    temperature.
    """
    require_positive(number=number)
    require_non_negative(temperature=temperature)

    def step(view: Tree, memory: Tree, obs: Tree, key: Key) -> tuple[Array, Tree, Tree]:
        k_choose, *keys = jax.random.split(key, number + 1)
        draw = lambda key: actor.step(view, memory, obs, key)
        drawn = jax.vmap(draw)(jnp.stack(keys))  # [number, B, ...]
        scores = jax.vmap(lambda action: score(view, obs, action))(drawn[0])
        # By the largest of perturbed scores, which are the scores themselves without a temperature.
        noise = jax.random.gumbel(k_choose, scores.shape, scores.dtype)
        best = (scores + temperature * noise).argmax(0)
        lanes = jnp.arange(best.shape[0])
        return jax.tree.map(lambda x: x[best, lanes], drawn)

    return Actor(actor.init, step)
