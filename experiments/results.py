"""A results folder: configuration, metrics as CSV, pictures, checkpoints."""

import contextlib
import csv
import io
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxrl.errors import InputError, require
from jaxrl.types import Tree


def require_new(folder: Path) -> None:
    """Raise an InputError if something exists already where a new results folder is to be."""
    free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    remedy = "choose another with --out, or continue it with --resume."
    require(free, f"The results folder {folder} exists: {remedy}")


def make_folder(folder: Path) -> None:
    """Make a folder; an InputError if that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made: {error.strerror}.") from None


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader finds all of it, or what was there before.

    Raises an OSError with the name of the file, such as for a full disk; the old file stands.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("w", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise named(error, path) from None


def write_table(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as a CSV file of some columns, as `write_whole` does."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue())


def named(error: OSError, path: Path) -> OSError:
    """The error with the name of the file that a person knows."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def checksum(tree: Tree) -> int:
    """CRC-32 of all the numbers in a tree of arrays, without keys."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        value = zlib.crc32(np.asarray(leaf).reshape(-1).view(np.uint8), value)
    return value


def append_metrics(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Add rows to `metrics.csv`; columns that it does not have yet are added to its end.

    Undefined values, which are None, are left empty. If the disk is full, the OSError names the
    file, which is left as it was.
    """
    path = folder / "metrics.csv"
    header = columns_of(path)
    columns = [*header, *(name for name in rows[0] if name not in header)]
    if header and columns != header:  # a newer version measures more
        lines = path.read_text(errors="replace").splitlines()[1:]
        more = "," * (len(columns) - len(header))
        write_whole(path, "\n".join([",".join(columns), *(line + more for line in lines)]) + "\n")
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if not header:
        writer.writeheader()
    writer.writerows(rows)
    size = path.stat().st_size if path.exists() else 0
    try:
        with path.open("a", newline="") as file:
            file.write(text.getvalue())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise named(error, path) from None


def columns_of(path: Path) -> list[str]:
    """The names in the first line of a CSV file; none if the file or a whole line is missing."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        line = file.readline()
    return line.strip().split(",") if line.endswith("\n") and line.strip() else []


def repaired_metrics(folder: Path) -> tuple[list[str], list[str], str]:
    """The header of `metrics.csv`, its whole rows as text, and a sentence on what was torn.

    A last line that was cut off is left out, and so is a header that was cut off if nothing
    follows it. Raises an InputError with the name of the file for any other damage.
    """
    path = folder / "metrics.csv"
    if not path.exists():
        return [], [], ""
    require(path.is_file(), f"{path} is not a file: move it away, then resume.")
    text = path.read_text(errors="replace")
    lines, complete = text.splitlines(), text.endswith("\n")
    if not text.strip("\0\n ") or (len(lines) == 1 and not complete):
        return [], [], f"{path} was empty or torn, and is started anew."
    header, rows = lines[0].split(","), lines[1:]
    require(
        {"env_steps", "seed"} <= set(header),
        f"The first line of {path} does not name the columns env_steps and seed: restore that "
        "line, or move the file away to continue without its rows.",
    )
    torn = bool(rows) and (not complete or not _whole(rows[-1], header))
    rows = [line for line in (rows[:-1] if torn else rows) if line]
    for number, line in enumerate(rows, 2):
        require(
            _whole(line, header),
            f"Line {number} of {path} is not a row of numbers: delete that line, then resume.",
        )
    return header, rows, f"The last line of {path} was torn, and is left out." if torn else ""


def _whole(line: str, header: list[str]) -> bool:
    """Whether a line has a value, or nothing, for each column."""
    words = line.split(",")
    try:
        _ = [float(word or "nan") for word in words], int(words[header.index("env_steps")])
    except (ValueError, IndexError):
        return False
    return len(words) == len(header)


def truncate_metrics(folder: Path, steps: int) -> str:
    """Drop the rows of `metrics.csv` past `steps` environment steps; the others stay untouched.

    Repairs a torn file, and returns a sentence that says so, or "".
    """
    header, rows, sentence = repaired_metrics(folder)
    path = folder / "metrics.csv"
    if header:
        column = header.index("env_steps")
        kept = [line for line in rows if int(line.split(",")[column]) <= steps]
        if sentence or len(kept) < len(rows):
            write_whole(path, "\n".join([",".join(header), *kept]) + "\n")
    elif path.exists():
        path.unlink()
    return sentence


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The rows of `metrics.csv` as numbers, nan where a value is undefined.

    A last line that is being written is left out. Raises an InputError if there are no rows.
    """
    path = folder / "metrics.csv"
    require(path.is_file(), f"{folder} is not a results folder: it has no metrics.csv.")
    header, lines, _ = repaired_metrics(folder)
    require(bool(lines), f"{path} has no rows yet: train longer.")
    require(
        "return_mean" in header, f"{path} cannot be read as metrics: it has no column return_mean."
    )
    return [dict(zip(header, (float(x or "nan") for x in line.split(",")))) for line in lines]


def curves(
    rows: list[dict[str, float]], column: str = "return_mean"
) -> tuple[np.ndarray, np.ndarray]:
    """Environment steps [E] and a column by seed [seeds, E], nan where a seed has stopped."""
    by_seed: dict[float, dict[float, float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["env_steps"]] = row[column]
    steps = sorted({row["env_steps"] for row in rows})
    values = [[curve.get(step, math.nan) for step in steps] for curve in by_seed.values()]
    return np.array(steps), np.array(values)
