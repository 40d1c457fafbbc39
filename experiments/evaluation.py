"""Complete episodes with the agents in a results folder."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import building, checkpoints, configuration, costing, lanes
from experiments.configuration import Configuration
from experiments.population import Population, gather
from experiments.results import read_metrics
from experiments.statistics import interval
from jaxrl.errors import InputError, require
from jaxrl.evaluation import Evaluation, evaluate
from jaxrl.offline import without_data
from jaxrl.types import Counter, Run

Row = dict[str, Any]


def scores(
    config: Configuration, folder: Path, episodes: int, seed: int, sampled: bool = False
) -> list[Row]:
    """One row for each member of a results folder: return and length of its episodes.

    Members that diverged do not play: their rows have the environment step at which they diverged,
    and NaN for returns. Raises `InputError`, before anything is compiled, for a checkpoint that
    cannot be read, and if all members diverged.
    """
    parts = []
    for inner, members in configuration.parts(config, folder):
        population = gather(config, members)
        _, runs, progress = checkpoints.restore(inner, population.like)
        parts.append((population, runs, progress.get("diverged", {})))
    alive = sum(len(population.seeds) - len(diverged) for population, _, diverged in parts)
    require(
        alive > 0, f"All {config.members} members of {folder} diverged: there is no agent to play."
    )
    rows = []
    for population, runs, diverged in parts:
        going = [i for i in range(len(population.seeds)) if str(i) not in diverged]
        score = played(config, population, runs, going, episodes, seed, sampled)
        for i, point in enumerate(population.points):
            row = {"seed": int(population.seeds[i])}
            row |= {name: column[point] for name, column in config.sweep.items()}
            rows.append(row | outcome(score, going.index(i) if i in going else None))
            if i not in going:
                rows[-1]["diverged_at"] = diverged[str(i)][2]
    return rows


def played(
    config: Configuration, population: Population, runs: Run, going: list[int], episodes: int,
    seed: int, sampled: bool,
) -> Evaluation | None:  # fmt: skip
    """The episodes [members, episodes] of the members `going`; None if there are none."""
    if not going:
        return None

    def play(run: Run, hp: Any, key: jax.Array) -> Evaluation:
        setup = building.build(config, hp)
        actor = setup.agent.explore if sampled else setup.agent.exploit
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, actor, view, key, episodes, config.max_episode_steps)

    runs, run_axes = without_data((runs, population.axes))  # policies read none of it
    chosen = np.array(going)
    if len(going) < len(population.seeds):
        pick = lambda x: x if isinstance(x, Counter) else x[chosen]
        runs = jax.tree.map(pick, runs, is_leaf=lambda node: isinstance(node, Counter))
    hp = jax.tree.map(lambda x: x[chosen] if np.ndim(x) else x, population.hp)
    if lanes.outside(config.env):
        from experiments import host

        keys = jnp.stack([jax.random.key(seed)] * len(going))
        axes = (run_axes, population.hp_axes)
        return host.player(config, *axes, len(going), episodes, sampled)(runs, hp, keys)
    # Every member plays the same episodes, so that differences come from the agents.
    axes = (run_axes, population.hp_axes, None)
    return jax.device_get(jax.jit(jax.vmap(play, axes))(runs, hp, jax.random.key(seed)))


def outcome(score: Evaluation | None, index: int | None) -> Row:
    """The statistics of the episodes of one member, NaN if it did not play.

    Where episodes have goals, `success` is the share of those that reached theirs, and where the
    environment tells costs, `cost_NAME` is the mean of each over the steps of all episodes.
    """
    names = ["return_mean", "return_std", "return_min", "return_max", "length_mean", "completed"]
    goals = score is not None and not isinstance(score.success, tuple)
    names += ["success"] * goals
    costs = {} if score is None else dict(score.costs)
    names += [costing.COLUMN + name for name in costs]
    if score is None or index is None:
        return dict.fromkeys(names, math.nan)
    returns, lengths = np.asarray(score.returns[index]), np.asarray(score.lengths[index])
    shares = [score.completed] + [score.success] * goals
    values = [returns.mean(), returns.std(), returns.min(), returns.max(), lengths.mean()]
    values += [np.asarray(x[index]).mean() for x in shares]
    values += [np.asarray(x[index]).sum() / lengths.sum() for x in costs.values()]
    return {name: float(value) for name, value in zip(names, values)}


def summary(rows: list[Row], swept: list[str], episodes: int) -> list[str]:
    """A sentence for each point of a sweep, or for the only one: mean return and its interval."""
    from experiments.plots import by_point

    lines = []
    groups = by_point(rows, swept)
    width = max(len(label) for label in groups)
    for label, group in groups.items():
        means = np.array([row["return_mean"] for row in group])
        finished = int(np.isfinite(means).sum())
        start = f"{label + ':':{width + 1}} mean" if swept else "Mean"
        if not finished:
            lines.append(f"{start} return unknown: all {len(group)} members diverged.")
            continue
        mean, low, high = interval(means)
        success = [row["success"] for row in group if np.isfinite(row.get("success", np.nan))]
        goals = f", success {np.mean(success):.2f}" if success else ""
        costs = costing.mean_costs(group).items()
        goals += "".join(f", {name} {x:.3g} a step" for name, x in costs)
        lines.append(
            f"{start} return {mean:.1f}, 95 % interval [{low:.1f}, {high:.1f}]{goals} over "
            f"{finished} member{'s' * (finished != 1)}, {episodes} episodes each"
            + (f"; {len(group) - finished} diverged and are left out." if finished < len(group)
               else ".")
        )  # fmt: skip
    return lines


def best_of(returns: Sequence[float]) -> int:
    """The index of the highest of returns, some of which may be NaN; an InputError if all are."""
    values = np.asarray(returns, float)
    require(bool(np.isfinite(values).any()), "No member has a finite return to be the best.")
    return int(np.nanargmax(np.where(np.isfinite(values), values, np.nan)))


def best_member(config: Configuration, folder: Path, seed: int | None = None) -> int:
    """The member with the highest last evaluation, or the best of those trained with a seed.

    Members that diverged are passed over, and those above limits on costs if others keep them.
    Raises an InputError if there are no others.
    """
    last: list[Row] = [{"return_mean": math.nan}] * config.members
    for row in read_metrics(folder):  # later rows take the place of earlier ones
        found = [
            point
            for point in range(config.points)
            if all(math.isclose(column[point], row[name]) for name, column in config.sweep.items())
        ]
        member = found[0] * config.seeds + int(row["seed"]) - config.seed
        if seed is None or row["seed"] == seed:
            last[member] = row
    return best_of(costing.eligible(config.cost_limits, last))


def save(rows: list[Row], folder: Path) -> None:
    """Write `evaluation.json`."""
    (folder / "evaluation.json").write_text(json.dumps(rows, indent=2) + "\n")


def restore_member(config: Configuration, folder: Path, index: int) -> tuple[Any, Run]:
    """The hyperparameters and the run of one member of a results folder."""
    for inner, members in configuration.parts(config, folder):
        if members.start <= index < members.stop:
            p = gather(config, members)
            runs = checkpoints.restore(inner, p.like)[1]
            break
    else:
        raise InputError(f"{folder} has {config.members} members, and none numbered {index}.")
    # Each counter is the same in every member and has no axis of members.
    pick = lambda x: x if isinstance(x, Counter) else x[index - members.start]
    run = jax.tree.map(pick, runs, is_leaf=lambda node: isinstance(node, Counter))
    point = index // config.seeds
    return configuration.hyperparameters(config, point if config.sweep else None), run
