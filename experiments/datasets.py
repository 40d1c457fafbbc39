"""Data sets of transitions: what agents did, in the format of Minari, and back.

A folder holds what `minari.MinariDataset` reads: one HDF5 file of episodes, and their description.
Actions are in the environment's own units there, and in [-1, 1] here.
"""

import functools
import os
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import results
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Box, Env, Spec, Transition

NEEDS = "Data sets need the package minari: pip install 'jaxrl[offline]'."


def split(lane: Transition) -> list[dict[str, np.ndarray]]:
    """The episodes of one lane [T, ...], the last one cut off as if by a time limit."""
    ends = np.union1d(np.flatnonzero(lane.last), len(lane.last) - 1).astype(int)
    found, start = [], 0
    for end in ends:
        part = slice(start, end + 1)
        gone = lane.discount[part] == 0
        truncated = np.zeros(len(gone), bool)
        truncated[-1] = not gone[-1]
        found.append(
            {"observations": np.concatenate([lane.obs[part], lane.final[end : end + 1]]),
             "actions": lane.action[part], "rewards": lane.reward[part], "terminations": gone,
             "truncations": truncated}
        )  # fmt: skip
        start = end + 1
    return found


def require_writable(env: Env, folder: Path) -> None:
    """Raise an InputError unless a data set of an environment can be written to a folder."""
    require_minari()
    leaves = jax.tree.leaves(env.spec.observation)
    require(len(leaves) == 1, "A data set needs observations that are one array.")
    require(
        re.fullmatch(r"[\w.-]+-v\d+", folder.name) is not None,
        f"A data set's folder ends in a version, such as {folder.name}-v0.",
    )


def save(episodes: list[dict[str, np.ndarray]], env: Env, folder: Path, about: str) -> None:
    """Write episodes to a new folder, of a name that `require_writable` accepts."""
    minari, gymnasium = require_minari()
    from minari.data_collector import EpisodeBuffer

    box, shape = env.spec.action, env.spec.observation
    low, high = (np.full(shape.shape, sign * np.inf, np.float32) for sign in (-1, 1))
    seen = gymnasium.spaces.Box(low, high, dtype=np.float32)
    space = (
        gymnasium.spaces.Box(np.asarray(box.low), np.asarray(box.high), dtype=np.float32)
        if isinstance(box, Box)
        else gymnasium.spaces.Discrete(box.num)
    )
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=list(e["observations"].astype(np.float32)),
            actions=list(raw(e["actions"], env.spec)),
            rewards=list(e["rewards"].astype(float)),
            terminations=list(e["terminations"]),
            truncations=list(e["truncations"]),
        )
        for i, e in enumerate(episodes)
    ]
    before = os.environ.get("MINARI_DATASETS_PATH")
    results.make_folder(folder.parent)
    os.environ["MINARI_DATASETS_PATH"] = str(folder.parent.resolve())
    try:
        # It would rather be told how to make the environment in gymnasium, which need not have it.
        warnings.filterwarnings("ignore", module="minari")
        minari.create_dataset_from_buffers(
            folder.name, buffers, action_space=space, observation_space=seen, description=about,
            algorithm_name=about, author="jaxrl", author_email="-", code_permalink="-",
        )  # fmt: skip
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before


def raw(action: np.ndarray, spec: Spec) -> np.ndarray:
    """Actions in the environment's units, of those in [-1, 1]."""
    if not isinstance(spec.action, Box):
        return action
    low, high = (np.asarray(x) for x in spec.action)
    return (low + (np.clip(action, -1, 1) + 1) / 2 * (high - low)).astype(np.float32)


def scaled(action: Array, spec: Spec) -> Array:
    """Actions in [-1, 1], of those in the environment's units; their bounds may be traced."""
    if not isinstance(spec.action, Box):
        return action.astype(jnp.int32)
    low, high = spec.action
    return 2 * (action - low) / (high - low) - 1


@functools.lru_cache(maxsize=4)
def episodes_of(folder: str) -> list[Any]:
    """The episodes of a data set; an InputError says if there is none."""
    minari, _ = require_minari()
    path = Path(folder) / "data"
    require(path.is_dir(), f"{folder} is not a data set: it has no folder called data.")
    return list(minari.MinariDataset(path).iterate_episodes())


def load(folder: str, env: Env, lanes: int, rows: int) -> Transition:
    """The transitions [T, lanes, ...] of a data set, T a multiple of `rows`: what is over is left.

    Raises an InputError if it is none, or not of this environment.
    """
    found = []
    for e in episodes_of(folder):
        gone = np.asarray(e.terminations, bool)
        last = gone | np.asarray(e.truncations, bool)
        last[-1] = True
        reward = np.asarray(e.rewards, np.float32)
        obs = np.asarray(e.observations, np.float32)
        action, kept = np.asarray(e.actions), 1.0 - gone.astype(np.float32)
        one = np.ones_like(reward)
        found.append(Transition(obs[:-1], action, reward, kept, last, obs[1:], (), one))
    data = jax.tree.map(lambda *x: np.concatenate(x), *found)
    shape = jax.tree.leaves(env.spec.observation)[0].shape
    require(
        data.obs.shape[1:] == shape,
        f"{folder} has observations of shape {data.obs.shape[1:]}, and the environment {shape}.",
    )
    steps = len(data.reward) // (lanes * rows) * rows
    require(steps > 0, f"{folder} has too few transitions: {len(data.reward)}.")
    # Each lane is a stretch of the data; between two of them there is a boundary.
    data = jax.tree.map(
        lambda x: np.swapaxes(x[: steps * lanes].reshape(lanes, steps, *x.shape[1:]), 0, 1), data
    )
    data.last[-1] = True
    data = jax.tree.map(jnp.asarray, data)
    return data._replace(action=scaled(data.action, env.spec))


def require_minari() -> tuple[Any, Any]:
    """The packages minari and gymnasium; an InputError says how to get them."""
    try:
        import gymnasium
        import minari
    except ImportError:
        raise InputError(NEEDS) from None
    return minari, gymnasium
