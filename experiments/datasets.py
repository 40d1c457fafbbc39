"""Data sets of transitions in the format of Minari: writing, reading and checking them.

A folder holds what `minari.MinariDataset` reads: one HDF5 file of episodes, and their description.
Actions are in the environment's own units in the file, and in [-1, 1] after `load`.
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
from jax.core import Tracer

from experiments import results
from jaxrl.errors import InputError, require
from jaxrl.types import Array, Box, Env, Spec, Transition

NEEDS = "Data sets need the package minari: pip install 'jaxrl[offline]'."


def split(lane: Transition) -> list[dict[str, np.ndarray]]:
    """The episodes of one lane [T, ...]; the last one is truncated where the lane ends."""
    ends = np.union1d(np.flatnonzero(lane.last), len(lane.last) - 1).astype(int)
    found, start = [], 0
    for end in ends:
        part = slice(start, end + 1)
        terminated = lane.discount[part] == 0
        truncated = np.zeros(len(terminated), bool)
        truncated[-1] = not terminated[-1]
        found.append(
            {"observations": np.concatenate([lane.obs[part], lane.final[end : end + 1]]),
             "actions": lane.action[part], "rewards": lane.reward[part], "terminations": terminated,
             "truncations": truncated}
        )  # fmt: skip
        start = end + 1
    return found


def require_writable(env: Env, folder: Path) -> None:
    """Raise an InputError unless a data set of an environment can be written to a folder."""
    require_minari()
    leaves = jax.tree.leaves(env.spec.observation)
    require(
        len(leaves) == 1,
        f"A data set needs observations that are one array, but these are {len(leaves)}: "
        "envs.flatten_observation makes one of them.",
    )
    require(
        re.fullmatch(r"[\w.-]+-v\d+", folder.name) is not None,
        f"The name of a data set's folder must end in a version, such as {folder.name}-v0.",
    )


def save(episodes: list[dict[str, np.ndarray]], env: Env, folder: Path, about: str) -> None:
    """Write episodes to a new folder, of a name that `require_writable` accepts."""
    minari, gymnasium = require_minari()
    from minari.data_collector import EpisodeBuffer

    box = env.spec.action
    (shape,) = jax.tree.leaves(env.spec.observation)
    kind = np.dtype(np.uint8 if shape.dtype == bool else shape.dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else None
    low, high = (limits.min, limits.max) if limits else (-np.inf, np.inf)
    seen = gymnasium.spaces.Box(low, high, shape.shape, dtype=kind.type)
    space = (
        gymnasium.spaces.Box(np.asarray(box.low), np.asarray(box.high), dtype=np.float32)
        if isinstance(box, Box)
        else gymnasium.spaces.Discrete(box.num)
    )
    buffers = [
        EpisodeBuffer(
            id=i,
            observations=list(e["observations"].astype(kind)),
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
    wide = jnp.where(high > low, high - low, 1.0)
    return jnp.where(high > low, 2 * (action - low) / wide - 1, 0.0)


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
    found = [steps_of(e, env.spec, f"Episode {e.id} of {folder}") for e in episodes_of(folder)]
    data = jax.tree.map(lambda *x: np.concatenate(x), *found)
    steps = len(data.reward) // (lanes * rows) * rows
    require(
        steps > 0,
        f"{folder} has {len(data.reward)} transitions, which is too few for {lanes} lanes of at "
        f"least {rows}: choose a smaller --num-envs or --rollout-length.",
    )
    # Each lane is a stretch of the data; between two of them there is a boundary.
    data = jax.tree.map(
        lambda x: np.swapaxes(x[: steps * lanes].reshape(lanes, steps, *x.shape[1:]), 0, 1), data
    )
    data.last[-1] = True
    data = jax.tree.map(jnp.asarray, data)
    return data._replace(action=scaled(data.action, env.spec))


def steps_of(episode: Any, spec: Spec, who: str) -> Transition:
    """The transitions [T, ...] of an episode, actions in the environment's units.

    Raises an InputError in the name of `who` unless observations and actions have the type, shape
    and range of the spec, lengths agree, there is a step, and all numbers are finite.
    """
    reward = np.asarray(episode.rewards)
    number = len(reward) if reward.ndim else 0
    require(number > 0, f"{who} has no steps: remove it.")
    real_reward = reward.ndim == 1 and reward.dtype.kind in "fiub"
    require(real_reward, f"{who} has rewards that are not one number for each step.")
    require(bool(np.isfinite(reward).all()), f"{who} has a reward that is not finite.")
    ends = [np.asarray(x) for x in (episode.terminations, episode.truncations)]
    for name, value in zip(("terminations", "truncations"), ends):
        fits = value.shape == (number,) and bool(np.isin(value, (0, 1)).all())
        require(fits, f"{who} has {number} rewards, but its {name} are not as many truth values.")
    obs = observations_of(episode.observations, spec, number, who)
    action = actions_of(np.asarray(episode.actions), spec, number, who)
    terminated, truncated = (x.astype(bool) for x in ends)
    last = terminated | truncated
    last[-1] = True
    one = np.ones(number, np.float32)
    now, after = (jax.tree.map(lambda x, s=s: x[s], obs) for s in (slice(-1), slice(1, None)))
    reward = reward.astype(np.float32)
    discount = 1 - terminated.astype(np.float32)
    return Transition(now, action, reward, discount, last, after, (), one)


def actions_of(action: np.ndarray, spec: Spec, number: int, who: str) -> np.ndarray:
    """The actions [T, ...] of an episode; an InputError unless they are those of the spec."""
    given = f"{who} has actions of shape {action.shape[1:]} and type {action.dtype}"
    if isinstance(spec.action, Box):
        low, high = spec.action
        right = action.shape[1:] == np.shape(low) and action.dtype.kind == "f"
        require(right, f"{given}, but those of the environment are real, of shape {np.shape(low)}.")
    else:
        right = action.shape[1:] == () and action.dtype.kind in "iu"
        require(right, f"{given}, but those of the environment are {spec.action.num} integers.")
        low, high = 0, spec.action.num - 1
    lengths = f"{who} has {number} rewards and {len(action)} actions, which must be as many."
    require(len(action) == number, lengths)
    require(bool(np.isfinite(action).all()), f"{who} has an action that is not finite.")
    if isinstance(low, Tracer) or isinstance(high, Tracer):
        return action
    low, high = np.asarray(low), np.asarray(high)
    slack = 1e-4 * np.maximum(np.abs(high - low), 1e-6) if action.dtype.kind == "f" else 0
    inside = bool(((action >= low - slack) & (action <= high + slack)).all())
    require(
        inside,
        f"{who} has actions from {action.min():g} to {action.max():g}, but those of the "
        f"environment lie between {low.min():g} and {high.max():g}.",
    )
    return action


def observations_of(obs: Any, spec: Spec, number: int, who: str) -> Any:
    """The observations [T + 1, ...] of an episode, of the structure and the dtypes of the spec.

    Raises an InputError unless shapes and kinds of number agree.
    """
    plain = jax.tree.map(np.asarray, obs)
    same = jax.tree.structure(plain) == jax.tree.structure(spec.observation)
    leaves = lambda tree: jax.tree.leaves(tree)
    if not same and len(leaves(plain)) == len(leaves(spec.observation)) == 1:
        plain = jax.tree.unflatten(jax.tree.structure(spec.observation), leaves(plain))
    elif not same:
        raise InputError(
            f"{who} has observations of {len(leaves(plain))} arrays, but the environment shows "
            f"{len(leaves(spec.observation))}, or they have other names."
        )

    def checked(x: np.ndarray, like: jax.ShapeDtypeStruct) -> np.ndarray:
        require(
            x.shape[1:] == like.shape,
            f"{who} has observations of shape {x.shape[1:]}, and the environment {like.shape}.",
        )
        lengths = f"{who} has {number} rewards and {len(x)} observations, which must be one more."
        require(len(x) == number + 1, lengths)
        kinds = {"f": "f", "i": "iu", "u": "iu", "b": "iub"}[np.dtype(like.dtype).kind]
        fits = x.dtype.kind in kinds
        if fits and x.dtype.kind != "f":
            bits = np.dtype(like.dtype)
            most = np.iinfo(bits) if bits.kind in "iu" else None
            low, high = (most.min, most.max) if most else (0, 1)
            fits = bool((x >= low).all() and (x <= high).all())
        require(
            fits, f"{who} has observations of type {x.dtype}, and the environment {like.dtype}."
        )
        require(bool(np.isfinite(x).all()), f"{who} has an observation that is not finite.")
        return x.astype(like.dtype)

    return jax.tree.map(checked, plain, spec.observation)


def empty(env: Env, lanes: int) -> Transition:
    """No transitions [0, lanes, ...], of the shapes and types that `load` returns."""
    array = lambda x: jnp.zeros((0, lanes, *x.shape), x.dtype)
    obs, zero = jax.tree.map(array, env.spec.observation), jnp.zeros((0, lanes), jnp.float32)
    box = env.spec.action
    whole = zero.astype(jnp.int32)
    action = jnp.zeros((0, lanes, *box.shape)) if isinstance(box, Box) else whole
    return Transition(obs, action, zero, zero, zero > 0, obs, (), zero)


def require_minari() -> tuple[Any, Any]:
    """The packages minari and gymnasium; an InputError says how to get them."""
    try:
        import gymnasium
        import minari
    except ImportError:
        raise InputError(NEEDS) from None
    return minari, gymnasium
