"""Learning from episodes of a finite process: one scan that plans, plays and counts."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.optimism.counts import Counts, Steps, counted, no_counts
from jaxrl.optimism.planning import Critic, greedy_policy
from jaxrl.types import Array, Key, Tree


class Learner(NamedTuple):
    """A way to plan before each episode, and to learn from it."""

    init: Callable[[], Tree]
    plan: Callable[[Tree, Key], tuple[Tree, Tree]]  # state -> (state, policy of the episode)
    observe: Callable[[Tree, Tree], Tree]  # (state, data of the episode) -> state


Play = Callable[[Tree, Key], Tree]
"""(policy, key) -> data of one episode."""


def learn(
    learner: Learner,
    play: Play,
    measure: Callable[[Tree, Tree], Tree],
    episodes: int,
    key: Key,
) -> tuple[Tree, Tree]:
    """Return the last state of a learner, and the measures [episodes, ...] of all episodes.

    `measure` sees the state and the policy with which an episode is played, so that regret can be
    exact: that of the policy, not of what happened to it. Raises `InputError` unless there is an
    episode.

    Examples:
        >>> width = optimism.hoeffding(4.0)
        >>> critic = lambda counts: optimism.optimistic(counts, width, horizon=2, most=8.0)
        >>> value = lambda state, policy: optimism.episode_return(mdp, policy)
        >>> learner, play = optimism.planner(2, 2, critic), optimism.tabular_play(mdp, 2)
        >>> _, returns = optimism.learn(learner, play, value, 50, jax.random.key(0))
        >>> print(returns[-1])
        4.0
    """
    require_positive(episodes=episodes)

    def episode(state: Tree, key: Key) -> tuple[Tree, Tree]:
        k_plan, k_play = jax.random.split(key)
        state, policy = learner.plan(state, k_plan)
        return learner.observe(state, play(policy, k_play)), measure(state, policy)

    return jax.lax.scan(episode, learner.init(), jax.random.split(key, episodes))


def tabular_play(mdp: dp.TabularMDP, horizon: int) -> Play:
    """Return the `Play` of episodes of a dense process under policies [H, S, A].

    The data are `Steps` [H]; those after a termination have the weight 0. Raises `InputError`
    unless there is a step.

    Examples:
        >>> stop = jnp.array([[[1.0, 0.0]] * 2])
        >>> print(optimism.tabular_play(mdp, 1)(stop, jax.random.key(0)).reward)
        [1.]
    """
    require_positive(horizon=horizon)
    mdp = dp.dense(mdp)
    reward, discount = (jnp.broadcast_to(x, mdp.transition.shape) for x in mdp[1:3])

    def play(policy: Array, key: Key) -> Steps:
        def step(carry: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple:
            state, weight = carry
            probabilities, noise = inputs
            action = draw(probabilities[state], noise[0])
            following = draw(mdp.transition[state, action], noise[1])
            place = state, action, following
            taken = Steps(state, action, reward[place], discount[place], following, weight)
            return (following, weight * (discount[place] > 0)), taken

        k_first, k_steps = jax.random.split(key)
        first = draw(mdp.initial, jax.random.uniform(k_first))
        noise = jax.random.uniform(k_steps, (horizon, 2))
        return jax.lax.scan(step, (first, jnp.ones(())), (policy, noise))[1]

    return play


def draw(probabilities: Array, uniform: Array) -> Array:
    """Return the outcome [] of probabilities [N] at a uniform number [] in [0, 1).

    Examples:
        >>> print(optimism.draw(jnp.array([0.25, 0.75]), 0.3))
        1
    """
    cumulative = jnp.cumsum(probabilities)
    # The last is made exactly 1, so that rounding leaves no gap at the top.
    return (uniform >= cumulative / cumulative[-1]).sum().astype(jnp.int32)


def planner(states: int, actions: int, critic: Critic, start: Counts | None = None) -> Learner:
    """Return the learner that counts, and acts greedily in the values of a critic.

    With `optimistic` it is UCBVI, with `certain` it is certainty equivalence. `start` are counts of
    earlier data.

    Examples:
        >>> learner = optimism.planner(2, 2, lambda counts: optimism.certain(counts, 1))
        >>> print(learner.plan(learner.init(), jax.random.key(0))[1][0, 0])
        [0.5 0.5]
    """
    init = lambda: no_counts(states, actions) if start is None else start
    plan = lambda counts, key: (counts, greedy_policy(critic(counts)))
    return Learner(init, plan, counted)


def fixed(policy: Tree) -> Learner:
    """Return the learner that always plays the same policy and learns nothing.

    Examples:
        >>> print(optimism.fixed(jnp.ones(2)).plan((), jax.random.key(0))[1])
        [1. 1.]
    """
    return Learner(lambda: (), lambda state, key: (state, policy), lambda state, data: state)
