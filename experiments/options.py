"""Command-line options built from the dataclasses of the agents."""

import ast
import contextlib
import dataclasses
import inspect
import io
import itertools
import re
import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

import envs
from agents import AGENTS
from experiments import records
from experiments.configuration import Configuration, load
from experiments.presets import preset
from jaxrl.errors import InputError, require, unknown


def whole(words: list[str]) -> int:
    """The integer that a word such as `64` or `2e6` means."""
    value = float(words[0])
    if not value.is_integer():  # also infinity and nan
        raise InputError(f"{words[0]} is not a whole number")
    return int(value)


Int = Annotated[
    int,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=whole,
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclasses.dataclass(frozen=True)
class Common:
    """The options that training has whatever the agent."""

    env: str = ""
    """Name of the environment, see `jaxrl list`."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, as name=value."""
    seeds: Int = 8
    """How many seeds to train at once."""
    seed: Int = 0
    """The first seed."""
    steps: Int = 1_000_000
    """Environment steps of each seed."""
    evaluations: Int = 20
    """Evaluations, evenly spread."""
    episodes: Int = 16
    """Complete episodes in an evaluation of one seed."""
    max_episode_steps: Int = 10_000
    """Steps after which an evaluation gives an episode up."""
    dataset: str = ""
    """Learn from this data set alone (see jaxrl dataset); --steps then counts the environment steps
    that as many updates would take online."""
    out: str = ""
    """Results folder; runs/AGENT-ENV if left out."""
    tensorboard: bool = False
    """Write TensorBoard files too."""


@dataclasses.dataclass(frozen=True)
class Resumable(Common):
    """The options of `jaxrl train`."""

    animation: bool = True
    """Record the best agent into best_agent.gif at the end."""
    resume: str = ""
    """Go on with the run in this results folder, to --steps if that is given."""


@dataclasses.dataclass(frozen=True)
class Sweepable(Common):
    """The options of `jaxrl sweep`."""

    members_at_once: Int = 0
    """Points x seeds in one vmapped run; 0 takes as many as fit into memory."""
    resume: str = ""
    """Go on with the sweep in this results folder, as it began."""


@dataclasses.dataclass(frozen=True)
class EvaluateOptions:
    """Play complete episodes with every seed of a trained agent."""

    folder: tyro.conf.Positional[Path]
    """The results folder of a training run."""
    episodes: Int = 16
    """Complete episodes of each seed."""
    seed: Int = 1_000_000
    """Of the episodes."""
    sampled: bool = False
    """Act as in training instead of greedily."""
    render: Path | None = None
    """Record the best seed playing one episode into this animation, a .gif file."""


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """Collect a data set that minari can read: random, medium, expert or mixed."""

    sources: tyro.conf.Positional[tuple[str, ...]]
    """Who acts, in equal shares: the word random, or results folders of trained agents."""
    env: str = ""
    """Name of the environment; that of the first results folder if left out."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, as name=value."""
    steps: Int = 10_000
    """Transitions."""
    seed: Int = 0
    """Of the episodes."""
    sampled: bool = False
    """Let agents act as in training instead of greedily."""
    out: Path = Path("datasets/data-v0")
    """A new folder, whose name ends in -v and a number."""


@dataclasses.dataclass(frozen=True)
class PlotOptions:
    """Draw the learning curves of results folders in one picture."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Results folders."""
    out: Path = Path("learning_curves.png")
    """The picture."""


def documentation(cls: type) -> dict[str, str]:
    """The docstring of each field of a dataclass and its ancestors."""
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__[:-1]):
        body = ast.parse(inspect.cleandoc(inspect.getsource(ancestor))).body[0].body  # type: ignore
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[field.target.id] = ast.literal_eval(text.value)  # type: ignore
    return found


def attribute(name: str) -> str:
    """The attribute of parsed options that holds a hyperparameter, whose name may have dots."""
    return name.replace(".", "__")


def schema(base: type, agent: str, defaults: dict[str, Any], lists: bool) -> type:
    """A dataclass of all options; with `lists` every numeric hyperparameter takes several."""
    own = [(f.name, base, f, f.default) for f in dataclasses.fields(base)]
    record, fields = AGENTS[agent].defaults, []
    for name, cls, f, value in [*own, *records.fields(record)]:
        kind = typing.get_type_hints(cls, include_extras=True)[f.name]
        value = defaults.get(name, value)
        if lists and cls is not base and name in records.numeric(record):
            kind, value = tuple[float, ...], (value,)
        kind = {int: Int, tuple[int, ...]: tuple[Int, ...]}.get(kind, kind)
        text = documentation(cls)[f.name].replace("%", "%%")
        note = tyro.conf.arg(help=text, name=name if "." in name else None)
        fields.append((attribute(name), Annotated[kind, note], dataclasses.field(default=value)))
    return dataclasses.make_dataclass(f"{agent}_options", fields, frozen=True)


def parse(command: str, kind: type, arguments: list[str]) -> Any:
    """Options from the command line; an InputError of one sentence for one that is wrong."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            options, rest = tyro.cli(
                kind,
                args=arguments,
                prog=f"jaxrl {command}",
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        words = re.sub(r"[^\x20-\x7e\n]|[─-╿]", " ", errors.getvalue())
        lines = (line.strip() for line in words.splitlines())
        text = " ".join(line for line in lines if line and "full helptext" not in line)
        text = re.sub(r"\s+", " ", re.sub(r"-{3,}|Parsing error|Required options", " ", text))
        raise InputError(f"{text.strip().rstrip('.')}: see jaxrl {command} --help.") from None
    if not rest:
        return options
    word = rest[0]
    names = [f.name.replace("__", ".").replace("_", "-") for f in dataclasses.fields(kind)]
    flags = [f"--{name}" for name in names]
    if word.startswith("--"):
        raise unknown("option", word.split("=")[0], flags)
    if word == arguments[0]:
        flag = "--env" if "--env" in flags else flags[0]
        text = f"{word!r} needs the name of an option before it, such as {flag}"
        raise InputError(f"{text}: see jaxrl {command} --help.")
    raise InputError(f"{word!r} is one value too many: only jaxrl sweep takes several.")


def agent_of(command: str, arguments: list[str]) -> str:
    """The agent that the first argument names; an InputError otherwise."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if not name and {"-h", "--help"} & set(arguments):
        print(f"usage: jaxrl {command} {{{','.join(AGENTS)}}} --env ENV [OPTIONS]\n")
        print(f"`jaxrl {command} AGENT --help` explains an agent's options.")
        sys.exit(0)
    require(bool(name), f"jaxrl {command} needs an agent: {', '.join(AGENTS)}.")
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return name


def value_of(flag: str, arguments: list[str]) -> str:
    """What follows `flag` on the command line, "" if it is not there."""
    for i, word in enumerate(arguments):
        if word == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def defaults_for(agent: str, arguments: list[str]) -> dict[str, Any]:
    """The preset of the environment that the command line names."""
    found = preset(agent, value_of("--env", arguments))
    return found | ({"steps": int(found["steps"])} if "steps" in found else {})


def stored_for(command: str, resume: str, arguments: list[str]) -> Configuration:
    """The configuration of a results folder to resume, which must be of the agent named."""
    stored = load(Path(resume))
    other = "sweep" if stored.sweep else "train"
    require(command == other, f"{resume} is of a {other}: use jaxrl {other} --resume {resume}.")
    named = arguments[0] if not arguments[0].startswith("-") else stored.agent
    require(
        named == stored.agent,
        f"{resume} holds a checkpoint of another configuration: its agent is {stored.agent}, "
        f"not {named}.",
    )
    return stored


def defaults_of(stored: Configuration) -> dict[str, Any]:
    """The options that a stored configuration was made from."""
    values = dataclasses.asdict(stored) | stored.hyperparameters
    values["env_params"] = tuple(f"{k}={v!r}" for k, v in stored.env_params.items())
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def environment_parameters(pairs: tuple[str, ...]) -> dict[str, Any]:
    """The mapping that words like `length=0.7` mean."""
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        require(bool(equals), f"--env-params takes name=value, not {pair!r}.")
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = text
    return found


def configuration(agent: str, options: Any, sweep: dict[str, list[float]]) -> Configuration:
    """The configuration that parsed options mean."""
    require(bool(options.env), "--env is needed: jaxrl list names the environments.")
    if options.env not in envs.names():
        envs.make(options.env)  # raises, naming the nearest
    record = AGENTS[agent].defaults
    given = {name: getattr(options, attribute(name)) for name in records.flat(record)}
    several = [name for name in records.numeric(record) if isinstance(given[name], tuple)]
    return Configuration(
        agent=agent,
        env=options.env,
        env_params=environment_parameters(options.env_params),
        hyperparameters=given | {name: given[name][0] for name in several},
        sweep=sweep,
        seeds=options.seeds,
        seed=options.seed,
        steps=options.steps,
        evaluations=options.evaluations,
        episodes=options.episodes,
        max_episode_steps=options.max_episode_steps,
        dataset=options.dataset,
    )


def folder_of(options: Any, agent: str) -> Path:
    """The results folder that the options name, or the usual one."""
    return Path(options.out or f"runs/{agent}-{options.env.replace('/', '-')}")
