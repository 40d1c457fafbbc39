"""What a command line asks for: the agent, its defaults, the configuration and the folder."""

import ast
import dataclasses
import sys
from pathlib import Path
from typing import Any

import envs
from agents import AGENTS
from experiments import continuing, costing, goaling, lanes, placement, records, rewarding, worded
from experiments.about import ABOUT
from experiments.arguments import is_flag, path
from experiments.configuration import Configuration, load
from experiments.options import attribute
from experiments.presets import preset
from jaxrl.errors import InputError, require, require_known

ENV_NEEDED = "--env is needed: jaxrl list environments shows the choices."


def agent_of(command: str, arguments: list[str]) -> str:
    """The agent that the first argument names; an InputError otherwise."""
    name = arguments[0] if arguments and not is_flag(arguments[0]) else ""
    if not name and {"-h", "--help"} & set(arguments):
        what = {"train": "Train an agent in an environment, with many seeds in one program.",
                "sweep": "Train an agent at every point of a grid of hyperparameters.",
                "tune": "Search for good hyperparameters of an agent."}  # fmt: skip
        print(f"usage: jaxrl {command} AGENT --env ENV [OPTIONS]\n\n{what[command]}\n")
        print(f"`jaxrl {command} AGENT --help` explains the options of an agent. The agents are:\n")
        for agent, about in ABOUT.items():
            print(f"  {agent:18}{about.sentence}")
        sys.exit(0)
    need = (
        f"jaxrl {command} needs an agent, such as ppo or dqn; `jaxrl list agents` shows them all."
    )
    require(bool(name), need)
    require_known("agent", name, AGENTS)
    return name


def value_of(flag: str, arguments: list[str]) -> str:
    """What follows `flag` on the command line, or "" if it is not there."""
    for i, word in enumerate(arguments):
        if word == flag and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return ""


def defaults_for(agent: str, arguments: list[str]) -> dict[str, Any]:
    """The preset of the environment, and what a run takes from the one that it goes on from."""
    before: dict[str, Any] = {}
    if (folder := value_of("--frozen", arguments)) and not is_flag(folder):
        before = continuing.beside(load(Path(folder)))
    if (folder := value_of("--from", arguments)) and not is_flag(folder):
        before |= continuing.defaults(agent, continuing.stored(folder))
    found = preset(agent, value_of("--env", arguments) or before.get("env", ""))
    return found | ({"steps": int(found["steps"])} if "steps" in found else {}) | before


def resumed_folder(command: str, arguments: list[str]) -> str:
    """The folder after --resume, or "" if that option is not there; an InputError if it is bare."""
    given = any(word == "--resume" or word.startswith("--resume=") for word in arguments)
    folder = value_of("--resume", arguments)
    if given and not {"-h", "--help"} & set(arguments):
        named = bool(folder) and not is_flag(folder)
        require(named, f"--resume needs a results folder: see jaxrl {command} --help.")
    return folder


def stored_for(command: str, resume: str, arguments: list[str]) -> Configuration:
    """The configuration of a results folder to resume, which must be of the agent named."""
    stored = load(Path(resume))
    other = "sweep" if stored.sweep else "train"
    require(
        command == other,
        f"{resume} was made by jaxrl {other}: use jaxrl {other} --resume {resume}.",
    )
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
    values["reward"] = worded.words(stored.reward)
    values["goal"] = worded.words(stored.goal)
    values["cost_limits"] = costing.words(stored.cost_limits)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def environment_parameters(pairs: tuple[str, ...], flag: str = "--env-params") -> dict[str, Any]:
    """The mapping that words like `length=0.7` mean, which stand after an option."""
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        require(
            bool(equals and name and text),
            f"{flag} takes name=value, but was given {pair!r}.",
        )
        require(name not in found, f"{flag} gives {name} twice: leave one of them out.")
        require(
            text.lower().lstrip("+-") not in ("nan", "inf", "infinity"),
            f"{name} must be a finite number, but it is {text}.",
        )
        try:
            found[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            found[name] = {"true": True, "false": False}.get(text.lower(), text)
        require(
            isinstance(found[name], bool | int | float | str | tuple | list),
            f"{flag} takes a number, a word or a list as {name}, but it was given {text!r}.",
        )
    return found


def require_seeds(first: int, count: int) -> None:
    """Raise an InputError unless all seeds are numbers that keys can tell apart."""
    require(first >= 0, f"seed must not be negative, but it is {first}.")
    last = first + max(count, 1) - 1
    require(last < 2**32, f"seed must be below 2**32 = 4294967296, but the last one is {last}.")


def configuration(agent: str, options: Any, sweep: dict[str, list[float]]) -> Configuration:
    """The configuration that parsed options mean."""
    record = AGENTS[agent].defaults
    given = {name: getattr(options, attribute(name)) for name in records.flat(record)}
    several = [name for name in records.numeric(record) if isinstance(given[name], tuple)]
    return configured(agent, options, given | {name: given[name][0] for name in several}, sweep)


def configured(
    agent: str, options: Any, hyperparameters: dict[str, Any], sweep: dict[str, list[float]]
) -> Configuration:
    """The configuration of hyperparameters by name, for which options say everything else."""
    require(bool(options.env), ENV_NEEDED)
    if options.env not in envs.names() and not lanes.outside(options.env):
        envs.make(options.env)  # raises an InputError that names the nearest
    return Configuration(
        agent=agent,
        env=options.env,
        env_params=environment_parameters(options.env_params),
        hyperparameters=hyperparameters,
        sweep=sweep,
        seeds=options.seeds,
        seed=options.seed,
        steps=options.steps,
        evaluations=options.evaluations,
        episodes=options.episodes,
        max_episode_steps=options.max_episode_steps,
        dataset=getattr(options, "dataset", "") or dataset_of(options, hyperparameters),
        base=getattr(options, "base", ""),
        reward=rewarding.described(getattr(options, "reward", ()), environment_parameters),
        goal=goaling.described(getattr(options, "goal", ()), environment_parameters),
        cost_limits=costing.described(getattr(options, "cost_limits", ()), environment_parameters),
        frozen=getattr(options, "frozen", ""),
        precision=getattr(options, "precision", ""),
        shards=placement.shards(getattr(options, "devices", ""), getattr(options, "shards", 0)),
    )


def dataset_of(options: Any, hyperparameters: dict[str, Any]) -> str:
    """The data set of the run that another one begins with, or has beside it, if it takes any."""
    before = getattr(options, "base", "") or getattr(options, "frozen", "")
    wanted = before and hyperparameters.get("data_share", 0)
    return load(Path(before)).dataset if wanted else ""


def use_cache(options: Any) -> None:
    """Keep compiled programs in the user's cache folder, unless --no-cache was given."""
    if options.cache:
        from experiments import compilation, programs

        folder = compilation.cache()
        if folder is not None and programs.command_line():
            programs.keep(folder / "programs")


def folder_of(options: Any, agent: str) -> Path:
    """The results folder that --out names, or else the first new one of the usual names.

    These are runs/AGENT-ENV, runs/AGENT-ENV-2, runs/AGENT-ENV-3 and so on.
    """
    if options.out:
        try:
            return path(options.out)
        except ValueError:
            raise InputError("--out needs the name of a folder.") from None
    base = Path(f"runs/{agent}-{options.env.replace('/', '-')}")
    folder, number = base, 1
    taken = lambda: folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))
    while folder.is_symlink() or taken():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder
