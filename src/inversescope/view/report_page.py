"""The report of a run inside the viewer: made anew from the records, in a sandbox of its own.

The page in the run directory is never shown: it may hold any script.
"""

from __future__ import annotations

from pathlib import Path

from inversescope.report.page import render
from inversescope.report.records import load
from inversescope.view.runs import require_run

REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads allow-modals; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def report_page(folder: Path) -> str:
    """The report as this version makes it.

    Raises:
        UserError: the run is not finished, of another version, or damaged.
    """
    require_run(folder)
    return render(load(folder))
