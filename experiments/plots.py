"""Pictures of learning curves and of sweeps."""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from numpy.typing import ArrayLike

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.lines import Line2D

from experiments import configuration, statistics
from experiments.configuration import Configuration
from experiments.results import curves, read_metrics
from experiments.statistics import NAMES, Estimate, bands, interval, statistic
from jaxrl.errors import InputError, require, require_known, unknown

Rows = list[dict[str, float]]
AXES = {
    "env_steps": "environment steps",
    "wall_time": "seconds of training",
    "updates": "rounds of learning",
}
"""What curves are drawn against, and how it is called."""
FEW = 12  # points, so that each gets a marker
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c564b")
"""Colours that people who are colour-blind tell apart; after Okabe and Ito (2008), but yellow."""


class Line(NamedTuple):
    """The curves of some seeds, which are drawn as one line."""

    label: str
    x: np.ndarray  # [E]
    values: np.ndarray  # [N, E], NaN where a seed has none


class Look(NamedTuple):
    """How lines are drawn."""

    column: str = "return_mean"  # of metrics.csv
    x: str = "env_steps"  # one of AXES
    statistic: str = "iqm"  # one of experiments.statistics.STATISTICS
    individual: bool = False  # also draw each seed


def palette(number: int) -> list[Any]:
    """Colours of a number of lines, of which no two are the same."""
    if number <= len(COLOURS):
        return list(COLOURS[:number])
    return [matplotlib.colormaps["turbo"](x) for x in np.linspace(0.03, 0.97, number)]


def band(
    axes: plt.Axes, x: ArrayLike, values: np.ndarray, label: str, of: str = "mean", **style: Any
) -> Estimate:
    """Draw and return a statistic of values [members, E] and its 95 % bootstrap interval."""
    x = np.asarray(x)
    found = bands(statistic(of), values)
    marker = {"marker": "o", "markersize": 4} if x.size <= FEW else {}
    (line,) = axes.plot(x, found.value, label=label, **marker | style)
    axes.fill_between(x, found.low, found.high, alpha=0.2, color=line.get_color(), linewidth=0)
    return found


def write(figure: plt.Figure, path: Path) -> None:
    """Write a picture to a file and release its memory."""
    figure.savefig(path, dpi=150)
    plt.close(figure)


def require_picture(path: Path) -> None:
    """Raise an InputError unless the ending of a file is that of a kind of picture."""
    kinds = plt.figure().canvas.get_supported_filetypes()
    plt.close()
    if path.suffix[1:].lower() not in kinds:
        raise InputError(
            f"{path} does not end like a picture: choose one of {', '.join(sorted(kinds))}."
        )


def draw_lines(axes: plt.Axes, lines: list[Line], look: Look, colours: dict[str, Any]) -> None:
    """Draw lines with their intervals, in the colours of their labels."""
    for line in lines:
        colour = colours[line.label]
        if look.individual:
            axes.plot(line.x, line.values.T, color=colour, alpha=0.3, linewidth=0.7)
        band(axes, line.x, line.values, line.label, look.statistic, color=colour)
    longest = max((line.x[-1] for line in lines if line.x.size), default=1.0)
    axes.set_xlim(0, longest * 1.02 or 1.0)
    axes.set_xlabel(AXES[look.x])
    axes.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
    axes.grid(alpha=0.3)


def axis_name(column: str) -> str:
    """How a column of metrics.csv is called in a picture."""
    return "evaluation return" if column == "return_mean" else column.replace("_", " ")


def legend(figure: plt.Figure, axes: plt.Axes, number: int) -> None:
    """Name the lines: within the picture if they are few, and else below it."""
    handles, labels = axes.get_legend_handles_labels()
    if number <= 1:
        return
    width = max(map(len, labels))
    if number <= 6 and width < 40:
        axes.legend(frameon=False)
    else:
        columns = max(1, min(4, 110 // (width + 6)))
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False,
                      fontsize="small")  # fmt: skip


def draw_panels(panels: dict[str, list[Line]], look: Look, title: str, path: Path) -> None:
    """Write a picture with one panel for each environment, three in a row."""
    labels = list(dict.fromkeys(line.label for lines in panels.values() for line in lines))
    colours = dict(zip(labels, palette(len(labels))))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    size = (7, 4.2) if len(panels) == 1 else (4.4 * columns, 3.4 * rows + 0.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes, (name, lines) in zip(grid.flat, panels.items()):
        draw_lines(axes, lines, look, colours)
        if len(panels) > 1:
            axes.set_title(name)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    for row in grid:
        row[0].set_ylabel(axis_name(look.column))
    if len(panels) == 1:
        grid[0, 0].set_title(title, fontsize="medium")
        legend(figure, grid[0, 0], len(labels))
    else:
        figure.suptitle(title, fontsize="medium")
        handles = [Line2D([], [], color=colours[name]) for name in labels]
        if len(labels) > 1:
            figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    write(figure, path)


def learning_curves(rows: Rows, config: Configuration, path: Path) -> None:
    """Write the learning curve of a run, as the interquartile mean of its seeds."""
    title = f"{config.agent} on {config.env}: {said(Look())} of {seeds_of(rows)}"
    draw_panels({config.env: lines_of(rows, config, config.agent, Look())}, Look(), title, path)


def said(look: Look) -> str:
    """What is drawn, in words."""
    return f"{NAMES[look.statistic]} and its 95 % bootstrap interval"


def seeds_of(rows: Rows) -> str:
    """The number of seeds in rows, in words."""
    number = len({row["seed"] for row in rows})
    return f"{number} seed{'s' * (number != 1)}"


def lines_of(rows: Rows, config: Configuration, label: str, look: Look) -> list[Line]:
    """The lines of a run, one for each point of a sweep; an InputError for a missing column."""
    found = []
    for point, part in by_point(rows, list(config.sweep)).items():
        if look.column not in part[0]:
            raise unknown("column", look.column, [n for n in part[0] if n not in (*AXES, "seed")])
        steps, values = curves(part, look.column)
        found.append(Line(f"{label}: {point}" if point else label, steps, values))
        if look.x == "wall_time":
            _, times = curves(part, "wall_time")
            found[-1] = found[-1]._replace(x=np.nanmean(times, 0))
        elif look.x == "updates":
            spent = config.budget
            found[-1] = found[-1]._replace(x=(steps - spent.warmup) / spent.per_update)
    return found


def of_folders(folders: list[Path], path: Path, look: Look, labels: tuple[str, ...] = ()) -> None:
    """Write a picture of the curves in results folders, with one panel for each environment.

    Folders of one label and environment are one line, over all of their seeds; each point of a
    sweep is a line. Without `labels` each folder has its own name. Raises an InputError for a name
    that does not exist, and unless there is one label for each folder.
    """
    statistic(look.statistic)  # raises
    require_known("axis", look.x, AXES)
    require(
        len(labels) in (0, len(folders)),
        f"--labels needs one label for each folder: {len(folders)}, but it was given "
        f"{len(labels)}.",
    )
    panels: dict[str, list[Line]] = {}
    for i, folder in enumerate(folders):
        config, rows = configuration.load(folder), read_metrics(folder)
        for line in lines_of(rows, config, labels[i] if labels else str(folder), look):
            panel = panels.setdefault(config.env, [])
            same = [j for j, other in enumerate(panel) if other.label == line.label]
            if same:
                panel[same[0]] = joined(panel[same[0]], line)
            else:
                panel.append(line)
    draw_panels(panels, look, f"{axis_name(look.column)}: {said(look)} over seeds", path)


def joined(first: Line, second: Line) -> Line:
    """The seeds of two lines as one line, at the places that both have."""
    x, i, j = np.intersect1d(first.x, second.x, return_indices=True)
    require(
        x.size > 0,
        f"The folders with the label {first.label} share no place on the axis, so their seeds "
        "cannot be drawn as one line: give them different labels.",
    )
    return Line(first.label, x, np.concatenate([first.values[:, i], second.values[:, j]]))


def by_point(rows: Rows, names: list[str]) -> dict[str, Rows]:
    """Group rows by the values of the swept hyperparameters `names`."""
    groups: dict[str, Rows] = {}
    for row in rows:
        label = ", ".join(f"{name} {row[name]:g}" for name in names)
        groups.setdefault(label, []).append(row)
    return groups


def sweep(rows: Rows, config: Configuration, path: Path) -> None:
    """Write the picture of a sweep: learning curves, and final return against what was swept.

    Two swept numbers whose combinations are all there make a heat map.
    """
    names, look = list(config.sweep), Look()
    points = by_point(rows, names)
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
    lines = [Line(label, *curves(part)) for label, part in points.items()]
    draw_lines(left, lines, look, dict(zip(points, palette(len(points)))))
    left.set_ylabel("evaluation return")
    end = max(row["env_steps"] for row in rows)
    final = [row for row in rows if row["env_steps"] == end]
    axes = [sorted({row[name] for row in final}) for name in names]
    if (
        len(names) == 2
        and all(len(a) > 1 for a in axes)
        and len(points) == np.prod([len(a) for a in axes])
    ):
        heat_map(right, final, names, axes)
    else:
        against(right, final, names)
    title = f"{config.agent} on {config.env}: {said(look)} of {seeds_of(rows)} a point"
    figure.suptitle(title, fontsize="medium")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  frameon=False, fontsize="small")  # fmt: skip
    write(figure, path)


def against(axes: plt.Axes, final: Rows, names: list[str]) -> None:
    """Draw final return against `names[0]`, with one line for each point of the others."""
    groups = by_point(final, names[1:])
    for (label, line), colour in zip(groups.items(), palette(len(groups))):
        at = sorted({row[names[0]] for row in line})
        columns = [[row["return_mean"] for row in line if row[names[0]] == x] for x in at]
        of = statistics.interquartile_mean
        value, low, high = np.array([interval(column, of) for column in columns]).T
        error = np.array([value - low, high - value])
        axes.errorbar(at, value, error, marker="o", capsize=3, label=label, color=colour)
    values = np.array([row[names[0]] for row in final])
    if (values > 0).all() and values.max() >= 5 * values.min():
        axes.set_xscale("log")
    axes.set(xlabel=names[0], ylabel="final evaluation return")
    axes.grid(alpha=0.3)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize="small")


def heat_map(axes: plt.Axes, final: Rows, names: list[str], places: list[list[float]]) -> None:
    """Draw final return by two numbers as a map of colours, with the numbers in it."""
    of, cells = statistics.interquartile_mean, np.full([len(p) for p in places], np.nan)
    for i, j in np.ndindex(*cells.shape):
        at = (places[0][i], places[1][j])
        mine = [r["return_mean"] for r in final if (r[names[0]], r[names[1]]) == at]
        cells[i, j] = interval(mine, of)[0]
    image = axes.imshow(cells.T, origin="lower", aspect="auto", cmap="viridis")
    low, high = np.nanmin(cells), np.nanmax(cells)
    for i, j in np.ndindex(*cells.shape):
        if cells.size <= 64:
            dark = not cells[i, j] > (low + high) / 2
            axes.text(i, j, f"{cells[i, j]:.3g}", ha="center", va="center",
                      color="white" if dark else "black", fontsize="small")  # fmt: skip
    axes.set_xticks(range(len(places[0])), [f"{x:g}" for x in places[0]])
    axes.set_yticks(range(len(places[1])), [f"{x:g}" for x in places[1]])
    axes.set(xlabel=names[0], ylabel=names[1])
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes, label="final evaluation return")
