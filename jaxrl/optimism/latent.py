"""Latent processes: one of M processes is drawn for an episode and told only afterwards.

The best policy depends on the history. Its value is linear in the weights of the processes: for
each history there is a vector alpha [M] of the expected rewards to come in each of them, and an
action is best if it has the largest sum of alphas weighted by the probability of process and
history. Histories are enumerated, S (A S)^h of them after h steps, so horizons must be short.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxrl.errors import require_non_negative, require_positive
from jaxrl.optimism.learning import Learner, Play, draw
from jaxrl.types import Array, Key

Histories = tuple[Array, ...]
"""An array for each time: the h-th is [N_h, S, ...], of the N_h = (S A)^h histories of a state."""


class LatentMDP(NamedTuple):
    """A mixture of M processes of S states and A actions, whose episodes do not terminate."""

    weights: Array  # [M] probabilities of the processes
    transition: Array  # [M, S, A, S]
    reward: Array  # [M, S, A]
    initial: Array  # [M, S]


class LatentCounts(NamedTuple):
    """Sums over the episodes that were seen of each process."""

    episodes: Array  # [M]
    first: Array  # [M, S] first states
    reward: Array  # [M, S, A] sum of the rewards
    moves: Array  # [M, S, A, S]


class LatentSteps(NamedTuple):
    """The steps of one episode, and its process, which is told in hindsight."""

    process: Array  # []
    state: Array  # [H]
    action: Array  # [H]
    reward: Array  # [H]
    following: Array  # [H]


def reach(latent: LatentMDP, horizon: int) -> Histories:
    """Return the probability [N_h, S, M] of each process and history, if its actions are taken.

    Divided by its sum over processes it is the belief. Raises `InputError` unless there is a step.

    Examples:
        >>> print(optimism.reach(twins, horizon=1)[0][0, 0])
        [0.75 0.25]
    """
    require_positive(horizon=horizon)
    states = latent.initial.shape[1]
    levels = [(latent.weights[:, None] * latent.initial).T[None]]
    for _ in range(horizon - 1):
        following = jnp.einsum("nsm,msat->nsatm", levels[-1], latent.transition)
        levels.append(following.reshape(-1, states, following.shape[-1]))
    return tuple(levels)


def latent_values(
    latent: LatentMDP,
    horizon: int,
    width: Array | None = None,
    variance: float | Array = 0.0,
    most: float | Array = jnp.inf,
) -> tuple[Array, Histories]:
    """Return the alphas [S, M] at the start, and the actions [N_h, S] after each history.

    Backwards over histories, alpha_m = min(r_m + P_m alpha_m + b_m, most), and the action is the
    best for the probabilities of `reach`. The bonus b_m = max(sqrt(variance Var(alpha_m) w_m), w_m)
    with the `width` w [M, S, A] has Bernstein's form; without a width there is none, and the
    actions are optimal. Raises `InputError` unless there is a step.

    Examples:
        >>> alpha, actions = optimism.latent_values(twins, horizon=1)
        >>> print(alpha[0], actions[0])  # the first action is right in the first process
        [1. 0.] [[0]]
    """
    processes, states, choices = latent.reward.shape
    bonus = jnp.zeros_like(latent.reward) if width is None else width
    levels, kernel = reach(latent, horizon), latent.transition
    future = jnp.zeros(((states * choices) ** horizon, states, processes))
    actions: list[Array] = []
    for belief in reversed(levels):
        # The alphas of the successors of each history, action and process.
        future = future.reshape(-1, states, choices, states, processes)
        first = jnp.einsum("nsatm,msat->nsam", future, kernel)
        second = jnp.einsum("nsatm,msat->nsam", future**2, kernel)
        spread = jnp.maximum(second - first**2, 0.0)
        by_pair = jnp.moveaxis(bonus, 0, -1)  # [S, A, M]
        hope = jnp.maximum(jnp.sqrt(variance * spread * by_pair), by_pair)
        alpha = jnp.minimum(jnp.moveaxis(latent.reward, 0, -1) + first + hope, most)
        chosen = (belief[:, :, None] * alpha).sum(-1).argmax(-1)
        actions.append(chosen)
        future = jnp.take_along_axis(alpha, chosen[..., None, None], 2)[:, :, 0]
    return future[0], tuple(reversed(actions))


def latent_return(latent: LatentMDP, actions: Histories) -> Array:
    """Return the expected return [] of a policy, its actions [N_h, S] after each history.

    Examples:
        >>> print(optimism.latent_return(twins, (jnp.array([[1]]),)))
        0.25
    """
    states, choices = latent.reward.shape[1:]
    belief, total = (latent.weights[:, None] * latent.initial).T[None], jnp.zeros(())
    for chosen in actions:
        taken = jax.nn.one_hot(chosen, choices)  # [N_h, S, A]
        total += jnp.einsum("nsm,nsa,msa->", belief, taken, latent.reward)
        belief = jnp.einsum("nsm,nsa,msat->nsatm", belief, taken, latent.transition)
        belief = belief.reshape(-1, states, belief.shape[-1])
    return total


def latent_play(latent: LatentMDP) -> Play:
    """Return the `Play` of episodes under policies of actions [N_h, S] after each history.

    Examples:
        >>> print(optimism.latent_play(twins)((jnp.array([[1]]),), jax.random.key(0)).action)
        [1]
    """
    states, choices = latent.reward.shape[1:]

    def play(actions: Histories, key: Key) -> LatentSteps:
        noise = jax.random.uniform(key, (len(actions) + 2,))
        process = draw(latent.weights, noise[0])
        state, history, taken = draw(latent.initial[process], noise[1]), jnp.int32(0), []
        for chosen, uniform in zip(actions, noise[2:]):
            action = chosen[history, state]
            following = draw(latent.transition[process, state, action], uniform)
            reward = latent.reward[process, state, action]
            taken.append((state, action, reward, following))
            history = (history * states + state) * choices + action
            state = following
        return LatentSteps(process, *(jnp.stack(x) for x in zip(*taken)))

    return play


def markov_histories(policy: Array, actions: int) -> Histories:
    """Return the actions [N_h, S] of a policy [H, S] of the state alone, after each history.

    Examples:
        >>> print(optimism.markov_histories(jnp.array([[0], [1]]), actions=2)[1])
        [[1]
         [1]]
    """
    states = policy.shape[1]
    sizes = [(states * actions) ** time for time in range(policy.shape[0])]
    return tuple(jnp.broadcast_to(x, (n, states)) for x, n in zip(policy, sizes))


def estimated(counts: LatentCounts) -> LatentMDP:
    """Return the mixture of the frequencies that were seen; what was not is uniform and unpaid."""

    def share(x: Array) -> Array:
        total = x.sum(-1, keepdims=True)
        return jnp.where(total > 0, x / jnp.maximum(total, 1), 1 / x.shape[-1])

    visits = jnp.maximum(counts.moves.sum(-1), 1)
    return LatentMDP(
        share(counts.episodes), share(counts.moves), counts.reward / visits, share(counts.first)
    )


def latent_counted(counts: LatentCounts, steps: LatentSteps) -> LatentCounts:
    """Return the counts with those of an episode added, to the process that it was.

    Examples:
        >>> nothing = optimism.LatentCounts(
        ...     jnp.zeros(2), jnp.zeros((2, 1)), jnp.zeros((2, 1, 2)), jnp.zeros((2, 1, 2, 1))
        ... )
        >>> columns = 1, [0], [1], [1.0], [0]
        >>> one = optimism.LatentSteps(*(jnp.array(x) for x in columns))
        >>> print(optimism.latent_counted(nothing, one).episodes)
        [0. 1.]
    """
    m, pair = steps.process, (steps.process, steps.state, steps.action)
    return LatentCounts(
        counts.episodes.at[m].add(1.0),
        counts.first.at[m, steps.state[0]].add(1.0),
        counts.reward.at[pair].add(steps.reward),
        counts.moves.at[(*pair, steps.following)].add(1.0),
    )


def latent_learner(
    sizes: tuple[int, int, int],
    horizon: int,
    scale: float | Array,
    variance: float | Array = 2.0,
    most: float | Array = 1.0,
) -> Learner:
    """Return the optimistic learner of a latent process of `sizes` (M, S, A).

    It plans by `latent_values` in the mixture that was seen, with the width scale / N for pairs
    that were seen N times in a process, and alphas of at most `most`, the largest return of an
    episode, which is the width of pairs that were not seen. With `variance` 2 the bonus is of
    Bernstein's form with scale = log(1 / delta); the actions are the best for the beliefs in the
    mixture that was seen. With a `scale` of 0 it does not explore. Raises `InputError` if the scale
    is negative. Source: Zhou, Wang and Du (2023), "Horizon-free and variance-dependent
    reinforcement learning for latent Markov decision processes", https://arxiv.org/abs/2210.11604,
    the value-optimistic variant.

    Examples:
        >>> learner = optimism.latent_learner((2, 1, 2), horizon=2, scale=1.0)
        >>> print(learner.init().moves.shape)
        (2, 1, 2, 1)
    """
    require_non_negative(scale=scale, variance=variance)
    processes, states, actions = sizes
    explores = jnp.asarray(scale) > 0

    def init() -> LatentCounts:
        pairs = jnp.zeros((processes, states, actions))
        moves = jnp.zeros((processes, states, actions, states))
        return LatentCounts(jnp.zeros(processes), jnp.zeros((processes, states)), pairs, moves)

    def plan(counts: LatentCounts, key: Key) -> tuple[LatentCounts, Histories]:
        visits = counts.moves.sum(-1)
        unseen = jnp.where(explores, most, 0.0)
        width = jnp.where(visits > 0, scale / jnp.maximum(visits, 1), unseen)
        return counts, latent_values(estimated(counts), horizon, width, variance, most)[1]

    return Learner(init, plan, latent_counted)
