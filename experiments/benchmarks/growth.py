"""The cost of a round of learning as one number grows: lanes, seeds, units, buffers, atoms, dreams.

`jaxrl benchmark growth` times a round at several values of each number and draws the times on log
axes, with the line of a cost that is proportional to the arithmetic. To the left of its knee a
curve is flat, because the same instructions cost the same for few numbers as for some more.
"""

import dataclasses
import json
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import jax

import envs
from agents import AGENTS
from experiments import options, records
from experiments.benchmarks import bare, kept_rows
from experiments.benchmarks.timed import calls, in_turns
from experiments.benchmarks.turns import chosen
from experiments.population import hasty
from jaxrl.errors import require_positive
from jaxrl.loop import advance, assemble
from jaxrl.types import Run, population_axes


class Axis(NamedTuple):
    """A number that grows, in an agent, an environment and what is not its default."""

    agent: str
    env: str
    own: dict[str, Any]
    field: str  # of the hyperparameters, or "seeds"
    small: tuple[int, ...]
    large: tuple[int, ...]  # these too, if asked for
    power: float  # of the number, to which the arithmetic of a round is proportional


PPO = dict(num_envs=64, rollout_length=16)
DQN = dict(num_envs=1, batch_size=64, buffer_size=8192, warmup=1024)
AXES: dict[str, Axis] = {
    "lanes": Axis(
        "ppo", "CartPole-v1", dict(rollout_length=16), "num_envs",
        (1, 4, 16, 64, 256, 1024), (4096, 16_384, 65_536), 1.0,
    ),
    "seeds": Axis(
        "ppo", "CartPole-v1", dict(num_envs=4, rollout_length=32), "seeds",
        (1, 2, 8, 32), (128, 512, 1024), 1.0,
    ),
    "seeds of DQN": Axis("dqn", "CartPole-v1", DQN, "seeds", (1, 2, 8, 32), (128, 512, 1024), 1.0),
    "units": Axis("ppo", "CartPole-v1", PPO, "hidden", (32, 64, 128, 256), (512, 1024, 2048), 2.0),
    "buffer": Axis(
        "dqn", "CartPole-v1", DQN, "buffer_size",
        (10_000, 100_000), (1_000_000, 10_000_000), 0.0,
    ),
    "prioritised buffer": Axis(
        "dqn", "CartPole-v1", DQN | {"prioritised": True}, "buffer_size",
        (10_000, 100_000), (1_000_000, 10_000_000), 0.0,
    ),
    "atoms": Axis("c51", "CartPole-v1", DQN, "atoms", (11, 51, 201), (801,), 1.0),
    "imagined steps": Axis(
        "dreamer", "CartPole-v1", dict(updates=1), "horizon", (1, 4, 16), (64, 256), 1.0
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the cost of a round of learning as lanes, seeds, units and others grow."""

    only: tuple[str, ...] = ()
    """Numbers to grow, by their names or the beginnings of these; all by default."""
    large: bool = False
    """Measure large values too, up to 65,536 lanes, 1,024 seeds, 2,048 units and 1e7 transitions,
    which takes long and needs memory."""
    repeats: int = 3
    """Number of timed calls of each value, in turns."""
    seconds: float = 0.3
    """Time in seconds of a call."""
    out: str = ".benchmarks/growth"
    """Folder of the rows and the picture. What it has is not measured again."""


def round_of(axis: Axis, value: int) -> tuple[bare.Part, int]:
    """A round of learning at a value, and the environment steps in it."""
    entry, seeds = AGENTS[axis.agent], value if axis.field == "seeds" else 1
    own = dict(axis.own)
    if axis.field != "seeds":
        own[axis.field] = (value, value) if axis.field == "hidden" else value
    hp = records.replaced(entry.defaults, own)
    exp = assemble(entry.make, envs.make(axis.env), hp).experiment
    steps = hp.collection.num_envs * hp.collection.rollout_length * seeds
    once = lambda run: advance(exp, run, 1)[0]
    key = jax.random.key(0)
    if seeds == 1:
        return bare.Part(once, jax.jit(exp.init, compiler_options=hasty())(key)), steps
    keys = jax.random.split(key, seeds)
    axes: Run = population_axes(jax.eval_shape(exp.init, key))
    runs = jax.jit(jax.vmap(exp.init, 0, axes), compiler_options=hasty())(keys)
    return bare.Part(jax.vmap(once, (axes,), axes), runs), steps


def measure(axis: Axis, values: tuple[int, ...], repeats: int, seconds: float) -> dict[str, Any]:
    """The seconds of a round at each value, and the environment steps in it."""
    runs, often, steps = {}, {}, {}
    for value in values:
        part, steps[value] = round_of(axis, value)
        runs[value] = bare.continued(part)
        often[value] = calls(runs[value], seconds)
    turns = in_turns({str(v): lambda v=v: runs[v](often[v]) for v in values}, repeats)
    return {
        str(v): {"seconds": median(x.wall for x in turns[str(v)]) / often[v], "steps": steps[v]}
        for v in values
    }


def excess(points: list[tuple[float, float]], power: float) -> list[float]:
    """How much less than in proportion each cost is: value^power / cost, relative to the last.

    Points are pairs of a value and a cost. The numbers are 1 where costs grow with the arithmetic,
    and less than 1 where a smaller value costs more than its share of the last one's.
    """
    most, cost = points[-1]
    return [(value / most) ** power * cost / seconds for value, seconds in points]


def points(row: dict[str, Any]) -> list[tuple[float, float]]:
    """The values and the seconds of a row, in order."""
    return sorted((float(value), it["seconds"]) for value, it in row.items())


def table(report: dict[str, Any]) -> str:
    """The table in markdown of a file of rows."""
    lines = ["| number | value | ms a round | steps/s | of proportional |", "|---" * 5 + "|"]
    for name, row in report["rows"].items():
        at = points(row)
        for (value, seconds), share in zip(at, excess(at, AXES[name].power)):
            steps = row[str(int(value))]["steps"] / seconds
            lines.append(
                f"| {name} | {int(value):,} | {1e3 * seconds:.3g} | {steps:.3g} | {share:.2f} |"
            )
    return "\n".join(lines)


def draw(report: dict[str, Any], path: Path) -> None:
    """A picture of all rows on log axes, with the lines of proportional cost."""
    from experiments.plots import plt

    rows = report["rows"]
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(3 * columns, 2.6 * lines), squeeze=False, layout="constrained"
    )
    for place, (name, row) in zip(axes.flat, rows.items()):
        at, power = points(row), AXES[name].power
        values, costs = zip(*at)
        place.loglog(values, [1e3 * x for x in costs], "o-", label="measured")
        line = [1e3 * costs[-1] * (v / values[-1]) ** power for v in values]
        place.loglog(values, line, "--", color="gray", label="proportional")
        place.set_title(name if " of " in name else f"{name} of {AXES[name].agent}", fontsize=9)
        place.set_ylabel("ms a round", fontsize=8)
        # At least a factor of ten, so that equal costs look equal.
        low, high = place.get_ylim()
        wider = max(1.0, (10 * low / high) ** 0.5)
        place.set_ylim(low / wider, high * wider)
        place.tick_params(labelsize=6)
        place.tick_params(which="minor", labelleft=False, labelbottom=False)
    for place in list(axes.flat)[len(rows) :]:
        place.axis("off")
    axes.flat[0].legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str]) -> None:
    """Measure what `arguments` choose, print the table and draw the picture."""
    own = options.parse("benchmark growth", Options, arguments)
    require_positive(repeats=own.repeats, seconds=own.seconds)
    some, folder = chosen(own.only, AXES, "growth"), Path(own.out)
    path = folder / "growth.json"

    def measured(name: str) -> dict[str, Any]:
        axis = some[name]
        values = axis.small + (axis.large if own.large else ())
        return measure(axis, values, own.repeats, own.seconds)

    kept_rows.continued(path, some, measured, lambda row: f"{len(row)} values")
    report = json.loads(path.read_text())
    draw(report, folder / "growth.png")
    print(f"\n{table(report)}\n\nThe rows and the picture are in {folder}.")
