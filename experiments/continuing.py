"""Runs that begin with what another run has learnt: `jaxrl train AGENT --from FOLDER`."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np

from agents import AGENTS
from experiments import checkpoints, configuration, frozen, records, results
from experiments.configuration import Configuration
from jaxrl.errors import require
from jaxrl.offline import without_data
from jaxrl.types import Counter, Tree

SHAPING = (
    "hidden", "activation", "encoder", "layer_norm", "memory", "window", "dueling",
    "ensemble.members", "normalise_observations", "actor_sees", "policy",
)  # fmt: skip
"""Hyperparameters that decide what the parameters are, beside those of the critic."""


def defaults(agent: str, base: Configuration) -> dict[str, Any]:
    """The options that a run takes from the one that it goes on from, unless others are given.

    They are the environment, a policy that acts beside the agent, and the hyperparameters that
    decide what the parameters are; the representation of returns only where the agent is the same,
    since some agents are named by it.
    """
    own, same = records.flat(AGENTS[agent].defaults), agent == base.agent
    kept = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in base.hyperparameters.items()
        if name in own and (name in SHAPING or (same and name.startswith("critic.")))
    }
    again = {"frozen": base.frozen} if base.frozen and AGENTS[agent].beside else {}
    return kept | beside(base) | again


def beside(base: Configuration) -> dict[str, Any]:
    """The options that a run takes from that of the policy beside it, unless others are given."""
    params = tuple(f"{name}={value!r}" for name, value in base.env_params.items())
    return {"env": base.env, "env_params": params}


def stored(folder: str) -> Configuration:
    """The configuration of a run to go on from; an InputError if it is none."""
    base = configuration.load(Path(folder))
    require(
        not base.sweep,
        f"{folder} holds a sweep, and a run goes on from one point only: train its best point by "
        "jaxrl train first.",
    )
    return base


def learners(config: Configuration) -> Tree:
    """What the learners [members] of the run that a configuration goes on from have learnt.

    Buffers are left out, and members that diverged too. Raises an InputError if the run is gone, is
    of another environment, or has no checkpoint.
    """
    base, folder = stored(config.base), Path(config.base)
    require(
        base.env == config.env,
        f"{config.base} was trained in {base.env}, and cannot go on in {config.env}: leave --env "
        "out.",
    )
    found = checkpoints.complete(folder)
    require(bool(found), f"{folder} has no complete checkpoint: train into it first.")
    return _read(folder.absolute(), found[-1], (folder / "config.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read(folder: Path, updates: int, changed: int) -> Tree:
    from experiments.population import gather  # which begins runs by this module

    population = gather(configuration.load(folder))
    _, runs, progress = checkpoints.restore(folder, population.like)
    diverged = progress.get("diverged", {})
    going = [i for i in range(len(population.seeds)) if str(i) not in diverged]
    require(bool(going), f"All members of {folder} diverged: there is nothing to go on from.")
    return _members(without_data(runs.learner), np.array(going))


def _is_counter(node: Any) -> bool:
    return isinstance(node, Counter)


def _members(found: Tree, chosen: np.ndarray) -> Tree:
    def pick(x: Any) -> Any:
        # On the host, from where they go to whatever devices the members of the new run are on.
        return Counter(np.asarray(x.value)) if _is_counter(x) else np.asarray(x)[chosen]

    return jax.tree.map(pick, found, is_leaf=_is_counter)


def described(config: Configuration) -> Configuration:
    """A configuration with fingerprints of what it goes on from, and of what stays frozen."""
    config = frozen.described(config)
    if config.origin or not config.base:
        return config
    return dataclasses.replace(config, origin=summary(learners(config)))


def summary(found: Tree) -> dict[str, Any]:
    """The fingerprint of learners [members]."""
    return {"fingerprint": results.checksum(checkpoints.plain(found))}


def shapes(config: Configuration) -> Tree | None:
    """The shapes of the learner that a member goes on from; None if it goes on from none."""
    if not config.base:
        return None
    one = lambda x: x if _is_counter(x) else jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    return jax.tree.map(one, learners(config), is_leaf=_is_counter)


def begun(config: Configuration, seeds: np.ndarray) -> Tree | None:
    """The learners [members] with which members of these seeds begin; None if they are new.

    The i-th seed goes on from the i-th one of the run before, and again from the first after the
    last; so it is at every point of a sweep. Raises an InputError as `learners` does, and if the
    run before has changed since.
    """
    if not config.base:
        return None
    found = learners(config)
    require(
        config.origin in ({}, summary(found)),
        f"{config.base} is not the run that this one was begun with: restore that one, or begin a "
        "new run with another --out.",
    )
    rest = [x for x in jax.tree.leaves(found, is_leaf=_is_counter) if not _is_counter(x)]
    return _members(found, (np.asarray(seeds) - config.seed) % rest[0].shape[0])
