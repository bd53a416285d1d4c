"""Checked claims as one HTML file, from their record: needs no network and no script."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from inversescope import files
from inversescope.report.explanation import require_page
from inversescope.verdicts import SIGNIFICANT, wording
from inversescope.verdicts.checked import CANNOT_TELL, CONTRADICTED, OF_ENDING, OF_PRIOR, SUPPORTED
from inversescope.verdicts.thresholds import HALF, MARGIN

CLASSES = {
    SUPPORTED: "yes", CONTRADICTED: "no", OF_PRIOR: "control", OF_ENDING: "control", CANNOT_TELL: "open",
}  # fmt: skip

__all__ = ["render_checked", "require_page", "write_checked"]


def write_checked(record: Mapping[str, Any], path: Path) -> None:
    """Write the page.

    Raises:
        UserError: the disk is full, or the page cannot be written there.
    """
    require_page(path)
    page = render_checked(record)
    files.write(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))


def render_checked(record: Mapping[str, Any]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": wording.number, "equals": wording.equals, "visible": wording.visible}
    claims = record["claims"]
    outside = list(dict.fromkeys((claim["source"], claim["site"]) for claim in claims if claim["outside"]))
    counts = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in CLASSES}
    return environment.from_string(_asset("checked.html.j2")).render(
        record=record,
        claims=claims,
        outside=outside,
        counts=counts,
        classes=CLASSES,
        of_row=lambda row, name: wording.of_row(row, name),
        controls={"prior": "prior", "ending": "same ending", "targets": "other targets"},
        limits={"half": HALF, "margin": MARGIN, "significant": SIGNIFICANT},
        style=_asset("report.css"),
    )


def _asset(name: str) -> str:
    return (resources.files("inversescope.report") / "assets" / name).read_text(encoding="utf-8")
