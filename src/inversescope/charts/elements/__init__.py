"""Custom elements that the report, the viewer and notebooks share: plain ES modules, also as one classic script."""

from __future__ import annotations

import re
from importlib import resources

CHART = ("words.js", "tips.js", "inverse-table.js", "inverse-chart.js")  # in the order of their imports
_IMPORT = re.compile(r"^import [^;]*;\n", re.M)
_EXPORT = re.compile(r"^export (?=(?:const|let|class|function|async function)\b)", re.M)


def bundle(names: tuple[str, ...] = CHART) -> str:
    """The modules one after the other, without imports and exports; each must stand behind those that it imports."""
    return "\n".join(classic(text(name)) for name in names)


def classic(module: str) -> str:
    """A module without its imports and exports, as a part of a script."""
    return _EXPORT.sub("", _IMPORT.sub("", module))


def style() -> str:
    """The style sheet of the elements; colours are those of the page, else their own."""
    return text("elements.css")


def text(name: str) -> str:
    """A file of this folder."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
