"""Exploration that is never worse than it may be: mixtures of a safe and an optimistic policy."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.optimism.counts import Counts, counted, no_counts
from jaxrl.optimism.learning import Learner, Play
from jaxrl.optimism.planning import Bonus, greedy_policy, optimistic, pessimistic
from jaxrl.types import Array, Key, Tree


class Mixture(NamedTuple):
    """Two policies, of which an episode plays one."""

    policies: Array  # [2, H, S, A]
    chance: Array  # [] of the second


def mixture_play(play: Play) -> Play:
    """Return the `Play` of mixtures: one of the policies is drawn for the whole episode.

    Examples:
        >>> stop = jnp.array([[[1.0, 0.0]] * 2])
        >>> play = optimism.mixture_play(optimism.tabular_play(mdp, 1))
        >>> pair = optimism.Mixture(jnp.stack([1 - stop, stop]), jnp.array(1.0))
        >>> print(play(pair, jax.random.key(0)).reward)
        [1.]
    """

    def drawn(mixture: Mixture, key: Key) -> Tree:
        k_which, k_play = jax.random.split(key)
        which = jax.random.uniform(k_which) < mixture.chance
        return play(mixture.policies[which.astype(jnp.int32)], k_play)

    return drawn


def step_mixtures(first: Array, then: Array) -> Array:
    """Return the policies [H + 1, H, S, A] that follow `first` [H, S, A] for 0 to H steps.

    Afterwards they follow `then` [H, S, A].

    Examples:
        >>> stop, go = jnp.array([[[1.0, 0.0]]] * 2), jnp.array([[[0.0, 1.0]]] * 2)
        >>> print(optimism.step_mixtures(stop, go)[1, :, 0])  # stop, then go
        [[1. 0.]
         [0. 1.]]
    """
    horizon = first.shape[0]
    switched = jnp.arange(horizon) < jnp.arange(horizon + 1)[:, None]
    return jnp.where(switched[..., None, None], first, then)


def whole_episodes(first: Array, then: Array) -> Array:
    """Return the policies [2, H, S, A] that follow `then` or `first` [H, S, A] throughout.

    Examples:
        >>> print(optimism.whole_episodes(jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1)))[:, 0, 0, 0])
        [1. 0.]
    """
    return jnp.stack([then, first])


def conservative(
    baseline: Array,
    initial: Array,
    bonus: Bonus,
    threshold: float | Array,
    known: float | Array | None = None,
    candidates: Callable[[Array, Array], Array] = step_mixtures,
    start: Counts | None = None,
) -> Learner:
    """Return a learner whose policy is worth at least `threshold` in every episode.

    `candidates` are made of the `baseline` [H, S, A] and the policy that is greedy in `optimistic`
    values, in order from the most daring to the baseline: `step_mixtures` of StepMix, or
    `whole_episodes` of EpsMix. Each has a lower bound by `pessimistic` evaluation from the
    `initial` states [S]. The first candidate whose bound reaches the threshold is played, mixed
    with the one before it so that the bound of the mixture is the threshold itself. The baseline
    counts as worth `known`, by default the threshold. The constraint holds whenever the lower
    bounds do. Policies are a `Mixture`: see `mixture_play`. Source: Li, Huang, Shen and Yang
    (2023), "Near-optimal conservative exploration in reinforcement learning under episode-wise
    constraints", https://arxiv.org/abs/2306.06265.

    Examples:
        >>> stop = jnp.array([[[1.0, 0.0]] * 2])
        >>> learner = optimism.conservative(stop, mdp.initial, optimism.hoeffding(0.5), 0.9)
        >>> print(learner.plan(learner.init(), jax.random.key(0))[1].chance)  # nothing is known yet
        0.0
    """
    horizon, states, actions = baseline.shape
    sure = threshold if known is None else known

    def plan(counts: Counts, key: Key) -> tuple[Counts, Mixture]:
        daring = greedy_policy(optimistic(counts, bonus, horizon))
        policies = candidates(baseline, daring)

        def bound(policy: Array) -> Array:
            q = pessimistic(counts, bonus, horizon, policy)[0]
            return initial @ (policy[0] * q).sum(-1)

        bounds = jax.vmap(bound)(policies)
        bounds = bounds.at[-1].max(sure)
        safe = (bounds >= threshold).at[-1].set(True)
        first = jnp.argmax(safe)
        before = jnp.maximum(first - 1, 0)
        spare = bounds[first] - threshold
        short = jnp.maximum(threshold - bounds[before], 0.0)
        # If the very first candidate is safe, it is both of the pair.
        chance = jnp.where(short > 0, spare / jnp.where(short > 0, short + spare, 1.0), 0.0)
        return counts, Mixture(policies[jnp.stack([first, before])], jnp.clip(chance, 0.0, 1.0))

    return Learner(lambda: no_counts(states, actions) if start is None else start, plan, counted)
