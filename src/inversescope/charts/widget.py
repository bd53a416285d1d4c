"""Widgets of a notebook (extra `notebook`): texts, charts and tables below each other, by the elements of the pages."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from inversescope.charts import elements
from inversescope.charts.page import script

Part = Mapping[str, Any]  # {"text": words}, {"chart": spec}, or {"columns": titles by name, "rows": rows}

_RENDER = """
export default { render({ model, el }) {
  const dark = document.body.dataset.jpThemeLight === "false" || document.body.classList.contains("vscode-dark")
    || document.documentElement.classList.contains("dark");
  el.style.colorScheme = dark ? "dark" : "light";
  for (const part of model.get("parts")) {
    if (part.text !== undefined) { el.append(element("p", { dir: "auto" }, part.text)); continue; }
    const made = document.createElement(part.chart ? "inverse-chart" : "inverse-table");
    el.append(made);
    if (part.chart) made.show(part.chart, part.chart.data.values);
    else made.show(part.columns, part.rows, part.columns ? Object.keys(part.columns).join() : "");
  }
} };
"""


def shown(parts: Sequence[Part]) -> dict[str, Any]:
    """The widget as a notebook takes it; empty outside of a notebook, and where anywidget is not installed."""
    if not _in_notebook():
        return {}
    try:
        made = widget(parts)._repr_mimebundle_()
    except ImportError:
        return {}
    return dict(made[0] if isinstance(made, tuple) else made or {})


def widget(parts: Sequence[Part]) -> Any:
    """A widget of the parts.

    Raises:
        ImportError: anywidget is not installed.
    """
    return _kind()(parts=[dict(part) for part in parts])


@cache
def _kind() -> type:
    import anywidget
    import traitlets

    class Shown(anywidget.AnyWidget):
        _esm = script() + _RENDER
        _css = elements.style()
        parts = traitlets.List().tag(sync=True)

    return Shown


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
