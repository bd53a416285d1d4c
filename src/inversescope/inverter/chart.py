"""Chart for a notebook, as a Vega-Lite specification: JupyterLab and VS Code draw it, with nothing else installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MIME = "application/vnd.vegalite.v5+json"


@dataclass(frozen=True)
class Chart:
    """A chart; `spec` is its Vega-Lite specification, the values included."""

    spec: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"Chart({len(self.spec['data']['values'])} values)"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {MIME: dict(self.spec), "text/plain": repr(self)}


def histogram(values: Sequence[Mapping[str, Any]], x: str, count: str, title: str) -> Chart:
    """Bars over a number, each as high as the sum of the counts."""
    bins = {"field": x, "type": "quantitative", "bin": {"maxbins": 40}}
    height = {"field": count, "type": "quantitative", "aggregate": "sum"}
    return Chart(_spec(values, title) | {"mark": "bar", "encoding": {"x": bins, "y": height}})


def lines(values: Sequence[Mapping[str, Any]], x: str, y: str, kind: str, title: str) -> Chart:
    """A line of each kind over names in the order of the values, with the intervals `low` to `high`."""
    along = {"field": x, "type": "nominal", "sort": None}
    colour = {"field": kind, "type": "nominal"}
    line = {
        "mark": {"type": "line", "point": True},
        "encoding": {"x": along, "y": {"field": y, "type": "quantitative"}, "color": colour, "strokeDash": colour},
    }
    ends = {"y": {"field": "low", "type": "quantitative", "title": y}, "y2": {"field": "high"}}
    interval = {"mark": {"type": "rule", "opacity": 0.5}, "encoding": {"x": along, "color": colour, **ends}}
    return Chart(_spec(values, title) | {"layer": [line, interval]})


def _spec(values: Sequence[Mapping[str, Any]], title: str) -> dict[str, Any]:
    return {"title": title, "width": "container", "data": {"values": list(values)}}
