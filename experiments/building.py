"""What a configuration builds: an agent at work in its environment, or on its data set."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents import AGENTS, AgentEntry
from experiments import costing, goaling, lanes, processes, programs, rewarding
from experiments.configuration import Configuration, hyperparameters, make_env
from experiments.frozen import entry_of
from experiments.precision import require_precision
from experiments.run_data import described, read_data
from jaxrl.continuing import beginning, retaining
from jaxrl.errors import InputError, require, require_known, require_positive
from jaxrl.goals import has_goals, with_signals
from jaxrl.logged import empty
from jaxrl.loop import Setup, assemble, fitted, in_shards
from jaxrl.offline import offline, stored_data
from jaxrl.remote import remotes
from jaxrl.sharding import divided
from jaxrl.types import (
    Actor,
    Agent,
    Env,
    Experiment,
    Key,
    Run,
    Spec,
    Transition,
    Tree,
    costs_of,
)

UNTRACED = ("seeds", "seed", "steps", "evaluations", "episodes", "max_episode_steps",
            "members_at_once", "spacing")  # fmt: skip
"""What changes nothing in what a configuration builds."""


def build(
    config: Configuration,
    hp: Any,
    data: Transition | None = None,
    env: Env | None = None,
    base: Tree | None = None,
) -> Setup:
    """The agent at work in the environment; `hp`, `data` and `base` may hold tracers.

    With a data set, the experiment learns from `data`, alone or beside the environment. Without
    `data` it has none of its transitions, but its runs have the same shapes, and the agent is the
    same. `env`, if given, is the environment of one lane in place of `make_env(config)`. `base` is
    the learner to go on from; runs have the same shapes without it.
    """
    entry, shards = entry_of(config), config.shards
    own = make_env(config) if env is None else env
    env = entry.world(own, hp)
    make = making(config, entry, env)
    if lanes.outside(config.env):
        require(shards == 1, f"{config.env} runs outside of compiled functions and cannot be "
                "divided into shards: leave --shards and data= out.")  # fmt: skip
        require(
            env is own and not entry.plans,
            f"{config.agent} transforms its environment or plans in it, which {config.env} does "
            "not allow: it runs outside of compiled functions.",
        )
        return assemble(make, env, hp, lanes=lanes.blank_lanes, base=base)
    if not config.dataset:
        return assemble(make, env, hp, base=base, shards=shards)
    hp = divided(hp, shards)
    data = empty(env.spec, hp.collection.num_envs) if data is None else data
    if not config.offline:
        data = as_collected(env.spec, data)
    found = config.data or described(config)
    size = found.get("block", found["transitions"])
    whole = dataclasses.replace(hp, buffer_size=size, warmup=size, data_share=0.0)
    try:
        alone = assemble(make, env, whole)
    except InputError as error:
        if not str(error).startswith("buffer_size"):
            raise
        sentence = f"The data set {config.dataset} is too short to be the whole buffer: {error}"
        raise InputError(sentence) from None
    if config.offline:
        learning = offline(alone.agent, data)
        learning = learning if base is None else beginning(learning, base)
        return in_shards(alone._replace(experiment=learning), shards)
    beside = assemble(make, env, hp, base=base)

    def init(key: Key) -> Run:
        # Here and not outside, so that whoever only builds an agent computes nothing.
        kept = stored_data(alone.agent.update.init(jax.random.key(0), data))
        words = f"{config.agent} takes no share of its batches from a data set: try sac."
        require(bool(kept), words)
        return retaining(beside.experiment, kept[0]).init(key)

    learning = Experiment(init, beside.experiment.step)
    return in_shards(beside._replace(experiment=learning), shards)


def as_collected(spec: Spec, data: Transition) -> Transition:
    """A data set with the signals of what is collected beside it; costs of its steps are 0."""
    goals = has_goals(spec)
    if costs_of(spec.signals) and not jax.tree.leaves(data.signals):
        lead = data.reward.shape
        none = lambda x: jnp.zeros((*lead, *x.shape), x.dtype)
        told = spec.signals.signals if goals else spec.signals
        data = data._replace(signals=jax.tree.map(none, told))
    return with_signals(data) if goals else data


def making(config: Configuration, entry: AgentEntry, env: Env) -> Callable[[Spec, Any], Agent]:
    """The constructor of an agent with the rewards and the goals that it learns from.

    `env` is of one lane, as the agent sees it.
    """
    asked = {"--reward preferences": config.reward, "--goal hindsight": config.goal,
             "--cost-limits": config.cost_limits}  # fmt: skip
    given = [name for name, value in asked.items() if value]
    require(
        len(given) < 2,
        f"{' and '.join(given)} cannot be learnt from at once: leave all but one out.",
    )
    if config.cost_limits:
        require(
            not config.dataset,
            "--cost-limits needs fresh steps, whose costs are known: leave --dataset out.",
        )
        require(
            not entry.plans,
            f"{config.agent} plans in its environment, where costs are not paid: try ppo or dqn.",
        )
        return costing.maker(config.cost_limits, entry.maker(env), config.agent)
    make = rewarding.maker(config.reward, entry.maker(env), config.agent)
    return goaling.maker(config.goal, make, config.agent, config.offline)


def acting(config: Configuration, hp: Any, actor: Actor, seen: Spec) -> tuple[Actor, Spec]:
    """The actor of an agent, to which `seen` is shown, as one of the environment itself, and that.

    They differ only where a trained policy acts beside the agent.
    """
    entry = entry_of(config)
    if entry.beside is None:
        return actor, seen
    return entry.acting(actor, hp), fitted(make_env(config)).spec


def validate(config: Configuration, base: Tree | None = None) -> None:
    """Raise an InputError of one sentence if anything is wrong; traces, but compiles nothing.

    `base` are the shapes of the learner that the run begins with, if it goes on from one.
    """
    require_known("agent", config.agent, AGENTS)
    require_positive(seeds=config.seeds, steps=config.steps, evaluations=config.evaluations)
    require_positive(episodes=config.episodes, max_episode_steps=config.max_episode_steps)
    require_positive(shards=config.shards)
    require_precision(config.precision)
    require(
        0 <= config.seed <= 2**32 - config.seeds,
        f"seed must be at least 0, and the last seed below 2**32, but the first is {config.seed} "
        f"and there are {config.seeds}.",
    )
    columns = [(name, value) for name, values in config.sweep.items() for value in values]
    for name, value in [*config.hyperparameters.items(), *columns]:
        finite = not isinstance(value, float) or np.isfinite(value)
        require(finite, f"{name} must be a finite number, but it is {value}.")
        sizes = value if name.endswith("hidden") else [1]
        text = " ".join(map(str, sizes))
        require(min(sizes, default=1) > 0, f"{name} must be above zero, but it is {text}.")
    share = config.hyperparameters.get("data_share", 0)
    require(
        bool(config.dataset) or not share,
        f"{config.agent} takes {share:g} of each batch from a data set: name one by --dataset, or "
        "set --data-share 0.",
    )
    require_remote(config)
    data = None
    if config.dataset:
        data, found = read_data(config)
        config = dataclasses.replace(config, data=found)
    values = dataclasses.asdict(config)
    depends = {name: value for name, value in values.items() if name not in UNTRACED}
    programs.kept("valid", depends, lambda: trace(config, data, base) or True)


def remote(config: Configuration) -> bool:
    """Whether a configuration keeps its replay buffer in host memory."""
    return config.hyperparameters.get("buffer_memory") == "host"


def require_remote(config: Configuration) -> None:
    """Raise an InputError for what does not go together with a replay buffer in host memory."""
    if not remote(config):
        return
    for there, words in (
        (bool(config.dataset), "a data set, which is on the device"),
        (lanes.outside(config.env), f"{config.env}, which runs outside of compiled functions"),
        (config.shards > 1, "several shards, which have their replay buffers on their devices"),
        (processes.several(), "several processes, which have them on their devices"),
    ):
        require(not there, f"--buffer-memory host is not for {words}: leave it out.")


def trace(config: Configuration, data: Transition | None, base: Tree | None = None) -> None:
    """Trace what a configuration builds; an InputError if that does not fit together."""
    try:
        points = [hyperparameters(config, point) for point in range(config.points)]
        for hp in points:
            build(config, hp)

        def init(key: Key, data: Transition | None, base: Tree | None) -> Run:
            return build(config, points[0], data, None, base).experiment.init(key)

        run = jax.eval_shape(init, jax.random.key(0), data, base)
        words = f"{config.agent} keeps no replay buffer in host memory: leave --buffer-memory out."
        require(not remote(config) or bool(remotes(run)), words)
    except OverflowError:
        raise InputError(too_large(config)) from None
    except (TypeError, AttributeError) as error:
        if not config.env_params or isinstance(error, InputError):
            raise
        given = ", ".join(f"{name}={value!r}" for name, value in config.env_params.items())
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"{config.env} does not work with {given}: {reason}.") from None


def too_large(config: Configuration) -> str:
    """The sentence for arrays that have more elements than a program can count."""
    sizes = {k: v for k, v in config.hyperparameters.items() if type(v) is int}
    name, value = max(sizes.items(), key=lambda item: item[1])
    return f"{name} {value} makes arrays too large for any device: try a smaller {name}."
