"""Learning from comparisons of segments that are judged by their regret or by their rewards.

Knox et al. (2024) hold that people prefer segments by their regret, and that a reward which is
fitted under this assumption leads to better policies than one under which segments are worth the
sum of their rewards. Hejna et al. (2024) learn the policy itself from the same comparisons, without
a reward (CPL). The processes are random small worlds with walls, segments have three steps, and all
solutions are exact: values by dynamic programming, with implicit derivatives.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp
from jaxrl.errors import require_positive
from jaxrl.rewards import boltzmann, bradley_terry, log_likelihood, partial_return, regret
from jaxrl.rewards.segments import summed
from jaxrl.types import Array, Key, Transition

TITLE = "Share of the way from random actions to the best policy, by judge, learner and comparisons"
SIDE, ACTIONS, LENGTH, GAMMA, ALPHA, NOISE = 4, 4, 3, 0.9, 0.1, 0.3
STATES = SIDE * SIDE
NUMBERS = (30, 100, 300)
LEARNERS = ("sums of rewards", "regrets", "CPL", "CPL, bias 0.5", "cloning what is preferred")


@dataclass(frozen=True)
class Options:
    """Learn from comparisons in small worlds, exactly."""

    seeds: int = 24
    """Number of random worlds, each with its own comparisons."""
    steps: int = 200
    """Number of gradient steps of each learner, on all comparisons at once."""
    out: Path = Path(".reproductions/comparisons")
    """Folder in which the table, the numbers and the picture are written."""


def worlds(seeds: int) -> dp.TabularMDP:
    """Random worlds of 4 x 4 cells: each step costs, cells pay or cost, and one is the goal."""
    state = np.arange(STATES)
    row, column = state // SIDE, state % SIDE
    moves = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])
    to = np.clip(row[:, None] + moves[:, 0], 0, SIDE - 1) * SIDE
    to = to + np.clip(column[:, None] + moves[:, 1], 0, SIDE - 1)
    made = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        goal = rng.integers(STATES)
        paid = -0.1 - (rng.random(STATES) < 0.3) * 1.0
        paid[goal] = 1.0
        p = np.eye(STATES)[to]
        r = np.broadcast_to(paid[to][..., None], p.shape)
        goes_on = np.broadcast_to((state != goal).astype(float), p.shape)
        start = (state != goal) / (STATES - 1)
        made.append(dp.from_arrays(p, r, goes_on, start))
    return dp.stacked(made)


def segments(mdp: dp.TabularMDP, key: Key, number: int) -> Transition:
    """Segments [3, N] of random actions from random states; those that end are shorter."""
    k_start, k_act = jax.random.split(key)
    start = jax.random.categorical(k_start, jnp.log(mdp.initial), shape=(number,))

    def step(carry: tuple[Array, Array], key: Key) -> tuple[tuple[Array, Array], Transition]:
        state, there = carry
        action = jax.random.randint(key, (number,), 0, ACTIONS)
        new = mdp.transition[state, action].argmax(-1)
        goes_on = mdp.discount[state, action, new]
        eye = jnp.eye(STATES)
        data = Transition(eye[state], action, mdp.reward[state, action, new], goes_on,
                          goes_on == 0, eye[new], (), there)  # fmt: skip
        return (new, there * goes_on), data

    return jax.lax.scan(step, (start, jnp.ones(number)), jax.random.split(k_act, LENGTH))[1]


def of_table(table: Array) -> Callable[[Array, Array], Array]:
    """The entries of a table [S, A] at observations and actions."""
    return lambda obs, action: (obs @ table * jax.nn.one_hot(action, ACTIONS)).sum(-1)


def soft_advantage(mdp: dp.TabularMDP) -> Array:
    """The optimal advantages [S, A] with a small entropy bonus."""
    q = dp.soft_value_iteration(mdp, GAMMA, ALPHA, tolerance=1e-4, max_iterations=200).theta
    return q - ALPHA * jax.nn.logsumexp(q / ALPHA, -1, keepdims=True)


def paying(mdp: dp.TabularMDP, reward: Array) -> dp.TabularMDP:
    """The same world with a reward [S] of the cell that a step leads to."""
    return mdp._replace(reward=jnp.broadcast_to(reward, mdp.transition.shape))


def learnt(mdp: dp.TabularMDP, steps: int, number: Array, key: Key) -> Array:
    """The shares [judges, learners] of the way to the best policy, of the first comparisons."""
    keys = jax.random.split(key, 4)
    first, second = (segments(mdp, k, max(NUMBERS)) for k in keys[:2])
    used = (jnp.arange(max(NUMBERS)) < number) / number
    best = soft_advantage(mdp)

    def score_by(advantage: Array) -> Callable[[Transition], Array]:
        return regret(of_table(advantage), GAMMA)

    def descended(loss: Callable[[Array], Array], shape: tuple[int, ...]) -> Array:
        rule = optax.adam(optax.cosine_decay_schedule(0.1, steps))

        def step(carry: tuple, _: None) -> tuple[tuple, None]:
            x, opt = carry
            change, opt = rule.update(jax.grad(loss)(x), opt)
            return (x + change, opt), None

        zero = jnp.zeros(shape)
        return jax.lax.scan(step, (zero, rule.init(zero)), None, steps)[0][0]

    def policies(label: Array) -> Array:
        """The logits [learners, S, A] of each learner's policy."""

        def loss(score: Callable[[Transition], Array], bias: float = 1.0) -> Array:
            each = bradley_terry(1 / NOISE, bias=bias)(score(first), score(second), label)
            return (used * each).sum()

        small = lambda x: 1e-3 * jnp.square(x).sum()
        cells = lambda reward: lambda obs, action, final: final @ reward
        sums = descended(lambda r: loss(summed(cells(r), GAMMA)) + small(r), (STATES,))
        regrets = descended(
            lambda r: loss(score_by(soft_advantage(paying(mdp, r)))) + small(r), (STATES,)
        )
        log_prob = lambda theta: of_table(jax.nn.log_softmax(theta))
        table = (STATES, ACTIONS)

        def contrast(bias: float) -> Array:
            of = lambda theta: log_likelihood(log_prob(theta), ALPHA, GAMMA)
            return descended(lambda theta: loss(of(theta), bias) + small(ALPHA * theta), table)

        def imitation(theta: Array) -> Array:
            likely = log_likelihood(log_prob(theta))
            won = label * likely(first) + (1 - label) * likely(second)
            return -(used * won).sum() + small(ALPHA * theta)

        solved = [soft_advantage(paying(mdp, x)) / ALPHA for x in (sums, regrets)]
        own = [contrast(1.0), contrast(0.5), descended(imitation, table)]
        return jnp.stack([*solved, *own])

    def worth(policy: Array) -> Array:
        q = dp.policy_evaluation(mdp, policy, GAMMA, tolerance=1e-4, max_iterations=300).theta
        return mdp.initial @ (policy * q).sum(-1)

    top = worth(jax.nn.softmax(best / ALPHA))
    base = worth(jnp.full((STATES, ACTIONS), 1 / ACTIONS))
    judges = zip((score_by(best), partial_return(GAMMA)), keys[2:])
    labels = [boltzmann(score, NOISE)(k, first, second).label for score, k in judges]
    logits = jax.vmap(policies)(jnp.stack(labels))
    found = jax.vmap(jax.vmap(worth))(jax.nn.softmax(logits))
    return (found - base) / (top - base)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce comparisons", Options, arguments)
    require_positive(seeds=chosen.seeds, steps=chosen.steps)
    keys, mdps = jax.random.split(jax.random.key(0), chosen.seeds), worlds(chosen.seeds)
    one = lambda mdp, number, key: learnt(mdp, chosen.steps, number, key)
    run = jax.jit(jax.vmap(one, (0, None, 0)))
    numbers = tqdm(NUMBERS, unit=" numbers of comparisons")
    found = [np.asarray(run(mdps, jnp.float32(number), keys)) for number in numbers]
    shares = np.stack(found, -1)  # [seeds, judges, learners, numbers]
    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained", sharey=True)
    rows = []
    for j, (axes, judge) in enumerate(zip(panels, ("regret", "partial return"))):
        for i, name in enumerate(LEARNERS):
            band(axes, NUMBERS, shares[:, j, i], name)
            for n, number in enumerate(NUMBERS):
                mean, low, high = interval(shares[:, j, i, n])
                rows.append({"judge": judge, "learner": name, "comparisons": number,
                             "share": mean, "low": low, "high": high})  # fmt: skip
        axes.set(xscale="log", xlabel="comparisons", title=f"judged by {judge}", ylim=(0, 1.05))
        axes.minorticks_off()
        axes.set_xticks(NUMBERS, [str(number) for number in NUMBERS])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of the way to the best")
    panels[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
