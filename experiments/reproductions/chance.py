"""Tree search where chance moves too: a small 2048, beside the exact optimum.

Antonoglou et al. (2022), "Planning in stochastic environments with a learned model", claim that
search with nodes of chance (Stochastic MuZero) plays games of chance better than a search that
takes what one step led to for its only outcome. Here the model is the game itself, a board of two
by two on which a tile of 32 ends it, so that every policy of a search has an exact return. Leaves
are worth what random legal moves earn. Beside both is a search with exact backups over chance, for
the mean and for the nested CVaR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from experiments import options
from experiments.plots import band
from experiments.reproductions.report import save
from experiments.statistics import interval
from jaxrl import dp, search, values
from jaxrl.errors import require_positive
from jaxrl.models import chance
from jaxrl.types import Array, Key

TITLE = "Return of search in a small 2048, and its nested CVaR at level 1/4, as shares of the best"
SIZE, TOP = 2, 5  # cells of a side, and the exponent of the tile that ends the game
SIMULATIONS = (8, 64)
EXPLORATIONS = (0.3, 1.25, 5.0)
LEVEL = 0.25
Board = tuple[int, ...]


@dataclass(frozen=True)
class Options:
    """Search with and without nodes of chance in a game of chance."""

    seeds: int = 6
    """Number of keys of each search, the first of which chooses its exploration."""
    out: Path = Path(".reproductions/chance")
    """Folder in which the table, the numbers and the picture are written."""


def slid(line: Board) -> tuple[Board, int]:
    """A line of exponents after it has moved to its start, and the sum of merged tiles."""
    tiles, merged, paid = [x for x in line if x], [], 0
    while tiles:
        tile = tiles.pop(0)
        if tiles and tiles[0] == tile:
            tile = tiles.pop(0) + 1
            paid += 2**tile
        merged.append(tile)
    return tuple(merged + [0] * (len(line) - len(merged))), paid


def moved(board: Board, action: int) -> tuple[Board, int]:
    """The board after a move (0 up, 1 right, 2 down, 3 left), before a tile appears; the reward."""
    turned = np.rot90(np.reshape(board, (SIZE, SIZE)), (1, 2, 3, 0)[action])
    lines, paid = zip(*(slid(tuple(int(x) for x in line)) for line in turned))
    back = np.rot90(np.array(lines), -(1, 2, 3, 0)[action])
    return tuple(int(x) for x in back.ravel()), sum(paid)


def appeared(board: Board) -> list[tuple[Board, float]]:
    """The boards with a new 2 (nine times in ten) or 4 in an empty cell, and their chances."""
    empty = [i for i, x in enumerate(board) if not x]
    put = lambda i, x: (*board[:i], x, *board[i + 1 :])
    return [(put(i, x), p / len(empty)) for i in empty for x, p in ((1, 0.9), (2, 0.1))]


def game() -> tuple[dp.TabularMDP, np.ndarray]:
    """The process of the game, and which moves [S, A] are legal; others end it for nothing."""
    blank = (0,) * SIZE**2
    first: dict[Board, float] = {}
    for one, p in appeared(blank):
        for two, q in appeared(one):
            first[two] = first.get(two, 0.0) + p * q
    places = {board: i for i, board in enumerate(first)}
    rows, todo = [], list(first)
    for board in todo:  # it grows
        for action in range(4):
            after, paid = moved(board, action)
            if after == board or max(board) >= TOP:
                continue
            outcomes = [(after, 1.0)] if max(after) >= TOP else appeared(after)
            for new, p in outcomes:
                if new not in places:
                    places[new] = len(places)
                    todo.append(new)
                rows.append((places[board], action, places[new], p, paid))
    states, slots = len(places), 2 * SIZE**2
    shape = states, 4, slots
    p, r, d, to = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, int)
    used = np.zeros((states, 4), int)
    for s, a, new, chance_of, paid in rows:
        slot = used[s, a]
        p[s, a, slot], r[s, a, slot], to[s, a, slot] = chance_of, paid, new
        used[s, a] += 1
    legal = used > 0
    d[:] = legal.any(1)[to]  # a board without moves is the end
    p[~legal, 0], d[~legal] = 1.0, 0.0
    initial = np.zeros(states)
    for board, chance_of in first.items():
        initial[places[board]] = chance_of
    return dp.from_arrays(p, r, d, initial, to), legal


def searches(
    mdp: dp.TabularMDP, legal: np.ndarray
) -> dict[str, Callable[[int, Array, Key], Array]]:
    """Each takes simulations, exploration and a key to the actions [S] in all states."""
    model = chance.tabular_chance(mdp, one_hot=False)
    even = jnp.asarray(legal / np.maximum(legal.sum(-1, keepdims=True), 1), jnp.float32)
    at_random = (even * dp.policy_evaluation(mdp, even, 1.0).theta).sum(-1)
    prior = jnp.where(jnp.asarray(legal), 0.0, -jnp.inf).at[~legal.any(-1)].set(0.0)
    states = jnp.arange(len(legal))
    root, scores = (states, states), lambda obs: (prior[obs], at_random[obs])
    outputs = lambda obs: (prior[obs], at_random[obs][:, None])

    def drawn(simulations: int, exploration: Array, key: Key) -> Array:
        find = search.predictor_tree_search(simulations, 0.0, exploration)
        return find(chance.drawn(model), scores, root, 1.0, key).action

    def aware(simulations: int, exploration: Array, key: Key) -> Array:
        find = search.chance_search(simulations, 0.0, exploration)
        return find(model, scores, root, 1.0, key).action

    def exact(mix: dp.Mix, simulations: int, exploration: Array, key: Key) -> Array:
        find = search.backup_search(simulations, mix=mix, exploration=exploration)
        return find(model, outputs, root, 1.0).action

    return {
        "one drawn outcome": drawn,
        "nodes of chance": aware,
        "exact backups": partial(exact, dp.mixed),
        "exact backups, CVaR": partial(exact, dp.nested(values.cvar(LEVEL))),
    }


def scored(mdp: dp.TabularMDP, action: Array) -> Array:
    """The return [] of a policy and its nested CVaR, [2]."""
    policy = jax.nn.one_hot(action, 4)
    mean = dp.policy_evaluation(mdp, policy, 1.0).theta
    alone = dp.under(mdp, policy)
    risk = dp.nested_value_iteration(alone, 1.0, values.cvar(LEVEL)).theta[:, 0]
    return mdp.initial @ jnp.stack([(policy * mean).sum(-1), risk], -1)


def main(arguments: list[str]) -> None:
    """Run the reproduction."""
    chosen = options.parse("reproduce chance", Options, arguments)
    require_positive(seeds=chosen.seeds - 1)
    mdp, legal = game()
    keys = jax.random.split(jax.random.key(0), chosen.seeds)
    best = [
        float(mdp.initial @ dp.value_iteration(mdp, 1.0).theta.max(-1)),
        float(mdp.initial @ dp.nested_value_iteration(mdp, 1.0, values.cvar(LEVEL)).theta.max(-1)),
    ]
    rows = []
    figure, pair = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    score = jax.jit(lambda actions: jax.lax.map(partial(scored, mdp), actions))
    for name, find in searches(mdp, legal).items():
        shares = []
        for simulations in SIMULATIONS:
            one = partial(find, simulations)
            run = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
            # What draws nothing is the same with every key.
            some = keys[:1] if name.startswith("exact") else keys
            actions = run(jnp.array(EXPLORATIONS), some)
            lanes = jnp.zeros((len(EXPLORATIONS) * len(keys), len(legal)), actions.dtype)
            flat = actions.reshape(-1, len(legal))
            returns = np.asarray(score(lanes.at[: len(flat)].set(flat)))[: len(flat)]
            shares.append(returns.reshape(*actions.shape[:2], 2) / np.array(best))
        found = np.stack(shares, 2)  # [explorations, keys, simulations, 2]
        aim = int(name.endswith("CVaR"))
        tuned = int(found[:, 0, :, aim].mean(1).argmax())
        kept = found[tuned, 1:] if found.shape[1] > 1 else found[tuned]
        for i, simulations in enumerate(SIMULATIONS):
            mean, low, high = interval(kept[:, i, 0])
            rows.append(
                {"search": name, "exploration": EXPLORATIONS[tuned], "simulations": simulations,
                 "share of return": mean, "low": low, "high": high,
                 "share of CVaR": float(kept[:, i, 1].mean())}
            )  # fmt: skip
        for axes, column in zip(pair, (0, 1)):
            band(axes, np.array(SIMULATIONS), kept[:, :, column], name, marker="o")
    for axes, what in zip(pair, ("return", "nested CVaR")):
        axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
        axes.set(xscale="log", xlabel="simulations for a move", title=f"share of the best {what}")
        axes.grid(alpha=0.3)
    pair[0].legend(frameon=False)
    save(chosen.out, TITLE, rows, figure)
