"""Notebooks as pages: their text, their code, and the outputs that they were committed with."""

import base64
import json
from pathlib import Path

FOLDER = "experiments/notebooks"
PICTURES = {"image/png": "png", "image/gif": "gif", "image/jpeg": "jpg"}


def pages(root: Path) -> dict[str, str | bytes]:
    """The pages of all notebooks and their pictures, by their addresses in the site."""
    found: dict[str, str | bytes] = {}
    for path in sorted((root / FOLDER).glob("*.ipynb")):
        parts = []
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                parts.append(source)
                continue
            parts.append(f"```python\n{source}\n```")
            for place, output in enumerate(cell["outputs"]):
                stem = f"{path.stem}-{number}-{place}"
                parts.append(shown(output, stem, found))
        found[f"notebooks/{path.stem}.md"] = "\n\n".join(filter(None, parts)) + "\n"
    return found


def shown(output: dict, stem: str, found: dict) -> str:
    """An output as text of the page; pictures are added to `found`."""
    data = output.get("data", {})
    for kind, ending in PICTURES.items():
        if kind in data:
            found[f"notebooks/{stem}.{ending}"] = base64.b64decode("".join(data[kind]))
            return f"![]({stem}.{ending})"
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""
