"""Where the rows of evaluations go: `log(step, rows)`, for files, services and people.

`metrics.csv` is always written, since runs are resumed and plotted from it. Other writers are
chosen by name (`--log jsonl tensorboard wandb trackio`), or are a person's own functions.
"""

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments import results
from experiments.configuration import Configuration
from jaxrl.errors import InputError, require, require_known

Rows = list[dict[str, Any]]
Log = Callable[[int, Rows], Any]
"""(environment steps, one row for each member) -> whatever; True asks to stop the run early."""


@contextlib.contextmanager
def opened(
    config: Configuration, folder: Path, names: Sequence[str], step: int, own: Sequence[Log] = ()
) -> Iterator[Log]:
    """One function of rows that writes to `metrics.csv` and to the writers of some names.

    What was written past `step` environment steps by an earlier session is dropped where that is
    possible: by `jsonl`, as by `metrics.csv`. It returns True if one of a person's `own` functions
    does, which are called last.
    """
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(WRITERS[name](config, folder, step)) for name in names]

        def log(step: int, rows: Rows) -> bool:
            results.append_metrics(folder, rows)
            for one in logs:
                one(step, rows)
            return any([bool(one(step, rows)) for one in own])

        yield log


def require_writers(names: Sequence[str]) -> None:
    """Raise an InputError for a writer that does not exist or whose package is missing."""
    require(len(set(names)) == len(names), "--log names a writer twice: leave one of them out.")
    for name in names:
        require_known("writer", name, WRITERS)
        if name in PACKAGES:
            package(name)


def package(name: str) -> Any:
    """The package of a writer; an InputError says how to install it if it is missing."""
    try:
        return __import__(PACKAGES[name])
    except ImportError:
        raise InputError(
            f"--log {name} needs the package {PACKAGES[name]}: pip install 'jaxrl[{name}]'."
        ) from None


def member(config: Configuration, row: dict[str, Any]) -> str:
    """The name of a member: its point of a sweep, and its seed."""
    return ",".join(f"{axis}={row[axis]:g}" for axis in (*config.sweep, "seed"))


def numbers(config: Configuration, row: dict[str, Any]) -> dict[str, float]:
    """What was measured in a row, without what is undefined and what names the member."""
    named = {*config.sweep, "seed", "env_steps"}
    return {k: v for k, v in row.items() if k not in named and v is not None}


def by_member(config: Configuration, rows: Rows) -> dict[str, float]:
    """What was measured in rows, each number under its name and its member."""
    return {
        f"{name}/{member(config, row)}": value
        for row in rows
        for name, value in numbers(config, row).items()
    }


@contextlib.contextmanager
def json_lines(config: Configuration, folder: Path, step: int) -> Iterator[Log]:
    """Write `metrics.jsonl`: one object in each line, with null for what is undefined."""
    path = folder / "metrics.jsonl"
    if path.exists():
        kept = []
        for line in path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a torn line
                if json.loads(line)["env_steps"] <= step:
                    kept.append(line)
        results.write_whole(path, "".join(f"{line}\n" for line in kept))
    finite = lambda x: None if isinstance(x, float) and x != x else x

    def log(step: int, rows: Rows) -> None:
        try:
            with path.open("a") as file:
                for row in rows:
                    file.write(json.dumps({k: finite(v) for k, v in row.items()}) + "\n")
        except OSError as error:
            raise results.named(error, path) from None

    yield log


@contextlib.contextmanager
def tensorboard(config: Configuration, folder: Path, step: int) -> Iterator[Log]:
    """Write event files for TensorBoard into `tensorboard/`, with the configuration as text."""
    writer = package("tensorboard").SummaryWriter(str(folder / "tensorboard"))
    text = json.dumps(dataclasses.asdict(config), indent=2)
    writer.add_text("configuration", "    " + text.replace("\n", "\n    "), step)

    # TensorBoard takes no other signs in names: return_mean/seed-1, return_mean/clip-0.1/seed-1.
    plain = str.maketrans({"=": "-", ",": "/", "+": None})

    def log(step: int, rows: Rows) -> None:
        for name, value in by_member(config, rows).items():
            writer.add_scalar(name.translate(plain), value, step)
        writer.flush()

    try:
        yield log
    finally:
        writer.close()


@contextlib.contextmanager
def service(name: str, config: Configuration, folder: Path, step: int) -> Iterator[Log]:
    """Log to a service whose package has the interface of Weights & Biases.

    The name of the run is kept in the folder, so that a resumed run goes on in it. Environment
    steps are the metric `env_steps`, because a service does not take a step twice.
    """
    library = package(name)
    place = folder / f"{name}.json"
    known = json.loads(place.read_text()) if place.exists() else {}
    project = os.environ.get(f"{name.upper()}_PROJECT", "jaxrl")
    options: dict[str, Any] = {"project": project, "config": dataclasses.asdict(config)}
    if name == "wandb":
        options |= {"dir": str(folder), "id": known.get("id"), "name": folder.name}
    else:
        options |= {"name": known.get("name", f"{folder.name}-{os.urandom(3).hex()}")}
    run = library.init(**options, resume="allow")
    identity = {"id": run.id} if name == "wandb" else {"name": options["name"]}
    results.write_whole(place, json.dumps(identity | {"project": project}) + "\n")
    try:
        yield lambda step, rows: library.log({"env_steps": step} | by_member(config, rows))
    finally:
        library.finish()


def wandb(config: Configuration, folder: Path, step: int) -> contextlib.AbstractContextManager[Log]:
    """Log to Weights & Biases; WANDB_MODE=offline keeps the run in the results folder."""
    return service("wandb", config, folder, step)


def trackio(
    config: Configuration, folder: Path, step: int
) -> contextlib.AbstractContextManager[Log]:
    """Log to trackio, which keeps runs on this machine; `trackio show` draws them."""
    return service("trackio", config, folder, step)


WRITERS: dict[str, Callable[..., contextlib.AbstractContextManager[Log]]] = {
    "jsonl": json_lines,
    "tensorboard": tensorboard,
    "wandb": wandb,
    "trackio": trackio,
}
"""The writers beside metrics.csv, by name."""

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "trackio": "trackio"}
"""The packages that writers need, which are not installed by default."""
