"""The options of each command; those of training are built from an agent's hyperparameters."""

import ast
import dataclasses
import sys
import typing
from pathlib import Path
from typing import Any

import envs
from agents import AGENTS
from experiments import (
    continuing,
    costing,
    goaling,
    lanes,
    placement,
    records,
    rewarding,
    worded,
)
from experiments.about import ABOUT
from experiments.arguments import documentation, is_flag, parse, path
from experiments.configuration import Configuration, load
from experiments.presets import preset
from jaxrl.errors import InputError, require, require_known

__all__ = ["parse"]


ENV_NEEDED = "--env is needed: jaxrl list environments shows the choices."


@dataclasses.dataclass(frozen=True)
class Common:
    """The options that training has for every agent."""

    env: str = ""
    """Name of the environment; `jaxrl list environments` shows them all. Those of Gymnasium and
    EnvPool, as gymnasium/CartPole-v1, run outside of the compiled program."""
    env_params: tuple[str, ...] = ()
    """Parameters of the environment, such as length=0.7."""
    reward: tuple[str, ...] = ()
    """What learners are paid: the environment's rewards, or `preferences` between segments that a
    simulated judge states, with parameters such as labels=500 or mistakes=0.1. Evaluations are by
    the environment's rewards."""
    goal: tuple[str, ...] = ()
    """Goals that are learnt from, where the environment has them: each transition's own, or
    `hindsight`, which takes shares of goals that were reached instead, such as future=0.8 or
    final=0.5 random=0.3."""
    cost_limits: tuple[str, ...] = ()
    """Limits of the mean costs of a step, where the environment tells costs, between 0 and 1: one
    number for all of them, or name=number for some, such as hazard=0.05. Learnt prices of the
    costs keep them, and rate=0.05 is how fast these follow."""
    dataset: str = ""
    """Folder of a data set to learn from, instead of the environment, which then only evaluates.
    --steps still counts the environment steps that as many updates would take online. With
    --data-share it is learnt from beside the environment, for that share of each batch."""
    base: str = dataclasses.field(default="", metadata={"flag": "from"})
    """Results folder of a run to go on from, in its environment: seeds begin with what its seeds
    have learnt, and its policy, not random actions, takes the steps of the warm-up. What decides
    the shape of the networks is taken from it."""
    frozen: str = ""
    """Results folder of a run whose best policy acts beside the agent and does not learn: resfit
    edits its actions, dsrl steers its noise, and hil-serl is corrected by it. The environment is
    taken from it, and the data set where the agent takes a share of one."""
    steps: int = 1_000_000
    """Environment steps of each seed, including those of the warm-up."""
    seeds: int = 8
    """Number of seeds, which all train in one program."""
    seed: int = 0
    """The first seed; the others follow it."""
    evaluations: int = 20
    """Number of evaluations, spread evenly over the run."""
    episodes: int = 16
    """Complete episodes of each seed in an evaluation."""
    max_episode_steps: int = 10_000
    """Steps after which an evaluation stops an episode that has not ended."""
    out: str = ""
    """Results folder, which must be new. By default it is runs/AGENT-ENV, with a number behind it
    if that exists."""
    devices: str = ""
    """Devices along each axis, such as data=4,members=2: the lanes of each seed are divided among
    data devices, and seeds among members. By default as many as divide them, seeds first."""
    shards: int = 0
    """Parts of the lanes, the replay and the batches of each seed, which learn as one and may be on
    devices of their own; results depend on their number, and not on the devices. 0 takes one for
    each device along data."""
    precision: str = ""
    """Precision of the products of matrices: float32, or on a GPU or TPU tensorfloat32 or bfloat16,
    whose sums are float32; parameters are float32 in each. By default as JAX is set."""
    log: tuple[str, ...] = ()
    """Writers of metrics beside metrics.csv: jsonl, tensorboard, wandb, trackio, or several of
    them."""
    save_every: float = 60.0
    """Seconds between two checkpoints; the last evaluation is always followed by one."""
    cache: bool = True
    """Keep compiled programs in the user's cache folder, so that the same run starts sooner the
    next time."""


@dataclasses.dataclass(frozen=True)
class Resumable(Common):
    """The options of `jaxrl train`."""

    animation: bool = True
    """Record the best seed into best_agent.gif at the end."""
    profile: bool = False
    """Record a profile of some updates near the beginning into the folder profile of the results,
    which TensorBoard and Perfetto open; its parts are named, such as act, environment, gradient."""
    resume: str = ""
    """Results folder of a run to continue, until --steps if that is given too."""
    distributed: str = ""
    """Train together with other processes that run the same command: auto, where SLURM, Open MPI,
    Cloud TPU or Kubernetes tell of them, or coordinator=HOST:PORT,processes=N,process=I. Only the
    first process writes files, and all must see its folder to --resume."""


@dataclasses.dataclass(frozen=True)
class Sweepable(Common):
    """The options of `jaxrl sweep`."""

    members_at_once: int = 0
    """Members, which are points times seeds, in one vmapped program; 0 takes as many as fit into
    memory."""
    resume: str = ""
    """Results folder of a sweep to continue; it takes no other options."""


GROUPS = {
    "environment": (
        "env",
        "env_params",
        "reward",
        "goal",
        "cost_limits",
        "dataset",
        "base",
        "frozen",
    ),
    "run": ("steps", "seeds", "seed", "out", "resume", "members_at_once"),
    "evaluation": ("evaluations", "episodes", "max_episode_steps"),
    "devices": ("devices", "shards", "distributed", "precision"),
    "files": ("save_every", "cache", "log", "animation", "profile"),
}


def attribute(name: str) -> str:
    """The attribute of parsed options that holds a hyperparameter, whose name may have dots."""
    return name.replace(".", "__")


def schema(base: type, agent: str, defaults: dict[str, Any], lists: bool) -> type:
    """A dataclass of all options; with `lists` every numeric hyperparameter takes several values.

    Its options stand in the order of `GROUPS`, with the hyperparameters of the agent at the end.
    """
    record = AGENTS[agent].defaults
    paths = records.dotted(record)
    own = {f.name: (f.name, base, f, f.default) for f in dataclasses.fields(base)}
    rows = [
        (group, own[name]) for group, names in GROUPS.items() for name in names if name in own
    ] + [(f"hyperparameters of {agent}", row) for row in records.fields(record)]
    fields = []
    for group, (name, cls, f, value) in rows:
        kind = typing.get_type_hints(cls)[f.name]
        value = defaults.get(name, value)
        if lists and cls is not base and name in records.numeric(record):
            kind, value = tuple[float, ...], (value,)
        flag = f.metadata.get("flag", attribute_flag(name)) if cls is base else attribute_flag(name)
        notes = {"help": documentation(cls).get(f.name, f.name), "group": group, "flag": flag}
        if cls is not base:
            notes |= {"swept": name in records.numeric(record), "path": attribute_flag(paths[name])}
        field = dataclasses.field(default=value, metadata=notes)
        fields.append((attribute(name), kind, field))
    made = dataclasses.make_dataclass(f"{agent}_options", fields, frozen=True)
    made.__doc__ = (
        f"{'Sweep' if lists else 'Train'} {agent}. {ABOUT[agent].sentence} "
        + ("Numeric hyperparameters take several values, and every combination is trained. "
           if lists else "")
        + "Defaults are those of the preset, where the environment has one (jaxrl list presets)."
    )  # fmt: skip
    return made


def attribute_flag(name: str) -> str:
    """The option of a field or hyperparameter, without its dashes."""
    return name.replace("_", "-")


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
