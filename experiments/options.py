"""The options of each command; those of training are built from an agent's hyperparameters."""

import dataclasses
import typing
from typing import Any

from agents import AGENTS
from experiments import records
from experiments.about import ABOUT
from experiments.arguments import documentation, parse

__all__ = ["parse"]


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
