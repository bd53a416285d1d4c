"""A chart as one page that needs no network: the specification, the element that shows it, and the libraries."""

from __future__ import annotations

import base64
import gzip
import json
from html import escape
from typing import Any

from inversescope.charts import elements, vendored
from inversescope.charts.rows import Spec
from inversescope.charts.theme import config

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"
_START = """
const given = JSON.parse(document.getElementById("chart").textContent);
const chart = document.createElement("inverse-chart");
chart.show(given.spec, given.spec.data.values);
document.body.append(chart);
"""


def embed(value: object) -> str:
    """JSON that may stand inside a <script> element whatever texts it holds.

    Raises:
        ValueError: a number is NaN or infinite; undefined is null.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def compressed(value: object) -> str:
    """The same as gzip in base64: a large run's numbers need a fifth of the room, in the file and in the browser.

    Raises:
        ValueError: a number is NaN or infinite; undefined is null.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def themes() -> dict[str, Any]:
    """The configs of both themes, as the element needs them (`setThemes`)."""
    return {"light": config("light"), "dark": config("dark")}


def script(names: tuple[str, ...] = elements.CHART) -> str:
    """The libraries, the elements and the themes as one classic script."""
    return f"{vendored.script()}\n{elements.bundle(names)}\nsetThemes({embed(themes())});\n"


def page(spec: Spec) -> str:
    """The page as text."""
    style = f":root {{ color-scheme: light dark; background: light-dark(#ffffff, #16171a); }}\n{elements.style()}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(spec["description"])}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><style>{style}</style></head><body>'
        f'<script type="application/json" id="chart">{embed({"spec": spec})}</script>'
        f"<script>{script()}{_START}</script></body></html>\n"
    )
