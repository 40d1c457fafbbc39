"""Training at all points of a grid of hyperparameters, and what comes out of it."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from agents import AGENTS
from experiments import building, configuration, continuing, invocation, options, records, results
from experiments.configuration import Configuration
from experiments.statistics import interquartile_mean, interval
from experiments.writers import require_writers
from jaxrl.errors import require


def sweep_command(arguments: list[str]) -> None:
    """`jaxrl sweep AGENT`: train at every point of a grid, seeds and points in one vmapped run."""
    resume = invocation.resumed_folder("sweep", arguments)
    if resume:
        config = invocation.stored_for("sweep", resume, arguments)
        rest = [word for word in arguments if word not in (config.agent, "--resume", resume)]
        require(
            not rest or rest == [f"--resume={resume}"],
            f"jaxrl sweep --resume {resume} continues it as it began: leave {' '.join(rest)} out.",
        )
        run_sweep(config, Path(resume), True, options.Sweepable())
        return
    run_sweep(*asked(arguments))


def asked(arguments: list[str]) -> tuple[Configuration, Path, bool, Any]:
    """The valid configuration of a new sweep, its folder, False, and the other options.

    Raises an InputError of one sentence for anything that is wrong.
    """
    agent, arguments = invocation.agent_of("sweep", arguments), arguments[1:]
    defaults = invocation.defaults_for(agent, arguments)
    kind = options.schema(options.Sweepable, agent, defaults, lists=True)
    chosen = options.parse(f"sweep {agent}", kind, arguments)
    numeric = records.numeric(AGENTS[agent].defaults)
    values = {name: getattr(chosen, options.attribute(name)) for name in numeric}
    empty = [name.replace("_", "-") for name, column in values.items() if not column]
    require(not empty, f"--{''.join(empty[:1])} needs at least one value.")
    twice = [n.replace("_", "-") for n, column in values.items() if len({*column}) < len(column)]
    require(not twice, f"--{''.join(twice[:1])} has a value twice: leave one of them out.")
    columns = {name: column for name, column in values.items() if len(column) > 1}
    require(
        bool(columns),
        "A sweep needs several values of at least one numeric option, such as "
        "--learning-rate 1e-4 3e-4 1e-3.",
    )
    grid = list(itertools.product(*columns.values()))
    sweep = {name: [point[i] for point in grid] for i, name in enumerate(columns)}
    config = invocation.configuration(agent, chosen, sweep)
    config = continuing.described(config)
    building.validate(config, continuing.shapes(config))
    require(chosen.members_at_once >= 0, "--members-at-once must not be negative.")
    require_writers(chosen.log)
    folder = invocation.folder_of(chosen, f"sweep-{agent}")
    results.require_new(folder)
    from experiments.chunks import members_that_fit

    at_once = chosen.members_at_once or members_that_fit(config)
    config = dataclasses.replace(config, members_at_once=min(at_once, config.members))
    return config, folder, False, chosen


def run_sweep(config: Configuration, folder: Path, resume: bool, chosen: Any) -> None:
    """Train all points of a valid sweep; leave and print a table and a picture, best point first.

    Raises what `experiments.training.train` raises.
    """
    from experiments.training import Options, drawn_after, train_parts

    invocation.use_cache(chosen)
    with drawn_after(lambda: draw_sweep(config, folder)):
        redraw = lambda: draw_grid(config, folder)
        own = Options(chosen.log, chosen.save_every, redraw, devices=chosen.devices)
        train_parts(config, folder, resume, own)


def draw_sweep(config: Configuration, folder: Path) -> None:
    """Draw the picture and the table of a sweep, and say what is in its folder."""
    table = draw_grid(config, folder)
    if table:
        print(table)
        files = "config.json, metrics.csv, sweep.txt, sweep.png, checkpoint/"
        print(f"Results are in {folder}: {files}.")


def draw_grid(config: Configuration, folder: Path) -> str:
    """Draw the picture and write the table of a sweep; return the table, "" if there is none."""
    inner = [part for part, _ in configuration.parts(config, folder)]
    found = [part for part in inner if results.columns_of(part / "metrics.csv")]
    if not found:
        return ""
    from experiments import plots

    if inner != [folder]:
        merge(found, folder)
    rows, names = results.read_metrics(folder), list(config.sweep)
    table = summary(rows, names)
    results.write_whole(folder / "sweep.txt", table + "\n")
    plots.sweep(rows, config, folder / "sweep.png")
    return table


def merge(parts: list[Path], folder: Path) -> None:
    """Put the metrics of the vmapped runs of a sweep into one file, torn rows left out."""
    found = [results.repaired_metrics(part)[:2] for part in parts]
    columns = list(dict.fromkeys(name for header, _ in found for name in header))
    lines = [",".join(columns)]
    for header, rows in found:
        place = [header.index(name) if name in header else -1 for name in columns]
        for row in rows:
            words = [*row.split(","), ""]  # the last is of a column that this part does not have
            lines.append(",".join(words[i] for i in place))
    results.write_whole(folder / "metrics.csv", "\n".join(lines) + "\n")


def summary(rows: list[dict[str, float]], names: list[str]) -> str:
    """The table of a sweep: final return, as interquartile mean over seeds, best first."""
    from experiments.plots import by_point

    end, table = max(row["env_steps"] for row in rows), []
    for label, group in by_point(rows, names).items():
        last = [row["return_mean"] for row in group if row["env_steps"] == end]
        last = [value for value in last if np.isfinite(value)]
        figures = interval(last or [np.nan], interquartile_mean)
        table.append((*figures, f"{len(last)} of {len({row['seed'] for row in group})}", label))
    table.sort(key=lambda line: -line[0] if np.isfinite(line[0]) else np.inf)
    width = max(len(label) for *_, label in table)
    lines = [f"{'point':{width}}  final return  {'95 % interval':>20}  seeds that finished"]
    for mean, low, high, seeds, label in table:
        lines.append(f"{label:{width}}  {mean:12.1f}  {f'[{low:.1f}, {high:.1f}]':>20}  {seeds}")
    return "\n".join(lines)
