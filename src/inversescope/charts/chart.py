"""A chart as Python has it: the specification, shown by notebooks and saved to a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

from inversescope import extras, files
from inversescope.charts.page import page
from inversescope.charts.rows import Row, Spec, with_values
from inversescope.charts.theme import config
from inversescope.charts.widget import Part, Shown, shown
from inversescope.errors import UserError

MIME = "application/vnd.vegalite.v6+json"
WIDTH = 640  # pixels, where there is no page to give a width
SHOWN = 12  # rows of the table that stands where no chart can be drawn


class Chart(Shown):
    """A chart; `spec` is its Vega-Lite specification, the values included."""

    def __init__(self, spec: Spec, rows: Iterable[Row]):
        self.spec = with_values(spec, rows)

    def __repr__(self) -> str:
        return f"Chart({self.spec['description']}; {len(self.values)} values)"

    @property
    def values(self) -> list[dict[str, Any]]:
        """Rows behind the chart."""
        return self.spec["data"]["values"]

    def to_dict(self) -> Spec:
        """The specification with the light theme, and a width of its own where there is no page to give one."""
        sized = {"width": WIDTH} if self.spec.get("width") == "container" else {}
        return {**self.spec, **sized, "config": config()}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def save(self, path: Path | str) -> None:
        """Write the chart: a page that needs no network (.html), its specification (.json), or a picture (.svg, .png).

        Raises:
            UserError: the file cannot be written, has another ending, or the package that draws pictures is missing.
        """
        path = Path(path)
        writers = {".html": self._html, ".json": self.to_json, ".svg": self._svg, ".png": self._png}
        if path.suffix not in writers:
            raise UserError("no chart is written to such a file", given=path, allowed=", ".join(writers))
        content = writers[path.suffix]()
        raw = content.encode() if isinstance(content, str) else content
        files.write(path, lambda temporary: temporary.write_bytes(raw))

    def _html(self) -> str:
        return page(self.spec)

    def _svg(self) -> str:
        return _drawing().vegalite_to_svg(self.to_dict())

    def _png(self) -> bytes:
        return _drawing().vegalite_to_png(self.to_dict(), scale=2)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """The chart where a notebook can draw it, else a picture, else its first values as a table."""
        fallback = {MIME: self.to_dict(), "text/html": self.table(), "text/plain": repr(self)}
        bundle = shown([self.part()]) | fallback
        try:
            return bundle | {"image/svg+xml": self._svg()}
        except UserError:
            return bundle

    def _shown(self) -> tuple[list[Part], str | None]:
        return [self.part()], self.table()

    def part(self) -> dict[str, Any]:
        """The chart as a part of a widget."""
        return {"chart": self.spec}

    def table(self) -> str:
        """The first values as an HTML table."""
        columns: Mapping[str, str] = self.spec["usermeta"]["values"]
        head = "".join(f"<th>{escape(title)}</th>" for title in columns.values())
        rows = ("".join(f"<td>{escape(_words(row.get(name)))}</td>" for name in columns) for row in self.values[:SHOWN])
        rest = len(self.values) - SHOWN
        more = f"<p>{rest} more rows</p>" if rest > 0 else ""
        return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>{more}"


def _words(value: object) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _drawing() -> Any:
    try:
        return import_module("vl_convert")
    except ImportError as error:
        raise UserError(
            "no package that draws pictures is installed",
            allowed=".html and .json need none",
            remedy=extras.install("pictures"),
        ) from error
