"""Evaluation on complete episodes, each counted once."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.environments import vectorize
from jaxrl.errors import require_positive, typed_key
from jaxrl.types import Actor, Array, Env, Key, Tree, costs_of

SUCCESS = "episode_success"
"""The entry of `TimeStep.info` that says whether the episode's goal is reached, if it has one."""


class Evaluation(NamedTuple):
    """The outcome of complete episodes, each counted once."""

    returns: Array  # [E] undiscounted; of the steps taken if the episode did not end
    lengths: Array  # [E] int32
    completed: Array  # [E] bool, false if the episode outlasted the limit
    success: Array | tuple = ()  # [E] bool, whether its goal was reached at the end, if it has one
    costs: dict[str, Array] | tuple = ()  # [E] sums of each cost that the environment tells


@jax.named_scope("evaluate")
def evaluate(
    env: Env, actor: Actor, view: Tree, key: Key, episodes: int = 16, max_steps: int = 10_000
) -> Evaluation:
    """Play `episodes` episodes side by side, one to a lane, each until its end.

    `env` is one lane, without auto-reset. Every lane plays exactly one episode, so short episodes
    are not counted more often than long ones. Stops when all have ended, or after `max_steps`.
    """
    require_positive(episodes=episodes, max_steps=max_steps)
    env = vectorize(env, episodes)
    k_init, k_run = jax.random.split(typed_key(key))

    def going(carry: tuple) -> Array:
        *_, done, _, _, step, _, _ = carry
        return ~done.all() & (step < max_steps)

    def step(carry: tuple) -> tuple:
        state, now, memory, done, returns, lengths, step, success, costs = carry
        k_act, k_env = jax.random.split(jax.random.fold_in(k_run, step))
        action, memory, _ = actor.step(view, memory, now.obs, k_act)
        state, now = env.step(state, action, k_env)
        returns = returns + jnp.where(done, 0.0, now.reward)
        lengths = lengths + ~done
        if told:
            success = jnp.where(done, success, now.info[SUCCESS])
        paid = costs_of(now.signals)
        costs = {name: total + jnp.where(done, 0.0, paid[name]) for name, total in costs.items()}
        return state, now, memory, done | now.last, returns, lengths, step + 1, success, costs

    state, now = env.init(k_init)
    zero = jnp.zeros(episodes, jnp.int32)
    told = SUCCESS in now.info
    success = zero > 0 if told else ()
    costs = {name: zero * 0.0 for name in costs_of(now.signals)}
    start = (state, now, actor.init(episodes), zero > 0, zero * 0.0, zero, jnp.int32(0))
    end = jax.lax.while_loop(going, step, (*start, success, costs))
    *_, done, returns, lengths, _, success, costs = end
    return Evaluation(returns, lengths, done, success, costs)


def mean_costs(score: Evaluation) -> dict[str, Array]:
    """The mean [] of each cost over the steps of all episodes, by name."""
    steps = score.lengths.sum()
    return {name: total.sum() / steps for name, total in dict(score.costs).items()}
