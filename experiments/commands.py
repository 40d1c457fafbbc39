"""What each command does, from its arguments to its results folder."""

import importlib
import sys
from pathlib import Path

import numpy as np

import envs
from agents import AGENTS
from experiments import configuration, options, presets, results
from experiments.configuration import Configuration
from experiments.sweeps import sweep_command
from jaxrl.errors import require, require_positive, unknown

# Training, checkpoints and pictures are imported where they are needed, so that --help is quick.

RENDER_SEED = 1_000_000

__all__ = [
    "benchmark_command",
    "dataset_command",
    "evaluate_command",
    "list_command",
    "plot_command",
    "sweep_command",
    "train_command",
]


def train_command(arguments: list[str]) -> None:
    """`jaxrl train AGENT`: train seeds at once into a results folder, or go on with one."""
    resume = options.value_of("--resume", arguments)
    if resume:
        stored = options.stored_for("train", resume, arguments)
        arguments = arguments[bool(arguments and arguments[0] == stored.agent) :]
        agent, defaults = stored.agent, options.defaults_of(stored)
    else:
        agent, arguments = options.agent_of("train", arguments), arguments[1:]
        defaults = options.defaults_for(agent, arguments)
    kind = options.schema(options.Resumable, agent, defaults, lists=False)
    chosen = options.parse(f"train {agent}", kind, arguments)
    config = options.configuration(agent, chosen, {})
    if resume:
        folder = Path(resume)
        same = not chosen.out or Path(chosen.out) == folder
        require(same, "--resume goes on in its own folder: leave --out out.")
        configuration.require_same(config, stored, folder)
        config = configuration.extended(stored, config.steps)
    else:
        folder = options.folder_of(chosen, agent)
        results.require_new(folder)
    configuration.validate(config)
    if chosen.tensorboard:
        results.require_tensorboard()
    run(config, folder, bool(resume), chosen.tensorboard, chosen.animation)


def run(
    config: Configuration, folder: Path, resume: bool = False, tensorboard: bool = False,
    animation: bool = True,
) -> None:  # fmt: skip
    """Train a valid configuration into a folder, and draw what there is, whatever happens.

    Raises what `experiments.training.train` raises.
    """
    from experiments.training import drawn_after, train_parts

    with drawn_after(lambda: draw_run(config, folder)):
        train_parts(config, folder, resume, tensorboard)
    if animation:
        animate_best(config, folder)


def draw_run(config: Configuration, folder: Path) -> None:
    """Draw the learning curve of a results folder, and say what is in it."""
    if not (folder / "metrics.csv").exists():
        return
    from experiments import plots

    rows = results.read_metrics(folder)
    title = f"{config.agent} on {config.env}"
    plots.learning_curves({config.agent: rows}, title, folder / "learning_curve.png")
    last = [row["return_mean"] for row in rows if row["env_steps"] == rows[-1]["env_steps"]]
    last = np.array([value for value in last if np.isfinite(value)])
    if last.size:
        print(
            f"Return of the last evaluation: mean {last.mean():.1f}, lowest {last.min():.1f}, "
            f"highest {last.max():.1f} over {last.size} seeds."
        )
    print(f"Results are in {folder}: config.json, metrics.csv, learning_curve.png, checkpoint/.")


def animate_best(config: Configuration, folder: Path) -> None:
    """Write an animation of the member with the highest last evaluation."""
    from experiments.render import animate

    rows = results.read_metrics(folder)
    last = [row for row in rows if row["env_steps"] == rows[-1]["env_steps"]]
    best = max(last, key=lambda row: row["return_mean"])
    animate(config, folder, int(best["seed"]) - config.seed, RENDER_SEED, folder / "best_agent.gif")
    print(f"The best agent, of seed {best['seed']:.0f}, plays in {folder / 'best_agent.gif'}.")


def evaluate_command(arguments: list[str]) -> None:
    """`jaxrl evaluate FOLDER`: complete episodes with a trained agent."""
    chosen = options.parse("evaluate", options.EvaluateOptions, arguments)
    require_positive(episodes=chosen.episodes)
    require(chosen.seed >= 0, f"seed must not be negative, but it is {chosen.seed}.")
    config = configuration.load(chosen.folder)
    if chosen.render is not None:
        require(chosen.render.suffix == ".gif", "--render takes the name of a .gif file.")
        results.make_folder(chosen.render.parent)
    from experiments import evaluation

    rows = evaluation.scores(config, chosen.folder, chosen.episodes, chosen.seed, chosen.sampled)
    evaluation.save(rows, chosen.folder)
    for row in rows:
        print("  ".join(f"{name} {value:.5g}" for name, value in row.items()))
    means = np.array([row["return_mean"] for row in rows])
    mean, low, high = results.interval(means)
    print(f"Mean return {mean:.1f}, 95 % interval [{low:.1f}, {high:.1f}] over "
          f"{len(rows)} members, {chosen.episodes} episodes each.")  # fmt: skip
    if chosen.render is not None:
        from experiments.render import animate

        best = max(range(len(rows)), key=lambda i: rows[i]["return_mean"])
        animate(config, chosen.folder, best, chosen.seed, chosen.render)
        print(f"The best, of seed {rows[best]['seed']}, plays an episode in {chosen.render}.")


def dataset_command(arguments: list[str]) -> None:
    """`jaxrl dataset SOURCE ...`: what random actions or trained agents did, as a data set."""
    chosen = options.parse("dataset", options.DatasetOptions, arguments)
    require(bool(chosen.sources), "jaxrl dataset needs a source: random, or a results folder.")
    require_positive(steps=chosen.steps)
    require(chosen.seed >= 0, f"seed must not be negative, but it is {chosen.seed}.")
    folders = [source for source in chosen.sources if source != "random"]
    known = [configuration.load(Path(folder)) for folder in folders]
    require(bool(chosen.env or known), "--env is needed: jaxrl list names the environments.")
    params = options.environment_parameters(chosen.env_params)
    env = envs.make(chosen.env, **params) if chosen.env else configuration.make_env(known[0])
    results.require_new(chosen.out)
    from experiments import collecting, datasets

    datasets.require_writable(env, chosen.out)
    sources = list(chosen.sources)
    episodes = collecting.gather(env, sources, chosen.steps, chosen.seed, chosen.sampled)
    about = f"{', '.join(sources)} in {chosen.env or known[0].env}"
    datasets.save(episodes, env, chosen.out, about)
    whole = [e["rewards"].sum() for e in episodes]
    print(f"{sum(len(e['rewards']) for e in episodes)} transitions of {len(episodes)} episodes, of "
          f"mean return {np.mean(whole):.1f}, are in {chosen.out}.")  # fmt: skip


def plot_command(arguments: list[str]) -> None:
    """`jaxrl plot FOLDER ...`: one picture of several results."""
    chosen = options.parse("plot", options.PlotOptions, arguments)
    require(bool(chosen.folders), "jaxrl plot needs at least one results folder.")
    from experiments import plots

    results.make_folder(chosen.out.parent)
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


BENCHMARKS = ("learning", "speed", "buffers", "dynamic-programming", "imagination")
REPRODUCTIONS = (
    "classification",
    "distributional",
    "dreams",
    "edge",
    "generalisation",
    "horizon",
    "lipschitz",
    "mismatch",
    "rates",
    "reach",
    "recall",
    "robust",
    "search",
    "stock",
    "surrogates",
    "wanted",
    "weighted-models",
)


def benchmark_command(arguments: list[str]) -> None:
    """`jaxrl benchmark NAME`: what the module of that name in `experiments/benchmarks` measures."""
    module_command("benchmark", "benchmarks", BENCHMARKS, arguments)


def reproduce_command(arguments: list[str]) -> None:
    """`jaxrl reproduce NAME`: the claim of that module in `experiments/reproductions`."""
    module_command("reproduce", "reproductions", REPRODUCTIONS, arguments)


def module_command(
    command: str, package: str, names: tuple[str, ...], arguments: list[str]
) -> None:
    """Run the `main` of the module that the first argument names."""
    if not arguments or arguments[0] in ("-h", "--help"):
        require(bool(arguments), f"jaxrl {command} needs one of {', '.join(names)}.")
        print(f"usage: jaxrl {command} {{{','.join(names)}}} [OPTIONS]")
        return
    if arguments[0] not in names:
        raise unknown(command, arguments[0], names)
    module = f"experiments.{package}.{arguments[0].replace('-', '_')}"
    status = importlib.import_module(module).main(arguments[1:])
    if status:
        sys.exit(status)
