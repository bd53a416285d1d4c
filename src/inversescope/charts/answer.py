"""Charts of one activation: distances of its draws, and the scores of its hypotheses over sites."""

from __future__ import annotations

from collections.abc import Sequence

from inversescope.charts.parts import Spec, by_value, frame, interval, layer, quantitative, size, tip, vertical
from inversescope.charts.theme import DASHES, SHAPES


def distances_of_draws(title: str) -> Spec:
    """A bar for the draws at each distance; rows: `distance`, `draws`, `source` (true for the source itself)."""
    table = {"distance": "δ", "draws": "draws", "source": "the source itself"}
    bins = quantitative("distance", bin={"maxbins": 40}, title="distance δ")
    height = {"aggregate": "sum", "field": "draws", "type": "quantitative", "title": "draws"}
    shade = {"condition": {"test": "datum.source", "value": 1}, "value": 0.6}
    bars = {"x": bins | {"scale": {"domainMin": 0}}, "y": height, "fillOpacity": shade, "tooltip": [bins, height]}
    chart = frame("draws", "Distances of the draws", values=table)
    return chart | size(200) | {"title": title, "layer": [layer("bar", "generator", bars)]}


def over_sites(sites: Sequence[str], hypotheses: Sequence[str], title: str) -> Spec:
    """A curve for each hypothesis; rows: `site`, `hypothesis`, `value`, `value_low`, `value_high`."""
    table = {"site": "site", "hypothesis": "hypothesis", "value": "corrected score"}
    chart = frame("findings", "Corrected score of each hypothesis over sites", values=table)
    axis = {"labelAngle": -30 if len(sites) > 3 else 0, "grid": False, "labelOverlap": "greedy"}
    place = {"field": "site", "type": "ordinal", "title": None, "sort": list(sites), "axis": axis}
    # Beside each other at a site, where their intervals would hide each other
    x = {
        "x": place | {"scale": {"padding": 0.3}},
        "xOffset": {"field": "hypothesis", "sort": list(hypotheses)},
    }
    y = vertical("value", {"domainMax": 1, "nice": False})
    named = {"orient": "bottom", "columns": 3, "title": None, "labelLimit": 260, "symbolOpacity": 1}
    color, dash, shape = (by_value("hypothesis", hypotheses, of, **named) for of in (None, DASHES, SHAPES))
    ends = {**x, "y": y | {"field": "value_low"}, "y2": {"field": "value_high"}, "color": color}
    words = tip(site="site", hypothesis="hypothesis", value__in__words="corrected score")
    mark = {**x, "y": quantitative("value"), "color": color, "shape": shape, "tooltip": words}
    return (
        chart
        | size(260)
        | {
            "title": title,
            "transform": [interval("value")],
            "layer": [
                layer("rule", "chance", {"y": {"datum": 0}}),
                layer("rule", "bar", ends, opacity=0.5),
                layer("line", "curve", {**x, "y": y, "color": color, "strokeDash": dash}),
                layer("point", "mark", mark, size=44),
            ],
        }
    )
