"""`jaxrl compare`: several results over several environments, with intervals and a verdict."""

import itertools
import json
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments import configuration, plots, records, results, statistics
from experiments.configuration import Configuration
from experiments.references import normalised
from experiments.statistics import Estimate, bootstrap
from jaxrl.errors import require


class Score(NamedTuple):
    """The scores of one method."""

    scores: np.ndarray  # [N, M] by seed and environment, NaN where there is none
    seeds: np.ndarray  # [N]


class Comparison(NamedTuple):
    """The scores of several methods in the same environments."""

    methods: dict[str, Score]
    tasks: list[str]
    normalised: bool  # between the references of each environment
    area: bool  # under the learning curve, instead of at its end


def gathered(folders: list[Path], labels: tuple[str, ...], area: bool = False) -> Comparison:
    """The scores in results folders: those of one label are one method, over all environments.

    Scores are final evaluation returns, or with `area` mean heights of the learning curves, and
    normalised if there are several environments. Raises an InputError unless there are two
    methods, if one lacks an environment that another has, and if several environments have no
    references, for then returns cannot be put together.
    """
    require(
        len(labels) in (0, len(folders)),
        f"--labels needs one label for each folder: {len(folders)}, but it was given "
        f"{len(labels)}.",
    )
    configs = [configuration.load(folder) for folder in folders]
    names = list(labels) if labels else named(configs, folders)
    found: dict[str, dict[str, dict[int, float]]] = {}
    for folder, config, name in zip(folders, configs, names):
        for point, rows in plots.by_point(results.read_metrics(folder), list(config.sweep)).items():
            tasks = found.setdefault(f"{name}: {point}" if point else name, {})
            own = tasks.setdefault(config.env, {})
            scores = scores_of(rows, area)
            twice = own.keys() & scores.keys()
            require(
                not twice,
                f"Two folders of {name} on {config.env} have the seed {min(twice, default=0)}: give"
                " them different labels.",
            )
            own |= scores
    require(
        len(found) > 1,
        f"jaxrl compare needs two methods, but all folders are of {next(iter(found), 'none')}: "
        "name them with --labels.",
    )
    tasks = sorted({task for own in found.values() for task in own})
    for name, own in found.items():
        missing = [task for task in tasks if task not in own]
        require(not missing, f"{name} has no run on {', '.join(missing)}, where others have one.")
    without = [task for task in tasks if normalised(task, 0.0) is None]
    require(
        not without or len(tasks) == 1,
        f"Returns of several environments are put together as normalised scores, but "
        f"{', '.join(without)} has no reference returns: compare one environment at a time.",
    )
    scale = len(tasks) > 1
    methods = {name: as_array(own, tasks, scale) for name, own in found.items()}
    return Comparison(methods, tasks, scale, area)


def named(configs: list[Configuration], folders: list[Path]) -> list[str]:
    """The agent of each folder, and where agents are the same what else differs."""
    hyper = [{k: v for k, v in c.hyperparameters.items() if k not in c.sweep} for c in configs]
    found = []
    for config, own in zip(configs, hyper):
        alike = [h for c, h in zip(configs, hyper) if c.agent == config.agent]
        differ = [k for k in own if len({str(h.get(k)) for h in alike}) > 1]
        usual = records.flat(configuration.AGENTS[config.agent].defaults)
        shown = [f"{k} {own[k]}" for k in differ if own[k] != usual.get(k)]
        envs = [c.env for c in configs if c.agent == config.agent]
        # Presets differ between environments; methods are told apart where one has two runs.
        several = len(envs) > len(set(envs))
        found.append(", ".join([config.agent, *(shown if several else [])]))
    for i, name in enumerate(found):
        same = [j for j, other in enumerate(found) if other == name]
        if len({configs[j].env for j in same}) < len(same):
            found[i] = f"{name} ({folders[i]})"
    return found


def scores_of(rows: list[dict[str, float]], area: bool) -> dict[int, float]:
    """The score of each seed."""
    steps, values = results.curves(rows)
    seeds = list(dict.fromkeys(int(row["seed"]) for row in rows))
    final = statistics.area_under_curve(steps, values) if area else values[:, -1]
    return dict(zip(seeds, map(float, final)))


def as_array(own: dict[str, dict[int, float]], tasks: list[str], scale: bool) -> Score:
    """Scores by task and seed as an array."""
    seeds = sorted({seed for scores in own.values() for seed in scores})
    table = np.array([[own[task].get(seed, np.nan) for task in tasks] for seed in seeds])
    table = np.where(np.isfinite(table), table, np.nan)
    if scale:
        columns = [normalised(task, column) for task, column in zip(tasks, table.T)]
        table = np.stack([np.asarray(column) for column in columns], 1)
    return Score(table, np.array(seeds))


def table(found: Comparison) -> list[dict[str, Any]]:
    """One row for each method: its statistics with their intervals, best first."""
    rows = []
    for name, (scores, seeds) in found.methods.items():
        row: dict[str, Any] = {"method": name, "seeds": len(seeds)}
        of = dict(statistics.STATISTICS)
        of |= {"optimality gap": statistics.optimality_gap} if found.normalised else {}
        for key, value in of.items():
            row[key] = [float(x) for x in bootstrap(value, scores)]
        row["diverged"] = int(np.isnan(scores).sum())
        rows.append(row)
    return sorted(rows, key=lambda row: -row["iqm"][0])


def verdicts(found: Comparison) -> list[dict[str, Any]]:
    """One row for each pair of methods: the probability of improvement and the difference.

    Methods with the same seeds are compared seed by seed.
    """
    rows = []
    for (a, x), (b, y) in itertools.combinations(found.methods.items(), 2):
        of, other = x.scores, y.scores
        paired = x.seeds.tolist() == y.seeds.tolist()
        better = bootstrap(statistics.probability_of_improvement, of, other)
        by = (
            bootstrap(statistics.paired_difference, of, other, paired=True)
            if paired
            else bootstrap(statistics.difference, of, other)
        )
        rows.append(
            {"a": a, "b": b, "paired": paired, "probability": [float(v) for v in better],
             "difference": [float(v) for v in by], "verdict": verdict(a, b, by)}
        )  # fmt: skip
    return rows


def verdict(a: str, b: str, by: Estimate) -> str:
    """A sentence on which of two methods is better, if the interval of a minus b says so."""
    value, low, high = (float(x) for x in by)
    if low > 0:
        return f"{a} scores higher than {b} by {value:.3g}, 95 % interval [{low:.3g}, {high:.3g}]."
    if high < 0:
        return verdict(b, a, Estimate(-by.value, -by.high, -by.low))
    return (
        f"{a} and {b} cannot be told apart: the 95 % interval of {a} minus {b}, "
        f"[{low:.3g}, {high:.3g}], includes 0."
    )


def text(found: Comparison, rows: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> str:
    """The table and the verdicts as Markdown."""
    what = "area under the learning curve" if found.area else "final evaluation return"
    scale = ", normalised (0: random actions, 1: expert)" if found.normalised else ""
    tasks = ", ".join(found.tasks)
    keys = [key for key in rows[0] if isinstance(rows[0][key], list)]
    heads = {"iqm": "interquartile mean"}
    lines = [
        f"Score: {what}{scale}. Environments: {tasks}.",
        "",
        f"| method | seeds | {' | '.join(heads.get(key, key) for key in keys)} | diverged |",
        f"|---|---|{'---|' * len(keys)}---|",
    ]
    for row in rows:
        cells = [f"{v:.4g} [{low:.4g}, {high:.4g}]" for v, low, high in (row[k] for k in keys)]
        line = [row["method"], str(row["seeds"]), *cells, str(row["diverged"])]
        lines.append(f"| {' | '.join(line)} |")
    lines += ["", "Brackets are 95 % bootstrap intervals, stratified by environment.", ""]
    for pair in pairs:
        p, low, high = pair["probability"]
        lines.append(
            f"- {pair['verdict']} A run of {pair['a']} scores higher than one of {pair['b']} with "
            f"probability {p:.2f} [{low:.2f}, {high:.2f}]"
            + (", and runs of equal seeds were compared." if pair["paired"] else ".")
        )
    return "\n".join(lines) + "\n"


def picture(found: Comparison) -> Figure:
    """A picture: statistics with intervals, and the performance profiles of all methods."""
    names = list(found.methods)
    colours = dict(zip(names, plots.palette(len(names))))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1.8 + 0.5 * max(4, len(names))), layout="constrained",
        gridspec_kw={"width_ratios": (1, 1.4)},
    )  # fmt: skip
    for i, name in enumerate(names[::-1]):
        scores = found.methods[name].scores
        value, low, high = map(float, bootstrap(statistics.interquartile_mean, scores))
        left.barh(i, high - low, 0.5, left=low, color=colours[name], alpha=0.6)
        left.vlines(value, i - 0.25, i + 0.25, color="black")
    left.set_yticks(range(len(names)), names[::-1])
    what = "normalised score" if found.normalised else "evaluation return"
    left.use_sticky_edges = False
    left.set(xlabel=f"interquartile mean of {what}")
    left.grid(alpha=0.3, axis="x")
    every = np.concatenate([s.scores.reshape(-1) for s in found.methods.values()])
    low, high = np.nanmin(every), np.nanmax(every)
    margin = 0.05 * (high - low or 1.0)
    at = np.linspace(low - margin, high + margin, 101)
    for name, (scores, _) in found.methods.items():
        profile = lambda x: statistics.performance_profile(x, at)
        value, below, above = bootstrap(profile, scores)
        right.plot(at, value, label=name, color=colours[name])
        right.fill_between(at, below, above, color=colours[name], alpha=0.2, linewidth=0)
    right.set(xlabel=f"{what} s", ylabel="share of runs above s", ylim=(-0.02, 1.02))
    right.grid(alpha=0.3)
    plots.legend(figure, right, len(names))
    return figure


def save(found: Comparison, path: Path) -> str:
    """Write the table as Markdown and its numbers as JSON beside a picture; return the table."""
    rows, pairs = table(found), verdicts(found)
    told = text(found, rows, pairs)
    report = {"tasks": found.tasks, "normalised": found.normalised, "table": rows, "pairs": pairs}
    results.write_whole(path.with_suffix(".json"), json.dumps(report, indent=2) + "\n")
    results.write_whole(path.with_suffix(".md"), told)
    return told
