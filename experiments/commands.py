"""What each command does, from its arguments to its results folder."""

import dataclasses
import importlib.util
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

import envs
from agents import AGENTS
from experiments import configuration, options, presets, results
from experiments.configuration import Configuration
from jaxrl.errors import require, require_positive, unknown

# Training, checkpoints and pictures are imported where they are needed, so that --help is quick.

RENDER_SEED = 1_000_000


def train_command(arguments: list[str]) -> None:
    """`jaxrl train AGENT`: train seeds at once into a results folder, or go on with one."""
    resume = options.value_of("--resume", arguments)
    if resume:
        stored = stored_for("train", resume, arguments)
        arguments = arguments[bool(arguments and arguments[0] == stored.agent) :]
        agent, defaults = stored.agent, options.defaults_of(stored)
    else:
        agent, arguments = options.agent_of("train", arguments), arguments[1:]
        defaults = options.defaults_for(agent, arguments)
    kind = options.schema(options.Resumable, agent, defaults, lists=False)
    chosen = options.parse(f"train {agent}", kind, arguments)
    config = options.configuration(agent, chosen, {})
    configuration.validate(config)
    if chosen.tensorboard:
        results.require_tensorboard()
    if resume:
        folder = Path(resume)
        same = not chosen.out or Path(chosen.out) == folder
        require(same, "--resume goes on in its own folder: leave --out out.")
        configuration.require_same(config, stored, folder)
        config = configuration.extended(stored, config.steps)
    else:
        folder = options.folder_of(chosen, agent)
        results.require_new(folder)
    run(config, folder, bool(resume), chosen.tensorboard, chosen.animation)


def stored_for(command: str, resume: str, arguments: list[str]) -> Configuration:
    """The configuration of a results folder to resume, which must be of the agent named."""
    stored = configuration.load(Path(resume))
    other = "sweep" if stored.sweep else "train"
    require(command == other, f"{resume} is of a {other}: use jaxrl {other} --resume {resume}.")
    named = arguments[0] if not arguments[0].startswith("-") else stored.agent
    require(
        named == stored.agent,
        f"{resume} holds a checkpoint of another configuration: its agent is {stored.agent}, "
        f"not {named}.",
    )
    return stored


def run(
    config: Configuration, folder: Path, resume: bool = False, tensorboard: bool = False,
    animation: bool = True,
) -> None:  # fmt: skip
    """Train a valid configuration into a folder, and draw what there is, whatever happens.

    Raises what `experiments.training.train` raises.
    """
    from experiments import plots

    try:
        train_parts(config, folder, resume, tensorboard)
    finally:
        rows = results.read_metrics(folder) if (folder / "metrics.csv").exists() else []
        if rows:
            title = f"{config.agent} on {config.env}"
            plots.learning_curves({config.agent: rows}, title, folder / "learning_curve.png")
            shown = [row for row in rows if row["env_steps"] == rows[-1]["env_steps"]]
            last = np.array([row["return_mean"] for row in shown])
            if np.isfinite(last).any():
                print(
                    f"Return of the last evaluation: mean {np.nanmean(last):.1f}, lowest "
                    f"{np.nanmin(last):.1f}, highest {np.nanmax(last):.1f} over {len(last)} seeds."
                )
            print(f"Results are in {folder}: config.json, metrics.csv, learning_curve.png, "
                  "checkpoint/.")  # fmt: skip
    if animation:
        animate_best(config, folder)


def animate_best(config: Configuration, folder: Path) -> None:
    """Write an animation of the member with the highest last evaluation."""
    from experiments.render import animate

    rows = results.read_metrics(folder)
    last = [row for row in rows if row["env_steps"] == rows[-1]["env_steps"]]
    best = max(last, key=lambda row: row["return_mean"])
    animate(config, folder, int(best["seed"]) - config.seed, RENDER_SEED, folder / "best_agent.gif")
    print(f"The best agent, of seed {best['seed']:.0f}, plays in {folder / 'best_agent.gif'}.")


def train_parts(config: Configuration, folder: Path, resume: bool, tensorboard: bool) -> None:
    """Train all vmapped runs of a configuration, one after another; the last to diverge raises."""
    from experiments.population import gather
    from experiments.training import Diverged, beginning, train, where_it_stopped

    diverged = None
    for inner, members in configuration.parts(config, folder):
        population = gather(config, members)
        state = where_it_stopped(population, inner) if resume else beginning()
        make_folder(inner)
        configuration.save(config, folder)  # only now: what is there fits together
        try:
            train(population, state, inner, tensorboard)
        except Diverged as error:
            diverged = error
    if diverged is not None:
        raise diverged


def make_folder(folder: Path) -> None:
    """Make a folder; a ValueError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The folder {folder} cannot be made: {error.strerror}.") from None


def sweep_command(arguments: list[str]) -> None:
    """`jaxrl sweep AGENT`: train at every point of a grid, seeds and points in one vmapped run."""
    resume = options.value_of("--resume", arguments)
    if resume:
        config = stored_for("sweep", resume, arguments)
        rest = [word for word in arguments if word not in (config.agent, "--resume", resume)]
        require(
            not rest or rest == [f"--resume={resume}"],
            f"jaxrl sweep --resume {resume} goes on as it began: leave {' '.join(rest)} out.",
        )
        run_sweep(config, Path(resume), True, False)
        return
    agent, arguments = options.agent_of("sweep", arguments), arguments[1:]
    defaults = options.defaults_for(agent, arguments)
    kind = options.schema(options.Sweepable, agent, defaults, lists=True)
    chosen = options.parse(f"sweep {agent}", kind, arguments)
    values = {name: getattr(chosen, name) for name in options.swept(AGENTS[agent].hyperparameters)}
    empty = [name.replace("_", "-") for name, column in values.items() if not column]
    require(not empty, f"--{''.join(empty[:1])} needs at least one value.")
    columns = {name: column for name, column in values.items() if len(column) > 1}
    require(
        bool(columns),
        "A sweep needs several values of at least one numeric option, such as "
        "--learning-rate 1e-4 3e-4 1e-3.",
    )
    grid = list(itertools.product(*columns.values()))
    sweep = {name: [point[i] for point in grid] for i, name in enumerate(columns)}
    config = options.configuration(agent, chosen, sweep)
    configuration.validate(config)
    require(chosen.members_at_once >= 0, "--members-at-once must not be negative.")
    if chosen.tensorboard:
        results.require_tensorboard()
    folder = options.folder_of(chosen, f"sweep-{agent}")
    results.require_new(folder)
    from experiments.population import members_that_fit

    at_once = chosen.members_at_once or members_that_fit(config)
    config = dataclasses.replace(config, members_at_once=min(at_once, config.members))
    run_sweep(config, folder, False, chosen.tensorboard)


def run_sweep(config: Configuration, folder: Path, resume: bool, tensorboard: bool) -> None:
    """Train all points of a valid sweep; leave and print a table and a picture, best point first.

    Raises what `experiments.training.train` raises.
    """
    from experiments import plots

    names = list(config.sweep)
    try:
        train_parts(config, folder, resume, tensorboard)
    finally:
        inner = [part for part, _ in configuration.parts(config, folder)]
        found = [part for part in inner if (part / "metrics.csv").exists()]
        if found:
            if inner != [folder]:
                merge(found, folder)
            rows = results.read_metrics(folder)
            table = summary(rows, names)
            (folder / "sweep.txt").write_text(table + "\n")
            title = f"{config.agent} on {config.env}, {config.seeds} seeds a point"
            plots.sweep(rows, names, title, folder / "sweep.png")
            print(table)
            print(f"Results are in {folder}: config.json, metrics.csv, sweep.txt, sweep.png, "
                  "checkpoint/.")  # fmt: skip


def merge(parts: list[Path], folder: Path) -> None:
    """Put the metrics of the vmapped runs of a sweep into one file."""
    texts = [(part / "metrics.csv").read_text().splitlines() for part in parts]
    lines = [texts[0][0], *(line for text in texts for line in text[1:])]
    results.write_whole(folder / "metrics.csv", "\n".join(lines) + "\n")


def summary(rows: list[dict[str, float]], names: list[str]) -> str:
    """The table of a sweep: final return of each point with its interval, best first."""
    from experiments.plots import by_point

    end, table = max(row["env_steps"] for row in rows), []
    for label, group in by_point(rows, names).items():
        last = [row["return_mean"] for row in group if row["env_steps"] == end]
        last = [value for value in last if np.isfinite(value)]
        figures = results.mean_and_interval(np.array([last or [np.nan]]).T)[:, 0]
        table.append((*figures, f"{len(last)} of {len({row['seed'] for row in group})}", label))
    table.sort(key=lambda line: -line[0] if np.isfinite(line[0]) else np.inf)
    width = max(len(label) for *_, label in table)
    lines = [f"{'point':{width}}  final return  {'95 % interval':>20}  seeds that finished"]
    for mean, low, high, seeds, label in table:
        lines.append(f"{label:{width}}  {mean:12.1f}  {f'[{low:.1f}, {high:.1f}]':>20}  {seeds}")
    return "\n".join(lines)


def evaluate_command(arguments: list[str]) -> None:
    """`jaxrl evaluate FOLDER`: complete episodes with a trained agent."""
    chosen = options.parse("evaluate", options.EvaluateOptions, arguments)
    require_positive(episodes=chosen.episodes)
    require(chosen.seed >= 0, f"seed must not be negative, but it is {chosen.seed}.")
    config = configuration.load(chosen.folder)
    if chosen.render is not None:
        require(chosen.render.suffix == ".gif", "--render takes the name of a .gif file.")
        make_folder(chosen.render.parent)
    from experiments import evaluation

    rows = evaluation.scores(config, chosen.folder, chosen.episodes, chosen.seed, chosen.sampled)
    evaluation.save(rows, chosen.folder)
    for row in rows:
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    means = np.array([[row["return_mean"] for row in rows]]).T
    mean, low, high = results.mean_and_interval(means)[:, 0]
    print(f"Mean return {mean:.1f}, 95 % interval [{low:.1f}, {high:.1f}] over "
          f"{len(rows)} members, {chosen.episodes} episodes each.")  # fmt: skip
    if chosen.render is not None:
        from experiments.render import animate

        best = max(range(len(rows)), key=lambda i: rows[i]["return_mean"])
        animate(config, chosen.folder, best, chosen.seed, chosen.render)
        print(f"The best, of seed {rows[best]['seed']}, plays an episode in {chosen.render}.")


def plot_command(arguments: list[str]) -> None:
    """`jaxrl plot FOLDER ...`: one picture of several results."""
    chosen = options.parse("plot", options.PlotOptions, arguments)
    require(bool(chosen.folders), "jaxrl plot needs at least one results folder.")
    from experiments import plots

    make_folder(chosen.out.parent)
    plots.of_folders(list(chosen.folders), chosen.out)
    print(f"The learning curves are in {chosen.out}.")


def list_command(arguments: list[str]) -> None:
    """`jaxrl list`: agents, environments and presets."""
    if {"-h", "--help"} & set(arguments):
        print("usage: jaxrl list\n\nName the agents, environments and presets.")
        return
    require(not arguments, "jaxrl list takes no options.")
    print("agents:", ", ".join(AGENTS))
    print("environments:", ", ".join(envs.names()))
    print("presets:")
    for (agent, env), values in presets.PRESETS.items():
        print(f"  {agent} {env}: " + ", ".join(f"{k} {v}" for k, v in values.items()))


BENCHMARKS = ("learning", "speed", "buffers")


def benchmark_command(arguments: list[str]) -> Any:
    """`jaxrl benchmark NAME`: what `experiments/benchmarks/NAME.py` measures."""
    # Looked for, not imported: a benchmark may need what is not installed.
    there = [n for n in BENCHMARKS if importlib.util.find_spec(f"experiments.benchmarks.{n}")]
    if not arguments or arguments[0] in ("-h", "--help"):
        require(bool(arguments), f"jaxrl benchmark needs one of {', '.join(there)}.")
        print(f"usage: jaxrl benchmark {{{','.join(there)}}} [OPTIONS]")
        return
    if arguments[0] not in there:
        raise unknown("benchmark", arguments[0], there)
    module = importlib.import_module(f"experiments.benchmarks.{arguments[0]}")
    status = module.main(arguments[1:])
    if status:
        sys.exit(status)
