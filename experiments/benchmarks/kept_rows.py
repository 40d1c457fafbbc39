"""Rows of a benchmark in a file, which is written after each of them and can be continued."""

import json
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from experiments.benchmarks.turns import machine
from jaxrl.errors import require

SAME = ("processor", "cores", "device", "jax", "jaxlib")
"""What rows of one file must have in common."""


def surroundings() -> dict[str, Any]:
    """The machine, the device and the versions that measurements depend on."""
    device = jax.devices()[0]
    own = {name: version(name) for name in ("jax", "jaxlib")}
    return machine() | own | {"device": f"{device.platform} {device.device_kind}"}


def continued(
    path: Path, names: Iterable[str], measure: Callable[[str], Any], told: Callable[[Any], str]
) -> dict[str, Any]:
    """The rows of a file by their names, of which those that it lacks are measured now.

    `told` says in a line what a row has found. The file is written after each row, so that an
    interruption costs one. Raises an InputError if it has rows of another machine or version.
    """
    now = surroundings()
    report = json.loads(path.read_text()) if path.is_file() else {"machine": now, "rows": {}}
    differ = [name for name in SAME if report["machine"].get(name) != now[name]]
    require(
        not differ,
        f"{path} was measured with another {' and '.join(differ)}: choose another file with --out.",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(names)
    for i, name in enumerate(names, 1):
        if name not in report["rows"]:
            report["rows"][name] = measure(name)
            path.write_text(json.dumps(report, indent=1) + "\n")
        print(f"{i} of {len(names)}: {name}: {told(report['rows'][name])}", flush=True)
    return {name: report["rows"][name] for name in names}


def tabulated(
    path: Path,
    names: Iterable[str],
    measure: Callable[[str], Any],
    told: Callable[[Any], str],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Measure the rows that a file lacks, see `continued`, and print the table of all its rows."""
    continued(path, names, measure, told)
    print(f"\n{table(json.loads(path.read_text()))}\n\nThe rows are in {path}.")


def about(report: dict[str, Any]) -> str:
    """The machine and the versions of a file of rows, in words."""
    on = report["machine"]
    device = "" if on["device"].startswith("cpu") else f", {on['device']}"
    return f"{on['processor']}, {on['cores']} cores{device}, jax {on['jax']}, {on['started'][:10]}"
