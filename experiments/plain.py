"""Data sets as plain arrays in one .npz file, those of OGBench and of others among them.

The arrays are [N, ...], one episode after another. Their names are `observations`, `actions`,
`rewards`, `next_observations`, `terminations` (also `terminals`) and `truncations` (also
`timeouts`); observations of several arrays are `observations/NAME`. Without `rewards` the file is
taken for one of OGBench, where `terminals` marks the last observation of each episode, after which
an action is logged that leads nowhere.
"""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import results
from jaxrl import logged
from jaxrl.data import relabelled
from jaxrl.errors import InputError, require
from jaxrl.goals import has_goals
from jaxrl.types import Array, Env, Transition, Tree

OTHERS = {"terminals": "terminations", "timeouts": "truncations"}
NEEDED = ("observations", "actions", "terminations")
NOTES = "jaxrl"


def is_plain(path: str | Path) -> bool:
    """Whether a path is that of a file of plain arrays, and not of a folder."""
    return str(path).endswith(".npz")


def arrays_of(path: str) -> dict[str, Any]:
    """The arrays of a file, by their names here; an InputError of one sentence if it has none.

    Observations of several arrays are a dictionary, and notes are one too.
    """
    require(Path(path).is_file(), f"{path} is not a data set: there is no such file.")
    try:
        with np.load(path) as file:
            found: dict[str, Any] = dict(file)
    except (ValueError, OSError, zipfile.BadZipFile, EOFError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"{path} cannot be read as a data set: {reason}.") from None
    found = {OTHERS.get(name, name): x for name, x in found.items()}
    for name in ("observations", "next_observations"):
        inner = {k.partition("/")[2]: found.pop(k) for k in [*found] if k.startswith(f"{name}/")}
        found |= {name: inner} if inner else {}
    for name in NEEDED:
        require(name in found, f"{path} has no array called {name}, but {', '.join(found)}.")
    found[NOTES] = json.loads(str(found[NOTES])) if NOTES in found else {}
    return found


def load(
    path: str,
    env: Env,
    lanes: int,
    rows: int,
    reward: Callable[[Tree, Tree, Tree], Array] | None = None,
) -> Transition:
    """The transitions [T, lanes, ...] of a file, T a multiple of `rows`; the rest is left out.

    Args:
      path: of the file.
      env: the environment that it is said to be of.
      lanes: the number of lanes, such as an agent's `num_envs`.
      rows: what divides the length of each lane, such as an agent's `rollout_length`.
      reward: (obs, action, final) -> rewards [T, lanes], for a file that has none.

    Raises:
      InputError: if it is no data set of this environment, as `jaxrl.logged.from_arrays` says, and
        if it has no rewards and `reward` is missing, unless goals of the environment pay.
    """
    found = arrays_of(path)
    ends = found["terminations"]
    bare = "rewards" not in found
    require(
        not bare or reward is not None or has_goals(env.spec),
        f"{path} has no rewards, as the goal-conditioned data sets of OGBench: "
        "experiments.plain.load takes a function of them.",
    )
    data = logged.from_arrays(
        found["observations"],
        found["actions"],
        np.zeros(len(ends), np.float32) if bare else found["rewards"],
        np.zeros(len(ends), bool) if bare else ends,
        ends if bare else found.get("truncations", np.zeros(len(ends), bool)),
        env,
        next_observations=found.get("next_observations"),
        lanes=lanes,
        rows=rows,
        who=path,
    )
    return data if reward is None else relabelled(data, reward)


def save(episodes: list[dict[str, Any]], path: Path, notes: dict[str, Any]) -> None:
    """Write episodes, as of `experiments.datasets.split`, to a new file of plain arrays."""
    results.make_folder(path.parent)
    together = lambda pick: jax.tree.map(lambda *x: np.concatenate(x), *map(pick, episodes))
    obs = together(lambda e: jax.tree.map(lambda x: x[:-1], e["observations"]))
    after = together(lambda e: jax.tree.map(lambda x: x[1:], e["observations"]))
    names = ("actions", "rewards", "terminations", "truncations")
    arrays = {name: together(lambda e, name=name: e[name]) for name in names}
    flags = [np.arange(len(e["rewards"]) - 1, -1, -1) < bool(e.get("unfinished")) for e in episodes]
    arrays |= named("observations", obs) | named("next_observations", after)
    np.savez(path, unfinished=np.concatenate(flags), **{NOTES: np.array(json.dumps(notes))},
             **arrays)  # fmt: skip


def named(name: str, tree: Tree) -> dict[str, np.ndarray]:
    """The arrays of observations by their names in a file."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    path = lambda keys: "/".join([name, *(jax.tree_util.keystr((k,), simple=True) for k in keys)])
    return {path(keys): x for keys, x in leaves}


def described(path: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The episodes of a file, and the notes that were written with them.

    Where successors were not logged, the last step of an episode is left out, and where there are
    no rewards they are not among what is returned.
    """
    found = arrays_of(path)
    notes, number = found.pop(NOTES), len(found["terminations"])
    for name in ("actions", "rewards", "truncations"):
        same = name not in found or len(found[name]) == number
        require(same, f"{path} has {number} terminations, but its {name} are not as many.")
    bare, none = "rewards" not in found, np.zeros(number, bool)
    ends = found["terminations"].astype(bool)
    cut = ends if bare else found.get("truncations", none).astype(bool)
    ends = none if bare else ends
    unfinished = found.get("unfinished", none).copy()
    last = ends | cut
    if number and not last[-1]:
        last[-1] = unfinished[-1] = True
    require(number > 0, f"{path} has no steps.")
    after, rows, start = found.get("next_observations"), [], 0
    counts = {len(x) for x in jax.tree.leaves(found["observations"])}
    more = after is None and counts == {number + int(last.sum())}
    require(
        more or counts == {number},
        f"{path} has {' or '.join(map(str, sorted(counts)))} observations, but must have "
        f"{number}, or one more for each episode.",
    )
    pick = lambda tree, a, b: jax.tree.map(lambda x: x[a:b], tree)
    for i, end in enumerate(np.flatnonzero(last)):
        first, stop = start + more * i, end + 1 + more * (i + 1)
        seen = pick(found["observations"], first, stop)
        if after is not None:
            final = pick(after, end, end + 1)
            seen = jax.tree.map(lambda x, y: np.concatenate([x, y]), seen, final)
        part = slice(start, end + (more or after is not None))
        row = {
            "observations": seen,
            "actions": found["actions"][part],
            "terminations": ends[part],
            "truncations": cut[part] | unfinished[part],
            "unfinished": bool(unfinished[end]),
        }
        row |= {} if bare else {"rewards": found["rewards"][part]}
        rows += [row] if len(row["actions"]) else []
        start = end + 1
    require(bool(rows), f"{path} has no step whose successor is known.")
    return rows, notes
