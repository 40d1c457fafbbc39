"""The files that every reproduction writes: numbers, a table and a picture."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.plots import write
from experiments.results import make_folder


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format rows with the same keys as a Markdown table."""
    form = lambda value: f"{value:.3g}" if isinstance(value, float) else str(value)
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([form(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def save(folder: Path, title: str, rows: Sequence[dict[str, Any]], figure: Figure) -> None:
    """Write `results.json`, `results.md` and `picture.png` to a folder, and print the table."""
    make_folder(folder)
    (folder / "results.json").write_text(json.dumps(list(rows), indent=1) + "\n")
    (folder / "results.md").write_text(f"{title}\n\n{table(rows)}\n")
    write(figure, folder / "picture.png")
    print(f"{title}\n\n{table(rows)}\n\nThe numbers and a picture are in {folder}.")
