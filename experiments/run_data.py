"""The data set that a run learns from, with the fingerprint by which it is known again."""

import dataclasses
from typing import Any

import jax
import numpy as np

from agents import AgentEntry
from experiments import blocks, datasets, lanes, results
from experiments.configuration import Configuration, hyperparameters, make_env
from experiments.frozen import entry_of
from jaxrl.errors import require
from jaxrl.sharding import divided
from jaxrl.types import Spec, Transition


def load_data(config: Configuration) -> Transition:
    """The data set that a configuration learns from, as arrays [T, num_envs, ...] on the host.

    Raises an InputError if it is not there, does not fit the environment, or is not the data set
    with which the run was begun.
    """
    return read_data(config)[0]


def read_data(config: Configuration) -> tuple[Transition, dict[str, Any]]:
    """The data set of a configuration, see `load_data`, and its summary."""
    require(
        not lanes.outside(config.env),
        f"A data set cannot be learnt from for {config.env}, which runs outside of compiled "
        "functions: leave --dataset out.",
    )
    hp = hyperparameters(config, 0 if config.sweep else None)
    require(
        hasattr(hp, "replay"),
        f"{config.agent} does not replay, and cannot learn from a data set: try sac or dqn.",
    )
    entry, env = entry_of(config), make_env(config)
    if blocks.stored(config.dataset):
        return first_block(config, entry)
    env = env if entry.told else entry.world(env, hp)
    own = divided(hp, config.shards).collection
    data = datasets.load(config.dataset, env, own.num_envs, own.rollout_length)
    # What a trained policy makes of the data may differ in its last bits on another machine.
    logged = data if entry.beside else None
    require(
        not (entry.beside and "edit_size" in config.sweep),
        "The data set is told as edits of one size: sweep another option than --edit-size, or set "
        "--data-share 0.",
    )
    data = entry.told(data, hp) if entry.told else data
    data = jax.tree.map(np.asarray, data)
    return data, require_same_data(config, summary_of(data if logged is None else logged))


def seen(config: Configuration) -> Spec:
    """The spec of the environment as the agent sees it."""
    hp = hyperparameters(config, 0 if config.sweep else None)
    return entry_of(config).world(make_env(config), hp).spec


def first_block(config: Configuration, entry: AgentEntry) -> tuple[Transition, dict[str, Any]]:
    """The block with which a run from a data set of blocks begins, and the summary of all."""
    require(
        config.offline and entry.told is None,
        f"{config.agent} cannot learn from a data set of blocks beside an environment, or if it "
        "sees data otherwise: take a folder of Minari or an .npz file.",
    )
    require(
        not config.hyperparameters.get("prioritised"),
        f"{config.agent} cannot learn from a data set of blocks by priorities: leave prioritised "
        "off.",
    )
    require(config.shards == 1, "A data set of blocks is read by one shard: leave --shards out.")
    spec, number = seen(config), config.hyperparameters["num_envs"]
    found = require_same_data(config, blocks.summary(config.dataset, spec, number))
    return blocks.first(config.dataset, spec, number, config.seed), found


def require_same_data(config: Configuration, found: dict[str, Any]) -> dict[str, Any]:
    """The summary `found`; an InputError unless it is the one that a configuration may record."""
    require(
        config.data in ({}, found),
        f"The data set {config.dataset} is not the one that this run was begun with: restore that "
        "one, or begin a new run with another --out.",
    )
    return found


def summary_of(data: Transition) -> dict[str, Any]:
    """The number of transitions in a data set and a fingerprint of all of them."""
    return {"transitions": int(data.reward.size), "fingerprint": results.checksum(data)}


def loaded(config: Configuration) -> tuple[Configuration, Transition | None]:
    """A configuration that records its data set, if it has one, and that data set, read once."""
    if not config.dataset:
        return config, None
    data, found = read_data(config)
    return dataclasses.replace(config, data=found), data


def described(config: Configuration) -> dict[str, Any]:
    """The summary of the data set of a configuration, read if it is not recorded; {} for none."""
    if config.data or not config.dataset:
        return config.data
    return read_data(config)[1]


def with_data_described(config: Configuration) -> Configuration:
    """A configuration that records the size and fingerprint of its data set, if it has one."""
    return dataclasses.replace(config, data=described(config))
