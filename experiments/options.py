"""Command-line options built from the dataclasses of the agents."""

import ast
import contextlib
import dataclasses
import inspect
import io
import re
import sys
import typing
from pathlib import Path
from typing import Annotated, Any

import tyro

import envs
from agents import AGENTS
from experiments.configuration import Configuration
from experiments.presets import preset
from jaxrl.errors import require, unknown


@dataclasses.dataclass(frozen=True)
class Common:
    """The options that training has whatever the agent."""

    env: str = ""
    """Name of the environment, see `jaxrl list`."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, as name=value."""
    seeds: int = 8
    """How many seeds to train at once."""
    seed: int = 0
    """The first seed."""
    steps: float = 1e6
    """Environment steps of each seed."""
    evaluations: int = 20
    """Evaluations, evenly spread."""
    episodes: int = 16
    """Complete episodes in an evaluation of one seed."""
    max_episode_steps: int = 10_000
    """Steps after which an evaluation gives an episode up."""
    out: str = ""
    """Results folder; runs/AGENT-ENV if left out."""
    tensorboard: bool = False
    """Write TensorBoard files too."""


@dataclasses.dataclass(frozen=True)
class Resumable(Common):
    """The options of `jaxrl train`."""

    resume: str = ""
    """Go on with the run in this results folder."""


@dataclasses.dataclass(frozen=True)
class Sweepable(Common):
    """The options of `jaxrl sweep`."""

    members_at_once: int = 0
    """Points x seeds in one vmapped run; 0 takes as many as fit into memory."""


def documentation(cls: type) -> dict[str, str]:
    """The docstring of each field of a dataclass and its ancestors."""
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__[:-1]):
        body = ast.parse(inspect.cleandoc(inspect.getsource(ancestor))).body[0].body  # type: ignore
        for field, text in zip(body, body[1:]):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                found[field.target.id] = ast.literal_eval(text.value)  # type: ignore
    return found


def swept(hyperparameters: type) -> list[str]:
    """The hyperparameters that vmap can sweep: the numeric leaves."""
    fields = dataclasses.fields(hyperparameters)
    return [f.name for f in fields if f.metadata.get("pytree_node", True)]


def schema(base: type, agent: str, defaults: dict[str, Any], lists: bool) -> type:
    """A dataclass of all options; with `lists` every numeric hyperparameter takes several."""
    hyperparameters = AGENTS[agent].hyperparameters
    fields = []
    for cls in (base, hyperparameters):
        docs, hints = documentation(cls), typing.get_type_hints(cls)
        for f in dataclasses.fields(cls):
            kind, value = hints[f.name], defaults.get(f.name, f.default)
            if lists and cls is hyperparameters and f.name in swept(cls):
                kind, value = tuple[float, ...], (value,)
            note = tyro.conf.arg(help=docs[f.name].replace("%", "%%"))
            fields.append((f.name, Annotated[kind, note], dataclasses.field(default=value)))
    return dataclasses.make_dataclass(f"{agent}_options", fields, frozen=True)


def parse(command: str, kind: type, arguments: list[str]) -> Any:
    """Options from the command line; a ValueError of one sentence for one that is wrong."""
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
        raise ValueError(f"{text.strip().rstrip('.')}: see jaxrl {command} --help.") from None
    if rest:
        flags = [f"--{f.name.replace('_', '-')}" for f in dataclasses.fields(kind)]
        name = rest[0].split("=")[0]
        raise unknown("option", name, flags)
    return options


def agent_of(command: str, arguments: list[str]) -> str:
    """The agent that the first argument names; a ValueError otherwise."""
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
    return preset(agent, value_of("--env", arguments))


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
    fields = [f.name for f in dataclasses.fields(AGENTS[agent].hyperparameters)]
    first = lambda name, value: value[0] if name in sweepable else value
    sweepable = [name for name in fields if isinstance(getattr(options, name), tuple)]
    sweepable = [n for n in sweepable if n in swept(AGENTS[agent].hyperparameters)]
    return Configuration(
        agent=agent,
        env=options.env,
        env_params=environment_parameters(options.env_params),
        hyperparameters={name: first(name, getattr(options, name)) for name in fields},
        sweep=sweep,
        seeds=options.seeds,
        seed=options.seed,
        steps=int(options.steps),
        evaluations=options.evaluations,
        episodes=options.episodes,
        max_episode_steps=options.max_episode_steps,
    )


def folder_of(options: Any, agent: str) -> Path:
    """The results folder that the options name, or the usual one."""
    return Path(options.out or f"runs/{agent}-{options.env.replace('/', '-')}")
