"""Optimism for the average reward: learning in one episode that never ends.

A hypothesis is a pair of action values and an average reward that satisfies Bellman's equation of
some process, Q(s, a) + J = r(s, a) + E max Q(s', .). Data contradict those of another process.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl import dp
from jaxrl.dp.robust import moved
from jaxrl.errors import require_non_negative, require_positive
from jaxrl.optimism.counts import Counts, Steps, counted, empirical, no_counts
from jaxrl.optimism.learning import Learner, draw
from jaxrl.optimism.planning import greedy_policy
from jaxrl.types import Array, Key, Tree


class Hypotheses(NamedTuple):
    """F pairs of action values and average reward."""

    values: Array  # [F, S, A]
    gain: Array  # [F] average reward


class Lazy(NamedTuple):
    """What a learner that seldom plans knows between its blocks of steps."""

    counts: Counts
    plan: Tree  # what it follows
    switches: Array  # [] int32 how often the plan was replaced


def hypotheses(mdps: dp.TabularMDP) -> Hypotheses:
    """Return the hypotheses of processes that are `stacked`, by relative value iteration.

    Examples:
        >>> print(optimism.hypotheses(dp.stacked([mdp])).gain)
        [8.]
    """
    gain, solution = jax.vmap(dp.relative_value_iteration)(mdps)
    return Hypotheses(solution.theta, gain)


def discrepancy(counts: Counts, values: Array, gain: Array) -> Array:
    """Return the excess loss [] of a hypothesis, of values [S, A] and a gain [], over the least.

    The loss is the sum over steps of (Q(s, a) + J - r - max Q(s', .))^2, and the least is that of
    the best table in place of Q(s, a) + J. So it is the sum over pairs of N (Q + J - r - P max
    Q)^2 with the empirical rewards r and kernel P: what is left is the hypothesis's own error.

    Examples:
        >>> seen = optimism.counted(optimism.no_counts(2, 2), steps)
        >>> print(optimism.discrepancy(seen, jnp.zeros((2, 2)), 6.0))  # of rewards of 0 and 8
        40.0
    """
    model = empirical(counts)
    future = model.discount[..., 0] * dp.expect(model, values.max(-1))
    error = values + gain - model.reward[..., 0] - future
    return (counts.visits * error**2).sum()


def lazy_optimism(
    known: Hypotheses, radius: float | Array, patience: float | Array = 3.0
) -> Learner:
    """Return the learner that follows the most promising hypothesis until data contradict it.

    It replaces its hypothesis only when the `discrepancy` of that is above patience * radius, by
    the one of the highest gain among those whose discrepancy is at most `radius`, or by the
    likeliest if there is none. So it seldom switches. With a radius of 0 it follows the likeliest
    one and does not explore. Raises `InputError` if the radius is negative. Source: LOOP of He,
    Zhong and Yang (2024), "Sample-efficient learning of infinite-horizon average-reward MDPs with
    general function approximation", https://arxiv.org/abs/2404.12648, for a finite class.

    Examples:
        >>> known = optimism.Hypotheses(jnp.array([[[0.0, 1.0], [1.0, 0.0]]]), jnp.array([8.0]))
        >>> learner = optimism.lazy_optimism(known, radius=1.0)
        >>> print(learner.plan(learner.init(), jax.random.key(0))[1])
        [[0. 1.]
         [1. 0.]]
    """
    require_non_negative(radius=radius)
    require_positive(patience=patience)
    _, states, actions = known.values.shape

    def init() -> Lazy:
        return Lazy(no_counts(states, actions), jnp.argmax(known.gain), jnp.int32(0))

    def plan(state: Lazy, key: Key) -> tuple[Lazy, Array]:
        excess = jax.vmap(discrepancy, (None, 0, 0))(state.counts, *known)
        now = jnp.asarray(state.plan)
        stale = excess[now] > patience * radius
        within = excess <= jnp.maximum(radius, excess.min())
        best = jnp.argmax(jnp.where(within, known.gain, -jnp.inf))
        index = jnp.where(stale, best, now)
        policy = greedy_policy(jnp.take(known.values, index, 0))
        return Lazy(state.counts, index, state.switches + stale), policy

    return Learner(init, plan, _lazily_counted)


def ucrl2(states: int, actions: int, scale: float | Array, sweeps: int = 100) -> Learner:
    """Return the learner that plans in the best process near the one that was seen.

    Kernels may differ from the frequencies by scale sqrt(S / N) in the L1 norm, and mean rewards by
    scale / sqrt(N) up to 1. It plans anew when the visits of some pair have doubled, by `sweeps` of
    extended value iteration. Raises `InputError` unless there are sweeps, or if the scale is
    negative. Source: Jaksch, Ortner and Auer (2010), "Near-optimal regret bounds for reinforcement
    learning", https://www.jmlr.org/papers/v11/jaksch10a.html.

    Examples:
        >>> before, policy = optimism.ucrl2(2, 2, scale=1.0).init().plan
        >>> print(policy[0])
        [0.5 0.5]
    """
    require_positive(sweeps=sweeps)
    require_non_negative(scale=scale)

    def init() -> Lazy:
        counts = no_counts(states, actions)
        even = jnp.full_like(counts.visits, 1 / actions)
        return Lazy(counts, (counts.visits, even), jnp.int32(0))

    def extended(counts: Counts) -> Array:
        visits = jnp.maximum(counts.visits, 1)
        width = scale / jnp.sqrt(visits)
        model = empirical(counts)
        reward = jnp.where(counts.visits > 0, jnp.minimum(model.reward[..., 0] + width, 1.0), 1.0)
        spread = jnp.where(counts.visits > 0, width * jnp.sqrt(states), 2.0)

        def sweep(value: Array, _: None) -> tuple[Array, None]:
            q = reward + best_near(model.transition, spread, value) @ value
            # Mixed with the old value, so that periodic processes converge too.
            new = (q.max(-1) + value) / 2
            return new - new.min(), None

        value = jax.lax.scan(sweep, jnp.zeros(states), None, sweeps)[0]
        return reward + best_near(model.transition, spread, value) @ value

    def plan(state: Lazy, key: Key) -> tuple[Lazy, Array]:
        before, policy = (jnp.asarray(x) for x in state.plan)
        visits = state.counts.visits
        stale = (visits >= 2 * jnp.maximum(before, 1)).any()
        policy = jnp.where(stale, greedy_policy(extended(state.counts)), policy)
        before = jnp.where(stale, visits, before)
        return Lazy(state.counts, (before, policy), state.switches + stale), policy

    return Learner(init, plan, _lazily_counted)


def best_near(kernel: Array, radius: Array, value: Array) -> Array:
    """Return the distributions [..., S] of the highest expected value [S] near a kernel [..., S].

    They are within the `radius` [...] of the L1 norm: half of it moves to the best state, from the
    worst ones.

    Examples:
        >>> even, radius = jnp.array([0.5, 0.5]), jnp.array(0.5)
        >>> print(optimism.best_near(even, radius, jnp.array([0.0, 8.0])))
        [0.25 0.75]
    """
    anywhere = jnp.ones(value.shape, bool)
    return moved(-value, kernel, radius[..., None] / 2, anywhere).weights


def learn_on(
    learner: Learner, mdp: dp.TabularMDP, blocks: int, length: int, key: Key
) -> tuple[Tree, Array]:
    """Return the last state of a learner, and the rewards [blocks, length] of one long episode.

    The learner plans before each block of steps. Raises `InputError` unless there are steps.

    Examples:
        >>> known = optimism.Hypotheses(jnp.array([[[0.0, 1.0], [1.0, 0.0]]]), jnp.array([8.0]))
        >>> learner = optimism.lazy_optimism(known, radius=1.0)
        >>> print(optimism.learn_on(learner, mdp, 5, 1, jax.random.key(1))[1][-1])
        [8.]
    """
    require_positive(blocks=blocks, length=length)
    mdp = dp.dense(mdp)
    reward = jnp.broadcast_to(mdp.reward, mdp.transition.shape)

    def block(carry: tuple[Tree, Array], key: Key) -> tuple[tuple[Tree, Array], Array]:
        learning, state = carry
        k_plan, k_play = jax.random.split(key)
        learning, policy = learner.plan(learning, k_plan)

        def step(state: Array, noise: Array) -> tuple[Array, Steps]:
            action = draw(policy[state], noise[0])
            following = draw(mdp.transition[state, action], noise[1])
            one, paid = jnp.ones(()), reward[state, action, following]
            return following, Steps(state, action, paid, one, following, one)

        state, steps = jax.lax.scan(step, state, jax.random.uniform(k_play, (length, 2)))
        return (learner.observe(learning, steps), state), steps.reward

    k_first, k_blocks = jax.random.split(key)
    first = draw(mdp.initial, jax.random.uniform(k_first))
    keys = jax.random.split(k_blocks, blocks)
    (learning, _), rewards = jax.lax.scan(block, (learner.init(), first), keys)
    return learning, rewards


def _lazily_counted(state: Lazy, steps: Steps) -> Lazy:
    return state._replace(counts=counted(state.counts, steps))
