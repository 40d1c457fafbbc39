"""What each command does, from its arguments to its results folder."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from envs import suites
from experiments import (
    building,
    configuration,
    continuing,
    costing,
    forms,
    invocation,
    lanes,
    options,
    processes,
    results,
)
from experiments.configuration import Configuration
from experiments.launching import launch_command
from experiments.named import benchmark_command, list_command, reproduce_command
from experiments.regimes import dataset_command
from experiments.sweeps import sweep_command
from experiments.tuning.command import tune_command
from experiments.writers import require_writers
from jaxrl.errors import InputError, require, require_positive

# Training, checkpoints and pictures are imported where they are needed, so that --help is quick.

RENDER_SEED = 1_000_000

__all__ = [
    "benchmark_command",
    "compare_command",
    "dashboard_command",
    "dataset_command",
    "evaluate_command",
    "export_command",
    "launch_command",
    "list_command",
    "plot_command",
    "reproduce_command",
    "sweep_command",
    "train_command",
    "tune_command",
]


def train_command(arguments: list[str]) -> None:
    """`jaxrl train AGENT`: train seeds at once into a results folder, or continue one."""
    together = invocation.value_of("--distributed", arguments)
    if together and not {"-h", "--help"} & set(arguments):
        processes.begin(together)  # before anything is computed
    resume = invocation.resumed_folder("train", arguments)
    if resume:
        stored = invocation.stored_for("train", resume, arguments)
        arguments = arguments[bool(arguments and arguments[0] == stored.agent) :]
        agent, defaults = stored.agent, invocation.defaults_of(stored)
    else:
        agent, arguments = invocation.agent_of("train", arguments), arguments[1:]
        defaults = invocation.defaults_for(agent, arguments)
    kind = options.schema(options.Resumable, agent, defaults, lists=False)
    chosen = options.parse(f"train {agent}", kind, arguments)
    config = invocation.configuration(agent, chosen, {})
    require(
        not (processes.several() and lanes.outside(config.env)),
        f"{config.env} runs outside of compiled functions: leave --distributed out.",
    )
    if resume:
        folder = Path(resume)
        same = not chosen.out or Path(chosen.out) == folder
        require(same, "--resume continues in its own folder: leave --out out.")
        configuration.require_same(config, stored, folder)
        config = configuration.extended(stored, config.steps, config.dataset, config.frozen)
    else:
        invocation.require_seeds(config.seed, config.seeds)
        folder = invocation.folder_of(chosen, agent)
        if processes.first():
            results.require_new(folder)
    require_positive(save_every=chosen.save_every)
    require_writers(chosen.log)
    invocation.use_cache(chosen)
    config = config if resume else continuing.described(config)
    building.validate(config, None if resume else continuing.shapes(config))
    run(config, folder, bool(resume), chosen)


def run(config: Configuration, folder: Path, resume: bool, chosen: Any) -> None:
    """Train a valid configuration into a folder; leave pictures and the policy of the best seed.

    The learning curve is drawn however training ends. Raises what
    `experiments.training.train_parts` raises.
    """
    from experiments import exporting
    from experiments.training import Diverged, Interrupted, Options, drawn_after, train_parts

    redraw = lambda: draw_curve(config, folder)
    own = Options(
        chosen.log, chosen.save_every, redraw, devices=chosen.devices, profile=chosen.profile
    )
    with contextlib.ExitStack() as stack:
        if processes.first():
            stack.enter_context(drawn_after(lambda: draw_run(config, folder)))
        stack.enter_context(processes.together(Interrupted, Diverged))
        train_parts(config, folder, resume, own)
    if processes.several():  # one of them cannot read what all have trained
        if processes.first():
            print(f"jaxrl export {folder} writes the policy of the best seed to a file.")
        return
    exporting.after_training(config, folder)
    if chosen.animation:
        animate_best(config, folder)


def draw_curve(config: Configuration, folder: Path) -> list[dict[str, float]]:
    """Draw the learning curve of a results folder; return its rows."""
    from experiments import plots

    rows = results.read_metrics(folder)
    plots.learning_curves(rows, config, folder / "learning_curve.png")
    return rows


def draw_run(config: Configuration, folder: Path) -> None:
    """Draw the learning curve of a results folder, and say what is in it."""
    if not (folder / "metrics.csv").exists():
        return
    rows = draw_curve(config, folder)
    last = [row["return_mean"] for row in rows if row["env_steps"] == rows[-1]["env_steps"]]
    last = np.array([value for value in last if np.isfinite(value)])
    if last.size:
        print(
            f"Return of the last evaluation: mean {last.mean():.1f}, lowest {last.min():.1f}, "
            f"highest {last.max():.1f} over {last.size} seeds."
        )
    print(f"Results are in {folder}: config.json, metrics.csv, learning_curve.png, checkpoint/.")


def animate_best(config: Configuration, folder: Path) -> None:
    """Write an animation of the member with the highest last evaluation.

    It is a page where pictures cannot be drawn, and where neither can be, a sentence says why.
    """
    from experiments.evaluation import best_member
    from experiments.render import animate

    best, reasons = best_member(config, folder), []
    for kind in ("gif", "html") if suites.pages(config.env) else ("gif",):
        place = folder / f"best_agent.{kind}"
        try:
            animate(config, folder, best, RENDER_SEED, place)
        except InputError as error:
            reasons.append(str(error))
            continue
        print(f"The best agent, of seed {config.seed + best}, is shown in {place}.")
        return
    print(f"The best agent is not shown. {' '.join(reasons)}")


def evaluate_command(arguments: list[str]) -> None:
    """`jaxrl evaluate FOLDER`: complete episodes with a trained agent."""
    chosen = options.parse("evaluate", forms.EvaluateOptions, arguments)
    require_positive(episodes=chosen.episodes)
    invocation.require_seeds(chosen.seed, 1)
    config = configuration.load(chosen.folder)
    if chosen.render is not None:
        from experiments import films

        films.require_film(chosen.render)
        results.make_folder(chosen.render.parent)
    from experiments import evaluation

    invocation.use_cache(chosen)
    rows = evaluation.scores(config, chosen.folder, chosen.episodes, chosen.seed, chosen.sampled)
    evaluation.save(rows, chosen.folder)
    for row in rows:
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    for line in evaluation.summary(rows, list(config.sweep), chosen.episodes):
        print(line)
    if chosen.render is not None:
        from experiments.render import animate

        best = evaluation.best_of(costing.eligible(config.cost_limits, rows))
        animate(config, chosen.folder, best, chosen.seed, chosen.render)
        print(f"The best, of seed {rows[best]['seed']}, plays one episode in {chosen.render}.")


def export_command(arguments: list[str]) -> None:
    """`jaxrl export FOLDER`: the policy of a trained agent as one file that needs only jax."""
    chosen = options.parse("export", forms.ExportOptions, arguments)
    config = configuration.load(chosen.folder)
    from experiments import exporting

    place = exporting.place_of(config, chosen.folder, chosen.out, chosen.seed)
    print(exporting.export(config, chosen.folder, place, chosen.seed))


def plot_command(arguments: list[str]) -> None:
    """`jaxrl plot FOLDER ...`: one picture of several results."""
    chosen = options.parse("plot", forms.PlotOptions, arguments)
    require(bool(chosen.folders), "jaxrl plot needs at least one results folder.")
    from experiments import plots

    plots.require_picture(chosen.out)
    results.make_folder(chosen.out.parent)
    look = plots.Look(chosen.column, chosen.x, chosen.statistic, chosen.individual)
    plots.of_folders(list(chosen.folders), chosen.out, look, chosen.labels)
    print(f"The learning curves are in {chosen.out}.")


def compare_command(arguments: list[str]) -> None:
    """`jaxrl compare FOLDER ...`: statistics of several methods, and a verdict for each pair."""
    chosen = options.parse("compare", forms.CompareOptions, arguments)
    require(
        len(chosen.folders) > 0, "jaxrl compare needs results folders: see jaxrl compare --help."
    )
    from experiments import compare, plots

    plots.require_picture(chosen.out)
    found = compare.gathered(list(chosen.folders), chosen.labels, chosen.area)
    results.make_folder(chosen.out.parent)
    print(compare.save(found, chosen.out))
    plots.write(compare.picture(found), chosen.out)
    print(f"The picture is {chosen.out}; the numbers are beside it.")


def dashboard_command(arguments: list[str]) -> None:
    """`jaxrl dashboard FOLDER`: a web page of all runs below a folder, for this machine only."""
    chosen = options.parse("dashboard", forms.DashboardOptions, arguments)
    from experiments.dashboard.server import serve

    invocation.use_cache(chosen)
    serve(chosen.folder, chosen.port, chosen.browser)
