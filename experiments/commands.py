"""What each command does, from its arguments to its results folder."""

import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import envs
from agents import AGENTS
from experiments import checkpoints, configuration, options, plots, presets, results
from experiments.configuration import Configuration
from experiments.training import member_keys, train
from jaxrl.errors import require, require_positive, unknown
from jaxrl.loop import evaluate


def train_command(arguments: list[str]) -> None:
    """`jaxrl train AGENT`: train seeds at once into a results folder, or go on with one."""
    resume = options.value_of("--resume", arguments)
    if resume:
        stored = configuration.load(Path(resume))
        named = arguments[0] if arguments and not arguments[0].startswith("-") else stored.agent
        require(
            named == stored.agent,
            f"{resume} holds a checkpoint of another configuration: its agent is {stored.agent}, "
            f"not {named}.",
        )
        arguments = arguments[arguments[0] == named :]
        defaults = dataclasses.asdict(stored) | stored.hyperparameters
        defaults["env_params"] = tuple(f"{k}={v!r}" for k, v in stored.env_params.items())
        defaults = {k: tuple(v) if isinstance(v, list) else v for k, v in defaults.items()}
        agent = stored.agent
    else:
        agent, arguments = options.agent_of("train", arguments), arguments[1:]
        defaults = options.defaults_for(agent, arguments)
    kind = options.schema(options.Resumable, agent, defaults, lists=False)
    chosen = options.parse(f"train {agent}", kind, arguments)
    config = options.configuration(agent, chosen, {})
    configuration.validate(config)
    if resume:
        folder = Path(resume)
        require(
            not chosen.out or Path(chosen.out) == folder, "--resume and --out exclude each other."
        )
        configuration.require_same(config, stored, folder)
        config = extended(stored, config.steps)
    else:
        folder = options.folder_of(chosen, agent)
        results.new_folder(folder)
    configuration.save(config, folder)
    run(config, folder, bool(resume), chosen.tensorboard)


def extended(stored: Configuration, steps: int) -> Configuration:
    """A stored configuration that goes on to `steps`, evaluated as often as before."""
    size = stored.interval * stored.steps_per_update
    return dataclasses.replace(stored, steps=steps, evaluations=max(1, round(steps / size)))


def run(config: Configuration, folder: Path, resume: bool = False, tensorboard: bool = False):
    """Train into a folder, and draw the learning curve whatever happens; the last rows."""
    try:
        rows = train(config, folder, resume, tensorboard)
    finally:
        found = results.read_metrics(folder)
        if found:
            title = f"{config.agent} on {config.env}"
            plots.learning_curves({config.agent: found}, title, folder / "learning_curve.png")
    last = [row["return_mean"] for row in rows] if rows else []
    if last:
        print(f"Final evaluation return: mean {np.mean(last):.1f}, min {min(last):.1f}, "
              f"max {max(last):.1f} over {len(last)} seeds.")  # fmt: skip
    print(f"Results are in {folder}: config.json, metrics.csv, learning_curve.png, checkpoint/.")
    return rows


def sweep_command(arguments: list[str]) -> None:
    """`jaxrl sweep AGENT`: train at every point of a grid, seeds and points in one vmapped run."""
    agent, arguments = options.agent_of("sweep", arguments), arguments[1:]
    kind = options.schema(
        options.Sweepable, agent, options.defaults_for(agent, arguments), lists=True
    )
    chosen = options.parse(f"sweep {agent}", kind, arguments)
    names = options.swept(AGENTS[agent].hyperparameters)
    columns = {name: getattr(chosen, name) for name in names if len(getattr(chosen, name)) != 1}
    empty = [name for name, column in columns.items() if not column]
    require(not empty, f"--{''.join(empty[:1]).replace('_', '-')} needs at least one value.")
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
    at_once = chosen.members_at_once or members_that_fit(config)
    folder = options.folder_of(chosen, f"sweep-{agent}")
    results.new_folder(folder)
    configuration.save(config, folder)
    rows = []
    for part, start in enumerate(range(0, config.members, at_once)):
        members = slice(start, min(start + at_once, config.members))
        inner = folder if at_once >= config.members else folder / f"part-{part}"
        inner.mkdir(exist_ok=True)
        train(config, inner, False, chosen.tensorboard, members)
        rows += results.read_metrics(inner)
    if at_once < config.members:
        merged = results.MetricsFile(folder)
        merged.append(sorted(rows, key=lambda row: row["env_steps"]))
        merged.close()
    print_sweep(rows, list(columns), folder)


def print_sweep(rows: list[dict[str, float]], names: list[str], folder: Path) -> None:
    """Print and save the table and the picture of a sweep, best point first."""
    groups = plots.by_point(rows, names)
    table = []
    for label, group in groups.items():
        final = results.curves(group)[1][:, -1:]
        low, high = results.interval(final)
        table.append((float(final.mean()), float(low[0]), float(high[0]), label))
    table.sort(reverse=True)
    width = max(len(label) for *_, label in table)
    lines = [f"{'point':{width}}  final return   95 % interval"]
    lines += [f"{label:{width}}  {m:12.1f}   [{low:.1f}, {high:.1f}]" for m, low, high, label in table]
    (folder / "sweep.txt").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    plots.learning_curves(groups, "", folder / "sweep.png")
    print(f"Results are in {folder}: config.json, metrics.csv, sweep.txt, sweep.png, checkpoint/.")


def members_that_fit(config: Configuration) -> int:
    """How many members train at once in half of the memory, by the size of a run."""
    hp = configuration.hyperparameters(config, 0)
    shape = jax.eval_shape(lambda key: configuration.build(config, hp).experiment.init(key), jax.random.key(0))
    size = sum(x.size * max(x.dtype.itemsize, 4) for x in jax.tree.leaves(shape))
    memory = memory_bytes()
    return max(1, min(config.members, int(memory / 2 // (3 * size))))


def memory_bytes() -> int:
    """Memory of the device on which jax runs, or of the machine."""
    import os

    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] * len(jax.local_devices())
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Play complete episodes with every seed of a trained agent."""

    folder: tyro.conf.Positional[Path]
    """The results folder of a training run."""
    episodes: int = 16
    """Complete episodes of each seed."""
    seed: int = 1_000_000
    """Of the episodes."""
    sampled: bool = False
    """Act as in training instead of greedily."""
    render: Path | None = None
    """Record the best seed playing one episode into this animation, a .gif file."""


def evaluate_command(arguments: list[str]) -> None:
    """`jaxrl evaluate FOLDER`: complete episodes with a trained agent."""
    from experiments.render import animate

    chosen = options.parse("evaluate", EvaluateOptions, arguments)
    require_positive(episodes=chosen.episodes)
    config = configuration.load(chosen.folder)
    if chosen.render is not None:
        require(chosen.render.suffix == ".gif", "--render takes the name of a .gif file.")
    score = scores(config, chosen.folder, chosen.episodes, chosen.seed, chosen.sampled)
    for row in score:
        print("  ".join(f"{k} {v:.5g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    (chosen.folder / "evaluation.json").write_text(json.dumps(score, indent=2) + "\n")
    if chosen.render is not None:
        best = max(range(len(score)), key=lambda i: score[i]["return_mean"])
        animate(config, chosen.folder, best, chosen.seed, chosen.render)
        print(f"Seed {score[best]['seed']} plays an episode in {chosen.render}.")


def restored(config: Configuration, folder: Path) -> Any:
    """The runs [members] in a results folder."""
    hp, hp_axes, seeds = configuration.member_values(config)
    init = lambda key, hp: configuration.build(config, hp).experiment.init(key[0])
    from jaxrl.types import population_axes

    keys = jax.eval_shape(member_keys, seeds)
    one = configuration.hyperparameters(config, 0 if config.sweep else None)
    axes = population_axes(jax.eval_shape(lambda k: init(k, one), keys.update(shape=(2,))))
    like = jax.eval_shape(jax.vmap(init, (0, hp_axes), axes), keys, hp)
    return checkpoints.restore(folder, like)[1], axes, hp, hp_axes, seeds


def scores(config: Configuration, folder: Path, episodes: int, seed: int, sampled: bool) -> list:
    """One row for each member: return and length of its episodes."""
    runs, axes, hp, hp_axes, seeds = restored(config, folder)

    def play(run, hp, key):
        setup = configuration.build(config, hp)
        actor = setup.agent.explore if sampled else setup.agent.exploit
        view = setup.agent.update.read(run.learner)
        return evaluate(setup.env, actor, view, key, episodes, config.max_episode_steps)

    score = jax.jit(jax.vmap(play, (axes, hp_axes, None)))(runs, hp, jax.random.key(seed))
    points = np.repeat(np.arange(config.points), config.seeds)
    return [
        {"seed": int(seeds[i])}
        | {name: column[points[i]] for name, column in config.sweep.items()}
        | {
            "return_mean": float(score.returns[i].mean()),
            "return_std": float(score.returns[i].std()),
            "return_min": float(score.returns[i].min()),
            "return_max": float(score.returns[i].max()),
            "length_mean": float(score.lengths[i].mean()),
            "completed": int(score.completed[i].sum()),
        }
        for i in range(len(seeds))
    ]


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draw the learning curves of results folders in one picture."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Results folders."""
    out: Path = Path("learning_curves.png")
    """The picture."""


def plot_command(arguments: list[str]) -> None:
    """`jaxrl plot FOLDER ...`: one picture of several results."""
    chosen = options.parse("plot", PlotOptions, arguments)
    require(bool(chosen.folders), "jaxrl plot needs at least one results folder.")
    plots.of_folders(list(chosen.folders), chosen.out)
    print(f"The learning curves are in {chosen.out}.")


def list_command(arguments: list[str]) -> None:
    """`jaxrl list`: agents, environments and presets."""
    if arguments and {"-h", "--help"} & set(arguments):
        print("usage: jaxrl list\n\nName the agents, environments and presets.")
        return
    require(not arguments, "jaxrl list takes no options.")
    print("agents:", ", ".join(AGENTS))
    print("environments:", ", ".join(envs.names()))
    print("presets:")
    for (agent, env), values in presets.PRESETS.items():
        print(f"  {agent} {env}: " + ", ".join(f"{k} {v}" for k, v in values.items()))


def benchmark_command(arguments: list[str]) -> None:
    """`jaxrl benchmark learning|speed|buffers`."""
    import importlib

    kinds = ("learning", "speed", "buffers")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"usage: jaxrl benchmark {{{','.join(kinds)}}} [OPTIONS]")
        require(bool(arguments), f"jaxrl benchmark needs one of {', '.join(kinds)}.")
        return
    if arguments[0] not in kinds:
        raise unknown("benchmark", arguments[0], kinds)
    module = importlib.import_module(f"experiments.benchmarks.{arguments[0]}")
    module.main(arguments[1:])


