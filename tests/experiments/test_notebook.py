"""The quickstart runs from top to bottom, and what it shows is true."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "experiments/notebooks/quickstart.ipynb"


def test_quickstart_runs_and_its_agents_learn():
    notebook = nbformat.read(NOTEBOOK, 4)
    check = "assert float(result.metrics['evaluation_return'][:, -3:].mean()) > 200"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert all("error" not in [o.output_type for o in c.get("outputs", [])] for c in notebook.cells)
