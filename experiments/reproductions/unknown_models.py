"""Optimistic learners of models that are hidden, mixed or one of many hypotheses.

Latent processes that are told in hindsight (Zhou, Wang and Du 2023), exploration without rewards
(Zhang, Zhang and Gu 2023) and the average reward (He, Zhong and Yang 2024). Regret is exact, that
of the policies, but for the average reward, where it is that of the rewards; without rewards it is
how far plans for fifty rewards are from the best. Every learner with a number to choose has the
best of three, by ten seeds that are not reported.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import envs
from experiments import options
from experiments.reproductions.regret import SCALES, Entry, Measures, Problem, compare, learnt
from jaxrl import dp, optimism
from jaxrl.errors import require_positive
from jaxrl.types import Array, Key

TITLE = "Regret of learners of unknown models, and the power of time by which it grows"


@dataclass(frozen=True)
class Options:
    """Compare optimistic learners of unknown models with uniform, greedy and UCBVI learners."""

    seeds: int = 20
    """Number of seeds of each learner, beside those that choose its number."""
    share: float = 1.0
    """Share of the episodes of each problem that is played."""
    out: Path = Path(".reproductions/unknown-models")
    """Folder in which the table, the numbers and the picture are written."""


def latent_mdp(horizon: int, states: int = 3, actions: int = 2) -> optimism.LatentMDP:
    """Two random processes, in each of which what pays is what does not in the other."""
    rng = np.random.default_rng(1)
    reward = rng.random((states, actions))
    arrays = (
        np.array([0.6, 0.4]),
        rng.dirichlet(np.full(states, 0.4), (2, states, actions)),
        np.stack([reward, 1 - reward]) / horizon,
        np.full((2, states), 1 / states),
    )
    return optimism.LatentMDP(*(jnp.asarray(x, float) for x in arrays))


def latent(share: float) -> Problem:
    """Two processes, told in hindsight, in which returns are at most 1 whatever the horizon."""
    episodes = int(600 * share)

    def problem(horizon: int) -> tuple:
        process = latent_mdp(horizon)
        best = optimism.latent_return(process, optimism.latent_values(process, horizon)[1])
        value, play = partial(optimism.latent_return, process), optimism.latent_play(process)
        return process, lambda learner, key: learnt(learner, play, value, best, episodes, key)

    def ours(horizon: int, scale: Array, key: Key) -> Measures:
        process, of = problem(horizon)
        return of(optimism.latent_learner(process.reward.shape, horizon, scale), key)

    def uniform(_: Array, key: Key) -> Measures:
        process, of = problem(4)
        states, actions = process.reward.shape[1:]

        def plan(state: tuple, key: Key) -> tuple:
            policy = jax.random.randint(key, (4, states), 0, actions)
            return state, optimism.markov_histories(policy, actions)

        return of(optimism.fixed(())._replace(plan=plan), key)

    def blind(scale: Array, key: Key) -> Measures:
        """UCBVI, for which the two processes are one."""
        process, of = problem(4)
        states, actions = process.reward.shape[1:]
        width = optimism.hoeffding(scale)

        def plan(counts: optimism.Counts, key: Key) -> tuple:
            q = optimism.optimistic(counts, width, 4, most=1 / 4)
            return counts, optimism.markov_histories(q.argmax(-1), actions)

        def observe(counts: optimism.Counts, data: optimism.LatentSteps) -> optimism.Counts:
            one = jnp.ones_like(data.reward)
            taken = optimism.Steps(*data[1:4], one, data.following, one)
            return optimism.counted(counts, taken)

        start = optimism.no_counts(states, actions)
        return of(optimism.Learner(lambda: start, plan, observe), key)

    scales = (0.01, 0.03, 0.1)
    return Problem(
        "a process that is told in hindsight",
        "episodes",
        {
            "uniform": Entry(uniform),
            "UCBVI, process ignored": Entry(blind, (0.01, 0.03, 0.1)),
            "greedy": Entry(partial(ours, 4)),
            **{f"optimistic, horizon {h}": Entry(partial(ours, h), scales) for h in (3, 4, 5)},
        },
    )


def mixed_rivers(states: int = 6) -> Array:
    """Kernels [3, S, A, S] of a river that differ in what the actions do in its upper third.

    Below, the second action swims up with probability 1/2 and the first drifts down. Above, the
    second action goes up in the first kernel, the first one in the second, and none in the third.
    """
    p = np.zeros((3, states, 2, states))
    for s in range(states):
        up, down = min(s + 1, states - 1), max(s - 1, 0)
        if s < 2 * states // 3:
            p[:, s, 0, down] += 1
            p[:, s, 1, up] += 0.5
            p[:, s, 1, down] += 0.5
            continue
        for kernel, action in ((0, 1), (1, 0)):
            p[kernel, s, action, up] += 1
            p[kernel, s, 1 - action, down] += 1
        p[2, s, :, down] += 1
    return jnp.asarray(p, float)


def reward_free(share: float) -> Problem:
    """The river of unknown mixture; regret is how far plans for fifty rewards are from the best."""
    kernels, truth, episodes = mixed_rivers(), jnp.array([0.2, 0.6, 0.2]), int(150 * share)
    states, actions = kernels.shape[1:3]
    kernel = optimism.mixed_kernel(kernels, truth)
    ones = jnp.ones((states, actions, 1))
    mdp = dp.TabularMDP(kernel, 0 * ones, ones, jnp.eye(states)[0])
    # Most of what pays is upstream.
    paying = jnp.where(jnp.arange(states) < 2 * states // 3, 0.05, 1.0)[:, None]
    rewards = paying * jax.random.uniform(jax.random.key(1), (50, states, actions))

    def shortfall(horizon: int, estimate: Array) -> Array:
        """The mean regret of plans in an estimated kernel."""

        def of(reward: Array) -> Array:
            paid = mdp._replace(reward=reward[..., None] / horizon)
            plan = dp.finite_horizon(paid._replace(transition=estimate), horizon)
            policy = optimism.greedy_policy(plan)
            return optimism.best_return(paid, horizon) - optimism.episode_return(paid, policy)

        return jax.vmap(of)(rewards).mean()

    def run(horizon: int, powers: int, explores: bool, number: Array, key: Key) -> Measures:
        learner = optimism.reward_free(kernels, horizon, number, powers=powers)
        if not explores:
            policy = jnp.full((horizon, states, actions), 1 / actions)
            learner = learner._replace(plan=lambda fit, key: (fit, policy))

        def measure(fit: optimism.MixtureFit, policy: Array) -> Measures:
            theta = optimism.coefficients(fit)[0]
            return {"regret": shortfall(horizon, optimism.mixed_kernel(kernels, theta))}

        play = optimism.tabular_play(mdp, horizon)
        return optimism.learn(learner, play, measure, episodes, key)[1]

    def counting(scale: Array, key: Key) -> Measures:
        """UCBVI without rewards, which knows nothing of mixtures: its widths are its rewards."""
        width = optimism.hoeffding(scale)
        critic = lambda counts: optimism.optimistic(counts, width, 10)
        learner = optimism.planner(states, actions, critic)

        def measure(counts: optimism.Counts, policy: Array) -> Measures:
            seen = optimism.empirical(counts).transition
            return {"regret": shortfall(10, seen)}

        return optimism.learn(learner, optimism.tabular_play(mdp, 10), measure, episodes, key)[1]

    radii = (0.1, 0.3, 1.0)
    return Problem(
        "exploration without rewards",
        "episodes",
        {
            "uniform": Entry(partial(run, 10, 3, False), radii),
            "UCBVI, widths as rewards": Entry(counting, SCALES),
            "without weights": Entry(partial(run, 10, 1, True), radii),
            "HF-UCRL-RFE++": Entry(partial(run, 10, 3, True), radii),
            "HF-UCRL-RFE++, horizon 40": Entry(partial(run, 40, 3, True), radii),
        },
    )


def swim(strength: float, left: float, length: int = 8) -> dp.TabularMDP:
    """RiverSwim with another strength of the swimmer, and another reward for drifting."""
    mdp = envs.tabular_mdp("RiverSwim", length=length)
    p, r, d, initial = (np.asarray(x, np.float64).copy() for x in mdp[:4])
    for s in range(1, length - 1):
        p[s, 1, s + 1], p[s, 1, s] = strength, 0.9 - strength
    r[0, 0] = left
    return dp.from_arrays(p, r, d, initial)


def average(share: float) -> Problem:
    """RiverSwim of eight states in one long episode, and fifty hypotheses of which one is true."""
    strengths, lefts = np.linspace(0.1, 0.55, 10), (0.0005, 0.05, 0.1, 0.2, 0.4)
    mdps = dp.stacked(swim(x, y) for y in lefts for x in strengths)
    known = optimism.hypotheses(mdps)
    true = 4  # a strength of 0.3 and a reward of 0.0005, as in RiverSwim itself
    mdp, gain, blocks = jax.tree.map(lambda x: x[true], mdps), known.gain[true], int(600 * share)

    def of(learner: optimism.Learner, key: Key) -> Measures:
        state, rewards = optimism.learn_on(learner, mdp, blocks, 20, key)
        lazy = {"switches": state.switches[None]} if isinstance(state, optimism.Lazy) else {}
        return {"regret": (gain - rewards).reshape(-1)} | lazy

    uniform = optimism.fixed(jnp.full((8, 2), 0.5))
    hopeful = lambda radius, key: of(optimism.lazy_optimism(known, radius), key)
    return Problem(
        "the average reward",
        "steps",
        {
            "uniform": Entry(lambda _, key: of(uniform, key)),
            "greedy: the likeliest hypothesis": Entry(hopeful),
            "UCRL2": Entry(lambda scale, key: of(optimism.ucrl2(8, 2, scale, 50), key), SCALES),
            "LOOP": Entry(hopeful, (1.0, 10.0, 100.0)),
        },
    )


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce unknown-models", Options, arguments)
    require_positive(seeds=given.seeds, share=given.share)
    problems = [make(given.share) for make in (latent, reward_free, average)]
    compare(problems, given.seeds, given.out, TITLE)
