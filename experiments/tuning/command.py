"""`jaxrl tune AGENT`: the command line of a search for hyperparameters."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from experiments import (
    building,
    configuration,
    invocation,
    options,
    programs,
    records,
    reporting,
    results,
)
from experiments.configuration import Configuration
from experiments.forms import POSITIONAL
from experiments.locks import locked
from experiments.tuning import space as spaces
from experiments.tuning import study
from jaxrl.errors import require, require_positive


@dataclasses.dataclass(frozen=True)
class TuneOptions:
    """Search for good hyperparameters, in batches of points that train as one program.

    Every point trains with several seeds, and its score is the interquartile mean of their final
    evaluation returns. Hyperparameters that are not searched are those of the preset, or defaults.
    """

    agent: str = dataclasses.field(default="", metadata=POSITIONAL)
    """Name of the agent; `jaxrl list agents` shows them all."""
    env: str = ""
    """Name of the environment; `jaxrl list environments` shows them all."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, such as length=0.7."""
    space: tuple[str, ...] = ()
    """What to search: NAME=LOW:HIGH, NAME=LOW:HIGH:log for its logarithm, or NAME=A|B|C."""
    fixed: tuple[str, ...] = ()
    """Hyperparameters to set for all points: NAME=VALUE."""
    search: str = "tpe"
    """How points are proposed: tpe, which is Optuna's estimator, random, halving, which is
    successive halving of random points, or pbt, which is population-based training."""
    trials: int = 64
    """Number of points, or members of the population with --search pbt."""
    batch: int = 16
    """Points that train in one program."""
    generations: int = 20
    """Generations of population-based training."""
    prune: bool = True
    """Give up points below the median at an evaluation; a batch ends when all of its are."""
    steps: int = 0
    """Environment steps of each seed; 0 takes the preset's, or 1e5."""
    seeds: int = 4
    """Seeds of each point."""
    seed: int = 0
    """The first seed, and that of the search."""
    evaluations: int = 5
    """Evaluations of each point, at which it may be given up."""
    episodes: int = 16
    """Complete episodes of each seed in an evaluation."""
    max_episode_steps: int = 10_000
    """Steps after which an evaluation stops an episode that has not ended."""
    out: str = ""
    """Results folder, which must be new; by default runs/tune-AGENT-ENV."""
    resume: str = ""
    """Results folder of a search to continue; it takes no other options."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder."""


def tune_command(arguments: list[str]) -> None:
    """`jaxrl tune AGENT`: search for hyperparameters, or continue a search."""
    chosen = options.parse("tune", TuneOptions, arguments)
    if chosen.resume:
        rest = [w for w in arguments if w not in ("--resume", f"--resume={chosen.resume}")]
        require(
            rest in ([], [chosen.resume]),
            f"jaxrl tune --resume {chosen.resume} continues it as it began: leave the other "
            "options out.",
        )
        path = Path(chosen.resume) / "tune.json"
        require(path.is_file(), f"{chosen.resume} is no search: it has no tune.json.")
        folder = Path(chosen.resume)
        chosen = options.parse("tune", TuneOptions, json.loads(path.read_text())["arguments"])
    else:
        folder = invocation.folder_of(chosen, f"tune-{chosen.agent}")
        results.require_new(folder)
    invocation.use_cache(chosen)
    with programs.for_now():  # batches share them, also with --no-cache
        begun(chosen, arguments, folder)


def begun(chosen: TuneOptions, arguments: list[str], folder: Path) -> None:
    """Search in a new folder, or go on in one that is there."""
    like, space = checked(chosen)
    results.make_folder(folder)
    if not (folder / "tune.json").exists():
        results.write_whole(folder / "tune.json", json.dumps({"arguments": arguments}) + "\n")
    tell = reporting.log_file(folder)

    def say(text: str) -> None:
        tell(text)
        print(text, file=sys.stderr)

    with locked(folder):
        if chosen.search == "pbt":
            evolve(like, space, folder, chosen, say)
        else:
            search(like, space, folder, chosen, say)


def checked(chosen: TuneOptions) -> tuple[Configuration, spaces.Space]:
    """The configuration of every point, and the search space; an InputError for what is wrong."""
    agent = invocation.agent_of("tune", [chosen.agent] if chosen.agent else [])
    spaces.require_search(chosen.search, study.SEARCHES)
    study.require_optuna()
    require_positive(trials=chosen.trials, batch=chosen.batch, generations=chosen.generations)
    invocation.require_seeds(chosen.seed, chosen.seeds)
    found = spaces.parsed(agent, chosen.space)
    if chosen.search == "pbt":
        spaces.require_floats(found)
    record = configuration.AGENTS[agent].defaults
    values = records.flat(record) | invocation.defaults_for(agent, ["--env", chosen.env])
    usual = int(values.pop("steps", 100_000))
    steps = chosen.steps or usual
    for word in chosen.fixed:
        given, equals, text = word.partition("=")
        require(bool(equals and given and text), f"--fixed takes NAME=VALUE, not {word!r}.")
        name = spaces.named(agent, given)
        require(name not in found, f"{name} is both searched and fixed: leave one of them out.")
        values[name] = spaces.valued(name, records.flat(record)[name], text)
    config = invocation.configured(agent, dataclasses.replace(chosen, steps=steps), values, {})
    building.validate(config)
    return config, found


def search(
    like: Configuration, space: spaces.Space, folder: Path, chosen: TuneOptions, say: Any
) -> None:
    """Search in batches, and print the best points and the command that trains the best."""
    from experiments.tuning import pictures
    from experiments.tuning.search import run

    table = run(like, space, folder, chosen.trials, chosen.batch, chosen.search, chosen.prune, say)
    require(bool(table), "No point has a score: all diverged; try smaller learning rates.")
    print(f"{'score':>10}  " + "  ".join(space))
    for row in table[:10]:
        print(f"{row['score']:>10.4g}  " + "  ".join(shown(row[name]) for name in space))
    print("The best point trains by:\n  " + command(like, {n: table[0][n] for n in space}))
    drawn = pictures.of_study(study.opened(folder, chosen.search, like.seed), folder)
    files = ["trials.csv", *(path.name for path in drawn)]
    print(f"Results are in {folder}: {', '.join(files)}.")


def evolve(
    like: Configuration, space: spaces.Space, folder: Path, chosen: TuneOptions, say: Any
) -> None:
    """Train a population that evolves, and draw its schedules."""
    from experiments.tuning import evolution, pictures

    ranges = spaces.require_floats(space)
    rows = evolution.run(like, ranges, folder, chosen.trials, chosen.generations, say)
    title = f"{like.agent} on {like.env}: population-based training of {chosen.trials} members"
    pictures.of_schedule(rows, list(ranges), title, folder / "population.png")
    print(evolution.summary(rows, list(ranges)))
    print(f"Results are in {folder}: population.csv, population.png, checkpoint/.")


def shown(value: Any) -> str:
    """A value as it is typed."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def command(like: Configuration, point: dict[str, Any]) -> str:
    """The command line that trains a point as it was trained, but for its seeds."""
    words = [f"jaxrl train {like.agent} --env {like.env} --steps {like.steps}"]
    presets = invocation.defaults_for(like.agent, ["--env", like.env])
    usual = records.flat(configuration.AGENTS[like.agent].defaults) | presets
    values = like.hyperparameters | point
    for name, value in values.items():
        if name in point or value != usual.get(name):
            flag = f"--{options.attribute_flag(name)}"
            if isinstance(value, bool):
                words.append(flag if value else f"--no-{flag[2:]}")
            else:
                words.append(f"{flag} {shown(value)}")
    return " ".join(words)
