"""Data sets of transitions in files: writing, reading and checking them.

A folder holds what `minari.MinariDataset` reads: one HDF5 file of episodes, and their description.
A file whose name ends in .npz holds plain arrays: see `experiments.plain`. Actions are in the
environment's own units in the file, and in [-1, 1] after `load`.
"""

import functools
import os
import re
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import plain, results
from jaxrl import logged
from jaxrl.conditioned import outward
from jaxrl.errors import InputError, require
from jaxrl.types import Box, Discrete, Env, Spec, Transition

NEEDS = "Data sets need the package minari: pip install 'jaxrl[offline]'."


Episode = dict[str, Any]
"""Observations [n + 1, ...], and actions, rewards, terminations and truncations [n, ...].

`unfinished` says whether the data ended first, which is a truncation too.
"""


def split(lane: Transition) -> list[Episode]:
    """The episodes of one lane [T, ...]; the last one is truncated where the lane ends."""
    ends = np.union1d(np.flatnonzero(lane.last), len(lane.last) - 1).astype(int)
    found, start = [], 0
    for end in ends:
        part = slice(start, end + 1)
        terminated = lane.discount[part] == 0
        truncated = np.zeros(len(terminated), bool)
        truncated[-1] = not terminated[-1]
        seen = jax.tree.map(
            lambda x, y, part=part, end=end: np.concatenate([x[part], y[end : end + 1]]),
            lane.obs,
            lane.final,
        )
        found.append(
            {"observations": seen, "actions": lane.action[part], "rewards": lane.reward[part],
             "terminations": terminated, "truncations": truncated,
             "unfinished": not lane.last[end] and not terminated[-1]}
        )  # fmt: skip
        start = end + 1
    return found


def split_lanes(data: Transition) -> list[Episode]:
    """The episodes of all lanes [T, B, ...] of a data set on the host, lane after lane."""
    lanes = range(data.reward.shape[1])
    parts = [jax.tree.map(lambda x, lane=lane: x[:, lane], data) for lane in lanes]
    return [episode for part in parts for episode in split(part)]


def require_writable(env: Env, folder: Path) -> None:
    """Raise an InputError unless a data set of an environment can be written to a folder."""
    logged.require_one_action(env.spec)
    require(
        _nested(outward(env.spec.observation)),
        "A data set needs observations that are arrays, or dictionaries or tuples of them, but "
        "those of this environment are others: envs.flatten_observation makes one array of them.",
    )
    if plain.is_plain(folder):
        return
    require_minari()
    require(
        re.fullmatch(r"[\w.-]+-v\d+", folder.name) is not None,
        f"The name of a data set's folder must end in a version, such as {folder.name}-v0.",
    )


def _nested(tree: Any) -> bool:
    if type(tree) in (dict, tuple):
        return all(map(_nested, tree.values() if type(tree) is dict else tree))
    return isinstance(tree, jax.ShapeDtypeStruct)


def save(
    episodes: list[Episode], env: Env, folder: Path, about: str, notes: dict[str, Any] | None = None
) -> None:
    """Write episodes to a new folder or file, of a name that `require_writable` accepts.

    With them go `notes`, such as the name of the environment.
    """
    episodes = [e | {"observations": outward(e["observations"])} for e in episodes]
    if plain.is_plain(folder):
        return plain.save([e | {"actions": raw(e["actions"], env.spec)} for e in episodes], folder,
                          {"description": about} | (notes or {}))  # fmt: skip
    minari, gymnasium = require_minari()
    from minari.data_collector import EpisodeBuffer

    box = env.spec.action

    def kind_of(x: Any) -> np.dtype:
        return np.dtype(np.uint8 if x.dtype == bool else x.dtype)

    def space_of(tree: Any) -> Any:
        if isinstance(tree, dict):
            return gymnasium.spaces.Dict({name: space_of(x) for name, x in tree.items()})
        if isinstance(tree, tuple):
            return gymnasium.spaces.Tuple([space_of(x) for x in tree])
        kind = kind_of(tree)
        limits = np.iinfo(kind) if kind.kind in "iu" else None
        low, high = (limits.min, limits.max) if limits else (-np.inf, np.inf)
        return gymnasium.spaces.Box(low, high, tree.shape, dtype=kind.type)

    seen = space_of(outward(env.spec.observation))
    assert isinstance(box, Discrete | Box)  # `require_writable` has checked it
    space = (
        gymnasium.spaces.Box(np.asarray(box.low), np.asarray(box.high), dtype=np.float32)
        if isinstance(box, Box)
        else gymnasium.spaces.Discrete(box.num)
    )
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=jax.tree.map(lambda x: list(x.astype(kind_of(x))), e["observations"]),
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
        # It warns that it cannot make the environment in gymnasium, which need not have it.
        warnings.filterwarnings("ignore", module="minari")
        made = minari.create_dataset_from_buffers(
            folder.name, buffers, action_space=space, observation_space=seen, description=about,
            algorithm_name=about, author="jaxrl", author_email="-", code_permalink="-",
            jpeg_encoding=False,  # images are stored as they are
        )  # fmt: skip
        cut_off = [i for i, e in enumerate(episodes) if e.get("unfinished")]
        made.storage.update_episode_metadata([{"unfinished": True}] * len(cut_off), cut_off)
        made.storage.update_metadata({"jaxrl": notes or {}})
    finally:
        del os.environ["MINARI_DATASETS_PATH"]
        if before is not None:
            os.environ["MINARI_DATASETS_PATH"] = before


def raw(action: np.ndarray, spec: Spec) -> np.ndarray:
    """Actions in the environment's units, of those in [-1, 1]."""
    if not isinstance(spec.action, Box):
        return np.asarray(action)
    low, high = (np.asarray(x) for x in spec.action)
    return (low + (np.clip(action, -1, 1) + 1) / 2 * (high - low)).astype(np.float32)


def described(folder: str) -> tuple[list[Episode], dict[str, Any]]:
    """The episodes of a data set in a folder or file, and the notes that were written with them.

    Raises an InputError of one sentence if it cannot be read.
    """
    if plain.is_plain(folder):
        return plain.described(folder)
    found = episodes_of(folder)
    storage = require_minari()[0].MinariDataset(Path(folder) / "data").storage
    told = storage.get_episode_metadata(e.id for e in found)
    names = ("observations", "actions", "rewards", "terminations", "truncations")
    rows = [
        {name: getattr(e, name) for name in names} | {"unfinished": bool(m.get("unfinished"))}
        for e, m in zip(found, told)
    ]
    return rows, storage.metadata.get("jaxrl", {})


@functools.lru_cache(maxsize=4)
def episodes_of(folder: str) -> list[Any]:
    """The episodes of a data set; an InputError of one sentence if it cannot be read."""
    minari, _ = require_minari()
    path = Path(folder) / "data"
    require(path.is_dir(), f"{folder} is not a data set: it has no folder called data.")
    try:
        found = list(minari.MinariDataset(path).iterate_episodes())
    except Exception as error:  # Minari and HDF5 raise many kinds.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise InputError(f"{folder} cannot be read as a data set: {reason}.") from None
    require(bool(found), f"{folder} has no episodes.")
    return found


def load(folder: str, env: Env, lanes: int, rows: int) -> Transition:
    """The transitions [T, lanes, ...] of a data set, T a multiple of `rows`; the rest is left out.

    Raises an InputError of one sentence if it is no data set, or if an episode of it is not one of
    this environment: `steps_of` says what is compared.
    """
    logged.require_one_action(env.spec)
    if plain.is_plain(folder):
        return plain.load(folder, env, lanes, rows)
    found = [steps_of(e, env.spec, f"Episode {e.id} of {folder}") for e in episodes_of(folder)]
    data = jax.tree.map(lambda *x: np.concatenate(x), *found)
    remedy = "choose a smaller --num-envs or --rollout-length"
    return logged.stretches(data, env.spec, lanes, rows, folder, remedy)


def steps_of(episode: Any, spec: Spec, who: str) -> Transition:
    """The transitions [T, ...] of an episode, actions in the environment's units.

    Raises an InputError in the name of `who` unless observations and actions have the type, shape
    and range of the spec, lengths agree, there is a step, and all numbers are finite.
    """
    reward, terminated, truncated = logged.outcomes(
        episode.rewards, episode.terminations, episode.truncations, who
    )
    number = len(reward)
    why = f", one more than its {number} rewards"
    obs = logged.observations_of(episode.observations, spec, number + 1, who, why)
    action = logged.actions_of(np.asarray(episode.actions), spec, number, who)
    last = terminated | truncated
    last[-1] = True
    now, after = (jax.tree.map(lambda x, s=s: x[s], obs) for s in (slice(-1), slice(1, None)))
    return logged.transitions(now, action, reward, terminated, last, after)


def require_minari() -> tuple[Any, Any]:
    """The packages minari and gymnasium; an InputError says how to get them."""
    try:
        import gymnasium
        import minari
    except ImportError:
        raise InputError(NEEDS) from None
    return minari, gymnasium
