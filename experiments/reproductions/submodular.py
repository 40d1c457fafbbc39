"""Policy gradients of what an episode covers, beside rewards that know nothing of the past.

Prajapat et al. (2024): with the marginal gains of a submodular function as rewards, a policy
gradient maximises what a whole episode is worth (SubPO). On random maps, where each cell covers its
neighbourhood and one cell is worth most, it is compared with the gradient of single gains, as a
released script has it, with the rewards of cells as if each were the first, with the walk that
takes the largest gain at each step, and with the best of all policies. Policies know the time and
the cell, or what was visited as well, which matters only where moves slip. Each has the best of
three learning rates, by five maps that are not reported.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from envs.mdps import move
from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import policy_gradients
from jaxrl.errors import require_positive
from jaxrl.rewards import SetFunction, coverage
from jaxrl.types import Array, Key

TITLE = "Share of the value of the best policy, by what steps are rewarded for and by slips"
SIDE, STEPS, BATCH, TUNING = 4, 6, 32, 5
CELLS = SIDE * SIDE
RATES = (0.03, 0.1, 0.3)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
KINDS = ("SubPO", "SubPO, history", "single gains", "rewards of cells")
SLIPS = (0.0, 0.4)  # the probability that a move is a random one


@dataclass(frozen=True)
class Options:
    """Compare rewards of steps for the value of a whole walk."""

    maps: int = 20
    """Number of random maps, each with a policy of its own."""
    rounds: int = 300
    """Number of gradients, of 32 walks each."""
    out: Path = Path(".reproductions/submodular")
    """Folder in which the table, the numbers and the picture are written."""


def successors() -> Array:
    """The successors [S, 4] of cells."""
    to = [[move(cell, *by, SIDE, SIDE) for by in MOVES] for cell in range(CELLS)]
    return jnp.array(to)


class Map(NamedTuple):
    """What cells cover, and what is covered is worth."""

    near: Array  # [S, S] whether a cell covers another
    weights: Array  # [S]

    @property
    def value(self) -> SetFunction:
        """The worth of visited cells."""
        return coverage(self.near, self.weights)


def drawn(key: Key) -> Map:
    """A map: each cell covers itself and its neighbours, and one cell is worth five others."""
    k_weights, k_hot = jax.random.split(key)
    near = jax.nn.one_hot(successors(), CELLS).sum(1) + jnp.eye(CELLS) > 0
    weights = jax.random.uniform(k_weights, (CELLS,))
    hot = jax.random.randint(k_hot, (), 0, CELLS)
    return Map(near, weights.at[hot].add(5.0))


class Walks(NamedTuple):
    """Walks of STEPS steps from the first corner; B of them if batched."""

    cells: Array  # [STEPS] where a step begins
    visited: Array  # [STEPS, CELLS] bool, what was visited until then
    action: Array  # [STEPS]
    gain: Array  # [STEPS] of the value
    after: Array  # [STEPS] where it leads


def walked(ground: Map, slip: float | Array, choose: Callable, key: Key) -> Walks:
    """A walk of `choose(time, cell, visited, key) -> action`."""
    to, value = successors(), ground.value

    def step(carry: tuple, inputs: tuple) -> tuple[tuple, Walks]:
        cell, visited = carry
        time, key = inputs
        k_choose, k_slip, k_move = jax.random.split(key, 3)
        action = choose(time, cell, visited, k_choose)
        slips = jax.random.uniform(k_slip) < slip
        after = to[cell, jnp.where(slips, jax.random.randint(k_move, (), 0, 4), action)]
        seen = visited | (jax.nn.one_hot(after, CELLS) > 0)
        gain = value(seen) - value(visited)
        return (after, seen), Walks(cell, visited, action, gain, after)

    start = jnp.int32(0), jnp.arange(CELLS) == 0
    return jax.lax.scan(step, start, (jnp.arange(STEPS), jax.random.split(key, STEPS)))[1]


def greedy(ground: Map, slip: float | Array) -> Callable:
    """The choice of the largest expected gain of the next step."""
    to = successors()

    def choose(time: Array, cell: Array, visited: Array, key: Key) -> Array:
        after = visited | (jax.nn.one_hot(to[cell], CELLS) > 0)
        worth = ground.value(after)
        return ((1 - slip) * worth + slip * worth.mean()).argmax()

    return choose


def best_policy(ground: Map, slip: float) -> float:
    """The value of the best policy that knows what was visited, by enumeration on the host."""
    to, weights = np.asarray(successors()).tolist(), np.asarray(ground.weights, np.float64)
    covers = [sum(1 << int(i) for i in np.flatnonzero(row)) for row in np.asarray(ground.near)]

    @cache
    def worth(covered: int) -> float:
        return sum(weights[i] for i in range(CELLS) if covered >> i & 1)

    @cache
    def best(steps: int, cell: int, covered: int) -> float:
        if not steps:
            return worth(covered)
        each = [best(steps - 1, cell, covered | covers[cell]) for cell in to[cell]]
        return (1 - slip) * max(each) + slip * sum(each) / len(each)

    return best(STEPS, 0, covers[0])


def learnt(kind: str, rounds: int, slip: Array, rate: Array, key: Key) -> Array:
    """The mean value [rounds] of the walks of each round, on the map of a key."""
    k_map, k_rounds = jax.random.split(key)
    ground, rule = drawn(k_map), optax.adam(rate)
    value = ground.value
    first, alone = value(jnp.arange(CELLS) == 0), value(jnp.eye(CELLS, dtype=bool))

    def logits(theta: dict, time: Array, cell: Array, visited: Array) -> Array:
        known = theta["table"][time, cell]
        if kind != "SubPO, history":
            return known
        return known + jnp.einsum("...s,...sa->...a", visited, theta["visited"][cell])

    def one(carry: tuple, key: Key) -> tuple:
        theta, state = carry
        choose = lambda time, cell, visited, key: jax.random.categorical(
            key, logits(theta, time, cell, visited)
        )
        walk = partial(walked, ground, slip, choose)
        walks = jax.vmap(walk)(jax.random.split(key, BATCH))  # [BATCH, STEPS]
        reward = alone[walks.after] if kind == "rewards of cells" else walks.gain
        reward = reward - reward.mean(0)  # a baseline of the time

        def loss(theta: dict) -> Array:
            out = logits(theta, jnp.arange(STEPS), walks.cells, walks.visited)
            log_probs = jax.nn.log_softmax(out)
            log_prob = jnp.take_along_axis(log_probs, walks.action[..., None], -1)[..., 0]
            if kind == "single gains":
                return -(log_prob * reward).sum(1).mean()
            ones = jnp.ones_like(reward.T)
            return -policy_gradients.differentiable_return(log_prob.T, reward.T, ones)

        change, state = rule.update(jax.grad(loss)(theta), state, theta)
        reached = first + walks.gain.sum(1).mean()
        return (optax.apply_updates(theta, change), state), reached

    table, visited = jnp.zeros((STEPS, CELLS, 4)), jnp.zeros((CELLS, CELLS, 4))
    theta = {"table": table, "visited": visited}
    return jax.lax.scan(one, (theta, rule.init(theta)), jax.random.split(k_rounds, rounds))[1]


def greedily(slip: Array, key: Key, walks: int = 256) -> Array:
    """The mean value [] of greedy walks on the map of a key."""
    k_map, k_walks = jax.random.split(key)
    ground = drawn(k_map)
    walk = partial(walked, ground, slip, greedy(ground, slip))
    gain = jax.vmap(walk)(jax.random.split(k_walks, walks)).gain.sum(1).mean()
    return ground.value(jnp.arange(CELLS) == 0) + gain


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce submodular", Options, arguments)
    require_positive(maps=given.maps, rounds=given.rounds)
    keys = jax.random.split(jax.random.key(0), given.maps + TUNING)
    maps = [drawn(jax.random.split(key)[0]) for key in keys]
    best = np.array([[best_policy(ground, slip) for ground in maps] for slip in SLIPS])
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained", sharey=True)
    rows, slips, rates = [], jnp.array(SLIPS), jnp.array(RATES)

    def told(what: str, slip: float, rate: float | str, shares: np.ndarray) -> None:
        mean, low, high = interval(shares)
        rows.append({"steps are rewarded for": what, "slips": slip, "learning rate": rate,
                     "share": mean, "low": low, "high": high,
                     "lowest": float(shares.min())})  # fmt: skip

    for kind in KINDS:
        run = jax.vmap(partial(learnt, kind, given.rounds), (None, None, 0))
        run = jax.jit(jax.vmap(jax.vmap(run, (None, 0, None)), (0, None, None)))
        found = np.asarray(run(slips, rates, keys)) / best[:, None, :, None]
        for slip, axes, each in zip(SLIPS, panels, found):
            index = int(each[:, :TUNING, -1].mean(1).argmax())
            curves = each[index, TUNING:]
            band(axes, np.arange(given.rounds) + 1, curves, kind)
            told(kind, slip, RATES[index], curves[:, -1])
    found = np.asarray(jax.jit(jax.vmap(jax.vmap(greedily, (None, 0)), (0, None)))(slips, keys))
    for slip, axes, each in zip(SLIPS, panels, found / best):
        told("the largest gain, greedily", slip, "", each[TUNING:])
        mean = each[TUNING:].mean()
        axes.axhline(mean, linestyle=":", color="black", linewidth=0.8, label="greedy walk")
        axes.set(xlabel="gradients, of 32 walks each", title=f"slips {slip:g}")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("share of the best policy's value")
    panels[1].legend(frameon=False)
    save(given.out, TITLE, rows, figure)
