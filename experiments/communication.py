"""What a compiled program sends between devices, counted from its text."""

import math
import re
from typing import NamedTuple

COLLECTIVES = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
"""The operations by which devices communicate."""
BITS = {"pred": 8, "bf16": 16, "token": 0}


class Traffic(NamedTuple):
    """The collective operations of a program that runs once."""

    number: int  # of operations
    sent: int  # bytes of their results on each device


_START = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$")
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TRIPS = re.compile(r"known_trip_count[^\d]*(\d+)")


def traffic(text: str, trips: int = 1) -> dict[str, Traffic]:
    """The traffic of a program, by the kind of operation, from the text of its optimised HLO.

    Loops count as often as they run, which the compiler notes where it knows it; `trips` is that
    number for the others. Of the branches of a condition the one that sends most counts.
    """
    blocks, entry = _blocks(text)
    known: dict[str, dict[str, tuple[int, int]]] = {}

    def of(name: str) -> dict[str, tuple[int, int]]:
        if name not in known:
            known[name] = {}  # no computation calls itself
            found: dict[str, tuple[int, int]] = {}
            for line in blocks.get(name, []):
                for kind, (number, size) in _of_line(line, of, trips).items():
                    before = found.get(kind, (0, 0))
                    found[kind] = (before[0] + number, before[1] + size)
            known[name] = found
        return known[name]

    return {kind: Traffic(*both) for kind, both in of(entry).items()}


def _of_line(line: str, of, trips: int) -> dict[str, tuple[int, int]]:
    """The traffic of an instruction and of what it calls."""
    _, _, right = line.partition(" = ")
    kind = re.search(rf"\b({'|'.join(COLLECTIVES)})(?:-start)?\(", right)
    if kind is not None:
        shapes = _SHAPE.findall(right[: kind.start()])
        return {kind.group(1): (1, sum(_bytes(*shape) for shape in shapes))}
    branches = _BRANCHES.search(line)
    if branches is not None:
        names = [name.strip().lstrip("%") for name in branches.group(1).split(",")]
        return max((of(name) for name in names), key=lambda x: sum(b for _, b in x.values()))
    times = 1
    if " while(" in right:
        found = _TRIPS.search(line)
        times = int(found.group(1)) if found else trips
    total: dict[str, tuple[int, int]] = {}
    for name in _CALLED.findall(line):
        for one, (number, size) in of(name).items():
            before = total.get(one, (0, 0))
            total[one] = (before[0] + times * number, before[1] + times * size)
    return total


def _bytes(kind: str, shape: str) -> int:
    """Bytes of an array such as f32[8,4]."""
    digits = re.sub(r"\D", "", kind)
    bits = BITS.get(kind, int(digits) if digits else 32)
    return bits * math.prod(int(n) for n in shape.split(",") if n) // 8


def _blocks(text: str) -> tuple[dict[str, list[str]], str]:
    """The instructions of each computation of a program, and the name of that which runs."""
    blocks: dict[str, list[str]] = {}
    entry = name = ""
    for line in text.splitlines():
        start = _START.match(line)
        if start and "=" not in line.partition("(")[0]:
            name = start.group(2)
            blocks[name] = []
            entry = name if start.group(1) else entry
        elif name and " = " in line:
            blocks[name].append(line)
    return blocks, entry
