"""Widgets of a notebook (extra `notebook`): texts, charts and tables below each other, by the elements of the pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from inversescope.charts import elements
from inversescope.charts.page import script

Part = Mapping[str, Any]  # {"text": words}, {"chart": spec}, or {"columns": titles by name, "rows": rows}

_RENDER = """
export default { render({ model, el }) {
  const marks = [...document.body.classList, ...document.documentElement.classList];
  const dark = document.body.dataset.jpThemeLight === "false"
    || ["dark", "vscode-dark"].some((mark) => marks.includes(mark));
  el.style.colorScheme = dark ? "dark" : "light";
  for (const part of JSON.parse(model.get("parts"))) {
    if (part.text !== undefined) { el.append(element("p", { dir: "auto" }, part.text)); continue; }
    const made = document.createElement(part.chart ? "inverse-chart" : "inverse-table");
    el.append(made);
    if (part.chart) made.show(part.chart, part.chart.data.values);
    else made.show(part.columns, part.rows, part.columns ? Object.keys(part.columns).join() : "");
  }
} };
"""


class Shown:
    """Base of what notebooks show: as a widget in Jupyter and marimo where anywidget is installed, else as HTML."""

    def _shown(self) -> tuple[list[Part], str | None]:
        """Parts of the widget, and the HTML that stands in its place; without parts, only `repr` is shown."""
        raise NotImplementedError

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The widget beside what Jupyter shows where it cannot show one."""
        parts, html = self._shown()
        fallback = {"text/plain": repr(self)} | ({} if html is None else {"text/html": html})
        return (shown(parts) if parts else {}) | fallback  # the widget would have the name of its class as text

    def _display_(self) -> Any:
        """The widget as marimo takes it, or what it shows in its place."""
        parts, html = self._shown()
        try:
            return widget(parts) if parts else repr(self)
        except ImportError:
            return _Html(html or repr(self))


class _Html(str):
    """HTML that a notebook shows as such."""

    def _repr_html_(self) -> str:
        return self


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
    return _kind()(parts=json.dumps([dict(part) for part in parts], ensure_ascii=False, allow_nan=False))


@cache
def _kind() -> type:
    import anywidget
    import traitlets

    class Widget(anywidget.AnyWidget):
        _esm = script() + _RENDER
        _css = elements.style()
        parts = traitlets.Unicode().tag(sync=True)  # JSON: a notebook may sort the keys of an object

    return Widget


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    shell = None if python is None else python.get_ipython()
    return shell is not None and hasattr(shell, "kernel")
