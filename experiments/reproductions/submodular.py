"""Policy gradients of what an episode covers, beside rewards that know nothing of the past.

Prajapat et al. (2024): with the marginal gains of a submodular function as rewards, a policy
gradient maximises what a whole episode is worth (SubPO). On random maps, where each cell covers its
neighbourhood and one cell is worth most, it is compared with the gradient of single gains, as a
released script has it, with the rewards of cells as if each were the first, with the walk that
takes the largest gain at each step, and with the best of all walks. Each has the best of three
learning rates, by five maps that are not reported.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

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

TITLE = "Share of the value of the best walk, by what its steps are rewarded for"
SIDE, STEPS, BATCH, TUNING = 4, 6, 32, 5
CELLS = SIDE * SIDE
RATES = (0.03, 0.1, 0.3)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
KINDS = ("SubPO", "single gains", "rewards of cells")


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


def drawn(key: Key) -> SetFunction:
    """A map: each cell covers itself and its neighbours, and one cell is worth five others."""
    k_weights, k_hot = jax.random.split(key)
    near = jax.nn.one_hot(successors(), CELLS).sum(1) + jnp.eye(CELLS) > 0
    weights = jax.random.uniform(k_weights, (CELLS,))
    hot = jax.random.randint(k_hot, (), 0, CELLS)
    return coverage(near, weights.at[hot].add(5.0))


def walked(actions: Array) -> Array:
    """The cells [STEPS + 1] of actions [STEPS] from the first corner."""
    to = successors()
    step = lambda cell, action: (to[cell, action], to[cell, action])
    return jnp.append(0, jax.lax.scan(step, jnp.int32(0), actions)[1])


def gains(value: SetFunction, cells: Array) -> Array:
    """The marginal gains [STEPS] of the cells of a walk."""
    visited = jnp.cumsum(jax.nn.one_hot(cells, CELLS), 0) > 0
    return jnp.diff(value(visited))


def greedy_walk(value: SetFunction) -> Array:
    """The value [] of the walk that takes the largest gain at each step."""
    to = successors()

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        cell, visited = carry
        after = visited | (jax.nn.one_hot(to[cell], CELLS) > 0)
        best = value(after).argmax()
        return (to[cell, best], after[best]), None

    start = jnp.int32(0), jnp.arange(CELLS) == 0
    return value(jax.lax.scan(step, start, None, STEPS)[0][1])


def best_walk(value: SetFunction) -> Array:
    """The value [] of the best of all walks."""
    every = jnp.indices((4,) * STEPS).reshape(STEPS, -1).T
    visited = lambda actions: (jax.nn.one_hot(walked(actions), CELLS) > 0).any(0)
    return value(jax.vmap(visited)(every)).max()


def learnt(kind: str, rounds: int, rate: Array, key: Key) -> Array:
    """The share of the value of the best walk, in the mean of the walks of each round."""
    k_map, k_rounds = jax.random.split(key)
    value = drawn(k_map)
    first = value(jnp.arange(CELLS) == 0)
    alone = value(jnp.eye(CELLS, dtype=bool))
    best, to, rule = best_walk(value), successors(), optax.adam(rate)

    def walk(theta: Array, key: Key) -> tuple[Array, Array]:
        def step(cell: Array, inputs: tuple[Array, Key]) -> tuple[Array, Array]:
            logits, key = inputs
            action = jax.random.categorical(key, logits[cell])
            return to[cell, action], action

        keys = jax.random.split(key, STEPS)
        actions = jax.lax.scan(step, jnp.int32(0), (theta, keys))[1]
        return actions, walked(actions)

    def one(carry: tuple, key: Key) -> tuple:
        theta, state = carry
        actions, cells = jax.vmap(walk, (None, 0))(theta, jax.random.split(key, BATCH))
        paid = jax.vmap(partial(gains, value))(cells)  # [BATCH, STEPS]
        reward = alone[cells[:, 1:]] if kind == "rewards of cells" else paid
        reward = reward - reward.mean(0)  # a baseline of the time
        now = jnp.arange(STEPS)

        def loss(theta: Array) -> Array:
            log_prob = jax.nn.log_softmax(theta)[now, cells[:, :-1], actions]
            if kind == "single gains":
                return -(log_prob * reward).sum(1).mean()
            ones = jnp.ones_like(reward.T)
            return -policy_gradients.differentiable_return(log_prob.T, reward.T, ones)

        change, state = rule.update(jax.grad(loss)(theta), state, theta)
        share = (first + paid.sum(1)).mean() / best
        return (optax.apply_updates(theta, change), state), share

    theta = jnp.zeros((STEPS, CELLS, 4))
    return jax.lax.scan(one, (theta, rule.init(theta)), jax.random.split(k_rounds, rounds))[1]


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    given = options.parse("reproduce submodular", Options, arguments)
    require_positive(maps=given.maps, rounds=given.rounds)
    keys = jax.random.split(jax.random.key(0), given.maps + TUNING)
    figure, axes = plt.subplots(figsize=(7, 4.4), layout="constrained")
    rows = []
    for kind in KINDS:
        run = jax.vmap(jax.vmap(partial(learnt, kind, given.rounds), (None, 0)), (0, None))
        found = np.asarray(jax.jit(run)(jnp.array(RATES), keys))
        index = int(found[:, :TUNING, -1].mean(1).argmax())
        curves = found[index, TUNING:]
        band(axes, np.arange(given.rounds) + 1, curves, kind)
        mean, low, high = interval(curves[:, -1])
        rows.append({"steps are rewarded for": kind, "learning rate": RATES[index], "share": mean,
                     "low": low, "high": high, "lowest": float(curves[:, -1].min())})  # fmt: skip

    def greedy(key: Key) -> Array:
        value = drawn(jax.random.split(key)[0])
        return greedy_walk(value) / best_walk(value)

    shares = np.asarray(jax.jit(jax.vmap(greedy))(keys))[TUNING:]
    mean, low, high = interval(shares)
    rows.append(
        {"steps are rewarded for": "the largest gain, greedily", "learning rate": "",
         "share": mean, "low": low, "high": high, "lowest": float(shares.min())}
    )  # fmt: skip
    axes.axhline(mean, linestyle=":", color="black", linewidth=0.8, label="greedy walk")
    axes.set(xlabel="gradients, of 32 walks each", ylabel="share of the best walk's value")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    save(given.out, TITLE, rows, figure)
