"""Natural text: mean distance of each method over the sites, with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.parts import Spec, by_value, defined, frame, interval, layer, size, tip, vertical
from inversescope.charts.theme import DASHES, SHAPES

APART = 3.0  # pixels between the marks of two methods at one site


def natural_text(sites: Sequence[str], methods: Sequence[str]) -> Spec:
    """The chart of some methods; its rows are those of `text/comparison.parquet`."""
    table = {"site": "site", "method": "method", "distance": "mean δ", "targets": "targets"}
    title = "mean δ of each method over the sites"
    chart = frame("compared in text", title, {"site": list(sites), "method": list(methods)}, {}, table)
    x = {
        "field": "site",
        "type": "ordinal",
        "title": None,
        "sort": list(sites),
        "axis": {"labelAngle": 0, "grid": False},
        "scale": {"domain": list(sites)},
    }
    return (
        chart
        | size(280)
        | {
            "title": title,
            "transform": [interval("distance"), interval("wins"), interval("ratio")],
            "layer": [part for place, method in enumerate(methods) for part in _of(method, place, methods, x)],
        }
    )


def _of(method: str, place: int, methods: Sequence[str], x: Spec) -> list[Spec]:
    words = tip(
        method="method",
        site="site",
        distance__in__words="mean δ",
        ratio__in__words="ratio of the search to it",
        wins__in__words="targets for which the search is nearer",
        targets="targets",
    )
    key = {"orient": "bottom", "title": None, "columns": 3, "symbolType": "stroke"}
    colour, dash = by_value("method", methods, None, **key), by_value("method", methods, DASHES, **key)
    shape = by_value("method", methods, SHAPES)
    here, shift = {"filter": {"field": "method", "equal": method}}, APART * (place - (len(methods) - 1) / 2)
    y = vertical("distance", {"zero": True})
    ends = {"x": x, "y": y | {"field": "distance_low"}, "y2": {"field": "distance_high"}, "color": colour}
    line = {"x": x, "y": y, "color": colour, "strokeDash": dash}
    point = {"x": x, "y": y, "color": colour, "shape": shape, "tooltip": words}
    return [
        layer("rule", "ink", ends, here, defined("distance_low"), xOffset=shift, strokeWidth=1.2),
        layer("line", "ink", line, here, xOffset=shift, invalid="break-paths-show-domains"),
        layer("point", "ink", point, here, defined("distance"), xOffset=shift, size=40),
    ]
