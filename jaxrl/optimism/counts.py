"""What was seen of a finite process, and the empirical process that it makes."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxrl.dp import TabularMDP
from jaxrl.errors import require_positive
from jaxrl.types import Array


class Steps(NamedTuple):
    """Steps of a finite process, of one episode or of many."""

    state: Array  # [...] int32
    action: Array  # [...] int32
    reward: Array  # [...]
    discount: Array  # [...] 0 at termination, else 1
    following: Array  # [...] int32 the successor
    weight: Array  # [...] 1 while the episode lasts, else 0


class Counts(NamedTuple):
    """Sums over the steps that were seen of each state and action."""

    visits: Array  # [S, A]
    reward: Array  # [S, A] sum of the rewards
    square: Array  # [S, A] sum of the squared rewards
    continued: Array  # [S, A, S] steps to each successor that did not end the episode


def no_counts(states: int, actions: int) -> Counts:
    """Return the counts of a process of which nothing was seen.

    Raises `InputError` unless there is a state and an action.

    Examples:
        >>> print(optimism.no_counts(2, 1).visits)
        [[0.]
         [0.]]
    """
    require_positive(states=states, actions=actions)
    pairs = jnp.zeros((states, actions))
    return Counts(pairs, pairs, pairs, jnp.zeros((states, actions, states)))


def counted(counts: Counts, steps: Steps) -> Counts:
    """Return the counts with those of more steps [...] added.

    Examples:
        >>> print(optimism.counted(optimism.no_counts(2, 2), steps).visits)
        [[0. 1.]
         [1. 0.]]
    """
    pair = steps.state, steps.action
    return Counts(
        counts.visits.at[pair].add(steps.weight),
        counts.reward.at[pair].add(steps.weight * steps.reward),
        counts.square.at[pair].add(steps.weight * steps.reward**2),
        counts.continued.at[(*pair, steps.following)].add(steps.weight * steps.discount),
    )


def empirical(counts: Counts) -> TabularMDP:
    """Return the process of the frequencies and mean rewards that were seen.

    Rewards and discounts are those of pairs, [S, A, 1]. Pairs that were never seen pay nothing and
    end the episode. Every state is equally likely to be the first.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.empirical(seen).reward[..., 0])
        [[0. 0.]
         [8. 0.]]
    """
    states = counts.visits.shape[0]
    visits = jnp.maximum(counts.visits, 1)[..., None]
    continued = counts.continued.sum(-1, keepdims=True)
    # Where no step went on, the discount is 0 and the successor does not matter.
    transition = jnp.where(continued > 0, counts.continued / jnp.maximum(continued, 1), 1 / states)
    reward = counts.reward[..., None] / visits
    return TabularMDP(transition, reward, continued / visits, jnp.full(states, 1 / states))
