"""Trained policies beside agents that learn: `jaxrl train AGENT --frozen FOLDER`.

They stay as they are, and are constants of the compiled program.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents import AGENTS, AgentEntry
from experiments import results
from jaxrl.errors import require
from jaxrl.steering import frozen
from jaxrl.types import Actor, Spec, Tree

# Configurations are of a module that builds what they describe by this one.


class Kept(NamedTuple):
    """The best member of a run."""

    config: Any
    spec: Spec  # of the environment, with actions in [-1, 1]
    actor: Actor  # of such an environment
    view: Tree  # numpy arrays, of its learner
    hp: Any
    summary: dict[str, Any]


def entry_of(config: Any) -> AgentEntry:
    """The entry of a configuration's agent, with the trained policy that it needs.

    Raises an InputError if the agent needs one and none is named, or none and one is; if its run is
    gone, of another environment, or has changed; and if it is of no use to the agent.
    """
    entry, name = AGENTS[config.agent], config.agent
    if entry.beside is None:
        require(not config.frozen, f"No trained policy acts beside {name}: leave --frozen out.")
        return entry
    require(
        bool(config.frozen),
        f"{name} needs a trained policy that acts beside it: name its results folder by --frozen.",
    )
    found = read(config.frozen)
    from experiments.collecting import require_collector
    from experiments.configuration import make_env

    with jax.ensure_compile_time_eval():  # bounds of actions are compared
        require_collector(Path(config.frozen), found.config, found.spec, make_env(config).spec)
    require(
        config.frozen_of in ({}, found.summary),
        f"{config.frozen} is not the run that this one was begun with: restore that one, or begin "
        "a new run with another --out.",
    )
    of_noise, view = AGENTS[found.config.agent].of_noise, jax.tree.map(jnp.asarray, found.view)
    decode = None if of_noise is None else of_noise(found.spec, found.hp, view)
    return entry._replace(**entry.beside(frozen(found.actor, view, found.spec, decode)))


def described(config: Any) -> Any:
    """A configuration that records a fingerprint of its frozen policy, if it has one."""
    if config.frozen_of or not config.frozen:
        return config
    return dataclasses.replace(config, frozen_of=read(config.frozen).summary)


def read(folder: str) -> Kept:
    """The best member of a results folder; an InputError if it is gone or holds none."""
    path = Path(folder)
    require(
        (path / "config.json").is_file(),
        f"{folder}, whose policy acts beside the agent, is not a results folder, or gone: restore "
        "it, or name another one by --frozen.",
    )
    from experiments import checkpoints

    found = checkpoints.complete(path)
    require(bool(found), f"{folder} has no complete checkpoint: train into it first.")
    changed = ((path / "config.json").stat().st_mtime_ns, found[-1])
    with jax.ensure_compile_time_eval():
        return _read(path.absolute(), changed)


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: tuple[int, int]) -> Kept:
    from experiments import building, configuration
    from experiments.evaluation import best_member, restore_member

    config = configuration.load(path)
    member = best_member(config, path)
    hp, run = restore_member(config, path, member)
    setup = building.build(config, hp)
    view = jax.device_get(setup.agent.update.read(run.learner))
    words = np.frombuffer(json.dumps(config.hyperparameters, sort_keys=True).encode(), np.uint8)
    summary = {"agent": config.agent, "member": member}
    summary |= {"fingerprint": results.checksum((view, words))}
    actor, spec = building.acting(config, hp, setup.agent.exploit, setup.env.spec)
    return Kept(config, spec, actor, view, hp, summary)
