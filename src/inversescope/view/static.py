"""Files of the page: its own, and those that the report and notebooks share. Their address holds a hash of them all."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources

from inversescope.charts import vendored
from inversescope.charts.answer import distances_of_draws
from inversescope.charts.page import embed, themes

KINDS = {".js": "text/javascript", ".css": "text/css"}
SHELL = "index.html"
FOLDERS = {"charts/elements": None, "view/assets": None, "report/assets": ("report.css",)}


@cache
def contents() -> dict[str, bytes]:
    """Every file of the page by its name."""
    found = {"vega.js": vendored.script().encode(), "themes.js": _themes().encode()}
    for folder, wanted in FOLDERS.items():
        for item in resources.files("inversescope").joinpath(folder).iterdir():
            if (
                item.is_file()
                and item.name[item.name.rfind(".") :] in KINDS
                and (wanted is None or item.name in wanted)
            ):
                assert item.name not in found, f"two files of the page are called {item.name}"
                found[item.name] = item.read_bytes()
    return found


@cache
def version() -> str:
    """Hash of all the files: a page never meets a script of another version."""
    everything = hashlib.sha256()
    for name, content in sorted(contents().items()):
        everything.update(name.encode() + b"\0" + content)
    return everything.hexdigest()[:16]


def shell(base: str) -> str:
    """The page itself, whose files lie at `base`."""
    page = resources.files("inversescope").joinpath("view/assets", SHELL).read_text(encoding="utf-8")
    return page.replace("{{base}}", base)


def kind(name: str) -> str:
    """Media type of a file."""
    return KINDS[name[name.rfind(".") :]] + "; charset=utf-8"


def _themes() -> str:
    """Colours of charts, and the specification of the chart of an answer, as a module."""
    return (
        f"export const chartThemes = {embed(themes())};\nexport const drawsChart = {embed(distances_of_draws(''))};\n"
    )
