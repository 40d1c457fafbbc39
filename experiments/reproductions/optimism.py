"""Optimistic learners of small processes, beside uniform, greedy and UCBVI learners.

Optimistic actor-critic (Tan, Fan and Wei 2025) on a chain, conservative exploration (Li et al.
2023) above a threshold, and cascades (Du, Srikant and Chen 2024) of lists of items. Regret is
exact: that of the policies, not of what happened to them. Every learner with a number to choose has
the best of three, by ten seeds that are not reported.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from experiments import options
from experiments.reproductions.regret import (
    SCALES,
    Entry,
    Measures,
    Problem,
    baselines,
    compare,
    learnt,
)
from jaxrl import dp, optimism
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key, Tree

TITLE = "Regret of learners on small processes, and the power of time by which it grows"


@dataclass(frozen=True)
class Options:
    """Compare optimistic learners with uniform, greedy and UCBVI learners."""

    seeds: int = 20
    """Number of seeds of each learner, beside those that choose its number."""
    share: float = 1.0
    """Share of the episodes of each problem that is played."""
    out: Path = Path(".reproductions/optimism")
    """Folder in which the table, the numbers and the picture are written."""


def actor_critics(share: float) -> Problem:
    """A chain whose end pays 1, and whose beginning 0.01."""
    mdp, horizon, episodes = envs.tabular_mdp("chain", length=8, slip=0.1), 12, int(1500 * share)
    states, actions = mdp.transition.shape[:2]
    play, best = optimism.tabular_play(mdp, horizon), optimism.best_return(mdp, horizon)
    right = jnp.broadcast_to(jnp.array([0.25, 0.75]), (horizon, states, actions))

    def run(critic: optimism.Critic, step: Any, radius: Any, key: Key, **other: Any) -> Measures:
        learner = optimism.actor_critic(critic, states, actions, step, radius, **other)

        def measure(state: optimism.ActorCritic, policy: Array) -> Measures:
            regret = best - optimism.episode_return(mdp, policy)
            return {"regret": regret, "switches": state.switches}

        return optimism.learn(learner, play, measure, episodes, key)[1]

    def hopeful(scale: Array) -> optimism.Critic:
        return lambda counts: optimism.optimistic(counts, optimism.hoeffding(scale), horizon)

    def offline(key: Key) -> optimism.Counts:
        data = jax.vmap(play, (None, 0))(right, jax.random.split(key, 50))
        return optimism.counted(optimism.no_counts(states, actions), data)

    def hybrid(scale: Array, key: Key) -> Measures:
        k_data, key = jax.random.split(key)
        return run(hopeful(scale), 1.0, radius(scale), key, start=offline(k_data))

    def without(step: Array, key: Key) -> Measures:
        k_data, key = jax.random.split(key)
        known = partial(optimism.certain, horizon=horizon)
        return run(known, step, 1.0, key, start=offline(k_data))

    radius = lambda scale: 2 * states * actions * scale**2
    rare = lambda scale, key: run(hopeful(scale), 1.0, radius(scale), key)
    each = lambda scale, key: run(hopeful(scale), 1.0, 0.0, key, reset=False)
    return Problem(
        "actor-critic on a chain",
        "episodes",
        {
            **baselines(mdp, horizon, episodes),
            "optimistic actor-critic": Entry(rare, SCALES),
            "the same, a new critic each episode": Entry(each, SCALES),
            "with offline data": Entry(hybrid, SCALES),
            "with offline data, no optimism": Entry(without, (0.3, 1.0, 3.0)),
        },
    )


def conservative(share: float) -> Problem:
    """A random process, in which no episode may be worth less than 0.9 of a baseline."""
    mdp, horizon, episodes = envs.tabular_mdp("garnet", states=6, actions=3), 5, int(2000 * share)
    least, most = mdp.reward.min(), mdp.reward.max()
    mdp = mdp._replace(reward=(mdp.reward - least) / (most - least))
    play, best = optimism.tabular_play(mdp, horizon), optimism.best_return(mdp, horizon)
    baseline = jax.nn.softmax(4 * dp.finite_horizon(mdp, horizon))
    threshold = 0.9 * optimism.episode_return(mdp, baseline)
    value = partial(optimism.episode_return, mdp)

    def of_mixture(state: Tree, mixture: optimism.Mixture) -> Measures:
        first, second = jax.vmap(value)(mixture.policies)
        worth = (1 - mixture.chance) * first + mixture.chance * second
        return {"regret": best - worth, "below": 1.0 * (worth < threshold - 1e-5)}

    def run(candidates: Callable, scale: Array, key: Key) -> Measures:
        learner = optimism.conservative(
            baseline, mdp.initial, optimism.hoeffding(scale), threshold, candidates=candidates
        )
        return optimism.learn(learner, optimism.mixture_play(play), of_mixture, episodes, key)[1]

    def from_data(scale: Array, key: Key) -> Measures:
        """With a baseline that is the best by lower bounds in 100 episodes of the true one."""
        k_data, key = jax.random.split(key)
        data = jax.vmap(play, (None, 0))(baseline, jax.random.split(k_data, 100))
        start = optimism.counted(optimism.no_counts(*mdp.reward.shape[:2]), data)
        width = optimism.hoeffding(scale)
        safe = optimism.greedy_policy(optimism.pessimistic(start, width, horizon))
        learner = optimism.conservative(safe, mdp.initial, width, threshold, start=start)
        return optimism.learn(learner, optimism.mixture_play(play), of_mixture, episodes, key)[1]

    def told(entry: Entry) -> Entry:
        """The same learner, with the share of its episodes that are below the threshold."""

        def run(number: Array, key: Key) -> Measures:
            found = entry.run(number, key)
            return found | {"below": 1.0 * (best - found["regret"] < threshold - 1e-5)}

        return Entry(run, entry.grid)

    alone = Entry(lambda _, key: learnt(optimism.fixed(baseline), play, value, best, episodes, key))
    others = baselines(mdp, horizon, episodes) | {"the baseline": alone}
    return Problem(
        "a threshold in each episode",
        "episodes",
        {name: told(entry) for name, entry in others.items()}
        | {
            "StepMix": Entry(partial(run, optimism.step_mixtures), SCALES),
            "EpsMix": Entry(partial(run, optimism.whole_episodes), SCALES),
            "StepMix, baseline from data": Entry(from_data, SCALES),
        },
    )


def cascade(states: int = 4, items: int = 6, seed: int = 0) -> optimism.Cascade:
    """A random cascade, in which most items that attract are not worth much."""
    rng = np.random.default_rng(seed)
    attraction = 0.1 + 0.8 * rng.random((states, items))
    arrays = (
        attraction,
        rng.random((states, items)) * (1.1 - attraction),
        rng.dirichlet(np.full(states, 0.3), (states, items + 1)),
        np.full(states, 1 / states),
    )
    return optimism.Cascade(*(jnp.asarray(x, float) for x in arrays))


def ordered_lists(items: int, length: int) -> Array:
    """All ordered lists [A, length] of at most `length` items, padded with `items`."""
    every = [x for k in range(length + 1) for x in itertools.permutations(range(items), k)]
    return jnp.array([list(x) + [items] * (length - len(x)) for x in every])


def cascades(share: float) -> Problem:
    """Lists of at most three of six items, in four states."""
    process, horizon, length, episodes = cascade(), 4, 3, int(1000 * share)
    states, items = process.attraction.shape
    lists = ordered_lists(items, length)
    value, play = partial(optimism.list_return, process), optimism.cascade_play(process)
    best = process.initial @ optimism.cascading_values(process, horizon, length)[0][0]
    of = lambda learner, key: learnt(learner, play, value, best, episodes, key)

    def mixed(learner: optimism.Learner, epsilon: Array | float) -> optimism.Learner:
        """The learner that shows a random list with probability epsilon."""

        def plan(state: Tree, key: Key) -> tuple[Tree, Array]:
            k_plan, k_list, k_which = jax.random.split(key, 3)
            state, best = learner.plan(state, k_plan)
            shape = horizon, states
            random = lists[jax.random.randint(k_list, shape, 0, len(lists))]
            which = jax.random.uniform(k_which, shape) < epsilon
            return state, jnp.asarray(jnp.where(which[..., None], random, best))

        return learner._replace(plan=plan)

    first = jnp.broadcast_to(lists[0], (horizon, states, length))
    random = lambda _, key: of(mixed(optimism.fixed(first), 1.0), key)
    known = optimism.cascading(states, items, horizon, length, 0.0)
    greedy = lambda epsilon, key: of(mixed(known, epsilon), key)

    def enumerated(scale: Array, key: Key) -> Measures:
        """UCBVI for which each list is an action that has nothing to do with the others."""
        width = optimism.hoeffding(scale)

        def plan(counts: optimism.Counts, key: Key) -> tuple[optimism.Counts, Array]:
            return counts, lists[optimism.optimistic(counts, width, horizon).argmax(-1)]

        def observe(counts: optimism.Counts, data: optimism.CascadeSteps) -> optimism.Counts:
            action = (lists == data.items[:, None]).all(-1).argmax(-1)
            one = jnp.ones_like(data.reward)
            taken = optimism.Steps(data.state, action, data.reward, one, data.following, one)
            return optimism.counted(counts, taken)

        start = optimism.no_counts(states, len(lists))
        return of(optimism.Learner(lambda: start, plan, observe), key)

    ours = lambda scale, key: of(optimism.cascading(states, items, horizon, length, scale), key)
    return Problem(
        "lists of items",
        "episodes",
        {
            "uniform": Entry(random),
            "greedy, epsilon": Entry(greedy, (0.02, 0.1, 0.3)),
            "UCBVI, each list an action": Entry(enumerated, SCALES),
            "CascadingVI": Entry(ours, (0.03, 0.1, 0.3)),
        },
    )


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce optimism", Options, arguments)
    require_positive(seeds=given.seeds, share=given.share)
    problems = [make(given.share) for make in (actor_critics, conservative, cascades)]
    compare(problems, given.seeds, given.out, TITLE)
