"""What there is to choose from: agents, environments and presets, as tables."""

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax

import envs
from envs import suites
from experiments import presets
from experiments.about import ABOUT, OPTIMISER_SENTENCES
from experiments.results import write_whole
from jaxrl.errors import InputError
from jaxrl.optimisers import DECAYING, OPTIMISERS
from jaxrl.types import Box, Discrete, MultiDiscrete, Space, Spec


def agents(words: list[str]) -> list[str]:
    """The table of agents, of those whose line has all of `words`."""
    rows = [(name, about.kind, about.actions, about.sentence) for name, about in ABOUT.items()]
    return table(("agent", "kind", "actions", "what it is"), matching(rows, words))


def presets_table(words: list[str]) -> list[str]:
    """The table of presets, of those whose line has all of `words`."""
    show = lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    rows = [
        (agent, env, ", ".join(f"{name} {show(value)}" for name, value in values.items()))
        for (agent, env), values in presets.PRESETS.items()
    ]
    return table(("agent", "environment", "preset"), matching(rows, words))


def optimisers(words: list[str]) -> list[str]:
    """The table of optimisers, of those whose line has all of `words`."""
    decays = lambda name: "weight decay" if name in DECAYING else ""
    rows = [(name, decays(name), OPTIMISER_SENTENCES[name]) for name in OPTIMISERS]
    return table(("optimiser", "takes", "what it is"), matching(rows, words))


def environment_names(words: list[str]) -> list[str]:
    """The names of environments that have all of `words`, wrapped to lines.

    Those whose package is not installed come last, after the command that installs it.
    """
    names = matching_environments(words)
    ready = [name for name in names if not suites.missing(name)]
    lines = wrapped(ready)
    for prefix, suite in suites.SUITES.items():
        lacking = [n for n in names if n.startswith(f"{prefix}/") and n not in ready]
        if lacking:
            lines += ["", f"After pip install 'jaxrl[{suite.extra}]':", *wrapped(lacking)]
    return lines


def matching_environments(words: list[str]) -> list[str]:
    """The names of environments that have all of `words`."""
    return [name for (name,) in matching([(name,) for name in envs.names()], words)]


def wrapped(names: list[str], width: int = 96) -> list[str]:
    """Names in lines of about `width` characters."""
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append("")
        lines[-1] += f"{name}  "
    return [line.rstrip() for line in lines]


def environments(words: list[str]) -> Iterator[str]:
    """The lines of the table of environments: actions and observations of those that match.

    What an environment shows is known only once it is made, which takes seconds for some. It is
    remembered in the user's cache folder, for the versions of the libraries that are installed.
    An environment whose package is not installed has the command that installs it instead.
    """
    names = matching_environments(words)
    place, known = remembered()
    lacking = {name: suites.missing(name) for name in names}
    new = [name for name in names if name not in known and not lacking[name]]
    if len(new) > 5:
        print(
            f"{len(new)} environments are made for the first time, which takes up to some seconds "
            "each; the next listing is immediate.",
            file=sys.stderr,
        )
    width = max((len(name) for name in names), default=0)
    yield f"{'environment':{width}}  {'actions':18}  observation"
    for name in names:
        if lacking[name]:
            yield f"{name:{width}}  {lacking[name].partition(': ')[2].rstrip('.')}"
            continue
        if name not in known:
            try:
                known[name] = list(shown(envs.make(name).spec))
            except InputError as error:  # such as data that has to be downloaded
                yield f"{name:{width}}  {error}"
                continue
        actions, observation = known[name]
        yield f"{name:{width}}  {actions:18}  {observation}"
    if new:
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            write_whole(place, json.dumps(known))
        except OSError:  # The cache is a convenience.
            pass


def shown(spec: Spec) -> tuple[str, str]:
    """The actions and the observation of an environment, in words."""
    size = lambda shape: " x ".join(map(str, shape)) or "1"

    def actions(space: Space) -> str:
        if isinstance(space, Discrete):
            return f"{space.num} discrete"
        if isinstance(space, Box):
            return f"{size(space.shape)} continuous"
        if isinstance(space, MultiDiscrete):
            return f"{size(space.nums)} discrete"
        return " and ".join(map(actions, space.parts))

    leaves = jax.tree.leaves(spec.observation)
    return actions(spec.action), ", ".join(f"{leaf.dtype} {size(leaf.shape)}" for leaf in leaves)


def remembered() -> tuple[Path, dict[str, Any]]:
    """The file that remembers environments, and what it holds."""
    libraries = ("gymnax", "brax", "jax")
    versions = [importlib.metadata.version(name) for name in libraries]
    sources = sorted(Path(envs.__file__).parent.rglob("*.py"))
    found = [importlib.util.find_spec(suite.package) for suite in suites.SUITES.values()]
    sources += [Path(spec.origin) for spec in found if spec is not None and spec.origin]
    stamp = [f"{path.name} {path.stat().st_mtime_ns}" for path in sources]
    digest = hashlib.sha256(" ".join(versions + stamp).encode()).hexdigest()[:16]
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    place = root / "jaxrl" / f"environments-{digest}.json"
    try:
        found = json.loads(place.read_text())
        pairs = {k: v for k, v in found.items() if len(v) == 2}
        return place, pairs if len(pairs) == len(found) else {}
    except (OSError, ValueError, TypeError, AttributeError):
        return place, {}


def matching(rows: list[tuple[str, ...]], words: list[str]) -> list[tuple[str, ...]]:
    """The rows that have every one of `words` in them, in any case."""
    return [row for row in rows if all(w.lower() in " ".join(row).lower() for w in words)]


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """The lines of a table with aligned columns."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    return ["  ".join(f"{cell:{w}}" for cell, w in zip(row, widths)).rstrip()
            for row in [head, *rows]]  # fmt: skip


TABLES: dict[str, Callable[[list[str]], Iterable[str]]] = {
    "agents": agents,
    "environments": environments,
    "optimisers": optimisers,
    "presets": presets_table,
}
