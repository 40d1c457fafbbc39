"""AlphaZero and Gumbel MuZero in pgx's noughts and crosses, judged by the exact solution.

Agents learn as both players, with the discount -1 between their moves. What they then play is
looked up in all 4520 positions in which a move is due, and followed against every reply: the worst
outcome against any opponent, the means against random and tactical players, and the share of moves
that are optimal by minimax are exact, for each seat. A tactical player wins at once if it can, else
prevents that the other one does if it can, and else plays at random: see `jaxrl.games`.
"""

import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import envs
from agents import AGENTS
from experiments import options, results
from experiments.statistics import interval
from jaxrl import make_train, values
from jaxrl.environments import Revealed
from jaxrl.errors import require_positive
from jaxrl.loop import assemble
from jaxrl.types import Env

GAME = "pgx/tic_tac_toe"
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
EMPTY = (-1,) * 9
Board = tuple[int, ...]
"""The marks of the cells: -1 for none, 0 for the first player, 1 for the second."""

OUTCOMES = values.Critic("categorical", atoms=3, low=-1.0, high=1.0)  # loss, draw and win

SETTINGS: dict[str, dict[str, Any]] = {
    "alphazero": dict(
        simulations=32, search="gumbel", discount=1.0, trace_decay=1.0, critic=OUTCOMES,
        num_envs=64, rollout_length=16, hidden=(128, 128), encoder="mlp", decay=1.0, updates=32,
    ),
    "gumbel-muzero": dict(
        simulations=32, discount=1.0, trace_decay=1.0, critic=OUTCOMES,
        num_envs=64, rollout_length=16, hidden=(128,), encoder="mlp", decay=1.0,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """Train agents that search in noughts and crosses, and judge all of their moves."""

    agents: tuple[str, ...] = ("alphazero", "gumbel-muzero")
    """Agents to train: alphazero, gumbel-muzero, or both."""
    steps: float = 4e5
    """Moves of each seed, of both players together."""
    seeds: int = 4
    """Number of seeds."""
    out: Path = Path(".benchmarks/perfect-play")
    """Folder of the table."""


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    chosen = options.parse("benchmark perfect-play", Options, arguments)
    require_positive(steps=chosen.steps, seeds=chosen.seeds)
    results.make_folder(chosen.out)
    rows = []
    for name in chosen.agents:
        rows += measured(name, chosen.steps, chosen.seeds)
        results.write_whole(chosen.out / "perfect_play.json", json.dumps(rows, indent=2) + "\n")
        results.write_whole(chosen.out / "perfect_play.md", table(rows))
    print(table(rows))


def measured(name: str, steps: float, seeds: int) -> list[dict[str, Any]]:
    """Train the seeds of an agent, and judge each."""
    begin, entry = time.perf_counter(), AGENTS[name]
    hp = entry.defaults.replace(**SETTINGS[name])
    env = entry.world(envs.make(GAME, opponent="self"), hp)
    setup = assemble(entry.maker(env), env, hp, steps)
    train = make_train(entry.maker(env), env, hp, steps, evaluations=1, episodes=64)
    boards = sorted(b for b in positions() if value_at_end(b) is None)
    obs = observed(boards, env)

    def run(key: jax.Array) -> tuple:
        k_train, k_play = jax.random.split(key)
        found = train(k_train)
        view = setup.agent.update.read(found.run.learner)
        actions, _, _ = setup.agent.exploit.step(view, (), obs, k_play)
        return actions, found.metrics["evaluation_return"][-1]

    actions, returns = jax.device_get(
        jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), seeds))
    )
    seconds = time.perf_counter() - begin
    rows = []
    for seed in range(seeds):
        policy = dict(zip(boards, actions[seed].tolist()))
        own = {"agent": name, "seed": seed, "steps": int(steps), "seconds": round(seconds)}
        rows.append(own | judged(policy) | {"sampled_against_random": float(returns[seed])})
    return rows


def judged(policy: dict[Board, int]) -> dict[str, float]:
    """What a policy is worth: in the worst case, against random play, and move by move."""
    good = sum(-minimax(after(b, a)) == minimax(b) for b, a in policy.items())
    found: dict[str, float] = {"optimal": good / len(policy)}
    for seat, name in enumerate(("first", "second")):
        found[f"worst_{name}"] = worst(policy, EMPTY, seat)
        for player, choices in PLAYERS.items():
            found[f"{player}_{name}"] = against(policy, EMPTY, seat, choices)
    return found


def mover(board: Board) -> int:
    """The player whose turn it is."""
    return sum(cell >= 0 for cell in board) % 2


def after(board: Board, cell: int) -> Board:
    """The board when the player to move has marked a cell."""
    return (*board[:cell], mover(board), *board[cell + 1 :])


def moves(board: Board) -> list[int]:
    """The cells that are free."""
    return [cell for cell, mark in enumerate(board) if mark < 0]


def value_at_end(board: Board) -> int | None:
    """What the player to move has at the end of a game, -1 or 0; None if it goes on."""
    if any(board[a] >= 0 and board[a] == board[b] == board[c] for a, b, c in LINES):
        return -1
    return None if moves(board) else 0


@functools.cache
def minimax(board: Board) -> int:
    """The value of a position for the player to move."""
    end = value_at_end(board)
    return max(-minimax(after(board, cell)) for cell in moves(board)) if end is None else end


def positions() -> set[Board]:
    """All positions that can arise, the ends included."""
    found, new = {EMPTY}, [EMPTY]
    while new:
        board = new.pop()
        if value_at_end(board) is None:
            fresh = {after(board, cell) for cell in moves(board)} - found
            found |= fresh
            new += fresh
    return found


def worst(policy: dict[Board, int], board: Board, seat: int) -> int:
    """The least that a policy in a seat gets, whatever the other player does."""
    end = value_at_end(board)
    if end is not None:
        return end if mover(board) == seat else -end
    if mover(board) == seat:
        return worst(policy, after(board, policy[board]), seat)
    return min(worst(policy, after(board, cell), seat) for cell in moves(board))


def wins(board: Board) -> list[int]:
    """The cells with which the player to move wins at once."""
    return [cell for cell in moves(board) if value_at_end(after(board, cell)) == -1]


def sensible(board: Board) -> list[int]:
    """The moves of a tactical player, which are equally likely."""
    safe = [cell for cell in moves(board) if not wins(after(board, cell))]
    return wins(board) or safe or moves(board)


PLAYERS: dict[str, Callable[[Board], list[int]]] = {"random": moves, "tactical": sensible}
"""Opponents by name, as the moves among which they choose uniformly."""


def against(
    policy: dict[Board, int], board: Board, seat: int, choices: Callable[[Board], list[int]]
) -> float:
    """The mean of what a policy in a seat gets against uniform choices among some moves."""
    end = value_at_end(board)
    if end is not None:
        return float(end if mover(board) == seat else -end)
    mine = mover(board) == seat
    cells = [policy[board]] if mine else choices(board)
    return float(np.mean([against(policy, after(board, c), seat, choices) for c in cells]))


def observed(boards: list[Board], env: Env) -> Any:
    """What the player to move observes in positions [N], in an environment of pgx."""
    state = env.init(jax.random.key(0))[0]
    cells = jnp.asarray(boards, jnp.int32)
    color = (cells >= 0).sum(-1).astype(jnp.int32) % 2

    def one(cells: jax.Array, color: jax.Array) -> Any:
        inner = state._x._replace(color=color, board=cells)
        here = state.replace(_x=inner, current_player=color, legal_action_mask=cells < 0)
        # Its own marks, then those of the other player.
        own = jnp.stack([cells == color, cells == 1 - color], -1).reshape(3, 3, 2)
        obs = {"board": own, "legal": cells < 0}
        return Revealed(obs, here) if isinstance(env.spec.observation, Revealed) else obs

    return jax.vmap(one)(cells, color)


def table(rows: list[dict[str, Any]]) -> str:
    """The outcomes as a Markdown table, a row for each agent; means are those of both seats."""
    lines = [
        "| agent | moves | seeds | never loses | optimal moves | against random | tactical | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["agent"] for row in rows):
        own = [row for row in rows if row["agent"] == name]
        safe = sum(min(row["worst_first"], row["worst_second"]) >= 0 for row in own)
        cells = [f"{100 * np.mean([row['optimal'] for row in own]):.1f} %"]
        for player in PLAYERS:
            both = [(row[f"{player}_first"] + row[f"{player}_second"]) / 2 for row in own]
            mean, low, high = interval(np.array(both))
            cells.append(f"{mean:.3f} [{low:.3f}, {high:.3f}]")
        lines.append(f"| {name} | {own[0]['steps']:.0e} | {len(own)} | {safe} of {len(own)} | "
                     f"{' | '.join(cells)} | {own[0]['seconds']} |")  # fmt: skip
    return "\n".join(lines) + "\n"
