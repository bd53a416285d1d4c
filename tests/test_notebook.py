"""The example notebook runs from top to bottom on the bundled subject."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "first_run.ipynb"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the Jupyter client, about its own platform folders
def test_the_example_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=1000, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        cell.outputs[-1]["data"]["text/html"]
        for cell in notebook.cells
        if cell.get("outputs") and "data" in cell.outputs[-1]
    ]
    table, inversion, frame = shown
    assert "resid_post.28" in table
    assert "resid_post.23" in inversion and "0.1" in inversion
    assert "indirect object" in frame
    assert (tmp_path / "runs" / "notebook" / "report" / "report.html").exists()
